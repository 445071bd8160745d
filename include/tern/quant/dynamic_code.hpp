// Eight-bit codes for numbers whose sizes differ by powers of ten. The code is the dynamic data
// type of Dettmers et al., "8-bit Optimizers via Block-wise Quantization" (arXiv 2110.02861,
// section 2.1): the numbers of a block are divided by the largest magnitude among them, and seven
// decades below 1 have numbers of their own, twice as many in each decade as in the one below.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>

#include "tern/core/simd.hpp"
#include "tern/core/tensor.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

/// The magnitudes of a code: 0, the middles of `Finest` equal parts of [0.1, 1], of half as many
/// parts of [0.01, 0.1], and so on for seven decades, and 1.
template <std::size_t Finest>
struct dynamic_magnitudes {
  static constexpr std::size_t coarsest = Finest / 64;  ///< parts of the lowest decade
  static constexpr std::size_t count = 2 * Finest - coarsest + 2;
  /// Upper halves of the bits of floats: below `lowest` all numbers are rounded to 0, and none is
  /// above `highest`, that of 1. At most one bound of two magnitudes lies between two of them.
  static constexpr std::uint32_t lowest = std::bit_cast<std::uint32_t>(0x1p-23f) >> 16,
                                 highest = std::bit_cast<std::uint32_t>(1.0f) >> 16;

  std::array<float, count> values{};  ///< ascending
  std::array<float, count> upper{};   ///< the largest number that is rounded to each of them
  /// Index of the magnitude to which the smallest float with each upper half is rounded.
  std::array<std::uint8_t, highest - lowest + 1> first{};

  constexpr dynamic_magnitudes() {
    double decade = 1e-6;
    std::size_t k = 1;
    for (std::size_t parts = coarsest; parts <= Finest; parts *= 2, decade *= 10)
      for (std::size_t i = 0; i < parts; ++i)
        values[k++] = static_cast<float>(
            decade * (0.1 + 0.9 * (static_cast<double>(i) + 0.5) / static_cast<double>(parts)));
    values[k] = 1;
    for (std::size_t i = 0; i + 1 < count; ++i) {
      const double middle =
          (static_cast<double>(values[i]) + static_cast<double>(values[i + 1])) / 2;
      upper[i] = static_cast<float>(middle);
      if (static_cast<double>(upper[i]) > middle)
        upper[i] = std::bit_cast<float>(std::bit_cast<std::uint32_t>(upper[i]) - 1);
    }
    upper[count - 1] = std::numeric_limits<float>::infinity();
    for (std::uint32_t i = 1, at = 0; i < first.size(); ++i) {
      while (std::bit_cast<float>((lowest + i) << 16) > upper[at]) ++at;
      first[i] = static_cast<std::uint8_t>(at);
    }
  }

  /// Index of the magnitude nearest to x, which is not below 0; of two that are equally near, of
  /// the smaller one. Anything above 1 is taken for 1.
  [[nodiscard]] constexpr std::size_t nearest(float x) const {
    const std::uint32_t half = (std::bit_cast<std::uint32_t>(x) & 0x7FFFFFFFu) >> 16;
    const std::size_t at = first[std::clamp(half, lowest, highest) - lowest];
    return at + static_cast<std::size_t>(x > upper[at]);
  }
};

}  // namespace detail

/// The 256 numbers of a code, ascending. With signs they lie between -1 and 1, and 1 itself is one
/// of them but -1 is not; without signs they lie between 0 and 1.
template <bool HasSign>
class dynamic_code {
 public:
  /// The number that a code stands for.
  static constexpr float value(std::uint8_t code) { return values[code]; }

  /// The code of the nearest number. Without signs, a number that is not 0 never gets the code of
  /// 0.
  static constexpr std::uint8_t nearest(float x) {
    const std::size_t k = magnitudes.nearest(x < 0 ? -x : x);
    if constexpr (!HasSign) return static_cast<std::uint8_t>(std::max(k, std::size_t{x > 0}));
    // Signs alternate at random, so a branch would often be predicted wrongly.
    const std::size_t negative = std::size_t{std::bit_cast<std::uint32_t>(x) >> 31},
                      most = k - (negative & std::size_t{k > zero});
    return static_cast<std::uint8_t>(zero + ((most ^ -negative) + negative));
  }

 private:
  static constexpr std::size_t zero = HasSign ? 127 : 0;  // code of 0
  static constexpr detail::dynamic_magnitudes<HasSign ? 64 : 128> magnitudes{};
  static constexpr std::array<float, 256> values = [] {
    std::array<float, 256> list{};
    for (std::size_t code = 0; code < list.size(); ++code)
      list[code] = code < zero ? -magnitudes.values[zero - code] : magnitudes.values[code - zero];
    return list;
  }();
};

/// Rounds the numbers of a block to codes, as many as there are numbers, and returns their scale,
/// the largest magnitude. A magnitude that is infinite, or too large for float, counts as the
/// largest float.
template <bool HasSign, class T>
float encode_block(row_view<const T> numbers, std::span<std::uint8_t> codes) {
  constexpr float most = std::numeric_limits<float>::max();
  const float scale = std::min(static_cast<float>(simd::max_abs(numbers)), most);
  // xsimd 8 divides floats only approximately on AArch64; the compiler's vectors divide exactly.
  using reals [[gnu::vector_size(8 * sizeof(T))]] = T;
  const T by = scale > 0 ? static_cast<T>(scale) : T(1);
  std::array<T, 8> part{};
  for (std::size_t i = 0; i < numbers.size; i += part.size()) {
    const std::size_t n = std::min(part.size(), numbers.size - i);
    const bool direct = numbers.stride == 1 && n == part.size();
    for (std::size_t k = 0; !direct && k < n; ++k) part[k] = numbers[i + k];
    reals quotients;
    std::memcpy(&quotients, direct ? numbers.data + i : part.data(), sizeof quotients);
    quotients /= by;
    std::memcpy(part.data(), &quotients, sizeof quotients);
    for (std::size_t k = 0; k < n; ++k)
      codes[i + k] = dynamic_code<HasSign>::nearest(static_cast<float>(part[k]));
  }
  return scale;
}

/// numbers[i] = scale times the number of codes[i].
template <bool HasSign, class T>
void decode_block(std::span<const std::uint8_t> codes, float scale, row_view<T> numbers) {
  for (std::size_t i = 0; i < numbers.size; ++i)
    numbers[i] = static_cast<T>(scale * dynamic_code<HasSign>::value(codes[i]));
}

}  // namespace tern::inline TERN_ABI
