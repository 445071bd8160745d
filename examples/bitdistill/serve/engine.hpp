// The thread that runs the model: tasks wait in a queue, take a place in the session, and go
// forward together.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "serve/metrics.hpp"
#include "serve/task.hpp"
#include "tern/infer/continuous_batch.hpp"
#include "tern/infer/session.hpp"

namespace bitdistill::serving {

class engine {
 public:
  /// Starts the thread. `queue`: most tasks that wait. Session and metrics must outlive the engine,
  /// and nobody else may use the session or its model.
  engine(tern::session<>& session, std::size_t queue, metrics& figures);
  /// Ends all tasks with status 503 and the thread.
  ~engine();
  engine(const engine&) = delete;
  engine& operator=(const engine&) = delete;

  /// Puts tasks into the queue, all or none. Their prompts must suit the session. Throws a refusal
  /// with status 429 where the queue is full, and 503 after close().
  void submit(const std::vector<std::shared_ptr<task>>& tasks);

  /// Refuses the tasks that wait and those that come. Tasks that run go on.
  void close();
  /// Whether close() was called.
  [[nodiscard]] bool closed() const;
  /// Ends the tasks that run, too.
  void stop();

 private:
  void run();
  /// Waits for work. Returns false where the engine should end.
  bool admit();
  /// Frees the places of tasks that nobody waits for.
  void release();
  void step();
  /// Does the work of the first task that takes no place.
  void run_apart();

  tern::session<>& session_;
  std::size_t most_waiting_;
  metrics& figures_;
  tern::continuous_batch<> batch_;
  std::vector<std::shared_ptr<task>> running_;  ///< by place
  std::deque<std::shared_ptr<task>> apart_;     ///< tasks that take no place

  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::deque<std::shared_ptr<task>> waiting_;
  bool closed_ = false, stopped_ = false, ended_ = false;
  std::thread thread_;
};

}  // namespace bitdistill::serving
