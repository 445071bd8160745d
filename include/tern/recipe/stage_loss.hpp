// The loss of a stage in the form that the trainer calls: a micro-batch goes through the student,
// and through the teacher where there is one.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/distill/objective.hpp"
#include "tern/grad/tape.hpp"
#include "tern/model/decoder.hpp"
#include "tern/nn/taps.hpp"
#include "tern/recipe/micro_batches.hpp"
#include "tern/recipe/teacher_outputs.hpp"

namespace tern::inline TERN_ABI {

/// Makes micro-batches and records their loss.
template <class Model, class Teacher = Model>
class stage_loss {
 public:
  using T = typename Model::scalar;  ///< type of an element

  /// `teacher` has the student's tokenizer and any width; it may be null where no term needs one.
  /// The numbers of ids may differ, since models pad their vocabularies. Both models must outlive
  /// this object. Throws config_error where a term needs a teacher that is missing.
  stage_loss(Model& model, Teacher* teacher, std::unique_ptr<batch_source> batches,
             objective<T> terms, executor_ref ex = {})
      : model_(model), batches_(std::move(batches)), objective_(std::move(terms)) {
    taps<T> teacher_taps;
    bool teacher_logits = false;
    for (const auto& [term, weight] : objective_.terms()) {
      if (term->needs_teacher() && teacher == nullptr)
        throw config_error(std::string(term->name()) + ": needs a teacher");
      every_token_ |= term->needs_every_token();
      teacher_logits |= term->needs_teacher_logits();
      term->request(student_taps_, teacher_taps);
    }
    if (teacher == nullptr) return;
    teacher_.emplace(*teacher, teacher_taps, teacher_logits, model.config().vocab_size, ex);
  }

  /// The teacher's part of the loss; null where there is no teacher.
  [[nodiscard]] teacher_outputs<Teacher>* teacher() { return teacher_ ? &*teacher_ : nullptr; }
  [[nodiscard]] objective<T>& terms() { return objective_; }  ///< terms with running means

  /// Records the loss of micro-batch `number`. trainer::advance calls this.
  recorded_loss operator()(tape<T>& t, std::size_t number) {
    const step_position step = t.step();
    if (step.count > 1 && number == step.first) look_ahead(t, step);
    const loss_inputs<T> in = inputs(t, number, step.count > 1 ? &step_ : nullptr);
    return {objective_.record(t, in), batch_.tokens.tokens.size()};
  }

 private:
  /// Finds what all micro-batches of a step have together. Where the weights of terms depend on
  /// their values, the student goes through the step twice.
  void look_ahead(tape<T>& t, step_position step) {
    const double share = 1.0 / static_cast<double>(step.count);
    step_.sizes.clear();
    for (std::size_t i = 0; i < step.count; ++i) {
      objective_.sizes(sizes_inputs(t, step.first + i), sizes_);
      step_.sizes.resize(sizes_.size());
      for (std::size_t k = 0; k < sizes_.size(); ++k) step_.sizes[k] += sizes_[k];
    }
    for (double& size : step_.sizes) size *= share;
    if (!objective_.balanced()) return;
    loss_values values;
    for (std::size_t i = 0; i < step.count; ++i) {
      values.add(objective_.measure(t, inputs(t, step.first + i, &step_)), share);
      t.reset();
    }
    objective_.observe(t, values);
  }

  /// What the sizes of a micro-batch depend on.
  loss_inputs<T> sizes_inputs(const tape<T>& t, std::size_t number) {
    batches_->fill(batch_, number, every_token_);
    require_ids(batch_, model_.config().vocab_size);
    loss_inputs<T> in;
    in.targets = batch_.targets;
    in.offsets = batch_.tokens.offsets;
    if (objective_.sizes_need_teacher()) ask_teacher(t, in);
    return in;
  }

  /// Sends a micro-batch through both models.
  loss_inputs<T> inputs(tape<T>& t, std::size_t number, const step_means* step) {
    batches_->fill(batch_, number, every_token_);
    require_ids(batch_, model_.config().vocab_size);
    loss_inputs<T> in;
    in.hidden = model_.hidden(t, batch_.tokens, batch_.rows,
                              student_taps_.empty() ? nullptr : &student_taps_);
    in.table = model_.head().variable();
    in.targets = batch_.targets;
    in.offsets = batch_.tokens.offsets;
    in.student_taps = &student_taps_;
    in.step = step;
    if (teacher_) ask_teacher(t, in);
    return in;
  }

  void ask_teacher(const tape<T>& t, loss_inputs<T>& in) {
    in.teacher_logits = teacher_->ask(batch_, t.products());
    in.teacher_taps = &teacher_->activations();
  }

  Model& model_;
  std::unique_ptr<batch_source> batches_;
  objective<T> objective_;
  micro_batch batch_;
  taps<T> student_taps_;
  std::optional<teacher_outputs<Teacher>> teacher_;
  step_means step_;
  std::vector<double> sizes_;
  bool every_token_ = false;
};

}  // namespace tern::inline TERN_ABI
