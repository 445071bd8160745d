// How work is spread over threads. Partition depends on (n, grain) alone, never on the number of
// threads, so results are the same bits for any of them.
#pragma once

#include <algorithm>
#include <atomic>
#include <concepts>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

/// Non-owning reference to a callable `void(std::size_t begin, std::size_t end)`.
class range_function {
 public:
  template <class F>
  requires(!std::same_as<std::remove_cvref_t<F>, range_function> &&
           std::invocable<F&, std::size_t, std::size_t>)
      range_function(F&& f)  // NOLINT(google-explicit-constructor): a parameter type
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(f)))),
        call_([](void* o, std::size_t b, std::size_t e) {
          (*static_cast<std::remove_reference_t<F>*>(o))(b, e);
        }) {}

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
  static void parallel_for(std::size_t n, std::size_t grain, range_function f) {
    grain = std::max<std::size_t>(grain, 1);
    for (std::size_t begin = 0; begin < n; begin += grain) f(begin, std::min(n, begin + grain));
  }
};

/// Non-owning handle to any executor: what ops take by value. Default: serial.
class executor_ref {
 public:
  executor_ref() = default;

  template <executor E>
  requires(!std::same_as<std::remove_cvref_t<E>, executor_ref>)
      executor_ref(E& e)  // NOLINT(google-explicit-constructor): a parameter type
      : object_(std::addressof(e)),
        run_([](void* o, std::size_t n, std::size_t grain, range_function f) {
          static_cast<E*>(o)->parallel_for(n, grain, f);
        }) {}

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

/// Threads that sleep between jobs; the caller works too. Calls from several threads take turns;
/// a call from inside a job of the same pool runs serially.
class thread_pool {
 public:
  /// `threads` counts the caller; 0 means as many as the machine has.
  explicit thread_pool(std::size_t threads = 0) {
    if (threads == 0) threads = std::max(1u, std::thread::hardware_concurrency());
    workers_.reserve(threads - 1);
    for (std::size_t i = 1; i < threads; ++i)
      workers_.emplace_back([this](const std::stop_token& stop) { serve(stop); });
  }
  thread_pool(const thread_pool&) = delete;
  thread_pool& operator=(const thread_pool&) = delete;

  [[nodiscard]] std::size_t threads() const { return workers_.size() + 1; }

  void parallel_for(std::size_t n, std::size_t grain, range_function f) {
    grain = std::max<std::size_t>(grain, 1);
    if (workers_.empty() || inside() == this) return serial_executor::parallel_for(n, grain, f);
    const std::lock_guard turn(turn_);
    job work{n, grain, f};
    {
      const std::lock_guard lock(mutex_);
      job_ = &work;
      ++generation_;
    }
    wake_.notify_all();
    drain(work);
    std::unique_lock lock(mutex_);
    job_ = nullptr;
    idle_.wait(lock, [&] { return busy_ == 0; });
    lock.unlock();
    if (work.failure) std::rethrow_exception(work.failure);
  }

 private:
  struct job {
    std::size_t n, grain;
    range_function f;
    std::atomic<std::size_t> next{0};
    std::once_flag failed{};
    std::exception_ptr failure{};
  };

  static const thread_pool*& inside() {
    thread_local const thread_pool* pool = nullptr;
    return pool;
  }

  void drain(job& work) {
    const thread_pool* outer = std::exchange(inside(), this);
    for (;;) {
      const std::size_t begin = work.next.fetch_add(work.grain, std::memory_order_relaxed);
      if (begin >= work.n) break;
      try {
        work.f(begin, std::min(work.n, begin + work.grain));
      } catch (...) {
        std::call_once(work.failed, [&] { work.failure = std::current_exception(); });
      }
    }
    inside() = outer;
  }

  void serve(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    for (std::size_t seen = 0;;) {
      wake_.wait(lock, stop, [&] { return generation_ != seen; });
      if (stop.stop_requested()) return;
      seen = generation_;
      job* const work = job_;
      if (work == nullptr) continue;
      ++busy_;
      lock.unlock();
      drain(*work);
      lock.lock();
      if (--busy_ == 0) idle_.notify_all();
    }
  }

  std::mutex turn_, mutex_;
  std::condition_variable_any wake_;
  std::condition_variable idle_;
  job* job_ = nullptr;
  std::size_t generation_ = 0, busy_ = 0;
  std::vector<std::jthread> workers_;  // last: joined before the members above go
};

}  // namespace tern::inline TERN_ABI
