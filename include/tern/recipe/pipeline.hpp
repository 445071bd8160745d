// Runs the stages of a recipe in a run directory. A run that was killed at any moment can be
// continued: a finished stage whose fingerprint is unchanged is skipped, a stage that is under way
// goes on from its last state, and a stage that is missing or has changed is trained. Several ranks
// share the steps of stages and the examples of an evaluation; rank 0 alone does everything else.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "tern/checkpoint/load_model.hpp"
#include "tern/checkpoint/save_model.hpp"
#include "tern/model/pack_model.hpp"
#include "tern/model/surgery.hpp"
#include "tern/recipe/calibration_run.hpp"
#include "tern/recipe/calibration_tokens.hpp"
#include "tern/recipe/fingerprint.hpp"
#include "tern/recipe/recipe.hpp"
#include "tern/recipe/run_context.hpp"
#include "tern/recipe/share_model.hpp"
#include "tern/recipe/stage_examples.hpp"
#include "tern/recipe/stage_result.hpp"
#include "tern/recipe/stage_training.hpp"

namespace tern::inline TERN_ABI {

/// A run: a recipe, its data, and the directory in which it leaves models and the table.
template <class Model = decoder<>>
class pipeline {
 public:
  using T = typename Model::scalar;  ///< type of an element

  /// All arguments must outlive the pipeline. Throws config_error as validate(recipe) does, and
  /// io_error where a model that a stage names cannot be read.
  pipeline(const recipe& r, const task_data& data, const bpe_tokenizer& tokenizer,
           run_directory& directory, run_observer& observer, executor_ref ex = {})
      : pipeline(r, data, tokenizer, &directory, observer, ex, one_rank()) {}

  /// The same for a rank of several, which all have the same recipe and data. Rank 0 has the
  /// directory, and its observer sees the run. The others have none, and of their observers only
  /// stop_requested() is called. Where a rank fails, every rank throws rank_error.
  pipeline(const recipe& r, const task_data& data, const bpe_tokenizer& tokenizer,
           run_directory* directory, run_observer& observer, executor_ref ex, reducer& ranks)
      : recipe_((validate(r), r)),
        tokenizer_(tokenizer),
        run_{data, directory, observer, ex, ranks} {
    together(ranks, [&] { fingerprints_ = stage_fingerprints(r, data); });
    for (const stage& s : r.stages)
      require_same(ranks, "settings, models or data of stage " + s.name,
                   fingerprints_.at(s.name).dump());
  }

  /// Runs every stage that is missing or changed and returns the rows of the table; other ranks
  /// than rank 0 return none.
  std::vector<result_row> run() {
    std::vector<result_row> rows;
    for (const stage& s : recipe_.stages)
      if (auto row = run(s)) rows.push_back(*std::move(row));
    return rows;
  }

  /// Runs a stage of the recipe where it is missing or changed. The stages that it starts and
  /// learns from must be finished. Returns its row; nothing where the table has none, and on other
  /// ranks than rank 0.
  std::optional<result_row> run(const stage& s) {
    bool finished = false;
    run_.lead([&] {
      finished = is_finished(s);
      if (finished) skip(s);
    });
    if (!any_rank(run_.ranks, finished)) train(s);
    std::optional<result_row> row;
    if (s.row.empty()) return row;
    row = measured_row<Model>(run_, s, fingerprints_.at(s.name).dump(), tokenizer_);
    run_.lead([&] { run_.observer.on_result(s, *row); });
    return row;
  }

 private:
  /// Whether a stage is finished and unchanged.
  bool is_finished(const stage& s) {
    const auto found = run_.directory->finished(s.name);
    if (!found) return false;
    const std::string difference = first_difference(*found, fingerprints_.at(s.name));
    if (difference.empty()) return true;
    run_.observer.on_change(s, difference);
    return false;
  }

  [[nodiscard]] std::filesystem::path weights_of(const std::string& origin) const {
    return is_model_path(origin) ? std::filesystem::path(origin) : run_.directory->stage(origin);
  }

  /// The model from which the first step of a stage starts, before calibration.
  Model start_of(const stage& s) {
    std::optional<Model> model;
    if (s.from == "new") {
      model.emplace(recipe_.model);
      model->initialize(s.seed);
    } else {
      model.emplace(load_model<Model>(weights_of(s.from)));
    }
    if (s.edits.calibrate) return std::move(*model);
    if (s.edits.sub_ln != norm_placement::none)
      insert_sub_ln(*model, s.edits.sub_ln, s.edits.sub_ln_eps);
    if (s.edits.make_ternary) make_ternary(*model, s.edits.weight_quantizer);
    if (s.edits.learned_scales != scale_granularity::none)
      learn_scales(*model, s.edits.learned_scales, s.edits.scale_group);
    return std::move(*model);
  }

  /// Makes the model, which every rank has, ternary as the stage says. Layers that were done before
  /// a stop are kept.
  void calibrate(const stage& s, Model& model) {
    run_.lead([&] { run_.observer.on_begin(s, model.config(), 0); });
    model.set_weight_quantizer(s.edits.weight_quantizer);
    calibrate_model(
        model,
        calibration_tokens(run_.data.stream,
                           stage_examples(s, run_.data.train.examples, run_.data.unlabelled),
                           *s.edits.calibrate, model.config().vocab_size, s.seed),
        calibration_options_of(s.edits),
        run_.directory == nullptr ? std::filesystem::path() : run_.directory->calibration(s.name),
        fingerprints_.at(s.name).dump(),
        [&](const layer_calibration& report, std::size_t layers, bool restored) {
          run_.lead([&] {
            run_.observer.on_layer(s, report, layers);
            if (!restored && run_.observer.stop_requested())
              throw interrupted("stopped at layer " + std::to_string(report.layer + 1) +
                                " of stage " + s.name);
          });
        },
        run_.ex, run_.ranks);
  }

  void train(const stage& s) {
    std::optional<Model> model;
    run_.lead([&] {
      run_.directory->forget(s.name);
      model.emplace(start_of(s));
    });
    share_model(run_.ranks, model);
    if (s.edits.calibrate) calibrate(s, *model);
    if (s.steps > 0) {
      std::optional<Model> teacher = teacher_of(s);
      const std::string fingerprint = fingerprints_.at(s.name).dump();
      stage_training<Model>(run_, s, fingerprint).run(*model, teacher ? &*teacher : nullptr);
    }
    run_.lead([&] {
      run_.directory->write_fingerprint(s.name, fingerprints_.at(s.name));
      save_model(*model, run_.directory->stage(s.name), storage::master);
      remove_state(s);
      run_.observer.on_end(s);
    });
  }

  /// The teacher of a stage, on every rank.
  std::optional<Model> teacher_of(const stage& s) {
    std::optional<Model> teacher;
    if (s.teacher.empty()) return teacher;
    const bool of_user = is_model_path(s.teacher);  // every rank can read it, and it may be packed
    together(run_.ranks, [&] {
      if (of_user || run_.ranks.rank() == 0)
        teacher.emplace(load_model<Model>(weights_of(s.teacher)));
    });
    if (!of_user) share_model(run_.ranks, teacher);
    if (s.teacher_bits == 8) pack_eight_bit(*teacher, run_.ex);
    return teacher;
  }

  /// Passes over a finished stage. A process that was killed between saving the weights and
  /// removing the state left both.
  void skip(const stage& s) {
    remove_state(s);
    run_.observer.on_skip(s);
  }

  void remove_state(const stage& s) const {
    std::error_code ignored;
    std::filesystem::remove(run_.directory->state(s.name), ignored);
    std::filesystem::remove(run_.directory->teacher_cache(s.name), ignored);
    std::filesystem::remove_all(run_.directory->calibration(s.name), ignored);
  }

  const recipe& recipe_;
  const bpe_tokenizer& tokenizer_;
  run_context run_;
  std::map<std::string, nlohmann::json> fingerprints_;
};

}  // namespace tern::inline TERN_ABI
