// Trains a stage of a recipe: its model, teacher, examples and losses meet in a trainer, whose
// state is saved so that a stage that was stopped or killed goes on from there.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "tern/io/record_cache.hpp"
#include "tern/recipe/choose_layers.hpp"
#include "tern/recipe/fingerprint.hpp"
#include "tern/recipe/moment_exchange.hpp"
#include "tern/recipe/run_context.hpp"
#include "tern/recipe/share_model.hpp"
#include "tern/recipe/stage_examples.hpp"
#include "tern/recipe/stage_loss.hpp"
#include "tern/recipe/training_state.hpp"

namespace tern::inline TERN_ABI {

/// The steps of a stage.
template <class Model>
class stage_training {
 public:
  using T = typename Model::scalar;  ///< type of an element

  /// `fingerprint` is that of the stage. Everything must outlive the object.
  stage_training(const run_context& run, const stage& s, const std::string& fingerprint)
      : run_(run), stage_(s), fingerprint_(fingerprint) {}

  /// Trains the model in place, on every rank; `teacher` is null where the stage has none. Throws
  /// interrupted, with the state saved, where the observer asks to stop.
  void run(Model& model, Model* teacher) {
    model.set_clipped_gradient(stage_.clipped);
    layer_counts layers{model.config().num_hidden_layers, 0};
    if (teacher != nullptr) layers.teacher = teacher->config().num_hidden_layers;
    std::vector<token_example> examples;
    together(run_.ranks, [&] {
      if (stage_.data == stage_data::task)
        examples = stage_examples(stage_, run_.data.train.examples, run_.data.unlabelled);
    });
    std::vector<layer_agreement> choice;
    const loss_options losses = losses_of(model, teacher, examples, choice);
    std::optional<stage_loss<Model>> loss;
    together(run_.ranks, [&] {
      loss.emplace(model, teacher, batches_of(examples), make_objective<T>(losses, layers),
                   run_.ex);
    });
    run_.lead([&] {
      if (loss->teacher() != nullptr) keep_teacher(examples, *loss->teacher());
    });
    advance(model, *loss, choice);
  }

 private:
  /// What steps and the choice of layers draw their micro-batches from.
  std::unique_ptr<batch_source> batches_of(std::span<const token_example> examples) const {
    const std::size_t sequences = sequences_of_micro_batch(stage_);
    if (stage_.data == stage_data::corpus)
      return std::make_unique<corpus_batches>(run_.data.stream, sequences, stage_.length,
                                              stage_.seed, run_.data.separator);
    return std::make_unique<example_batches>(
        examples, sequences, stage_.seed,
        stage_.sort_by_length ? micro_batches_of_step(stage_) : 1);
  }

  /// The losses of a stage, with a layer for each term that leaves it open. A stage that goes on
  /// starts from the same weights and examples, so it finds the same layers. Rank 0 gets `choice`.
  loss_options losses_of(Model& model, Model* teacher, std::span<const token_example> examples,
                         std::vector<layer_agreement>& choice) {
    constexpr std::size_t wanted = 256;  // examples or windows
    std::vector<std::size_t> layers(open_terms(stage_.losses));
    if (layers.empty()) return stage_.losses;
    const std::size_t sequences = sequences_of_micro_batch(stage_);
    run_.lead([&] {
      choice = choose_layers<Model, Model>(
          model, teacher, batches_of(examples), stage_.losses,
          {std::max<std::size_t>(2, (wanted + sequences - 1) / sequences), stage_.rates,
           stage_.products, run_.ex, [&] {
             if (run_.observer.stop_requested())
               throw interrupted("stopped before the first step of stage " + stage_.name);
           }});
      std::ranges::transform(choice, layers.begin(), &layer_agreement::chosen);
    });
    run_.ranks.broadcast(std::as_writable_bytes(std::span(layers)));
    return with_layers(stage_.losses, layers);
  }

  /// Gives the teacher a cache where the stage sees examples of the task again.
  void keep_teacher(std::span<const token_example> examples,
                    teacher_outputs<Model>& teacher) const {
    if (stage_.data != stage_data::task || stage_.teacher_cache == 0 ||
        stage_.steps * stage_.accumulate * stage_.sequences <= examples.size())
      return;
    std::vector<std::size_t> sizes;
    for (const token_example& e : examples)
      sizes.push_back(teacher.record_size(e.tokens.size() - 1));
    const auto file = run_.directory->teacher_cache(stage_.name);
    std::error_code unknown;
    const auto disk = std::filesystem::space(file.parent_path(), unknown);
    std::uint64_t limit = std::uint64_t{stage_.teacher_cache} << 20;
    if (!unknown) limit = std::min<std::uint64_t>(limit, disk.available / 2);
    detail::content_checksum identity;
    identity.add<char>(fingerprint_);
    teacher.keep_in(record_cache(file, identity.text(), sizes, limit));
  }

  /// Does the steps of a stage, beginning at its saved state where that is of the same stage.
  void advance(Model& model, stage_loss<Model>& loss, const std::vector<layer_agreement>& choice) {
    const state_identity identity{stage_.name, fingerprint_};
    trainer<Model> t(model, trainer_options_of(stage_),
                     make_optimizer<typename Model::owner>(stage_.optimizer), run_.ex, run_.ranks);
    lead_with_moments(t, [&] {
      const auto file = run_.directory->state(stage_.name);
      if (path_exists(file) && is_state_of(file, identity))
        load_training_state(t, loss.terms(), stage_.name, file);
      run_.directory->rewind_log(stage_.name, t.step());
      if (!choice.empty() && t.step() == 0) run_.directory->log(stage_.name, choice);
      run_.observer.on_begin(stage_, model.config(), t.step());
      if (!choice.empty()) run_.observer.on_choice(stage_, choice);
    });
    if (any_rank(run_.ranks, t.step() > 0)) share_training_state(run_.ranks, t, loss.terms());
    while (!t.done()) {
      model.set_quantization(quantization_of_step(stage_, t.step()));
      const step_report report = t.advance(loss);
      together(run_.ranks, [&] {
        if (run_.ranks.rank() != 0) return;
        if (report.logged) run_.directory->log(stage_.name, report);
        run_.observer.on_step(stage_, report);
      });
      const bool stop = any_rank(run_.ranks, run_.observer.stop_requested());
      if (stop || (t.step() % stage_.save_every == 0 && !t.done()))
        lead_with_moments(t, [&] {
          save_training_state(t, loss.terms(), identity, run_.directory->state(stage_.name));
        });
      if (stop)
        throw interrupted("stopped at step " + std::to_string(t.step()) + " of stage " +
                          stage_.name);
    }
    model.set_quantization(1);
  }

  /// Calls f(), which may save or load a state, on rank 0 while the others give or take moments.
  template <class F>
  void lead_with_moments(trainer<Model>& t, F&& f) const {
    if (run_.ranks.rank() != 0) serve_moments(t);
    run_.lead([&] {
      try {
        f();
      } catch (...) {
        end_moments(t);
        throw;
      }
      end_moments(t);
    });
  }

  const run_context& run_;
  const stage& stage_;
  const std::string& fingerprint_;
};

}  // namespace tern::inline TERN_ABI
