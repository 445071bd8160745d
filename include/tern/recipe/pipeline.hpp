// Runs the stages of a list, each from the weights of an earlier one, in a run directory that can
// be resumed at any moment: finished stages are skipped, one under way goes on from its last state.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tern/checkpoint/load_model.hpp"
#include "tern/checkpoint/save_model.hpp"
#include "tern/core/mapped_file.hpp"
#include "tern/core/os_error.hpp"
#include "tern/model/surgery.hpp"
#include "tern/recipe/evaluate.hpp"
#include "tern/recipe/run_directory.hpp"
#include "tern/recipe/stage.hpp"
#include "tern/recipe/task_data.hpp"
#include "tern/recipe/training_state.hpp"

namespace tern::inline TERN_ABI {

/// The run was asked to stop; its state is saved.
struct interrupted : error {
  using error::error;
};

/// What a program may want to see of a run. The library itself prints nothing.
class run_observer {
 public:
  virtual ~run_observer() = default;
  /// A stage begins or goes on, has done a step, is done, was done before, has a row in the table.
  virtual void on_begin(const stage&, const model_config&, std::size_t /*first_step*/) {}
  virtual void on_step(const stage&, const step_report&) {}
  virtual void on_end(const stage&) {}
  virtual void on_skip(const stage&) {}
  virtual void on_result(const stage&, const result_row&) {}
  /// True: save the state and throw `interrupted`.
  virtual bool stop_requested() { return false; }
};

template <class Model = decoder<>>
class pipeline {
 public:
  using T = typename Model::scalar;  ///< of an element

  /// `base`: folder of a pretrained model that stages "from base" start at, unless a stage of that
  /// name is in the list; may be empty. All references must outlive the pipeline.
  pipeline(const run_config& config, const task_data& data, run_directory& directory,
           run_observer& observer, std::filesystem::path base = {}, executor_ref ex = {})
      : config_(config),
        data_(data),
        directory_(directory),
        observer_(observer),
        base_(std::move(base)),
        ex_(ex) {}

  /// Runs every stage and returns the rows of the table.
  std::vector<result_row> run(const std::vector<stage>& stages) {
    std::vector<result_row> rows;
    for (const stage& s : stages) {
      if (directory_.has_stage(s.name))
        skip(s);
      else
        train(s);
      if (s.method.empty()) continue;
      rows.push_back(measure(s));
      observer_.on_result(s, rows.back());
    }
    return rows;
  }

 private:
  [[nodiscard]] std::filesystem::path weights_of(const std::string& name) const {
    return name == "base" && !base_.empty() ? base_ : directory_.stage(name);
  }

  Model start_of(const stage& s) {
    if (s.from.empty()) {
      Model model(config_.model);
      model.initialize(config_.seed);
      return model;
    }
    Model model = load_model<Model>(weights_of(s.from));
    if (s.change == surgery::sub_ln_ternary)
      insert_sub_ln(model, config_.placement, config_.sub_ln_eps);
    if (s.change != surgery::none) make_ternary(model);
    return model;
  }

  void train(const stage& s) {
    Model model = start_of(s);
    if (s.loss == stage_loss::language_model) {
      language_modeling<Model> loss(model, data_.stream, s.options.sequences, s.options.length,
                                    config_.seed, data_.separator);
      return finish(s, model, loss, nullptr);
    }
    const std::size_t wanted = config_.train_examples == 0
                                   ? data_.train.size()
                                   : std::min(config_.train_examples, data_.train.size());
    task_tuning<Model> loss(model, std::span(data_.train).first(wanted), data_.label_tokens,
                            s.options.sequences, config_.seed);
    std::optional<Model> teacher;
    if (s.loss == stage_loss::distil) {
      teacher.emplace(load_model<Model>(weights_of(s.teacher)));
      const std::size_t last = model.config().num_hidden_layers - 1;
      const std::size_t below = last - std::min(last, config_.distil_layer);
      const std::size_t teacher_last = teacher->config().num_hidden_layers - 1;
      loss.distil(*teacher, teacher_last - std::min(teacher_last, below), config_.distil_layer,
                  config_.objective, ex_);
    }
    finish(s, model, loss, &loss.loss());
  }

  template <class Loss>
  void finish(const stage& s, Model& model, Loss& loss, objective<T>* balance) {
    const auto state = directory_.state(s.name);
    {
      trainer<Model> t(model, trainer_options_of(s.options, config_.log_every), ex_);
      if (path_exists(state)) load_training_state(t, balance, s.name, state);
      directory_.rewind_log(s.name, t.step());
      observer_.on_begin(s, model.config(), t.step());
      while (!t.done()) {
        const step_report report = t.advance(loss);
        if (report.logged) directory_.log(s.name, report);
        observer_.on_step(s, report);
        const bool stop = observer_.stop_requested();
        if (stop || (t.step() % config_.save_every == 0 && !t.done()))
          save_training_state(t, balance, s.name, state);
        if (stop)
          throw interrupted("stopped at step " + std::to_string(t.step()) + " of stage " + s.name);
      }
    }
    save_model(model, directory_.stage(s.name), storage::master);
    remove_state(s);
    observer_.on_end(s);
  }

  /// A process killed between the two may have left the state of a finished stage.
  void skip(const stage& s) {
    remove_state(s);
    observer_.on_skip(s);
  }

  void remove_state(const stage& s) const {
    std::error_code ignored;
    std::filesystem::remove(directory_.state(s.name), ignored);
  }

  /// Accuracy, size and speed of the deployed files, read back from disk.
  result_row measure(const stage& s) {
    const auto folder = directory_.model(s.name);
    if (!path_exists(folder / "config.json")) {
      Model master = load_model<Model>(directory_.stage(s.name));
      save_model(master, folder, storage::deployed);
    }
    Model model = load_model<Model>(folder);
    evaluation best = evaluate(model, data_.reported(), data_.label_tokens, 64, ex_);
    for (int i = 0; i < 2; ++i)
      best.tokens_per_second = std::max(
          best.tokens_per_second,
          evaluate(model, data_.reported(), data_.label_tokens, 64, ex_).tokens_per_second);
    const auto bytes = mapped_file(folder / "model.safetensors").bytes().size();
    return {s.method, best.accuracy, static_cast<double>(bytes) / 1e6, best.tokens_per_second};
  }

  const run_config& config_;
  const task_data& data_;
  run_directory& directory_;
  run_observer& observer_;
  std::filesystem::path base_;
  executor_ref ex_;
};

}  // namespace tern::inline TERN_ABI
