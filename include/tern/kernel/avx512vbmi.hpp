// AVX-512 VBMI
#pragma once

#include "tern/isa/target.hpp"
#include "tern/kernel/base3_tables.hpp"
#include "tern/kernel/problem.hpp"
#include "tern/pack/base3.hpp"
#include "tern/pack/two_bit.hpp"

#if TERN_X86
#  include <immintrin.h>

#  include <cstring>
#  include <limits>
#  include <utility>

TERN_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi")
namespace tern::inline TERN_ABI::kernel::avx512vbmi {

#  include "tern/kernel/generic/zmm_vnni.inl"

#  include "tern/kernel/generic/two_bit.inl"

/// Six bits tell the upper digits of a byte, and again the lower ones.
template <>
struct decoder<base3> {
  static constexpr std::size_t sums = 2;

  struct halves {
    ops::reg upper, lower;  // the indices
  };

  TERN_INLINE static halves decode(ops::reg q) {
    const ops::reg upper = _mm512_srli_epi16(q, 2);  // bits from the next byte play no part
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
  /// Of an index the low six bits count.
  TERN_INLINE static ops::reg look_up(const base3_tables_64::table& table, ops::reg index) {
    // The zero-masked form: g++ 12 warns of the undefined source inside the plain one.
    return _mm512_maskz_permutexvar_epi8(~__mmask64{}, index, ops::load(table.data()));
  }
};

#  include "tern/kernel/generic/matvec.inl"

#  include "tern/kernel/generic/matmul.inl"

}  // namespace tern::inline TERN_ABI::kernel::avx512vbmi
TERN_TARGET_END
#endif
