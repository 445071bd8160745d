// Quantizes a weight matrix to ternary and a batch of activations to int8, multiplies them with the
// best kernel of this CPU and compares with the product of the real numbers.
#include <iostream>
#include <vector>

#include "tern/adapt/eigen.hpp"
#include "tern/kernel/matmul.hpp"
#include "tern/quant/absmax.hpp"
#include "tern/quant/absmean.hpp"

int main() {
  const int tokens = 8, in = 1024, out = 512;
  const tern::matrix<float> w = tern::matrix<float>::Random(out, in);
  const tern::matrix<float> x = tern::matrix<float>::Random(tokens, in);

  tern::matrix<std::int8_t> w_codes(out, in), x_codes(tokens, in);
  tern::matrix<float> w_scale(1, 1);
  std::vector<float> x_scales(tokens);
  std::vector<std::int32_t> x_sums(tokens);
  tern::absmean{}.quantize<float>(w, w_codes, w_scale);
  tern::absmax_int8{}.quantize<float>(x, x_codes, x_scales, x_sums);

  const tern::packed_matrix<tern::two_bit> packed(w_codes);  // 2 bits a weight
  std::vector<std::byte> workspace(tern::ternary_matmul_workspace(packed, x_codes));
  tern::matrix<std::int32_t> sums(tokens, out);
  tern::ternary_matmul(packed, x_codes, x_sums, sums, workspace);

  const Eigen::VectorXf scales = Eigen::VectorXf::Map(x_scales.data(), tokens) * w_scale(0, 0);
  const tern::matrix<float> y = scales.asDiagonal() * sums.cast<float>();
  const tern::matrix<float> exact = x * w.transpose();
  std::cout << "kernel " << tern::isa::name(tern::isa::active()) << ", "
            << packed.view().size_bytes() << " bytes instead of " << w.size() * 4
            << ", correlation with the real product "
            << y.cwiseProduct(exact).sum() / (y.norm() * exact.norm()) << '\n';
}
