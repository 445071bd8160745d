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

/// The micro-batches of one optimizer step: `count` of them, the first of which has number `first`.
struct step_position {
  std::size_t first = 0;  ///< counted from the start of the stage
  std::size_t count = 1;  ///< number of micro-batches whose gradients are added up
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
    last_ = append(arena_, last_, backward);
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

  /// An optimizer step begins, in which the tape may be reset several times. The trainer says so.
  void begin_step(step_position p) {
    step_ = p;
    in_step_ = true;
  }
  /// The micro-batches of the current step; a tape outside of a step has one.
  [[nodiscard]] step_position step() const { return step_; }
  /// Calls `undo`, a callable without arguments, if the step is refused. A loss that changes a
  /// state of its own in a forward pass restores it there. `undo` is dropped outside of a step.
  template <class F>
  void on_refusal(F undo) {
    static_assert(std::is_trivially_destructible_v<F>, "capture views and numbers, not owners");
    if (in_step_) undo_ = append(step_memory_, undo_, undo);
  }
  /// The step is done: what was changed stays.
  void accept_step() {
    undo_ = nullptr;
    step_memory_.rewind();
    step_ = {};
    in_step_ = false;
  }
  /// The step is refused: calls what on_refusal() got, the last one first, and forgets the step.
  void refuse_step() {
    for (; undo_ != nullptr; undo_ = undo_->previous) undo_->call(undo_->closure);
    accept_step();
    reset();
  }

 private:
  struct node {
    node* previous;
    void* closure;
    void (*call)(void*);
  };

  template <class F>
  static node* append(arena& memory, node* last, const F& f) {
    F* closure = new (memory.allocate<F>(1)) F(f);
    return new (memory.allocate<node>(1))
        node{last, closure, [](void* c) { (*static_cast<F*>(c))(); }};
  }

  executor_ref ex_;
  bool recording_;
  precision products_;
  arena arena_;
  node* last_ = nullptr;
  std::size_t size_ = 0;
  step_position step_;
  bool in_step_ = false;
  arena step_memory_{std::size_t{1} << 12};
  node* undo_ = nullptr;
};

}  // namespace tern::inline TERN_ABI
