// Single-precision matrix product for AVX2 and FMA, whatever flags the translation unit has.
//
//   vfmadd231ps ymm   latency 4 (Haswell, Broadwell, Zen 2: 5)   2/cycle
// A tile of 6 rows x 16 columns takes 12 products, 2 loads and 6 broadcasts for a step of k.
#pragma once

#include "tern/core/tensor.hpp"
#include "tern/isa/registers/avx2.hpp"
#include "tern/linalg/gemm_kernel.hpp"

#if TERN_X86
#  include <algorithm>
#  include <cstddef>

TERN_TARGET_BEGIN("avx2,fma,f16c")
namespace tern::inline TERN_ABI::detail::avx2 {

struct ops : isa::avx2::floats {
  static constexpr std::size_t tile_rows = 6;
};

#  include "tern/linalg/generic/gemm.inl"

}  // namespace tern::inline TERN_ABI::detail::avx2
TERN_TARGET_END
#endif
