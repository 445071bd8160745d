// Runs tasks that depend on one another, several at a time.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "tern/core/executor.hpp"

namespace bitdistill {

/// Something to do once other tasks are done.
struct task {
  std::vector<std::size_t> after;                ///< numbers of tasks that come before this one
  std::function<void(tern::executor_ref)> work;  ///< throws where it fails
};

/// What became of a task.
struct task_outcome {
  bool done = false;
  std::string error;  ///< message of its exception; empty where it was not begun
};

/// Runs the tasks, `parallel` at a time, on `threads` threads in all. A task that is ready begins
/// before those behind it. One that fails loses itself and the tasks that come after it. Throws
/// interrupted, once all tasks that run have ended, where a task throws it; tasks that have not
/// begun are not begun then.
std::vector<task_outcome> run_tasks(const std::vector<task>& tasks, std::size_t parallel,
                                    std::size_t threads);

}  // namespace bitdistill
