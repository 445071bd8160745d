// The executor most programs want; apart, since <thread> costs more to compile than the rest of
// core/.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <stop_token>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/core/executor.hpp"
#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

/// Threads that wait for jobs, for a moment awake, then asleep; the caller works too. Calls from
/// several threads take turns; a call from inside a job of the same pool runs serially.
class thread_pool {
 public:
  /// `threads` counts the caller; 0 means as many as the machine has. Throws io_error where the
  /// system has no more threads.
  explicit thread_pool(std::size_t threads = 0) {
    if (threads == 0) threads = std::max(1u, std::thread::hardware_concurrency());
    workers_.reserve(threads - 1);
    try {
      for (std::size_t i = 1; i < threads; ++i)
        workers_.emplace_back([this](const std::stop_token& stop) { serve(stop); });
    } catch (const std::system_error& e) {
      throw io_error("cannot start " + std::to_string(threads) + " threads: " + e.what());
    }
  }
  thread_pool(const thread_pool&) = delete;
  thread_pool& operator=(const thread_pool&) = delete;

  /// The caller included.
  [[nodiscard]] std::size_t threads() const { return workers_.size() + 1; }

  /// As `executor` asks.
  void parallel_for(std::size_t n, std::size_t grain, range_function f) {
    grain = std::max<std::size_t>(grain, 1);
    if (workers_.empty() || inside() == this) return serial_executor::parallel_for(n, grain, f);
    const std::lock_guard turn(turn_);
    job work{n, grain, f};
    job_ = &work;
    ++posted_;
    posted_.notify_all();
    drain(work);
    ++posted_;
    while (const counter::value_type busy = busy_) await_change(busy_, busy);
    if (work.failure) std::rethrow_exception(work.failure);
  }

 private:
  using counter = std::atomic<std::uint32_t>;

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

  /// Returns when c no longer holds `old`. A step of training posts hundreds of jobs: waiting awake
  /// for the next one's usual distance spares most of them the wake of a sleeping thread.
  static void await_change(const counter& c, std::uint32_t old) {
    using clock = std::chrono::steady_clock;
    for (const auto end = clock::now() + std::chrono::microseconds(30); clock::now() < end;)
      if (c != old) return;
    c.wait(old);
  }

  void serve(const std::stop_token& stop) {
    const std::stop_callback wake(stop, [this] {
      posted_ += 2;
      posted_.notify_all();
    });
    for (std::uint32_t seen = 0; !stop.stop_requested();) {
      const std::uint32_t now = posted_;
      if (now == seen || now % 2 == 0) {
        await_change(posted_, now);
        continue;
      }
      seen = now;
      ++busy_;
      if (posted_ == now) drain(*job_);  // once busy_ counts this thread, an open job stays
      if (--busy_ == 0) busy_.notify_one();
    }
  }

  std::mutex turn_;
  job* job_ = nullptr;
  counter posted_{0};                  // odd while a job is open to helpers
  counter busy_{0};                    // workers that may hold job_
  std::vector<std::jthread> workers_;  // last: joined before the members above go
};

}  // namespace tern::inline TERN_ABI
