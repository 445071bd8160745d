// Recording for reverse-mode differentiation: each op appends a closure that computes its backward
// pass. Values, gradients and closures lie in one arena that is rewound after the step, so later
// steps allocate nothing.
#pragma once

#include <algorithm>
#include <cstddef>
#include <new>
#include <type_traits>

#include "tern/core/arena.hpp"
#include "tern/core/executor.hpp"
#include "tern/core/tensor.hpp"
#include "tern/linalg/precision.hpp"

namespace tern::inline TERN_ABI {

/// A value of the graph and the matrix in which its gradient accumulates.
template <class T>
struct variable {
  matrix_view<T> value, grad;  ///< have the same shape; a null grad means "not wanted"

  [[nodiscard]] std::size_t rows() const { return value.rows; }  ///< rows of the value
  [[nodiscard]] std::size_t cols() const { return value.cols; }  ///< columns of the value
};

template <class T>
class tape {
 public:
  /// `ex` executes the ops of this tape. `recording` says whether gradients are wanted. `products`
  /// is the precision of the products of full-precision operands, forward and backward, and of the
  /// backward pass of quantized linears, whose forward pass is computed in integers.
  explicit tape(executor_ref ex = {}, bool recording = true, precision products = precision::exact)
      : ex_(ex), recording_(recording), products_(products) {}

  /// Whether gradients are wanted. A tape that does not record is a workspace for inference.
  [[nodiscard]] bool recording() const { return recording_; }
  /// The executor of this tape's ops.
  [[nodiscard]] executor_ref executor() const { return ex_; }
  /// The precision of products of floats in the ops of this tape.
  [[nodiscard]] precision products() const { return products_; }
  /// The arena that holds values, gradients and closures. reset() rewinds it.
  [[nodiscard]] arena& memory() { return arena_; }

  /// Makes an uninitialised value with a zeroed gradient (a null one if the tape does not record).
  /// Both are valid until reset().
  variable<T> make(std::size_t rows, std::size_t cols) {
    variable<T> v{arena_.matrix<T>(rows, cols), {}};
    if (recording_) v.grad = zeros(rows, cols);
    return v;
  }

  /// Makes a matrix of zeros in the tape's arena.
  matrix_view<T> zeros(std::size_t rows, std::size_t cols) {
    const matrix_view<T> m = arena_.matrix<T>(rows, cols);
    ex_.parallel_for(m.size(), std::size_t{1} << 15, [&](std::size_t begin, std::size_t end) {
      std::fill(m.data + begin, m.data + end, T(0));
    });
    return m;
  }

  /// Appends `backward`, a callable without arguments. What its captures refer to lies in this
  /// tape's arena or outlives the step. It is dropped if the tape does not record.
  template <class F>
  void record(F backward) {
    static_assert(std::is_trivially_destructible_v<F>, "capture views and numbers, not owners");
    if (!recording_) return;
    F* closure = new (arena_.allocate<F>(1)) F(backward);
    last_ = new (arena_.allocate<node>(1))
        node{last_, closure, [](void* f) { (*static_cast<F*>(f))(); }};
    ++size_;
  }

  /// Calls every recorded closure, the last one first. The temporaries of a closure are released
  /// after it.
  void backward() {
    for (; last_ != nullptr; last_ = last_->previous) {
      const arena_scope temporaries(arena_);
      last_->call(last_->closure);
    }
    size_ = 0;
  }

  /// Forgets the step. The memory stays for the next one.
  void reset() {
    last_ = nullptr;
    size_ = 0;
    arena_.rewind();
  }

  [[nodiscard]] std::size_t size() const { return size_; }  ///< number of recorded closures

 private:
  struct node {
    node* previous;
    void* closure;
    void (*call)(void*);
  };

  executor_ref ex_;
  bool recording_;
  precision products_;
  arena arena_;
  node* last_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace tern::inline TERN_ABI
