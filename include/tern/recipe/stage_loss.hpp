// The loss of a stage in the form that the trainer calls: a micro-batch goes through the student,
// and through the teacher where there is one.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "tern/core/error.hpp"
#include "tern/distill/objective.hpp"
#include "tern/grad/tape.hpp"
#include "tern/linalg/gemm.hpp"
#include "tern/model/decoder.hpp"
#include "tern/nn/taps.hpp"
#include "tern/recipe/micro_batches.hpp"

namespace tern::inline TERN_ABI {

/// Makes micro-batches and records their loss.
template <class Model, class Teacher = Model>
class stage_loss {
 public:
  using T = typename Model::scalar;  ///< type of an element

  /// `teacher` has the student's vocabulary and any width; it may be null where no term needs one.
  /// Both models must outlive this object. Throws config_error where they do not fit.
  stage_loss(Model& model, Teacher* teacher, std::unique_ptr<batch_source> batches,
             objective<T> terms, executor_ref ex = {})
      : model_(model),
        teacher_(teacher),
        batches_(std::move(batches)),
        objective_(std::move(terms)),
        ex_(ex) {
    for (const auto& [term, weight] : objective_.terms()) {
      if (term->needs_teacher() && teacher == nullptr)
        throw config_error(std::string(term->name()) + ": needs a teacher");
      every_token_ |= term->needs_every_token();
      teacher_logits_ |= term->needs_teacher_logits();
      term->request(student_taps_, teacher_taps_);
    }
    if (teacher != nullptr && teacher->config().vocab_size != model.config().vocab_size)
      throw config_error("teacher and student differ in vocabulary");
  }

  [[nodiscard]] objective<T>& terms() { return objective_; }  ///< terms with running means

  /// Records the loss of micro-batch `number`. trainer::advance calls this.
  recorded_loss operator()(tape<T>& t, std::size_t number) {
    batches_->fill(batch_, number, every_token_);
    loss_inputs<T> in;
    in.hidden = model_.hidden(t, batch_.tokens, batch_.rows,
                              student_taps_.empty() ? nullptr : &student_taps_);
    in.table = model_.head().variable();
    in.targets = batch_.targets;
    in.offsets = batch_.tokens.offsets;
    in.student_taps = &student_taps_;
    in.teacher_taps = &teacher_taps_;
    if (teacher_ != nullptr) in.teacher_logits = ask_teacher(t.products());
    return {objective_.record(t, in), batch_.tokens.tokens.size()};
  }

 private:
  /// Runs the teacher, whose products have the precision of the student's. Returns its logits, or
  /// null where no term needs them.
  matrix_view<const T> ask_teacher(precision products) {
    if (!teacher_tape_ || teacher_tape_->products() != products)
      teacher_tape_.emplace(ex_, false, products);
    tape<T>& t = *teacher_tape_;
    t.reset();
    const variable<T> h = teacher_->hidden(t, batch_.tokens, batch_.rows, &teacher_taps_);
    if (!teacher_logits_) return {};
    const matrix_view<const T> table = teacher_->head().view();
    const matrix_view<T> logits = t.memory().template matrix<T>(h.rows(), table.rows);
    gemm<T>(T(1), h.value, table.transposed(), logits, false, t.executor(), products);
    return logits;
  }

  Model& model_;
  Teacher* teacher_;
  std::unique_ptr<batch_source> batches_;
  objective<T> objective_;
  executor_ref ex_;
  micro_batch batch_;
  taps<T> student_taps_, teacher_taps_;
  std::optional<tape<T>> teacher_tape_;
  bool every_token_ = false, teacher_logits_ = false;
};

}  // namespace tern::inline TERN_ABI
