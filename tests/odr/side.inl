// Is compiled twice into one program, for different instruction sets (see tests/cmake/odr.cmake).
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "tern/core/random.hpp"
#include "tern/core/simd.hpp"
#include "tern/kernel/matmul.hpp"
#include "tern/quant/absmax_int8.hpp"

/// The address of an inline function of the library, as this translation unit sees it.
const void* TERN_ODR_SIDE(address)() { return reinterpret_cast<const void*>(&tern::require_size); }

/// Runs library code and returns how many floats a register holds here.
std::size_t TERN_ODR_SIDE(compute)(float& sum) {
  std::vector<float> values(1000);
  tern::philox random(7);
  for (float& v : values) v = static_cast<float>(random.below(100));
  sum = tern::simd::sum(tern::row_view<const float>(values));
  return tern::simd::lanes<float>;
}

/// Quantizes tokens and multiplies them at a level. True where the results are those of the
/// definition.
bool TERN_ODR_SIDE(multiply)(int level) {
  constexpr std::size_t tokens = 5, in = 100, out = 37;
  std::vector<float> x(tokens * in), scales(tokens);
  std::vector<std::int8_t> codes(x.size()), w(out * in);
  std::vector<std::int32_t> sums(tokens), y(tokens * out);
  tern::philox random(8);
  for (float& v : x) v = static_cast<float>(random.normal());
  for (auto& c : w) c = static_cast<std::int8_t>(static_cast<int>(random.below(3)) - 1);

  const auto l = static_cast<tern::isa::level>(level);
  const tern::matrix_view<std::int8_t> q(codes.data(), tokens, in);
  tern::absmax_int8{}.quantize<float>({x.data(), tokens, in}, q, scales, sums, {}, l);
  const tern::packed_matrix<tern::two_bit> packed({w.data(), out, in});
  std::vector<std::byte> workspace(tern::ternary_matmul_workspace(packed, q));
  tern::ternary_matmul(packed, q, sums, {y.data(), tokens, out}, workspace, {}, l);

  std::size_t wrong = 0;
  for (std::size_t t = 0; t < tokens; ++t) {
    float g = 0;
    for (std::size_t k = 0; k < in; ++k) g = std::max(g, std::abs(x[t * in + k]));
    wrong += scales[t] != g / 127;
    for (std::size_t k = 0; k < in; ++k)
      wrong += q(t, k) != static_cast<int>(std::nearbyint(x[t * in + k] * (127 / (g + 1e-5f))));
    for (std::size_t m = 0; m < out; ++m) {
      std::int32_t sum = 0;
      for (std::size_t k = 0; k < in; ++k) sum += w[m * in + k] * q(t, k);
      wrong += y[t * out + m] != sum;
    }
  }
  return wrong == 0;
}
