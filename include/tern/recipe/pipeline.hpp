// Runs the stages of a recipe in a run directory. A run that was killed at any moment can be
// continued: a finished stage whose fingerprint is unchanged is skipped, a stage that is under way
// goes on from its last state, and a stage that is missing or has changed is trained. Several ranks
// share the steps of stages; rank 0 alone does everything else.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tern/checkpoint/load_model.hpp"
#include "tern/checkpoint/save_deployed.hpp"
#include "tern/checkpoint/save_model.hpp"
#include "tern/core/os_error.hpp"
#include "tern/io/record_cache.hpp"
#include "tern/model/surgery.hpp"
#include "tern/recipe/calibration_run.hpp"
#include "tern/recipe/calibration_tokens.hpp"
#include "tern/recipe/choose_layers.hpp"
#include "tern/recipe/evaluate.hpp"
#include "tern/recipe/fingerprint.hpp"
#include "tern/recipe/recipe.hpp"
#include "tern/recipe/result_row.hpp"
#include "tern/recipe/run_directory.hpp"
#include "tern/recipe/share_model.hpp"
#include "tern/recipe/stage_examples.hpp"
#include "tern/recipe/stage_loss.hpp"
#include "tern/recipe/task_data.hpp"
#include "tern/recipe/training_state.hpp"
#include "tern/train/reducer.hpp"
#include "tern/train/together.hpp"

namespace tern::inline TERN_ABI {

/// The run was asked to stop; its state is saved.
struct interrupted : error {
  using error::error;
};

/// What a program may want to see of a run. The library itself prints nothing.
class run_observer {
 public:
  virtual ~run_observer() = default;
  /// A finished stage is trained anew because of the field `difference`, such as "stage.steps".
  virtual void on_change(const stage&, const std::string& /*difference*/) {}
  /// A stage begins or goes on.
  virtual void on_begin(const stage&, const model_config&, std::size_t /*first_step*/) {}
  /// A stage has calibrated one of its `layers`.
  virtual void on_layer(const stage&, const layer_calibration&, std::size_t /*layers*/) {}
  /// Layers were chosen for terms of the stage, before its first step; also where it goes on.
  virtual void on_choice(const stage&, const std::vector<layer_agreement>&) {}
  virtual void on_step(const stage&, const step_report&) {}   ///< A stage has done a step.
  virtual void on_end(const stage&) {}                        ///< A stage is done.
  virtual void on_skip(const stage&) {}                       ///< A stage was done before.
  virtual void on_result(const stage&, const result_row&) {}  ///< The row of a stage is measured.
  /// An evaluation has finished `finished` of its `examples`.
  virtual void on_evaluation(const stage&, std::size_t /*finished*/, std::size_t /*examples*/) {}
  /// Whether to save the state and throw `interrupted`.
  virtual bool stop_requested() { return false; }
};

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
        data_(data),
        tokenizer_(tokenizer),
        directory_(directory),
        observer_(observer),
        ex_(ex),
        ranks_(ranks) {
    together(ranks_, [&] { fingerprints_ = stage_fingerprints(r, data); });
    for (const stage& s : r.stages)
      require_same(ranks_, "settings, models or data of stage " + s.name,
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
    lead([&] {
      finished = is_finished(s);
      if (finished) skip(s);
    });
    if (!any_rank(ranks_, finished)) train(s);
    std::optional<result_row> row;
    if (s.row.empty()) return row;
    lead([&] {
      row = measure(s);
      observer_.on_result(s, *row);
    });
    return row;
  }

 private:
  /// Calls f() on rank 0 while the others wait. Every rank throws where f() does.
  template <class F>
  void lead(F&& f) {
    std::string stop;
    together(ranks_, [&] {
      if (ranks_.rank() != 0) return;
      try {
        f();
      } catch (const interrupted& e) {
        stop = e.what();
      }
    });
    broadcast_text(ranks_, stop);
    if (!stop.empty()) throw interrupted(stop);
  }

  /// The directory, which only rank 0 has.
  [[nodiscard]] run_directory& directory() const { return *directory_; }

  /// Whether a stage is finished and unchanged.
  bool is_finished(const stage& s) {
    const auto found = directory().finished(s.name);
    if (!found) return false;
    const std::string difference = first_difference(*found, fingerprints_.at(s.name));
    if (difference.empty()) return true;
    observer_.on_change(s, difference);
    return false;
  }

  [[nodiscard]] std::filesystem::path weights_of(const std::string& origin) const {
    return is_model_path(origin) ? std::filesystem::path(origin) : directory().stage(origin);
  }

  /// The model from which the first step of a stage starts.
  Model start_of(const stage& s) {
    std::optional<Model> model;
    if (s.from == "new") {
      model.emplace(recipe_.model);
      model->initialize(s.seed);
    } else {
      model.emplace(load_model<Model>(weights_of(s.from)));
    }
    if (s.edits.calibrate) {
      calibrate(s, *model);
      return std::move(*model);
    }
    if (s.edits.sub_ln != norm_placement::none)
      insert_sub_ln(*model, s.edits.sub_ln, s.edits.sub_ln_eps);
    if (s.edits.make_ternary) make_ternary(*model);
    if (s.edits.learned_scales != scale_granularity::none)
      learn_scales(*model, s.edits.learned_scales, s.edits.scale_group);
    return std::move(*model);
  }

  /// Makes the model ternary as the stage says. Layers that were done before a stop are kept.
  void calibrate(const stage& s, Model& model) {
    observer_.on_begin(s, model.config(), 0);
    calibrate_model(
        model,
        calibration_tokens(data_.stream, stage_examples(s, data_.train.examples, data_.unlabelled),
                           *s.edits.calibrate, model.config().vocab_size, s.seed),
        calibration_options_of(s.edits), directory().calibration(s.name),
        fingerprints_.at(s.name).dump(),
        [&](const layer_calibration& report, std::size_t layers, bool restored) {
          observer_.on_layer(s, report, layers);
          if (!restored && observer_.stop_requested())
            throw interrupted("stopped at layer " + std::to_string(report.layer + 1) +
                              " of stage " + s.name);
        },
        ex_);
  }

  std::unique_ptr<batch_source> batches_of(const stage& s,
                                           std::span<const token_example> examples) const {
    const std::size_t sequences = sequences_of_micro_batch(s);
    if (s.data == stage_data::corpus)
      return std::make_unique<corpus_batches>(data_.stream, sequences, s.length, s.seed,
                                              data_.separator);
    return std::make_unique<example_batches>(examples, sequences, s.seed,
                                             s.sort_by_length ? micro_batches_of_step(s) : 1);
  }

  void train(const stage& s) {
    std::optional<Model> model;
    lead([&] {
      directory().forget(s.name);
      model.emplace(start_of(s));
    });
    share_model(ranks_, model);
    if (s.steps > 0) train_steps(s, *model);
    lead([&] {
      directory().write_fingerprint(s.name, fingerprints_.at(s.name));
      save_model(*model, directory().stage(s.name), storage::master);
      remove_state(s);
      observer_.on_end(s);
    });
  }

  /// The teacher of a stage, on every rank.
  std::optional<Model> teacher_of(const stage& s) {
    std::optional<Model> teacher;
    if (s.teacher.empty()) return teacher;
    const bool of_user = is_model_path(s.teacher);  // every rank can read it, and it may be packed
    together(ranks_, [&] {
      if (of_user || ranks_.rank() == 0) teacher.emplace(load_model<Model>(weights_of(s.teacher)));
    });
    if (!of_user) share_model(ranks_, teacher);
    return teacher;
  }

  void train_steps(const stage& s, Model& model) {
    std::optional<Model> teacher = teacher_of(s);
    layer_counts layers{model.config().num_hidden_layers, 0};
    if (teacher) layers.teacher = teacher->config().num_hidden_layers;
    std::vector<token_example> examples;
    together(ranks_, [&] {
      if (s.data == stage_data::task)
        examples = stage_examples(s, data_.train.examples, data_.unlabelled);
    });
    std::vector<layer_agreement> choice;
    const loss_options losses = losses_of(s, model, teacher, examples, choice);
    std::optional<stage_loss<Model>> loss;
    together(ranks_, [&] {
      loss.emplace(model, teacher ? &*teacher : nullptr, batches_of(s, examples),
                   make_objective<T>(losses, layers), ex_);
    });
    lead([&] {
      if (loss->teacher() != nullptr) keep_teacher(s, examples, *loss->teacher());
    });
    advance(s, model, *loss, choice);
  }

  /// The losses of a stage, with a layer for each term that leaves it open. A stage that goes on
  /// starts from the same weights and examples, so it finds the same layers. Rank 0 gets `choice`.
  loss_options losses_of(const stage& s, Model& model, std::optional<Model>& teacher,
                         std::span<const token_example> examples,
                         std::vector<layer_agreement>& choice) {
    constexpr std::size_t wanted = 256;  // examples or windows
    std::vector<std::size_t> layers(open_terms(s.losses));
    if (layers.empty()) return s.losses;
    const std::size_t sequences = sequences_of_micro_batch(s);
    lead([&] {
      choice = choose_layers<Model, Model>(
          model, teacher ? &*teacher : nullptr, batches_of(s, examples), s.losses,
          {std::max<std::size_t>(2, (wanted + sequences - 1) / sequences), s.rates, s.products, ex_,
           [&] {
             if (observer_.stop_requested())
               throw interrupted("stopped before the first step of stage " + s.name);
           }});
      std::ranges::transform(choice, layers.begin(), &layer_agreement::chosen);
    });
    ranks_.broadcast(std::as_writable_bytes(std::span(layers)));
    return with_layers(s.losses, layers);
  }

  /// Gives the teacher a cache where the stage sees examples of the task again.
  void keep_teacher(const stage& s, std::span<const token_example> examples,
                    teacher_outputs<Model>& teacher) const {
    if (s.data != stage_data::task || s.teacher_cache == 0 ||
        s.steps * s.accumulate * s.sequences <= examples.size())
      return;
    std::vector<std::size_t> sizes;
    for (const token_example& e : examples)
      sizes.push_back(teacher.record_size(e.tokens.size() - 1));
    const auto file = directory().teacher_cache(s.name);
    std::error_code unknown;
    const auto disk = std::filesystem::space(file.parent_path(), unknown);
    std::uint64_t limit = std::uint64_t{s.teacher_cache} << 20;
    if (!unknown) limit = std::min<std::uint64_t>(limit, disk.available / 2);
    detail::content_checksum identity;
    identity.add<char>(fingerprints_.at(s.name).dump());
    teacher.keep_in(record_cache(file, identity.text(), sizes, limit));
  }

  /// Does the steps of a stage, beginning at its saved state where that is of the same stage.
  void advance(const stage& s, Model& model, stage_loss<Model>& loss,
               const std::vector<layer_agreement>& choice) {
    const state_identity identity{s.name, fingerprints_.at(s.name).dump()};
    trainer<Model> t(model, trainer_options_of(s),
                     make_optimizer<typename Model::owner>(s.optimizer), ex_, ranks_);
    lead([&] {
      const auto file = directory().state(s.name);
      if (path_exists(file) && is_state_of(file, identity))
        load_training_state(t, loss.terms(), s.name, file);
      directory().rewind_log(s.name, t.step());
      if (!choice.empty() && t.step() == 0) directory().log(s.name, choice);
      observer_.on_begin(s, model.config(), t.step());
      if (!choice.empty()) observer_.on_choice(s, choice);
    });
    if (any_rank(ranks_, t.step() > 0)) share_training_state(ranks_, t, loss.terms());
    while (!t.done()) {
      const step_report report = t.advance(loss);
      together(ranks_, [&] {
        if (ranks_.rank() != 0) return;
        if (report.logged) directory().log(s.name, report);
        observer_.on_step(s, report);
      });
      const bool stop = any_rank(ranks_, observer_.stop_requested());
      if (stop || (t.step() % s.save_every == 0 && !t.done()))
        lead([&] { save_training_state(t, loss.terms(), identity, directory().state(s.name)); });
      if (stop)
        throw interrupted("stopped at step " + std::to_string(t.step()) + " of stage " + s.name);
    }
  }

  /// Passes over a finished stage. A process that was killed between saving the weights and
  /// removing the state left both.
  void skip(const stage& s) {
    remove_state(s);
    observer_.on_skip(s);
  }

  void remove_state(const stage& s) const {
    std::error_code ignored;
    std::filesystem::remove(directory().state(s.name), ignored);
    std::filesystem::remove(directory().teacher_cache(s.name), ignored);
    std::filesystem::remove_all(directory().calibration(s.name), ignored);
  }

  /// A text of all that the row of a stage depends on.
  [[nodiscard]] std::string row_checksum(const stage& s) const {
    const task_examples& part = data_.reported();
    detail::content_checksum weights;
    weights.add<char>(fingerprints_.at(s.name).dump());
    std::string text = weights.text() + " " + detail::checksum_of(part.examples) + " ";
    text += detail::checksum_of(part.references);
    for (const std::string& metric : data_.task.metrics) text += " " + metric;
    for (const std::int32_t end : data_.ends) text += " end " + std::to_string(end);
    return text + " " + std::to_string(data_.answer_tokens);
  }

  /// Measures metrics, size and speed of the deployed model, which is read back from disk.
  result_row measure(const stage& s) {
    if (auto before = directory().measured(s.name, row_checksum(s))) {
      before->method = s.row;
      before->marks = s.marks;
      return *std::move(before);
    }
    const auto folder = directory().model(s.name);
    if (!path_exists(folder / "config.json")) {
      Model master = load_model<Model>(directory().stage(s.name));
      save_deployed(master, folder, ex_);
    }
    Model model = load_model<Model>(folder);
    const auto evaluated = [&] {
      return evaluate(
          model, data_, data_.reported(), tokenizer_,
          [&](std::size_t n, std::size_t all) {
            observer_.on_evaluation(s, n, all);
            if (observer_.stop_requested())
              throw interrupted("stopped while stage " + s.name + " was measured");
          },
          ex_);
    };
    const auto start = std::chrono::steady_clock::now();
    evaluation best = evaluated();
    // A small model classifies all examples in a moment, in which another program may have the
    // processor. The speed is that of the fastest of eight passes, as far as two seconds allow.
    for (int i = 1; i < 8 && data_.task.classifies() && detail::seconds_since(start) < 2; ++i)
      best.tokens_per_second = std::max(best.tokens_per_second, evaluated().tokens_per_second);
    result_row row{s.row, s.marks, best.metrics,
                   static_cast<double>(file_bytes(folder / "model.safetensors")) / 1e6,
                   best.tokens_per_second};
    directory().write_row(s.name, row_checksum(s), row);
    return row;
  }

  static std::uintmax_t file_bytes(const std::filesystem::path& file) {
    std::error_code error;
    const auto bytes = std::filesystem::file_size(file, error);
    if (error) throw io_error("cannot read '" + file.string() + "': " + error.message());
    return bytes;
  }

  const recipe& recipe_;
  const task_data& data_;
  const bpe_tokenizer& tokenizer_;
  run_directory* directory_;
  run_observer& observer_;
  executor_ref ex_;
  reducer& ranks_;
  std::map<std::string, nlohmann::json> fingerprints_;
};

}  // namespace tern::inline TERN_ABI
