// A program as a stranger compiles it, without any -m flag. It runs each operation that has vector
// code of its own once. no_avx.sh looks at its instructions, and emulated CPUs run it (see
// tests/cmake/baseline.cmake).
#include <cstdint>
#include <cstdio>
#include <vector>

#include "tern/core/thread_pool.hpp"
#include "tern/kernel/matmul.hpp"
#include "tern/linalg/gemm.hpp"
#include "tern/pack/base3.hpp"
#include "tern/pack/two_bit.hpp"
#include "tern/quant/absmax_int8.hpp"

int main() {
  constexpr std::size_t rows = 70, cols = 50, tokens = 20;
  std::vector<std::int8_t> codes(rows * cols), x(tokens * cols);
  std::vector<float> weights(codes.size()), activations(x.size()), y(tokens * rows);
  std::vector<std::int32_t> sums(tokens), out(y.size());
  for (std::size_t i = 0; i < codes.size(); ++i)
    weights[i] = codes[i] = static_cast<std::int8_t>(static_cast<int>(i * i % 11 % 3) - 1);
  for (std::size_t i = 0; i < x.size(); ++i) {
    activations[i] = x[i] = static_cast<std::int8_t>(static_cast<int>(i * 37 % 256) - 128);
    sums[i / cols] += x[i];
  }
  tern::thread_pool pool(2);
  const tern::matrix_view<const std::int8_t> xs(x.data(), tokens, cols);
  const tern::matrix_view<const float> w(weights.data(), rows, cols);
  tern::gemm<float>(1, {activations.data(), tokens, cols}, w.transposed(), {y.data(), tokens, rows},
                    false, pool);
  std::size_t wrong = 0;
  const auto multiply = [&](const auto& packed) {
    std::vector<std::byte> workspace(tern::ternary_matmul_workspace(packed, xs));
    tern::ternary_matmul(packed, xs, sums, {out.data(), tokens, rows}, workspace, pool);
    for (std::size_t i = 0; i < out.size(); ++i) wrong += static_cast<float>(out[i]) != y[i];
  };
  const tern::matrix_view<const std::int8_t> trits(codes.data(), rows, cols);
  multiply(tern::packed_matrix<tern::two_bit>(trits));
  multiply(tern::packed_matrix<tern::base3>(trits));

  std::vector<std::int8_t> quantized(x.size()), portable(x.size());
  std::vector<float> scales(tokens);
  const tern::matrix_view<const float> reals(activations.data(), tokens, cols);
  const auto quantize = [&](std::vector<std::int8_t>& to, tern::isa::level level) {
    tern::absmax_int8{}.quantize<float>(reals, {to.data(), tokens, cols}, scales, sums, {}, level);
  };
  quantize(quantized, tern::isa::active());
  quantize(portable, tern::isa::level::scalar);
  wrong += quantized != portable;
  const auto level = name(tern::isa::active());
  std::printf("level %.*s, %zu results differ\n", static_cast<int>(level.size()), level.data(),
              wrong);
  return wrong != 0;
}
