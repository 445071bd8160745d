// The executor most programs want; apart, since <thread> costs more to compile than the rest of
// core/.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#if defined(_WIN32)
#  include <condition_variable>
#endif
#if __has_include(<unistd.h>)
#  include <unistd.h>
#endif

#include "tern/core/error.hpp"
#include "tern/core/executor.hpp"
#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

/// Threads that wait for jobs, for a moment awake, then asleep; the caller works too. Each thread
/// begins with a share of the chunks, which are neighbours, and then takes what is left of others'.
/// So in calls that follow each other a thread mostly meets the same rows, which its cache may
/// still hold. The threads serve one call at a time. A call that comes while they are busy, from
/// another thread or from a job, does its chunks on its own thread until they are free. So no call
/// waits for another one, and pools can be nested in any order. In a forked child the threads do
/// not exist, and the caller does all chunks itself.
class thread_pool {
 public:
  static constexpr std::size_t most_threads = 65536;  ///< largest number of threads of a pool

  /// `threads` counts the caller; 0 means as many as the machine has. Throws config_error above
  /// most_threads, and io_error where the system has no more threads.
  explicit thread_pool(std::size_t threads = 0) {
    if (threads == 0) threads = std::max(1u, std::thread::hardware_concurrency());
    if (threads > most_threads)
      throw config_error("thread_pool: expected at most " + std::to_string(most_threads) +
                         " threads, got " + std::to_string(threads));
    shares_ = std::make_unique<share[]>(threads);
    workers_.reserve(threads - 1);
    try {
      for (std::size_t i = 1; i < threads; ++i) workers_.emplace_back([this, i] { serve(i); });
    } catch (const std::system_error& e) {
      stop();
      throw io_error("cannot start " + std::to_string(threads) + " threads: " + e.what());
    }
  }
  thread_pool(const thread_pool&) = delete;
  thread_pool& operator=(const thread_pool&) = delete;
  ~thread_pool() { stop(); }

  /// The caller included.
  [[nodiscard]] std::size_t threads() const { return workers_.size() + 1; }

  /// As `executor` asks.
  void parallel_for(std::size_t n, std::size_t grain, range_function f) {
    grain = std::max<std::size_t>(1, std::min(grain, n));
    std::size_t done = 0;
    for (; workers_.empty() || taken_ || taken_.exchange(true);
         done = end_of_chunk(done, n, grain)) {
      if (done >= n) return;
      f(done, end_of_chunk(done, n, grain));
    }
    job work{grain, f};
    share_out(done, n, grain);
    job_ = &work;
    ++posted_;
    wake(posted_);
    drain(work, 0);
    ++posted_;
    while (const counter::value_type busy = busy_) {
      if (forked()) break;
      await_change(busy_, busy);
    }
    taken_ = false;
    if (work.failure) std::rethrow_exception(work.failure);
  }

 private:
  using counter = std::atomic<std::uint32_t>;

  struct job {
    std::size_t grain;
    range_function f;
    std::once_flag failed{};
    std::exception_ptr failure{};
  };

  static std::size_t end_of_chunk(std::size_t begin, std::size_t n, std::size_t grain) {
    return begin + std::min(grain, n - begin);
  }

  /// The chunks of a job with which a thread begins. Each share has a cache line of its own.
  struct alignas(64) share {
    std::atomic<std::size_t> next{0};
    std::size_t end = 0;
  };

  /// Deals the chunks of [first, n) to the threads.
  void share_out(std::size_t first, std::size_t n, std::size_t grain) {
    const std::size_t chunks = (n - first) / grain + ((n - first) % grain != 0),
                      each = chunks / threads(), more = chunks % threads();
    for (std::size_t t = 0, chunk = 0; t < threads(); ++t) {
      shares_[t].next = first + chunk * grain;
      chunk += each + (t < more);
      shares_[t].end = chunk == chunks ? n : first + chunk * grain;
    }
  }

  /// Does the chunks of thread `self`, then those that others have not begun.
  void drain(job& work, std::size_t self) {
    for (std::size_t i = 0; i < threads(); ++i) {
      share& from = shares_[self + i < threads() ? self + i : self + i - threads()];
      while (from.next.load(std::memory_order_relaxed) < from.end) {
        const std::size_t begin = from.next.fetch_add(work.grain, std::memory_order_relaxed);
        if (begin >= from.end) break;
        try {
          work.f(begin, end_of_chunk(begin, from.end, work.grain));
        } catch (...) {
          std::call_once(work.failed, [&] { work.failure = std::current_exception(); });
        }
      }
    }
  }

  /// Returns when c no longer holds `old`. A step of training posts hundreds of jobs: waiting awake
  /// for the next one's usual distance spares most of them the wake of a sleeping thread.
  void await_change(const counter& c, std::uint32_t old) {
    using clock = std::chrono::steady_clock;
    for (const auto end = clock::now() + std::chrono::microseconds(30); clock::now() < end;)
      if (c != old) return;
#if defined(_WIN32)  // the waits of libstdc++ 12 can miss a notification where they have no futex
    std::unique_lock lock(asleep_);
    changed_.wait(lock, [&] { return c != old; });
#else
    c.wait(old);
#endif
  }

  /// Wakes the threads that wait for a change of c, which has changed.
  void wake([[maybe_unused]] counter& c) {
#if defined(_WIN32)
    static_cast<void>(std::lock_guard(asleep_));  // nobody is between the test and falling asleep
    changed_.notify_all();
#else
    c.notify_all();
#endif
  }

  void serve(std::size_t self) {
    for (std::uint32_t seen = 0;;) {
      // This is read before stopping_, so that the change by stop() ends a wait for another value.
      const std::uint32_t now = posted_;
      if (stopping_) return;
      if (now == seen || now % 2 == 0) {
        await_change(posted_, now);
        continue;
      }
      seen = now;
      ++busy_;
      if (posted_ == now) drain(*job_, self);  // once busy_ counts this thread, an open job stays
      if (--busy_ == 0) wake(busy_);
    }
  }

  /// Joins the workers.
  void stop() {
    if (forked()) {  // nobody may touch the handle of a thread that does not exist
      static_cast<void>(std::make_unique<std::vector<std::thread>>(std::move(workers_)).release());
      return;
    }
    stopping_ = true;
    posted_ += 2;
    wake(posted_);
    for (std::thread& worker : workers_)
      if (worker.get_id() == std::this_thread::get_id())
        worker.detach();  // a job has called std::exit(), which destroys static pools
      else
        worker.join();
  }

  /// Whether this process is a child of the one that started the threads.
  [[nodiscard]] bool forked() const { return process_id() != process_; }

  static long process_id() {
#if __has_include(<unistd.h>)
    return ::getpid();
#else
    return 0;
#endif
  }

  job* job_ = nullptr;
  std::unique_ptr<share[]> shares_;
  std::atomic<bool> taken_{false};     // while a call uses the workers
  std::atomic<bool> stopping_{false};  // workers end
  counter posted_{0};                  // odd while a job is open to helpers
  counter busy_{0};                    // workers that may hold job_
  long process_ = process_id();
#if defined(_WIN32)
  std::mutex asleep_;
  std::condition_variable changed_;
#endif
  std::vector<std::thread> workers_;
};

}  // namespace tern::inline TERN_ABI
