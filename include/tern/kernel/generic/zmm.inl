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
  template <int plane>
  TERN_INLINE static reg digits(reg q) {
    return _mm512_and_si512(_mm512_srli_epi16(q, 2 * plane), _mm512_set1_epi8(3));
  }
};
