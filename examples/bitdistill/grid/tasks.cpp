#include "grid/tasks.hpp"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <future>
#include <mutex>
#include <optional>

#include "tern/core/thread_pool.hpp"
#include "tern/recipe/pipeline.hpp"

namespace bitdistill {
namespace {

class task_runner {
 public:
  explicit task_runner(const std::vector<task>& tasks)
      : tasks_(tasks), outcomes_(tasks.size()), begun_(tasks.size(), false) {}

  /// What each thread does until no task is left.
  void serve(std::size_t threads) {
    tern::thread_pool pool(threads);
    std::unique_lock lock(mutex_);
    while (const auto next = wait_for_task(lock)) {
      begun_[*next] = true;
      ++running_;
      lock.unlock();
      std::string error = run(*next, pool);
      lock.lock();
      --running_;
      outcomes_[*next] = {error.empty(), std::move(error)};
      changed_.notify_all();
    }
  }

  /// To be called when all threads have ended.
  std::vector<task_outcome> outcomes() {
    if (interrupted_) std::rethrow_exception(interrupted_);
    return std::move(outcomes_);
  }

 private:
  /// Waits until a task is ready; nothing where none will be.
  std::optional<std::size_t> wait_for_task(std::unique_lock<std::mutex>& lock) {
    for (;; changed_.wait(lock)) {
      if (interrupted_) return {};
      for (std::size_t i = 0; i < tasks_.size(); ++i)
        if (!begun_[i] &&
            std::ranges::all_of(tasks_[i].after, [&](std::size_t k) { return outcomes_[k].done; }))
          return i;
      if (running_ == 0) return {};
    }
  }

  /// Runs a task and returns the message of its exception.
  std::string run(std::size_t i, tern::executor_ref ex) {
    try {
      tasks_[i].work(ex);
      return "";
    } catch (const tern::interrupted&) {
      const std::lock_guard lock(mutex_);
      interrupted_ = std::current_exception();
      return "interrupted";
    } catch (const std::exception& e) {
      return e.what();
    }
  }

  const std::vector<task>& tasks_;
  std::mutex mutex_;  ///< held while what follows is read or written
  std::condition_variable changed_;
  std::vector<task_outcome> outcomes_;
  std::vector<bool> begun_;
  std::size_t running_ = 0;
  std::exception_ptr interrupted_;
};

}  // namespace

std::vector<task_outcome> run_tasks(const std::vector<task>& tasks, std::size_t parallel,
                                    std::size_t threads) {
  task_runner runner(tasks);
  {
    const std::size_t each = std::max<std::size_t>(1, threads / parallel);
    std::vector<std::future<void>> others;
    for (std::size_t i = 1; i < parallel; ++i)
      others.push_back(std::async(std::launch::async, [&] { runner.serve(each); }));
    runner.serve(each);
    for (auto& other : others) other.get();
  }
  return runner.outcomes();
}

}  // namespace bitdistill
