// The loss of a stage in the form that the trainer calls.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/core/reducer.hpp"
#include "tern/core/together.hpp"
#include "tern/distill/objective.hpp"
#include "tern/grad/tape.hpp"
#include "tern/recipe/batch_inputs.hpp"
#include "tern/train/step_deal.hpp"

namespace tern::inline TERN_ABI {

/// Makes micro-batches and records their loss.
template <class Model, class Teacher = Model>
class stage_loss {
 public:
  using T = typename Model::scalar;  ///< type of an element

  /// The arguments are those of batch_inputs. Throws config_error as its constructor does.
  stage_loss(Model& model, Teacher* teacher, std::unique_ptr<batch_source> batches,
             objective<T> terms, executor_ref ex = {})
      : objective_(std::move(terms)),
        inputs_(model, teacher, std::move(batches), std::span(&objective_, 1), ex) {}

  /// The teacher's part of the loss; null where there is no teacher.
  [[nodiscard]] teacher_outputs<Teacher>* teacher() { return inputs_.teacher(); }
  [[nodiscard]] objective<T>& terms() { return objective_; }  ///< terms with running means

  /// Finds what all micro-batches of a step have together, where it has several. trainer::advance
  /// calls this before the first of them, on every rank; each rank looks at its own micro-batches.
  /// Where the weights of terms depend on their values, the student goes through the step twice.
  void begin_step(tape<T>& t, const step_deal& deal, reducer& ranks = one_rank()) {
    if (t.step().count > 1) look_ahead(t, deal, ranks);
    begun_ = t.step().first;
  }

  /// Records the loss of micro-batch `number`. trainer::advance calls this. Throws config_error
  /// where a step has several micro-batches and begin_step() was not called.
  recorded_loss operator()(tape<T>& t, std::size_t number) {
    const step_position step = t.step();
    if (step.count > 1 && begun_ != step.first)
      throw config_error("stage_loss: begin_step() must come before the micro-batches of a step");
    const loss_inputs<T> in = inputs(t, number, step.count > 1 ? &step_ : nullptr);
    return {objective_.record(t, in), inputs_.tokens()};
  }

 private:
  void look_ahead(tape<T>& t, const step_deal& deal, reducer& ranks) {
    const double share = 1.0 / static_cast<double>(t.step().count);
    std::vector<std::vector<double>> all;
    const auto for_all = [&](auto&& numbers_of) {  // those of each micro-batch of the step
      std::vector<double> mine;
      together(ranks, [&] {
        for (std::size_t i = deal.begin(); i < deal.end(); ++i) {
          const auto& numbers = numbers_of(t.step().first + i);
          mine.insert(mine.end(), numbers.begin(), numbers.end());
        }
      });
      all = in_rows(gather_all<double>(ranks, mine), deal.micro_batches);
    };
    for_all([&](std::size_t number) -> const std::vector<double>& {
      objective_.sizes(inputs_.for_sizes(t, number), sizes_);
      return sizes_;
    });
    step_.sizes.assign(all.front().size(), 0);
    for (const auto& sizes : all)
      for (std::size_t k = 0; k < sizes.size(); ++k) step_.sizes[k] += sizes[k];
    for (double& size : step_.sizes) size *= share;
    if (!objective_.balanced()) return;
    for_all([&](std::size_t number) {
      const loss_values values = objective_.measure(t, inputs(t, number, &step_));
      t.reset();
      std::vector<double> numbers;
      for (const loss_value& term : values.list()) numbers.push_back(term.value);
      return numbers;
    });
    loss_values values;
    values.count = all.front().size();
    for (const auto& terms : all)
      for (std::size_t k = 0; k < terms.size(); ++k) values.terms[k].value += share * terms[k];
    objective_.observe(t, values);
  }

  /// The numbers of all ranks, in the order of the ranks, as `rows` rows of equal length.
  static std::vector<std::vector<double>> in_rows(const std::vector<std::vector<double>>& ranks,
                                                  std::size_t rows) {
    std::vector<double> flat;
    for (const auto& list : ranks) flat.insert(flat.end(), list.begin(), list.end());
    std::vector<std::vector<double>> result;
    const std::size_t width = flat.size() / rows;
    for (auto at = flat.begin(); result.size() < rows; at += static_cast<std::ptrdiff_t>(width))
      result.emplace_back(at, at + static_cast<std::ptrdiff_t>(width));
    return result;
  }

  loss_inputs<T> inputs(tape<T>& t, std::size_t number, const step_means* step) {
    loss_inputs<T> in = inputs_.forward(t, number);
    in.step = step;
    return in;
  }

  objective<T> objective_;
  batch_inputs<Model, Teacher> inputs_;
  step_means step_;
  std::vector<double> sizes_;
  std::optional<std::size_t> begun_;  // first micro-batch of the step that was begun last
};

}  // namespace tern::inline TERN_ABI
