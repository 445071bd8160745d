// The scaling of a block of integer sums to floats with the instructions of the CPU, whatever flags
// the translation unit has. A register of sums takes its load, vcvtdq2ps, two vmulps and a store.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tern/isa/dispatch_table.hpp"
#include "tern/isa/level.hpp"
#include "tern/isa/registers/avx2.hpp"
#include "tern/isa/registers/avx512.hpp"
#include "tern/isa/target.hpp"

namespace tern::inline TERN_ABI::kernel {

/// y(r, c) = sums(r, c) * (x_scales[r x_step] * w_scales[c w_step]) (+ bias[c]) (+ addend(r, c)),
/// or y(r, c) = totals(r, c) * x_scales[r x_step] (+ bias[c]) (+ addend(r, c)), rounded after each
/// operation. The rows of all matrices are dense.
struct rescale_arguments {
  const std::int32_t* sums;   ///< (rows, cols), or null where `totals` takes their place
  const float* totals;        ///< (rows, cols), or null
  std::size_t stride;         ///< elements from one row of sums or totals to the next
  std::size_t rows, cols;     ///< shape of the block
  const float* x_scales;      ///< scale of the first row
  std::size_t x_step;         ///< elements from one scale to the next
  const float* w_scales;      ///< scale of the first column; not used with `totals`
  std::size_t w_step;         ///< 0 where all columns have one scale, or 1
  const float* bias;          ///< cols elements, or null
  const float* addend;        ///< (rows, cols), or null; may be y
  std::size_t addend_stride;  ///< elements from one row to the next
  float* y;                   ///< (rows, cols)
  std::size_t y_stride;       ///< elements from one row to the next
};

}  // namespace tern::inline TERN_ABI::kernel

#if TERN_X86

TERN_TARGET_BEGIN("avx2,fma,f16c")
namespace tern::inline TERN_ABI::kernel::floats_avx2 {

struct ops : isa::avx2::floats {
  TERN_INLINE static reg to_floats(const std::int32_t* p, std::size_t n) {
    const reg bits = load(reinterpret_cast<const float*>(p), n);
    return _mm256_cvtepi32_ps(_mm256_castps_si256(bits));
  }
};

#  include "tern/kernel/generic/rescale_block.inl"

}  // namespace tern::inline TERN_ABI::kernel::floats_avx2
TERN_TARGET_END

TERN_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl")
namespace tern::inline TERN_ABI::kernel::floats_avx512bw {

struct ops : isa::avx512::floats {
  TERN_INLINE static reg to_floats(const std::int32_t* p, std::size_t n) {
    const reg bits = load(reinterpret_cast<const float*>(p), n);
    return _mm512_maskz_cvtepi32_ps(0xFFFF, _mm512_castps_si512(bits));
  }
};

#  include "tern/kernel/generic/rescale_block.inl"

}  // namespace tern::inline TERN_ABI::kernel::floats_avx512bw
TERN_TARGET_END
#endif

namespace tern::inline TERN_ABI::kernel {

/// The function of each level; null where a level has none.
// clang-format off
inline constexpr isa::dispatch_table<void (*)(const rescale_arguments&)> rescale_blocks{
    {isa::level::scalar, nullptr},
#if TERN_X86
    {isa::level::avx2, floats_avx2::rescale_block},
    {isa::level::avx512bw, floats_avx512bw::rescale_block},
#endif
};
// clang-format on

}  // namespace tern::inline TERN_ABI::kernel
