// One ternary layer is trained with full-precision weights and deployed with packed ones. Both
// forward passes add integers, so they give the same bits.
#include <iostream>
#include <vector>

#include "tern/adapt/eigen.hpp"
#include "tern/nn/bit_linear.hpp"

int main() {
  using layer = tern::bit_linear<float>;  // absmean weights, absmax int8 activations
  const std::size_t tokens = 16, in = 96, out = 64;
  const tern::matrix<float> x = tern::matrix<float>::Random(16, 96);
  const tern::matrix<float> wanted = x * tern::matrix<float>::Random(96, 64);
  tern::matrix<float> w = tern::matrix<float>::Random(64, 96), y(16, 64), dw(64, 96);

  tern::arena memory;
  const layer::saved saved = layer::make_saved(memory, tokens, in, out);
  for (int step = 0; step < 100; ++step) {  // gradient descent on |y - wanted|^2 / 2
    layer::forward(x, w, {}, y, saved, memory);
    if (step % 33 == 0) std::cout << "error " << (y - wanted).norm() / wanted.norm() << '\n';
    dw.setZero();
    const tern::matrix<float> dy = y - wanted;
    layer::backward(dy, saved, {}, dw, {}, memory);
    w -= 0.01f * dw;
  }

  layer::forward(x, w, {}, y, saved, memory);
  const tern::ternary_weights<tern::two_bit> packed(w, tern::absmean{});
  tern::matrix<float> deployed(16, 64);
  tern::packed_linear<float>::forward(x, packed.view(), {}, deployed, memory);
  std::cout << packed.view().size_bytes() << " bytes instead of " << w.size() * 4 << ", "
            << (deployed == y ? "the same bits" : "other bits") << '\n';
  return deployed == y ? 0 : 1;
}
