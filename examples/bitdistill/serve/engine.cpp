#include "serve/engine.hpp"

#include <chrono>
#include <exception>
#include <new>
#include <optional>
#include <string>
#include <utility>

namespace bitdistill::serving {
namespace {

refusal shutting_down() { return {503, "the server is shutting down", "shutting_down"}; }

refusal late(bool waited) {
  return waited ? refusal{503, "the request waited too long for a slot", "timeout"}
                : refusal{504, "the answer took longer than the server allows", "timeout"};
}

/// The error that a client gets for an exception of the model.
refusal broken(const std::exception& e) {
  if (dynamic_cast<const std::bad_alloc*>(&e) != nullptr)
    return {503, "there is not enough memory", "out_of_memory"};
  return {500, e.what(), "model_error"};
}

}  // namespace

engine::engine(tern::session<>& session, std::size_t queue, metrics& figures)
    : session_(session),
      most_waiting_(queue),
      figures_(figures),
      batch_(session),
      running_(session.cache().shape().sequences),
      thread_([this] { run(); }) {}

engine::~engine() {
  close();
  stop();
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  work_.notify_all();
  thread_.join();
}

void engine::submit(const std::vector<std::shared_ptr<task>>& tasks) {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) throw shutting_down();
    const std::size_t free = running_.size() - figures_.running;
    if (waiting_.size() + tasks.size() > most_waiting_ + free)
      throw refusal(429, "too many requests wait already", "queue_full");
    for (const auto& t : tasks) {
      figures_.prompt_tokens += t->prompt().size();
      waiting_.push_back(t);
    }
    figures_.waiting = waiting_.size();
  }
  work_.notify_all();
}

void engine::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  for (const auto& t : waiting_) t->fail(shutting_down());
  waiting_.clear();
  figures_.waiting = 0;
}

bool engine::closed() const {
  const std::lock_guard lock(mutex_);
  return closed_;
}

void engine::stop() {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
}

void engine::run() {
  while (admit()) {
    release();
    if (!apart_.empty()) run_apart();
    if (batch_.size() > 0) step();
  }
}

bool engine::admit() {
  std::unique_lock lock(mutex_);
  const bool idle = batch_.size() == 0 && apart_.empty();
  if (idle) work_.wait(lock, [&] { return ended_ || !waiting_.empty(); });
  if (ended_ && idle) return false;
  const auto now = serving_clock::now();
  std::erase_if(waiting_, [&](const std::shared_ptr<task>& t) {
    if (!t->abandoned() && now < t->deadline()) return false;
    if (t->abandoned()) ++figures_.abandoned;
    t->fail(late(true));
    return true;
  });
  while (!waiting_.empty() && (waiting_.front()->prompt().empty() || !batch_.full())) {
    const auto next = std::move(waiting_.front());
    waiting_.pop_front();
    if (next->prompt().empty()) {
      apart_.push_back(next);
      continue;
    }
    try {
      running_[batch_.join(next->prompt())] = next;
    } catch (const std::exception& e) {
      next->fail(broken(e));
    }
  }
  figures_.waiting = waiting_.size();
  figures_.running = batch_.size();
  return true;
}

void engine::release() {
  bool stopped;
  {
    const std::lock_guard lock(mutex_);
    stopped = stopped_;
  }
  const auto now = serving_clock::now();
  for (const auto& t : apart_)
    if (stopped) t->fail(shutting_down());
  if (stopped) apart_.clear();
  for (std::size_t place = 0; place < running_.size(); ++place) {
    auto& t = running_[place];
    if (!t || (!stopped && !t->abandoned() && now < t->deadline())) continue;
    if (t->abandoned()) ++figures_.abandoned;
    t->fail(stopped ? shutting_down() : late(false));
    batch_.leave(place);
    t.reset();
  }
  figures_.running = batch_.size();
}

void engine::run_apart() {
  const auto next = std::move(apart_.front());
  apart_.pop_front();
  try {
    if (next->abandoned())
      ++figures_.abandoned;
    else
      next->run();
  } catch (const std::exception& e) {
    next->fail(broken(e));
  }
}

void engine::step() {
  const auto start = serving_clock::now();
  try {
    batch_.step([&](std::size_t place, tern::row_view<const float> logits) {
      auto& t = running_[place];
      std::optional<std::int32_t> token;
      try {
        token = t->take(logits, batch_.has_room(place));
      } catch (const std::exception& e) {
        t->fail(broken(e));
      }
      ++figures_.generated_tokens;
      if (!token || !batch_.has_room(place)) t.reset();
      return token;
    });
  } catch (const std::exception& e) {
    for (auto& t : running_)
      if (t) t->fail(broken(e));
    running_.assign(running_.size(), nullptr);
    batch_.clear();
  }
  figures_.running = batch_.size();
  ++figures_.steps;
  figures_.step_microseconds += static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(serving_clock::now() - start).count());
}

}  // namespace bitdistill::serving
