// The command eval: metrics and speed of a model on a task, or perplexity of a text.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "commands.hpp"
#include "format.hpp"
#include "progress_bar.hpp"
#include "settings.hpp"
#include "standard_output.hpp"
#include "tern/checkpoint/load_model.hpp"
#include "tern/core/atomic_file.hpp"
#include "tern/core/mapped_file.hpp"
#include "tern/core/os_error.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/data/corpus.hpp"
#include "tern/infer/compare_models.hpp"
#include "tern/infer/perplexity.hpp"
#include "tern/metric/bits_per_byte.hpp"
#include "tern/recipe/evaluate.hpp"
#include "texts.hpp"

namespace bitdistill {
namespace {

void print_perplexity(const options& o) {
  if (o.corpus.empty())
    throw tern::config_error("--perplexity needs a text: give it as --corpus FILE...");
  auto model = tern::load_model<>(o.model);
  const auto text = read_text_of(o.model, o.tokenizer);
  const auto& tokenizer = text.required(o.model);
  tern::thread_pool pool(o.threads);
  const std::size_t most = model.config().max_position_embeddings;
  if (o.has("--window") && o.window > most)
    throw tern::config_error(
        fmt::format("--window {}: the model reads at most {} tokens (max_position_embeddings)",
                    o.window, most));
  const std::size_t window = std::min(o.window, most);
  double nats = 0;
  std::size_t tokens = 0, bytes = 0;
  for (const auto& document : tern::read_corpus({o.corpus.begin(), o.corpus.end()})) {
    const auto ids = tokenizer.encode(document, tern::added_text::plain, tern::special_tokens::add);
    if (ids.size() < 2) continue;
    const auto one = tern::perplexity(model, ids, window, pool);
    nats += std::log(one.perplexity) * static_cast<double>(one.tokens);
    tokens += one.tokens;
    for (std::size_t i = 0; i < ids.size(); ++i)  // the first token of each window is given
      if (i % window != 0) bytes += tokenizer.token_text(ids[i]).size();
  }
  if (tokens == 0) throw tern::config_error("--perplexity: the corpus has no text to predict");
  const double perplexity = std::exp(nats / static_cast<double>(tokens));
  const double bits = tern::bits_per_byte(nats, bytes);
  if (o.json)
    return fmt::print("{}\n",
                      nlohmann::ordered_json{
                          {"perplexity", perplexity}, {"bits_per_byte", bits}, {"tokens", tokens}}
                          .dump());
  fmt::print("{} | {} tokens | perplexity {:.4f} | {:.4f} bits per byte\n", o.model,
             grouped(tokens), perplexity, bits);
}

constexpr std::string_view prediction_begin = "{\"prediction\":";

/// Throws io_error where the file of the predictions could not be written after the evaluation, and
/// config_error where a file is there that holds something else.
void require_place_for_predictions(const std::filesystem::path& path) {
  const auto folder = path.has_parent_path() ? path.parent_path() : ".";
  if (!std::filesystem::is_directory(folder))
    throw tern::io_error("--predictions '" + path.string() + "': '" + folder.string() +
                         "' is no folder");
  if (!tern::path_exists(path)) return;
  const tern::mapped_file there(path);
  if (!there.text().empty() && !there.text().starts_with(prediction_begin))
    throw tern::config_error("--predictions '" + path.string() +
                             "' exists already and holds no predictions: choose another file");
}

/// Writes one line for each example: {"prediction": ..., "references": [...]}.
void write_predictions(const std::string& path, const tern::evaluation& result,
                       const tern::task_examples& part) {
  std::string text;
  for (std::size_t i = 0; i < result.predictions.size(); ++i)
    text += tern::json_text(nlohmann::ordered_json{{"prediction", result.predictions[i]},
                                                   {"references", part.references[i]}},
                            path) +
            "\n";
  tern::write_file(path, text);
}

/// Compares the distributions of the tokens of the answers with those of the teacher.
std::optional<tern::model_comparison> compare_with_teacher(
    const options& o, tern::decoder<>& model, const tern::bpe_tokenizer& tokenizer,
    std::span<const tern::token_example> examples, tern::executor_ref ex) {
  if (o.teacher.empty()) return {};
  require_same_vocabulary(o.teacher, tokenizer);
  auto teacher = tern::load_model<>(o.teacher);
  tern::token_batch batch;
  std::vector<std::size_t> answers;
  for (const tern::token_example& e : examples) {
    batch.add(e.tokens);
    answers.push_back(e.answer);
  }
  return tern::compare_models(teacher, model, batch, ex, answers);
}

void print_metrics(const options& o, const std::string& task, const tern::evaluation& result,
                   const std::optional<tern::model_comparison>& teacher) {
  const std::size_t examples = result.predictions.size();
  if (o.json) {
    nlohmann::ordered_json json;
    for (const auto& [name, value] : result.metrics) json[name] = value;
    json["examples"] = examples;
    if (teacher) {
      json["divergence"] = teacher->divergence;
      json["agreement"] = teacher->agreement;
    }
    return fmt::print("{}\n", json.dump());
  }
  std::string text = fmt::format("{} | {} {} | {} examples", o.model, task, o.part, examples);
  for (const auto& [name, value] : result.metrics)
    text += fmt::format(" | {} {:.2f} %", name, value);
  if (teacher)
    text += fmt::format(" | KL {:.4f} nats from the teacher's answers, same favourite {:.1f} %",
                        teacher->divergence, 100 * teacher->agreement);
  fmt::print("{} | {} tok/s\n", text, multiple(result.tokens_per_second));
}

}  // namespace

void evaluate(const options& o) {
  if (o.perplexity) return print_perplexity(o);
  const settings s = make_settings(o);
  const tern::data_source& source = s.recipe.data;
  if (source.task.empty()) throw tern::config_error("eval needs --task");
  if (source.task != "microworld" && source.directory.empty())
    throw tern::config_error("task " + source.task + " needs --data");
  if (!o.predictions.empty()) require_place_for_predictions(o.predictions);
  const auto texts = load_part(source, o.part);
  if (texts.task.classifies()) say(label_text(texts.task));
  tern::thread_pool pool(o.threads);
  const auto text = make_text(s, texts);
  const auto& tokenizer = *text.tokenizer;
  const auto data = tern::tokenize_task(texts, tokenizer, source, pool, text.conventions);
  const auto& part = o.part == "train" ? data.train : data.reported();
  if (part.examples.empty())
    throw tern::config_error("task " + source.task + " has no part '" + o.part + "'");
  auto model = tern::load_model<>(o.model);
  progress_bar bar(stderr);
  const auto result = tern::evaluate(
      model, data, part, tokenizer,
      [&](std::size_t n, std::size_t all) { bar.show("evaluation", n, all); }, pool);
  bar.clear();
  if (!o.predictions.empty()) write_predictions(o.predictions, result, part);
  print_metrics(o, source.task, result,
                compare_with_teacher(o, model, tokenizer, part.examples, pool));
}

}  // namespace bitdistill
