// A piece of work for a place in the session, shared by the thread that runs the model and the
// thread that serves the client.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "serve/refusal.hpp"
#include "tern/core/tensor.hpp"

namespace bitdistill::serving {

using serving_clock = std::chrono::steady_clock;  ///< clock of deadlines

/// The base class of tasks. Functions say which thread may call them.
class task {
 public:
  /// The engine refuses or ends the task when the deadline has passed. A task without a prompt
  /// takes no place: the engine calls run() between two steps.
  task(std::vector<std::int32_t> prompt, serving_clock::time_point deadline)
      : prompt_(std::move(prompt)), deadline_(deadline) {}
  virtual ~task() = default;
  task(const task&) = delete;
  task& operator=(const task&) = delete;

  /// Tokens that the model reads first. Any thread.
  [[nodiscard]] const std::vector<std::int32_t>& prompt() const { return prompt_; }
  /// When the client has waited long enough. Any thread.
  [[nodiscard]] serving_clock::time_point deadline() const { return deadline_; }

  /// Takes the logits that follow all tokens so far, and returns the next token, or nothing where
  /// the task is done. `room`: whether the sequence can take in another token. Engine's thread.
  virtual std::optional<std::int32_t> take(tern::row_view<const float> logits, bool room) = 0;

  /// Does the whole work of a task without a prompt. Engine's thread.
  virtual void run() {}

  /// Ends the task with an error, unless it has ended. Engine's thread.
  void fail(refusal why) {
    const std::lock_guard lock(mutex_);
    if (!ended_) failure_ = std::move(why);
    ended_ = true;
    changed_.notify_all();
  }

  /// Says that nobody waits for the result any more. Any thread.
  void abandon() { abandoned_ = true; }
  /// Whether abandon() was called. Any thread.
  [[nodiscard]] bool abandoned() const { return abandoned_; }

 protected:
  /// Calls f, which may change what the client's thread reads, and wakes that thread. Engine's
  /// thread.
  template <class F>
  void update(F&& f, bool ended) {
    const std::lock_guard lock(mutex_);
    f();
    ended_ = ended_ || ended;
    changed_.notify_all();
  }

  /// Waits at most so long until ready() or the task has ended, then calls f. Throws the error with
  /// which the task ended. Returns whether the task has ended. Client's thread.
  template <class Ready, class F>
  bool wait(std::chrono::milliseconds time, Ready&& ready, F&& f) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, time, [&] { return ended_ || ready(); });
    if (failure_) throw refusal(*failure_);
    f();
    return ended_;
  }

 private:
  std::vector<std::int32_t> prompt_;
  serving_clock::time_point deadline_;
  std::atomic<bool> abandoned_{false};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ended_ = false;
  std::optional<refusal> failure_;
};

}  // namespace bitdistill::serving
