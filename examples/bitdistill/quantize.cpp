// The command quantize: makes a pretrained model ternary by calibration and says what it cost.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "commands.hpp"
#include "format.hpp"
#include "progress_bar.hpp"
#include "resources.hpp"
#include "settings.hpp"
#include "signals.hpp"
#include "stopped.hpp"
#include "tern/checkpoint/load_model.hpp"
#include "tern/checkpoint/save_model.hpp"
#include "tern/checkpoint/save_model_text.hpp"
#include "tern/core/stopwatch.hpp"
#include "tern/core/thread_pool.hpp"
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
                                   tern::executor_ref ex) {
  const auto& choice = *s.edits.calibrate;
  const std::size_t windows = (choice.tokens + choice.length - 1) / choice.length;
  progress_bar bar(stderr);
  fmt::print("no --calibration and no --task: the model writes the calibration text itself\n");
  std::vector<std::int32_t> stream;
  const auto written = tern::sample_windows(
      model, separator, windows + windows / 15 + 1, choice.length, s.seed,
      [&](std::size_t n) { bar.show("writing text", n, choice.length); }, ex,
      tern::ids_without_text(*text.tokenizer, model.config().vocab_size));
  for (const auto& window : written) stream.insert(stream.end(), window.begin(), window.end());
  bar.clear();
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

/// Calibrates and prints a line for each layer. Returns what it did to them.
json calibrate(tern::decoder<>& model, tern::token_batch batch, const tern::stage& s,
               const fs::path& folder, const std::string& identity, tern::executor_ref ex) {
  progress_bar bar(stderr);
  tern::stopwatch since_last;
  json reports = json::array();
  fmt::print("layer  nearest  calibrated  hidden states\n");
  bar.show("calibration", 0, model.layers().size());
  tern::calibrate_model(
      model, std::move(batch), tern::calibration_options_of(s.edits), folder, identity,
      [&](const tern::layer_calibration& report, std::size_t layers, bool restored) {
        reports.push_back(tern::write_fields(report));
        bar.clear();
        fmt::print("{}\n", layer_text(report));
        std::fflush(stdout);
        const double each = since_last.seconds();
        since_last = {};
        bar.show("calibration", report.layer + 1, layers, [&] {
          return " eta " + duration(each * static_cast<double>(layers - report.layer - 1));
        });
        if (!restored && stop_requested())
          throw stopped("stopped behind layer " + std::to_string(report.layer) +
                        "; the same command continues");
      },
      ex);
  bar.clear();
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

}  // namespace

void quantize(const options& o) {
  settings s = make_settings(o);
  const tern::stage& stage = s.recipe.stages.front();
  validate(s.recipe);
  const tern::data_source& d = s.recipe.data;
  if (!d.task.empty() && d.task != "microworld" && d.directory.empty())
    throw tern::config_error("task " + d.task + " needs --data");
  const fs::path out = o.out;
  if (fs::exists(out / "config.json"))
    throw tern::config_error("'" + o.out + "' holds a model already: choose another --out");
  const tern::stopwatch watch;
  tern::thread_pool pool(o.threads);
  auto model = tern::load_model<>(s.model);
  const auto texts = load_texts(s.recipe);
  const auto beside = make_text(s, texts);
  const auto& tokenizer = *beside.tokenizer;
  auto data = tern::tokenize_task(texts, tokenizer, s.recipe.data, pool, beside.conventions);
  require_resources(model, calibration_length(data, stage.edits.calibrate->tokens), out);
  catch_signals();
  if (data.stream.empty() && data.train.examples.empty())
    data.stream = own_text(model, stage, beside, data.separator, pool);
  auto text = split(data, stage, model.config().vocab_size);
  fmt::print("{}: {} calibration tokens in {} sequences\n", o.model,
             grouped(text.calibration.tokens.size()), text.calibration.sequences());

  tern::detail::content_checksum identity;
  identity.add<std::int32_t>(text.calibration.tokens);
  const std::string what = tern::write_fields(stage).dump() + " " + identity.text() + " " +
                           tern::detail::checksum_of_model(s.model);
  const fs::path partial = out / "calibration";
  json report{{"tokens", text.calibration.tokens.size()}};
  report["layers"] = calibrate(model, std::move(text.calibration), stage, partial, what, pool);
  tern::save_model(model, out, tern::storage::master);
  tern::save_model_text(beside, out);
  fs::remove_all(partial);
  report["seconds"] = watch.seconds();
  fmt::print("calibrated in {}\n", duration(watch.seconds()));

  const std::size_t masters = bytes_of_masters(model), packed = exported_bytes(model, pool);
  auto source = tern::load_model<>(s.model);
  if (!text.held_out.tokens.empty()) {
    const auto comparison = tern::compare_models(source, model, text.held_out, pool);
    print_comparison(comparison);
    report["comparison"] = comparison_json(comparison);
  }
  report["metrics"] = print_metrics(source, model, data, tokenizer, pool);
  tern::write_json(out / "calibration.json", report);
  fmt::print("{}: masters of {:.1f} MB to train on; `export` makes a packed model of {:.1f} MB\n",
             o.out, static_cast<double>(masters) / 1e6, static_cast<double>(packed) / 1e6);
}

}  // namespace bitdistill
