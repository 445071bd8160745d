// Registers of 512 bits: what the levels that use them share, included once per level inside its
// region, so that each has a copy of its own target.

struct zmm {
  using reg = __m512i;
  static constexpr std::size_t bytes = 64, matvec_panels = 4;

  TERN_INLINE static reg zero() { return _mm512_setzero_si512(); }
  TERN_INLINE static reg load(const void* p) { return _mm512_loadu_si512(p); }
  TERN_INLINE static void store(void* p, reg a) { _mm512_storeu_si512(p, a); }
  TERN_INLINE static reg fill(std::int32_t v) { return _mm512_set1_epi32(v); }
  TERN_INLINE static reg add(reg a, reg b) { return _mm512_add_epi32(a, b); }
  TERN_INLINE static reg add_bytes(reg a, reg b) { return _mm512_add_epi8(a, b); }
  TERN_INLINE static reg sub_bytes(reg a, reg b) { return _mm512_sub_epi8(a, b); }
  TERN_INLINE static reg min_bytes(reg a, reg b) { return _mm512_min_epu8(a, b); }
  /// 255 where bytes are equal, else 0.
  TERN_INLINE static reg equal_bytes(reg a, reg b) {
    return _mm512_movm_epi8(_mm512_cmpeq_epi8_mask(a, b));
  }
  /// Sixteen bytes, again and again.
  TERN_INLINE static reg repeat(const void* p) {
    return _mm512_maskz_broadcast_i32x4(0xFFFF, _mm_loadu_si128(static_cast<const __m128i*>(p)));
  }
  /// Bytes of a repeated table: of an index the low four bits count; 128 and more give 0.
  TERN_INLINE static reg look_up(reg table, reg index) { return _mm512_shuffle_epi8(table, index); }
  /// Bits of every byte: `mask` of those from bit `first` on; it must end with the byte.
  template <int first, int mask>
  TERN_INLINE static reg field(reg q) {
    return _mm512_and_si512(_mm512_srli_epi16(q, first), _mm512_set1_epi8(static_cast<char>(mask)));
  }
  template <int bits>
  TERN_INLINE static reg shift_sums(reg a) {
    // The zero-masked form: g++ 12 warns of the undefined source inside the plain one.
    return _mm512_maskz_srai_epi32(0xFFFF, a, bits);
  }
};
