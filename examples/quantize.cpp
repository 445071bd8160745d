// Packs a matrix to 2 bits per weight and multiplies it by int8 activations with the best kernel of
// this CPU.
#include <iostream>
#include <vector>

#include "tern/adapt/eigen.hpp"
#include "tern/kernel/matmul.hpp"
#include "tern/pack/ternary_weights.hpp"
#include "tern/quant/absmax_int8.hpp"
#include "tern/quant/absmean.hpp"

int main() {
  const tern::matrix<float> w = tern::matrix<float>::Random(512, 1024);  // (out, in)
  const tern::matrix<float> x = tern::matrix<float>::Random(8, 1024);    // (tokens, in)
  const tern::ternary_weights<tern::two_bit> packed(w, tern::absmean{});
  tern::matrix<std::int8_t> codes(8, 1024);
  std::vector<float> scales(8);
  std::vector<std::int32_t> code_sums(8);
  tern::absmax_int8{}.quantize<float>(x, codes, scales, code_sums);

  tern::matrix<std::int32_t> sums(8, 512);
  tern::matrix<float> y(8, 512), exact = x * w.transpose();
  const auto w_packed = packed.view().packed;
  std::vector<std::byte> workspace(tern::ternary_matmul_workspace(w_packed, codes));
  tern::ternary_matmul(w_packed, codes, code_sums, sums, workspace, {}, tern::isa::active(),
                       tern::rescale<float>(scales, packed.view().scales(), {}, y));

  const float correlation = y.cwiseProduct(exact).sum() / (y.norm() * exact.norm());
  std::cout << "kernel " << name(tern::isa::active()) << ", correlation " << correlation << '\n';
  return correlation > 0.8f ? 0 : 1;
}
