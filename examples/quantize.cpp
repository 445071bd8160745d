// Quantizes a weight matrix to ternary and a batch of activations to int8, multiplies them with the
// best kernel of this CPU and compares with the product of the real numbers.
#include <iostream>
#include <vector>

#include "tern/adapt/eigen.hpp"
#include "tern/kernel/matmul.hpp"
#include "tern/pack/ternary_weights.hpp"
#include "tern/pack/two_bit.hpp"
#include "tern/quant/absmax.hpp"
#include "tern/quant/absmean.hpp"

int main() {
  const int tokens = 8, in = 1024, out = 512;
  const tern::matrix<float> w = tern::matrix<float>::Random(out, in);
  const tern::matrix<float> x = tern::matrix<float>::Random(tokens, in);

  tern::matrix<std::int8_t> x_codes(tokens, in);
  std::vector<float> x_scales(tokens);
  std::vector<std::int32_t> x_sums(tokens);
  tern::absmax_int8{}.quantize<float>(x, x_codes, x_scales, x_sums);

  const tern::ternary_weights<tern::two_bit> packed(w, tern::absmean{});  // 2 bits a weight
  const auto weights = packed.view();
  std::vector<std::byte> workspace(tern::ternary_matmul_workspace(weights.trits, x_codes));
  tern::matrix<std::int32_t> sums(tokens, out);
  tern::matrix<float> y(tokens, out);
  tern::ternary_matmul(weights.trits, x_codes, x_sums, sums, workspace, {}, tern::isa::active(),
                       tern::rescale<float>(x_scales, weights.scales(), {}, y));

  const tern::matrix<float> exact = x * w.transpose();
  std::cout << "kernel " << tern::isa::name(tern::isa::active()) << ", " << weights.size_bytes()
            << " bytes instead of " << w.size() * 4 << ", correlation with the real product "
            << y.cwiseProduct(exact).sum() / (y.norm() * exact.norm()) << '\n';
}
