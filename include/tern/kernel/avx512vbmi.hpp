// AVX-512 VNNI and VBMI (Ice Lake, Zen 4): avx512vnni with look-ups of six bits, which find a digit
// of `base3` in one instruction where look-ups of four bits need several steps.
//
//   vpermb zmm     64 look-ups of 6 bits   latency 3 (Zen 4: 4)   1/cycle (p5; Zen 4: two of four
//   pipes) vpdpbusd zmm   64 multiply-adds        latency 5              2/cycle (p05) or 1/cycle
//   (Zen 4) vpsrlw zmm 1/cycle (p0), vpsubb zmm 2/cycle, vpbroadcastd zmm, m32: a load
//
// vpermi2b, which looks up seven bits, takes three operations on Intel and is not used.
//
// matvec, base3: 16 rows x 20 columns take a shift, a subtraction, 6 vpermb and 5 dot products, 6.5
// cycles of p05, or 8 cycles of Zen 4's shuffling and multiplying pipes.
#pragma once

#include "tern/kernel/avx512vnni.hpp"
#include "tern/kernel/generic/prelude.hpp"

#if TERN_X86
TERN_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi")
namespace tern::inline TERN_ABI::kernel::avx512vbmi {

using avx512vnni::ops;

#  include "tern/kernel/generic/all.inl"

/// byte >> 2 is the index of the two upper digits and of their part of the byte; the rest of the
/// byte, below 28, is the index of the three lower digits.
template <>
struct digit_reader<base3> {
  static constexpr std::size_t sums = 2;
  static constexpr std::size_t most_scaled = 1;
  static constexpr std::size_t direct_groups = 1;

  struct halves {
    ops::reg upper, lower;  // indices
  };

  TERN_INLINE static halves decode(ops::reg q) {
    const ops::reg upper = _mm512_srli_epi16(q, 2);  // bits of the next byte do not count
    return {upper, ops::sub_bytes(q, look_up(base3_tables_64::upper, upper))};
  }
  template <int plane>
  TERN_INLINE static ops::reg digits(const halves& d) {
    return look_up(base3_tables_64::digit<plane>, plane < 3 ? d.lower : d.upper);
  }
  template <int plane>
  TERN_INLINE static ops::reg sum_digits(const halves& d) {
    return digits<plane>(d);
  }
  template <int sum>
  TERN_INLINE static ops::reg unscale(ops::reg total) {
    return total;
  }

 private:
  /// The low six bits of an index count.
  TERN_INLINE static ops::reg look_up(const base3_tables_64::table& table, ops::reg index) {
    // The zero-masked form: g++ 12 warns of the undefined source inside the plain one.
    return _mm512_maskz_permutexvar_epi8(~__mmask64{}, index, ops::load(table.data()));
  }
};

}  // namespace tern::inline TERN_ABI::kernel::avx512vbmi
TERN_TARGET_END
#endif
