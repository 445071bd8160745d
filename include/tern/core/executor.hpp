// How work is spread over threads. Partition depends on (n, grain) alone, never on the number of
// threads, so results are the same bits for any of them.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <type_traits>
#include <utility>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

// __builtin_addressof below: std::addressof would bring <memory>, which costs more than all of
// this.

/// Non-owning reference to a callable `void(std::size_t begin, std::size_t end)`.
class range_function {
 public:
  /// Refers to `f`, callable as f(begin, end), which must outlive it.
  template <class F>
    requires(!std::same_as<std::remove_cvref_t<F>, range_function> &&
             std::invocable<F&, std::size_t, std::size_t>)
  range_function(F&& f)  // NOLINT(google-explicit-constructor): a parameter type
      : object_(const_cast<void*>(static_cast<const void*>(__builtin_addressof(f)))),
        call_([](void* o, std::size_t b, std::size_t e) {
          (*static_cast<std::remove_reference_t<F>*>(o))(b, e);
        }) {}

  /// Calls it.
  void operator()(std::size_t begin, std::size_t end) const { call_(object_, begin, end); }

 private:
  void* object_;
  void (*call_)(void*, std::size_t, std::size_t);
};

/// Runs f on every chunk [i * grain, min(n, (i + 1) * grain)) exactly once, in any order and on
/// any threads, and returns when all are done; grain is at least 1. An exception of f reaches the
/// caller.
template <class E>
concept executor = requires(E& e, std::size_t n, std::size_t grain, range_function f) {
  e.parallel_for(n, grain, f);
};

/// Everything on the calling thread, chunk after chunk.
struct serial_executor {
  /// As `executor` asks.
  static void parallel_for(std::size_t n, std::size_t grain, range_function f) {
    grain = std::max<std::size_t>(grain, 1);
    for (std::size_t begin = 0; begin < n; begin += grain) f(begin, std::min(n, begin + grain));
  }
};

/// Non-owning handle to any executor: what ops take by value. Default: serial.
class executor_ref {
 public:
  executor_ref() = default;

  /// Refers to `e`, which must outlive it.
  template <executor E>
    requires(!std::same_as<std::remove_cvref_t<E>, executor_ref>)
  executor_ref(E& e)  // NOLINT(google-explicit-constructor): a parameter type
      : object_(__builtin_addressof(e)),
        run_([](void* o, std::size_t n, std::size_t grain, range_function f) {
          static_cast<E*>(o)->parallel_for(n, grain, f);
        }) {}

  /// As `executor` asks; work of one chunk runs on the calling thread.
  void parallel_for(std::size_t n, std::size_t grain, range_function f) const {
    grain = std::max<std::size_t>(grain, 1);
    if (n <= grain) {
      if (n > 0) f(0, n);
    } else if (object_ != nullptr) {
      run_(object_, n, grain, f);
    } else {
      serial_executor::parallel_for(n, grain, f);
    }
  }

 private:
  void* object_ = nullptr;
  void (*run_)(void*, std::size_t, std::size_t, range_function) = nullptr;
};

/// Rows of `cols` elements that make a chunk worth a thread: about 2^15 elements.
constexpr std::size_t rows_per_chunk(std::size_t cols) {
  return std::max<std::size_t>(1, (std::size_t{1} << 15) / std::max<std::size_t>(cols, 1));
}

/// f(r) for every row of a matrix, by chunks of rows_per_chunk.
template <class F>
void for_each_row(std::size_t rows, std::size_t cols, executor_ref ex, F f) {
  ex.parallel_for(rows, rows_per_chunk(cols), [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r) f(r);
  });
}

}  // namespace tern::inline TERN_ABI
