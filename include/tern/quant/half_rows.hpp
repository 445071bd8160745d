// Conversion of rows between F16 and float, with the CPU's own instructions where it has them,
// whatever flags the translation unit has. The bits are those of quant/half.hpp.
//
//   vcvtph2ps ymm, m128   latency 5-7   1/cycle
//   vcvtps2ph m128, ymm   latency 5-8   1/cycle
#pragma once

#include <cstddef>
#include <cstdint>

#include "tern/isa/dispatch_table.hpp"
#include "tern/isa/level.hpp"
#include "tern/isa/registers/avx2.hpp"
#include "tern/isa/target.hpp"
#include "tern/quant/half.hpp"

#if TERN_X86
TERN_TARGET_BEGIN("avx2,fma,f16c")
namespace tern::inline TERN_ABI::quant::avx2 {

/// Converts whole groups of eight numbers and returns how many numbers they are.
inline std::size_t from_f16(const std::uint16_t* from, float* to, std::size_t n) {
  using floats = isa::avx2::floats;
  std::size_t i = 0;
  for (; i + floats::lanes <= n; i += floats::lanes) floats::store(to + i, floats::load(from + i));
  return i;
}

/// The same in the other direction.
inline std::size_t to_f16(const float* from, std::uint16_t* to, std::size_t n) {
  using floats = isa::avx2::floats;
  std::size_t i = 0;
  for (; i + floats::lanes <= n; i += floats::lanes) floats::store(to + i, floats::load(from + i));
  return i;
}

}  // namespace tern::inline TERN_ABI::quant::avx2
TERN_TARGET_END
#endif

namespace tern::inline TERN_ABI {

namespace quant {

/// Conversions of the first numbers of a row; they return how many numbers they have converted.
/// Null where a level has no such functions.
struct half_row {
  /// Whole groups of numbers from F16 to float, and back.
  std::size_t (*from_f16)(const std::uint16_t* from, float* to, std::size_t n) = nullptr;
  std::size_t (*to_f16)(const float* from, std::uint16_t* to, std::size_t n) = nullptr;
};

/// The conversions of all levels.
// clang-format off
inline constexpr isa::dispatch_table<half_row> half_rows{
    {isa::level::scalar, {}},
#if TERN_X86
    {isa::level::avx2, {avx2::from_f16, avx2::to_f16}},
#endif
};
// clang-format on

}  // namespace quant

/// to[i] = from[i], exactly, i < n.
inline void from_f16(const std::uint16_t* from, float* to, std::size_t n) {
  const auto convert = quant::half_rows.at(isa::active()).from_f16;
  for (std::size_t i = convert != nullptr ? convert(from, to, n) : 0; i < n; ++i)
    to[i] = from_f16(from[i]);
}

/// to[i] = from[i], rounded as to_f16() rounds a single number, i < n.
inline void to_f16(const float* from, std::uint16_t* to, std::size_t n) {
  const auto convert = quant::half_rows.at(isa::active()).to_f16;
  for (std::size_t i = convert != nullptr ? convert(from, to, n) : 0; i < n; ++i)
    to[i] = to_f16(from[i]);
}

}  // namespace tern::inline TERN_ABI
