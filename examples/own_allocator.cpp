// Weights, gradients and moments can live in vectors with your own allocator. The allocator of this
// example has a budget; when it is spent, std::bad_alloc reaches the caller. Allocators for huge
// pages, NUMA nodes or memory that is shared with a device are used in the same way.
#include <iostream>
#include <new>
#include <numeric>
#include <vector>

#include "tern/adapt/shaped.hpp"
#include "tern/nn/bit_linear.hpp"
#include "tern/train/adamw.hpp"

inline std::size_t budget = 100'000;  // bytes

template <class T>
struct budgeted {
  using value_type = T;
  budgeted() = default;
  template <class U>
  budgeted(const budgeted<U>&) {}
  T* allocate(std::size_t n) {
    if (n * sizeof(T) > budget) throw std::bad_alloc();
    budget -= n * sizeof(T);
    return static_cast<T*>(::operator new(n * sizeof(T)));
  }
  void deallocate(T* p, std::size_t n) {
    budget += n * sizeof(T);
    ::operator delete(p);
  }
  bool operator==(const budgeted&) const = default;
};

using owner = tern::shaped<std::vector<float, budgeted<float>>>;

struct model {
  tern::parameter<owner> weight;

  explicit model(std::size_t out, std::size_t in) : weight("weight", out, in) {
    weight.grad = tern::tensor_traits<owner>::make(out, in);
    weight.fill_normal(0.1, tern::philox(1, 0));
  }
  template <class F>
  void for_each_parameter(F f) {
    f(weight);
  }
};

int main() {
  std::size_t left = 0;
  float first = 0, last = 0;
  {
    model m(32, 64);
    tern::adamw<owner> optimizer(m, {});
    left = budget;

    using layer = tern::bit_linear<float>;
    const std::vector<float> x(64, 1.0f);
    std::vector<float> y(32);
    tern::arena memory;
    const auto saved = layer::make_saved(memory, 1, 64, 32);
    for (int step = 0; step < 20; ++step) {  // gradient descent on |y|^2 / 2
      layer::forward({x.data(), 1, 64}, m.weight.value, {}, {y.data(), 1, 32}, saved, memory);
      last = std::inner_product(y.begin(), y.end(), y.begin(), 0.0f);
      if (step == 0) first = last;
      layer::backward({y.data(), 1, 32}, saved, {}, m.weight.grad, {}, memory);
      optimizer.step(m, 1e-2, 1, 1);
    }
  }
  bool refused = false;
  try {
    model too_large(100, 200);
  } catch (const std::bad_alloc&) {
    refused = true;
  }
  std::cout << 100'000 - left << " bytes of the budget, |y|^2 " << first << " -> " << last << '\n';
  // Weight, gradient and two moments took memory, and all of it was given back.
  return left == 100'000 - 4 * 32 * 64 * sizeof(float) && budget == 100'000 && refused &&
                 last < first / 2
             ? 0
             : 1;
}
