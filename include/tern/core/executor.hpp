// Executors, which spread work over threads. The partition depends on (n, grain) alone, never on
// the number of threads, so results have the same bits for any number of threads.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <type_traits>
#include <utility>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

// __builtin_addressof is used below because std::addressof needs <memory>, which takes longer to
// compile than this whole header.

/// Non-owning reference to a callable `void(std::size_t begin, std::size_t end)`.
class range_function {
 public:
  /// Refers to `f`, which is called as f(begin, end) and must outlive the reference.
  template <class F>
    requires(!std::same_as<std::remove_cvref_t<F>, range_function> &&
             std::invocable<F&, std::size_t, std::size_t>)
  range_function(F&& f) {  // NOLINT(google-explicit-constructor): a parameter type
    using callable = std::remove_reference_t<F>;
    if constexpr (std::is_function_v<callable>) {
      target_.function = reinterpret_cast<void (*)()>(&f);
      call_ = [](target t, std::size_t b, std::size_t e) {
        static_cast<void>(reinterpret_cast<callable*>(t.function)(b, e));
      };
    } else {
      target_.object = const_cast<void*>(static_cast<const void*>(__builtin_addressof(f)));
      call_ = [](target t, std::size_t b, std::size_t e) {
        static_cast<void>((*static_cast<callable*>(t.object))(b, e));
      };
    }
  }

  /// Calls the function that this object refers to.
  void operator()(std::size_t begin, std::size_t end) const { call_(target_, begin, end); }

 private:
  union target {
    void* object;
    void (*function)();  // a pointer to a function need not fit into a pointer to an object
  };

  target target_;
  void (*call_)(target, std::size_t, std::size_t);
};

/// An executor's parallel_for calls f on every chunk [i * grain, min(n, (i + 1) * grain)) exactly
/// once, in any order and on any threads, and returns when all chunks are done. `grain` is at least
/// 1. If f throws, the caller gets the exception.
template <class E>
concept executor = requires(E& e, std::size_t n, std::size_t grain, range_function f) {
  e.parallel_for(n, grain, f);
};

/// An executor that does everything on the calling thread, chunk after chunk.
struct serial_executor {
  /// Calls f on every chunk, as the concept `executor` says.
  static void parallel_for(std::size_t n, std::size_t grain, range_function f) {
    grain = std::max<std::size_t>(grain, 1);
    for (std::size_t begin = 0; begin < n; begin += grain) f(begin, std::min(n, begin + grain));
  }
};

/// Non-owning handle to any executor, which ops take by value. The default is serial.
class executor_ref {
 public:
  executor_ref() = default;

  /// Refers to `e`, which must outlive this handle.
  template <executor E>
    requires(!std::same_as<std::remove_cvref_t<E>, executor_ref>)
  executor_ref(E& e)  // NOLINT(google-explicit-constructor): a parameter type
      : object_(const_cast<void*>(static_cast<const void*>(__builtin_addressof(e)))),
        call_([](void* o, std::size_t n, std::size_t grain, range_function f) {
          static_cast<E*>(o)->parallel_for(n, grain, f);
        }) {}

  /// Calls f on every chunk, as the concept `executor` says. A single chunk is done on the calling
  /// thread.
  void parallel_for(std::size_t n, std::size_t grain, range_function f) const {
    grain = std::max<std::size_t>(grain, 1);
    if (n <= grain) {
      if (n > 0) f(0, n);
    } else if (object_ != nullptr) {
      call_(object_, n, grain, f);
    } else {
      serial_executor::parallel_for(n, grain, f);
    }
  }

 private:
  void* object_ = nullptr;
  void (*call_)(void*, std::size_t, std::size_t, range_function) = nullptr;
};

/// Number of rows of `cols` elements that make one chunk, about 2^15 elements. Smaller chunks would
/// not be worth a thread.
constexpr std::size_t rows_per_chunk(std::size_t cols) {
  return std::max<std::size_t>(1, (std::size_t{1} << 15) / std::max<std::size_t>(cols, 1));
}

/// Calls f(r) for every row of a matrix, in chunks of rows_per_chunk(cols) rows.
template <class F>
void for_each_row(std::size_t rows, std::size_t cols, executor_ref ex, F f) {
  ex.parallel_for(rows, rows_per_chunk(cols), [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r) f(r);
  });
}

}  // namespace tern::inline TERN_ABI
