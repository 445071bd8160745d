// The task that computes embeddings.
#pragma once

#include <optional>
#include <vector>

#include "serve/task.hpp"
#include "tern/core/executor.hpp"
#include "tern/infer/pool.hpp"
#include "tern/model/decoder.hpp"
#include "tern/model/token_batch.hpp"

namespace bitdistill::serving {

/// What makes embeddings. The model must be the one that the engine runs.
struct embedder {
  tern::decoder<>& model;
  tern::pooling_rule rule;
  tern::executor_ref ex;
};

/// Embeds the sequences of a batch. It takes no place in the session.
class embedding_task : public task {
 public:
  /// `with` must outlive the task.
  embedding_task(tern::token_batch batch, serving_clock::time_point deadline, const embedder& with)
      : task({}, deadline), batch_(std::move(batch)), with_(with) {}

  std::optional<std::int32_t> take(tern::row_view<const float>, bool) override { return {}; }

  void run() override {
    const std::size_t n = batch_.sequences(), d = with_.model.config().hidden_size;
    values_.resize(n * d);
    tern::embed(with_.model, batch_, with_.rule, {values_.data(), n, d}, with_.ex);
    update([] {}, true);
  }

  /// Waits at most so long for the vectors, one after another; null while they are not known.
  /// Throws the refusal with which the task ended.
  const std::vector<float>* vectors(std::chrono::milliseconds time) {
    const bool done = wait(
        time, [] { return false; }, [] {});
    return done ? &values_ : nullptr;
  }

 private:
  tern::token_batch batch_;
  const embedder& with_;
  std::vector<float> values_;
};

}  // namespace bitdistill::serving
