// The losses of the stages as functions of a micro-batch number: next-token prediction on a token
// stream (base and continual pre-training), and a classification task read as the next token after
// a prompt, with or without a teacher.
#pragma once

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "tern/core/random.hpp"
#include "tern/data/token_windows.hpp"
#include "tern/distill/objective.hpp"
#include "tern/model/decoder.hpp"

namespace tern::inline TERN_ABI {

/// A prompt, and the class whose label token should follow it.
struct task_example {
  std::vector<std::int32_t> tokens;  ///< of the prompt
  std::int32_t label = 0;            ///< its class, from 0
};

/// Next-token cross-entropy on windows of a token stream.
template <class Model>
class language_modeling {
 public:
  using T = typename Model::scalar;  ///< of an element

  /// Micro-batches of `sequences` windows of `length` tokens, in the order that `seed` gives.
  /// Throws config_error if the stream is shorter than one window and its next token.
  language_modeling(Model& model, std::span<const std::int32_t> stream, std::size_t sequences,
                    std::size_t length, std::uint64_t seed,
                    std::optional<std::int32_t> separator = {})
      : model_(model), windows_(stream, length, seed, separator), sequences_(sequences) {}

  /// Records the loss of a micro-batch; for trainer::step.
  recorded_loss operator()(tape<T>& t, std::size_t micro_batch) {
    batch_.clear();
    targets_.clear();
    for (std::size_t s = 0; s < sequences_; ++s) {
      const auto window = windows_[micro_batch * sequences_ + s];
      batch_.add(window.first(window.size() - 1));
      targets_.insert(targets_.end(), window.begin() + 1, window.end());
    }
    const variable<T> h = model_.hidden(t, batch_);
    return {loss_.record(t, h, model_.head().variable(), targets_), batch_.tokens.size()};
  }

 private:
  Model& model_;
  token_windows windows_;
  std::size_t sequences_;
  token_batch batch_;
  std::vector<std::int32_t> targets_;
  objective<T> loss_;
};

/// Prompts of a task, shuffled anew each epoch, with the label token as target; a teacher adds
/// logits and attention-relation distillation.
template <class Model, class Teacher = Model>
class task_tuning {
 public:
  using T = typename Model::scalar;  ///< of an element

  /// `label_tokens[c]` follows the prompts of class c.
  task_tuning(Model& model, std::span<const task_example> examples,
              std::span<const std::int32_t> label_tokens, std::size_t sequences, std::uint64_t seed)
      : model_(model),
        examples_(examples),
        label_tokens_(label_tokens),
        sequences_(sequences),
        seed_(seed),
        order_(examples.size()) {
    if (examples.empty()) throw config_error("task_tuning: no training examples");
  }

  /// Distils from `teacher` (same vocabulary, any width): its layer `teacher_layer` against the
  /// student's `student_layer`.
  void distil(Teacher& teacher, std::size_t teacher_layer, std::size_t student_layer,
              const objective_options& options, executor_ref ex = {}) {
    if (teacher_layer >= teacher.config().num_hidden_layers ||
        student_layer >= model_.config().num_hidden_layers)
      throw config_error("distillation layer " + std::to_string(student_layer) + " (teacher " +
                         std::to_string(teacher_layer) + ") is not a layer of the models");
    if (teacher.config().vocab_size != model_.config().vocab_size)
      throw config_error("teacher and student differ in vocabulary");
    teacher_ = &teacher;
    teacher_tape_.emplace(ex, false);
    teacher_taps_.layer = teacher_layer;
    student_taps_.layer = student_layer;
    loss_ = objective<T>(options);
  }

  [[nodiscard]] objective<T>& loss() { return loss_; }  ///< with its running means

  /// Records the loss of a micro-batch; for trainer::step.
  recorded_loss operator()(tape<T>& t, std::size_t micro_batch) {
    fill(micro_batch);
    const variable<T> h = model_.hidden(t, batch_, rows_, teacher_ ? &student_taps_ : nullptr);
    const variable<T> head = model_.head().variable();
    if (teacher_ == nullptr) return {loss_.record(t, h, head, targets_), batch_.tokens.size()};
    return {loss_.record(t, h, head, targets_, ask_teacher(),
                         {student_taps_.q, student_taps_.k, student_taps_.v}, batch_.offsets),
            batch_.tokens.size()};
  }

 private:
  void fill(std::size_t micro_batch) {
    batch_.clear();
    rows_.clear();
    targets_.clear();
    const bool every_row = teacher_ != nullptr && loss_.options().tokens == distilled_tokens::all;
    for (std::size_t i = 0; i < sequences_; ++i) {
      const std::size_t position = micro_batch * sequences_ + i;
      shuffle_for(position / examples_.size());
      const task_example& example = examples_[order_[position % examples_.size()]];
      batch_.add(example.tokens);
      if (every_row)
        targets_.resize(batch_.tokens.size() - 1, cross_entropy<T>::ignore_index);
      else
        rows_.push_back(batch_.tokens.size() - 1);
      targets_.push_back(label_tokens_[static_cast<std::size_t>(example.label)]);
    }
  }

  void shuffle_for(std::size_t epoch) {
    if (epoch + 1 == shuffled_) return;
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    philox(seed_, epoch).shuffle(order_);
    shuffled_ = epoch + 1;
  }

  teacher_outputs<T> ask_teacher() {
    tape<T>& t = *teacher_tape_;
    t.reset();
    const variable<T> h = teacher_->hidden(t, batch_, rows_, &teacher_taps_);
    const matrix_view<const T> table = teacher_->head().view();
    const matrix_view<T> logits = t.memory().template matrix<T>(h.rows(), table.rows);
    gemm<T>(T(1), h.value, table.transposed(), logits, false, t.executor());
    return {logits, {teacher_taps_.q.value, teacher_taps_.k.value, teacher_taps_.v.value}};
  }

  Model& model_;
  std::span<const task_example> examples_;
  std::span<const std::int32_t> label_tokens_;
  std::size_t sequences_;
  std::uint64_t seed_;
  std::vector<std::size_t> order_, rows_;
  std::size_t shuffled_ = 0;  // epoch that order_ is for, plus one
  token_batch batch_;
  std::vector<std::int32_t> targets_;
  objective<T> loss_;
  Teacher* teacher_ = nullptr;
  std::optional<tape<T>> teacher_tape_;
  attention_taps<T> teacher_taps_, student_taps_;
};

}  // namespace tern::inline TERN_ABI
