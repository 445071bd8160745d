// Reverse-mode recording: each op appends the closure that runs its backward. Values, gradients
// and closures lie in one arena that is rewound after the step, so a steady state allocates
// nothing.
#pragma once

#include <algorithm>
#include <cstddef>
#include <new>
#include <type_traits>

#include "tern/core/arena.hpp"
#include "tern/core/executor.hpp"
#include "tern/core/tensor.hpp"

namespace tern::inline TERN_ABI {

/// A value of the graph and where its gradient accumulates; a null gradient means "not wanted".
template <class T>
struct variable {
  matrix_view<T> value, grad;  ///< of one shape; a null grad: none is wanted

  /// Of the value.
  [[nodiscard]] std::size_t rows() const { return value.rows; }
  [[nodiscard]] std::size_t cols() const { return value.cols; }
};

template <class T>
class tape {
 public:
  /// `ex`: what runs the ops; `recording`: see there.
  explicit tape(executor_ref ex = {}, bool recording = true) : ex_(ex), recording_(recording) {}

  /// Whether gradients are wanted; a tape that does not record is an inference workspace.
  [[nodiscard]] bool recording() const { return recording_; }
  /// What ops of this tape run on.
  [[nodiscard]] executor_ref executor() const { return ex_; }
  /// Holds values, gradients and closures; rewound by reset().
  [[nodiscard]] arena& memory() { return arena_; }

  /// An uninitialised value with a zeroed gradient (none if not recording), alive until reset().
  variable<T> make(std::size_t rows, std::size_t cols) {
    variable<T> v{arena_.matrix<T>(rows, cols), {}};
    if (recording_) v.grad = zeros(rows, cols);
    return v;
  }

  /// A matrix of zeros from the tape's arena.
  matrix_view<T> zeros(std::size_t rows, std::size_t cols) {
    const matrix_view<T> m = arena_.matrix<T>(rows, cols);
    ex_.parallel_for(m.size(), std::size_t{1} << 15, [&](std::size_t begin, std::size_t end) {
      std::fill(m.data + begin, m.data + end, T(0));
    });
    return m;
  }

  /// Appends `backward`, a callable without arguments whose captures are plain data in this
  /// tape's arena or outlive the step. Dropped when not recording.
  template <class F>
  void record(F backward) {
    static_assert(std::is_trivially_destructible_v<F>, "capture views and numbers, not owners");
    if (!recording_) return;
    F* closure = new (arena_.allocate<F>(1)) F(backward);
    last_ = new (arena_.allocate<node>(1))
        node{last_, closure, [](void* f) { (*static_cast<F*>(f))(); }};
    ++size_;
  }

  /// Runs every recorded closure, last first. Temporaries of a closure are released after it.
  void backward() {
    for (; last_ != nullptr; last_ = last_->previous) {
      const arena_scope temporaries(arena_);
      last_->run(last_->closure);
    }
    size_ = 0;
  }

  /// Forgets the step; memory stays for the next one.
  void reset() {
    last_ = nullptr;
    size_ = 0;
    arena_.rewind();
  }

  [[nodiscard]] std::size_t size() const { return size_; }  ///< closures recorded

 private:
  struct node {
    node* previous;
    void* closure;
    void (*run)(void*);
  };

  executor_ref ex_;
  bool recording_;
  arena arena_;
  node* last_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace tern::inline TERN_ABI
