// Single-precision matrix product for AVX-512, whatever flags the translation unit has.
//
//   vfmadd231ps zmm   latency 4   2/cycle (1/cycle on Zen 4)
// A tile of 8 rows x 32 columns takes 16 products, 2 loads and 8 broadcasts for a step of k.
#pragma once

#include "tern/core/tensor.hpp"
#include "tern/isa/registers/avx512.hpp"
#include "tern/linalg/gemm_kernel.hpp"

#if TERN_X86
#  include <algorithm>
#  include <cstddef>

TERN_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl")
namespace tern::inline TERN_ABI::detail::avx512 {

struct ops : isa::avx512::floats {
  static constexpr std::size_t tile_rows = 8;
};

#  include "tern/linalg/generic/gemm.inl"

}  // namespace tern::inline TERN_ABI::detail::avx512
TERN_TARGET_END
#endif
