// The command quantize: makes a pretrained model ternary by calibration and says what it cost.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "commands.hpp"
#include "format.hpp"
#include "progress_bar.hpp"
#include "ranks.hpp"
#include "resources.hpp"
#include "settings.hpp"
#include "signals.hpp"
#include "stopped.hpp"
#include "tern/checkpoint/load_model.hpp"
#include "tern/checkpoint/save_model.hpp"
#include "tern/checkpoint/save_model_text.hpp"
#include "tern/core/stopwatch.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/core/together.hpp"
#include "tern/infer/compare_models.hpp"
#include "tern/infer/sample_windows.hpp"
#include "tern/json/write_fields.hpp"
#include "tern/json/write_json.hpp"
#include "tern/model/pack_model.hpp"
#include "tern/pack/base3.hpp"
#include "tern/recipe/calibration_run.hpp"
#include "tern/recipe/calibration_tokens.hpp"
#include "tern/recipe/evaluate.hpp"
#include "tern/recipe/fingerprint.hpp"
#include "texts.hpp"

namespace bitdistill {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// Text for the calibration, and text that it does not see.
struct calibration_text {
  tern::token_batch calibration, held_out;
};

/// Takes about a sixteenth of n things, evenly spaced, and says which.
std::vector<bool> held_out_of(std::size_t n) {
  const std::size_t part = std::min<std::size_t>(n / 16 + (n > 1), 24);
  std::vector<bool> held(n);
  for (std::size_t i = 0; i < part; ++i) held[(2 * i + 1) * n / (2 * part)] = true;
  return held;
}

/// Splits windows and examples into those of the calibration and those that it does not see.
calibration_text split(tern::task_data data, const tern::stage& s, std::size_t vocab_size) {
  const auto& choice = *s.edits.calibrate;
  const auto held_windows = held_out_of(data.stream.size() / choice.length);
  const auto held_examples = held_out_of(data.train.examples.size());
  if (held_windows.empty() && held_examples.empty())
    throw tern::config_error(
        fmt::format("--calibration: the text has {} tokens, expected at least {}, which one window "
                    "of the calibration needs",
                    data.stream.size(), choice.length));
  calibration_text text;
  std::vector<std::int32_t> stream;
  std::vector<tern::token_example> examples;
  for (std::size_t i = 0; i < held_windows.size(); ++i) {
    const auto window = std::span(data.stream).subspan(i * choice.length, choice.length);
    if (held_windows[i])
      text.held_out.add(window);
    else
      stream.insert(stream.end(), window.begin(), window.end());
  }
  for (std::size_t i = 0; i < held_examples.size(); ++i) {
    auto& example = data.train.examples[i];
    if (held_examples[i])
      text.held_out.add(example.tokens);
    else
      examples.push_back(std::move(example));
  }
  data.stream = std::move(stream);
  data.train.examples = std::move(examples);
  text.calibration =
      calibration_tokens(data.stream, data.train.examples, choice, vocab_size, s.seed);
  return text;
}

/// Text that the model writes itself.
std::vector<std::int32_t> own_text(tern::decoder<>& model, const tern::stage& s,
                                   const tern::model_text& text, std::int32_t separator,
                                   tern::executor_ref ex, bool leads) {
  const auto& choice = *s.edits.calibrate;
  const std::size_t windows = (choice.tokens + choice.length - 1) / choice.length;
  std::optional<progress_bar> bar;
  if (leads) {
    bar.emplace(stderr);
    fmt::print("no --calibration and no --task: the model writes the calibration text itself\n");
  }
  std::vector<std::int32_t> stream;
  const auto written = tern::sample_windows(
      model, separator, windows + windows / 15 + 1, choice.length, s.seed,
      [&](std::size_t n) {
        if (bar) bar->show("writing text", n, choice.length);
      },
      ex, tern::ids_without_text(*text.tokenizer, model.config().vocab_size));
  for (const auto& window : written) stream.insert(stream.end(), window.begin(), window.end());
  if (bar) bar->clear();
  return stream;
}

/// Bytes of the parameters as floats.
std::size_t bytes_of_masters(tern::decoder<>& model) {
  std::size_t bytes = 0;
  model.for_each_parameter([&](auto& p) { bytes += p.view().size() * sizeof(float); });
  return bytes;
}

/// The number of tokens that the calibration will see: no more than there are, where text is given.
std::size_t calibration_length(const tern::task_data& data, std::size_t most) {
  std::size_t given = data.stream.size();
  for (const auto& example : data.train.examples) given += example.tokens.size();
  return given == 0 ? most : std::min(given, most);
}

void require_resources(tern::decoder<>& model, std::size_t tokens, const fs::path& out) {
  const std::size_t masters = bytes_of_masters(model);
  require_disk(out, 2 * masters, "the model and the layers that are done");
  require_memory(tern::calibration_bytes(model.config(), tokens), "the calibration");
}

std::string layer_text(const tern::layer_calibration& r) {
  const auto mean = [](const auto& e) {
    return std::accumulate(e.begin(), e.end(), 0.0) / static_cast<double>(e.size());
  };
  return fmt::format("{:>5}  {:>9.4f}  {:>10.4f}  {:>13.4f}", r.layer, mean(r.nearest), mean(r.now),
                     r.hidden);
}

/// Calibrates, and on rank 0 prints a line for each layer. Returns what it did to them.
json calibrate(tern::decoder<>& model, tern::token_batch batch, const tern::stage& s,
               const fs::path& folder, const std::string& identity, tern::executor_ref ex,
               tern::reducer& ranks) {
  const bool leads = ranks.rank() == 0;
  std::optional<progress_bar> bar;
  if (leads) bar.emplace(stderr);
  tern::stopwatch since_last;
  json reports = json::array();
  if (leads) {
    fmt::print("layer  nearest  calibrated  hidden states\n");
    bar->show("calibration", 0, model.layers().size());
  }
  const auto show = [&](const tern::layer_calibration& report, std::size_t layers) {
    reports.push_back(tern::write_fields(report));
    bar->clear();
    fmt::print("{}\n", layer_text(report));
    std::fflush(stdout);
    const double each = since_last.seconds();
    since_last = {};
    bar->show("calibration", report.layer + 1, layers, [&] {
      return " eta " + duration(each * static_cast<double>(layers - report.layer - 1));
    });
  };
  tern::calibrate_model(
      model, std::move(batch), tern::calibration_options_of(s.edits), folder, identity,
      [&](const tern::layer_calibration& report, std::size_t layers, bool restored) {
        if (leads) show(report, layers);
        if (any_rank(ranks, !restored && leads && stop_requested()))
          throw stopped("stopped behind layer " + std::to_string(report.layer) +
                        "; the same command continues");
      },
      ex, ranks);
  if (leads) bar->clear();
  return reports;
}

void print_comparison(const tern::model_comparison& c) {
  fmt::print(
      "{} tokens that calibration did not see: loss {:.3f} -> {:.3f} nats (perplexity {:.2f} -> "
      "{:.2f}) | KL {:.3f} nats | same most probable token {:.1f} %\n",
      grouped(c.tokens), std::log(c.reference_perplexity), std::log(c.perplexity),
      c.reference_perplexity, c.perplexity, c.divergence, 100 * c.agreement);
}

json comparison_json(const tern::model_comparison& c) {
  return {{"tokens", c.tokens},
          {"source_loss", std::log(c.reference_perplexity)},
          {"loss", std::log(c.perplexity)},
          {"divergence", c.divergence},
          {"agreement", c.agreement}};
}

/// Prints each metric of both models, and returns them.
json print_metrics(tern::decoder<>& source, tern::decoder<>& model, const tern::task_data& data,
                   const tern::bpe_tokenizer& tokenizer, tern::executor_ref ex) {
  json metrics = json::object();
  if (data.reported().examples.empty()) return metrics;
  progress_bar bar(stderr);
  const auto measured = [&](tern::decoder<>& m) {
    return tern::evaluate(
        m, data, data.reported(), tokenizer,
        [&](std::size_t n, std::size_t all) { bar.show("evaluation", n, all); }, ex);
  };
  const auto before = measured(source), after = measured(model);
  bar.clear();
  for (std::size_t i = 0; i < before.metrics.size(); ++i) {
    const auto& [name, value] = before.metrics[i];
    metrics[name] = {{"source", value}, {"quantized", after.metrics[i].second}};
    fmt::print("{} {:.2f} % -> {:.2f} % on {} examples\n", name, value, after.metrics[i].second,
               grouped(data.reported().examples.size()));
  }
  return metrics;
}

/// Bytes of the model as `export` stores it by default.
std::size_t exported_bytes(tern::decoder<>& model, tern::executor_ref ex) {
  tern::pack_ternary<tern::base3>(model, ex);
  std::size_t bytes = 0;
  model.for_each_projection([&](const auto& p) {
    bytes += p.packed ? p.packed->size_bytes() : p.weight.shape.rows * p.weight.shape.cols;
  });
  return bytes;
}

/// What the ranks have in common: the model in full precision, and texts.
struct quantize_input {
  tern::decoder<> model;
  tern::model_text beside;  ///< the tokenizer and what else stands beside the model
  tern::task_data data;
  calibration_text text{};
};

/// Reads everything. The model may have to write the text itself.
quantize_input read_input(const options& o, const settings& s, tern::executor_ref ex, bool leads) {
  const auto texts = load_texts(s.recipe);
  quantize_input in{tern::load_model<>(s.model), make_text(s, texts), {}};
  const tern::stage& stage = s.recipe.stages.front();
  in.data =
      tern::tokenize_task(texts, *in.beside.tokenizer, s.recipe.data, ex, in.beside.conventions);
  require_resources(in.model, calibration_length(in.data, stage.edits.calibrate->tokens), o.out);
  if (in.data.stream.empty() && in.data.train.examples.empty())
    in.data.stream = own_text(in.model, stage, in.beside, in.data.separator, ex, leads);
  in.text = split(in.data, stage, in.model.config().vocab_size);
  return in;
}

/// The settings of the command, which are checked before anything is read.
settings checked_settings(const options& o, bool leads) {
  settings s = make_settings(o);
  validate(s.recipe);
  const tern::data_source& d = s.recipe.data;
  if (!d.task.empty() && d.task != "microworld" && d.directory.empty())
    throw tern::config_error("task " + d.task + " needs --data");
  if (leads && fs::exists(fs::path(o.out) / "config.json"))
    throw tern::config_error("'" + o.out + "' holds a model already: choose another --out");
  return s;
}

/// Measures the calibrated model beside its source, and says what calibration cost.
void finish(const options& o, const settings& s, quantize_input& in, json report,
            tern::executor_ref ex) {
  const fs::path out = o.out;
  const std::size_t masters = bytes_of_masters(in.model), packed = exported_bytes(in.model, ex);
  auto source = tern::load_model<>(s.model);
  if (!in.text.held_out.tokens.empty()) {
    const auto comparison = tern::compare_models(source, in.model, in.text.held_out, ex);
    print_comparison(comparison);
    report["comparison"] = comparison_json(comparison);
  }
  report["metrics"] = print_metrics(source, in.model, in.data, *in.beside.tokenizer, ex);
  tern::write_json(out / "calibration.json", report);
  fmt::print("{}: masters of {:.1f} MB to train on; `export` makes a packed model of {:.1f} MB\n",
             o.out, static_cast<double>(masters) / 1e6, static_cast<double>(packed) / 1e6);
}

void quantize_on(const options& o, tern::reducer& ranks) {
  const bool leads = ranks.rank() == 0;
  const tern::stopwatch watch;
  settings s;
  std::optional<tern::thread_pool> pool;
  std::optional<quantize_input> in;
  std::string identity;
  catch_signals();
  together(ranks, [&] {
    s = checked_settings(o, leads);
    pool.emplace(threads_of_rank(o.threads, ranks));
    in.emplace(read_input(o, s, *pool, leads));
    tern::detail::content_checksum tokens;
    tokens.add<std::int32_t>(in->text.calibration.tokens);
    identity = tern::write_fields(s.recipe.stages.front()).dump() + " " + tokens.text() + " " +
               tern::detail::checksum_of_model(s.model);
    if (leads)
      fmt::print("{}: {} calibration tokens in {} sequences\n", o.model,
                 grouped(in->text.calibration.tokens.size()), in->text.calibration.sequences());
  });
  require_same(ranks, "model or text", identity);
  json report{{"tokens", in->text.calibration.tokens.size()}};
  const fs::path out = o.out, partial = out / "calibration";
  report["layers"] = calibrate(in->model, std::move(in->text.calibration), s.recipe.stages.front(),
                               partial, identity, *pool, ranks);
  together(ranks, [&] {
    if (!leads) return;
    tern::save_model(in->model, out, tern::storage::master);
    tern::save_model_text(in->beside, out);
    fs::remove_all(partial);
    report["seconds"] = watch.seconds();
    fmt::print("calibrated in {}\n", duration(watch.seconds()));
    finish(o, s, *in, std::move(report), *pool);
  });
}

}  // namespace

void quantize(const options& o) {
  run_on_ranks(o, [&](tern::reducer& ranks) { quantize_on(o, ranks); });
}

}  // namespace bitdistill
