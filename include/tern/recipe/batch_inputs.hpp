// What loss terms may use of a micro-batch: it goes through the student, and through the teacher
// where there is one.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "tern/core/error.hpp"
#include "tern/distill/objective.hpp"
#include "tern/grad/tape.hpp"
#include "tern/model/decoder.hpp"
#include "tern/nn/taps.hpp"
#include "tern/recipe/micro_batches.hpp"
#include "tern/recipe/teacher_outputs.hpp"

namespace tern::inline TERN_ABI {

/// Makes micro-batches and sends them through both models. What it returns is valid until the next
/// micro-batch.
template <class Model, class Teacher = Model>
class batch_inputs {
 public:
  using T = typename Model::scalar;  ///< type of an element

  /// `objectives`: those that will get the inputs; they are not kept. `teacher` has the student's
  /// tokenizer and any width; it may be null where no term needs one. The numbers of ids may
  /// differ, since models pad their vocabularies. Both models must outlive this object. Throws
  /// config_error where a term needs a teacher that is missing.
  batch_inputs(Model& model, Teacher* teacher, std::unique_ptr<batch_source> batches,
               std::span<const objective<T>> objectives, executor_ref ex = {})
      : model_(model), batches_(std::move(batches)) {
    taps<T> teacher_taps;
    bool teacher_logits = false;
    for (const objective<T>& each : objectives) {
      sizes_need_teacher_ |= each.sizes_need_teacher();
      for (const auto& [term, weight] : each.terms()) {
        if (term->needs_teacher() && teacher == nullptr)
          throw config_error(std::string(term->name()) + ": needs a teacher");
        every_token_ |= term->needs_every_token();
        teacher_logits |= term->needs_teacher_logits();
        term->request(student_taps_, teacher_taps);
      }
    }
    if (teacher == nullptr) return;
    teacher_.emplace(*teacher, teacher_taps, teacher_logits, model.config().vocab_size, ex);
  }

  /// The teacher's part; null where there is no teacher.
  [[nodiscard]] teacher_outputs<Teacher>* teacher() { return teacher_ ? &*teacher_ : nullptr; }
  /// Number of tokens of the last micro-batch.
  [[nodiscard]] std::size_t tokens() const { return batch_.tokens.tokens.size(); }

  /// What the sizes of micro-batch `number` depend on. Throws config_error for tokens that the
  /// model does not have.
  loss_inputs<T> for_sizes(const tape<T>& t, std::size_t number) {
    fill(number);
    loss_inputs<T> in;
    in.targets = batch_.targets;
    in.offsets = batch_.tokens.offsets;
    if (sizes_need_teacher_) ask_teacher(t, in);
    return in;
  }

  /// Sends micro-batch `number` through both models. Throws as for_sizes() does.
  loss_inputs<T> forward(tape<T>& t, std::size_t number) {
    fill(number);
    loss_inputs<T> in;
    in.hidden = model_.hidden(t, batch_.tokens, batch_.rows,
                              student_taps_.empty() ? nullptr : &student_taps_);
    in.table = model_.head().variable();
    in.targets = batch_.targets;
    in.offsets = batch_.tokens.offsets;
    in.student_taps = &student_taps_;
    if (teacher_) ask_teacher(t, in);
    return in;
  }

 private:
  void fill(std::size_t number) {
    batches_->fill(batch_, number, every_token_);
    require_ids(batch_, model_.config().vocab_size);
  }

  void ask_teacher(const tape<T>& t, loss_inputs<T>& in) {
    in.teacher_logits = teacher_->ask(batch_, t.products());
    in.teacher_taps = &teacher_->activations();
  }

  Model& model_;
  std::unique_ptr<batch_source> batches_;
  micro_batch batch_;
  taps<T> student_taps_;
  std::optional<teacher_outputs<Teacher>> teacher_;
  bool every_token_ = false, sizes_need_teacher_ = false;
};

}  // namespace tern::inline TERN_ABI
