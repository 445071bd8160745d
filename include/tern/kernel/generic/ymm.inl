// Registers of 256 bits: what the levels that use them share, included once per level inside its
// region, so that each has a copy of its own target.

struct ymm {
  using reg = __m256i;
  static constexpr std::size_t bytes = 32, matvec_panels = 1;

  TERN_INLINE static reg zero() { return _mm256_setzero_si256(); }
  TERN_INLINE static reg load(const void* p) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(p));
  }
  TERN_INLINE static void store(void* p, reg a) {
    _mm256_storeu_si256(static_cast<__m256i*>(p), a);
  }
  TERN_INLINE static reg fill(std::int32_t v) { return _mm256_set1_epi32(v); }
  TERN_INLINE static reg add(reg a, reg b) { return _mm256_add_epi32(a, b); }
  TERN_INLINE static reg add_bytes(reg a, reg b) { return _mm256_add_epi8(a, b); }
  TERN_INLINE static reg sub_bytes(reg a, reg b) { return _mm256_sub_epi8(a, b); }
  TERN_INLINE static reg min_bytes(reg a, reg b) { return _mm256_min_epu8(a, b); }
  /// 255 where bytes are equal, else 0.
  TERN_INLINE static reg equal_bytes(reg a, reg b) { return _mm256_cmpeq_epi8(a, b); }
  /// Sixteen bytes, again and again.
  TERN_INLINE static reg repeat(const void* p) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128(static_cast<const __m128i*>(p)));
  }
  /// Bytes of a repeated table: of an index the low four bits count; 128 and more give 0.
  TERN_INLINE static reg look_up(reg table, reg index) { return _mm256_shuffle_epi8(table, index); }
  /// Bits of every byte: `mask` of those from bit `first` on; it must end with the byte.
  template <int first, int mask>
  TERN_INLINE static reg field(reg q) {
    return _mm256_and_si256(_mm256_srli_epi16(q, first), _mm256_set1_epi8(static_cast<char>(mask)));
  }
  template <int bits>
  TERN_INLINE static reg shift_sums(reg a) {
    return _mm256_srai_epi32(a, bits);
  }
};
