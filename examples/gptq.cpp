// One weight matrix becomes ternary by GPTQ. All that is needed is the matrix and inputs of its
// layer; no model of tern takes part.
#include <iostream>
#include <vector>

#include "tern/calibrate/gptq.hpp"
#include "tern/calibrate/input_moments.hpp"
#include "tern/calibrate/least_squares_scale.hpp"
#include "tern/calibrate/output_error.hpp"
#include "tern/core/random.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/pack/ternary_weights.hpp"
#include "tern/pack/two_bit.hpp"
#include "tern/quant/given_scales.hpp"

int main() {
  constexpr std::size_t out = 96, in = 192, tokens = 600;
  tern::philox random(1);
  std::vector<float> w(out * in), x(tokens * in);
  for (float& v : w) v = .1f * static_cast<float>(random.normal());
  for (std::size_t i = 0; i < x.size(); ++i)  // neighbouring channels are alike
    x[i] = static_cast<float>(random.normal()) + (i % in > 0 ? .8f * x[i - 1] : 0);
  const tern::matrix_view<const float> weights(w.data(), out, in);

  tern::thread_pool threads(2);
  tern::arena memory;
  tern::moment_accumulator<float> sums(in);
  sums.add({x.data(), tokens, in}, {}, {}, threads);  // once for each batch
  const auto moments = std::move(sums).finish(threads);
  const tern::matrix_view<const float> hessian(moments.hessian);
  const tern::hessian_factor<float> factor(hessian, {},
                                           threads);  // serves all layers of this input

  const tern::least_squares_scale rule{.block = {1, 64}};  // a scale for 64 columns of a row
  std::vector<std::int8_t> codes(out * in);
  std::vector<float> scales(out * in / 64), rounded(out * in);
  tern::gptq{}.quantize<float>(weights, factor, rule,
                               {{codes.data(), out, in}, {scales.data(), out, in / 64}, {}}, memory,
                               threads);

  const tern::matrix_view<const std::int8_t> c(codes.data(), out, in);
  const tern::matrix_view<float> s(scales.data(), out, in / 64), q(rounded.data(), out, in);
  const auto error = [&] {
    tern::dequantize<float>(c, s, rule.block, q, threads);
    return tern::relative_output_error<float>(weights, q, hessian, memory, threads);
  };
  const double compensated = error();
  const tern::ternary_weights<tern::two_bit> packed(c, s, rule.block);  // for the integer kernels

  rule.find<float>(weights, s);
  std::vector<float> used(scales.size());
  tern::given_scales<float>{s, rule.block}.quantize<float>(weights, {codes.data(), out, in},
                                                           {used.data(), out, in / 64});
  const double nearest = error();
  std::cout << "squared error of the outputs: " << nearest << " rounded to nearest, " << compensated
            << " by GPTQ; " << packed.view().size_bytes() << " bytes\n";
  return compensated < .7 * nearest ? 0 : 1;
}
