// Trains a network on a tape: each step records the forward pass, computes the gradients and
// updates the weights. After the first step nothing is allocated.
#include <iostream>

#include "tern/adapt/eigen.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/nn/graph.hpp"

int main() {
  using matrix = tern::matrix<float>;
  matrix x = matrix::Random(64, 8),
         wanted = x.array().square().rowwise().sum();  // the function to learn
  matrix up = matrix::Random(32, 8), gate = matrix::Random(32, 8), down = matrix::Zero(1, 32);
  matrix d_up = matrix::Zero(32, 8), d_gate = matrix::Zero(32, 8), d_down = matrix::Zero(1, 32);

  tern::thread_pool threads(2);
  tern::tape<float> t(threads);
  float first = 0, last = 0;
  std::size_t after_one_step = 0;
  for (int step = 0; step < 200; ++step) {
    t.reset();
    const auto g = tern::graph::linear<float>(t, {x, {}}, {gate, d_gate});  // {}: no gradient
    const auto u = tern::graph::linear<float>(t, {x, {}}, {up, d_up});
    const auto h = tern::graph::gated_activation(t, tern::activation::silu, g, u);
    const auto y = tern::graph::linear<float>(t, h, {down, d_down});

    const matrix error = matrix::Map(y.value.data, 64, 1) - wanted;
    matrix::Map(y.grad.data, 64, 1) = error / 64;
    t.backward();
    for (auto [w, dw] : {std::pair{&up, &d_up}, {&gate, &d_gate}, {&down, &d_down}}) {
      *w -= 0.02f * *dw;
      dw->setZero();
    }
    last = error.squaredNorm() / 64;
    if (step == 0) first = last, after_one_step = t.memory().system_allocations();
  }
  const std::size_t more = t.memory().system_allocations() - after_one_step;
  std::cout << "error " << first << " -> " << last << ", allocations after step 1: " << more
            << '\n';
  return last < first / 4 && more == 0 ? 0 : 1;
}
