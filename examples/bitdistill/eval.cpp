// Accuracy and speed of a model folder; perplexity of a text.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "commands.hpp"
#include "format.hpp"
#include "settings.hpp"
#include "tern/checkpoint/load_model.hpp"
#include "tern/checkpoint/load_tokenizer.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/data/corpus.hpp"
#include "tern/infer/perplexity.hpp"
#include "tern/recipe/evaluate.hpp"
#include "texts.hpp"

namespace bitdistill {
namespace {

std::span<const tern::task_example> part_of(const tern::task_data& data, const std::string& name) {
  if (name == "train") return data.train;
  if (name == "dev") return data.dev;
  if (name == "test") return data.test;
  return data.reported();
}

void print_perplexity(const options& o) {
  if (o.corpus.empty()) throw tern::config_error("--perplexity needs a text: --corpus FILE...");
  auto model = tern::load_model<>(o.model);
  const auto tokenizer = tern::load_tokenizer(o.model);
  tern::thread_pool pool(o.threads);
  const std::size_t window = std::min(o.window, model.config().max_position_embeddings);
  double sum = 0;
  std::size_t tokens = 0;
  for (const auto& document : tern::read_corpus({o.corpus.begin(), o.corpus.end()})) {
    const auto ids = tokenizer.encode(document, tern::added_text::plain, tern::special_tokens::add);
    if (ids.size() < 2) continue;
    const auto one = tern::perplexity(model, ids, window, pool);
    sum += std::log(one.perplexity) * static_cast<double>(one.tokens);
    tokens += one.tokens;
  }
  if (tokens == 0) throw tern::config_error("--perplexity: the corpus has no text to predict");
  fmt::print("{} | {} tokens | perplexity {:.4f}\n", o.model, grouped(tokens),
             std::exp(sum / static_cast<double>(tokens)));
}

}  // namespace

void evaluate(const options& o) {
  if (o.perplexity) return print_perplexity(o);
  const settings s = make_settings(o);
  const auto texts = load_texts(s, {.corpus = false, .task = true});
  tern::thread_pool pool(o.threads);
  const auto data =
      tern::tokenize_task(texts, make_tokenizer(s, texts, {}), s.data.prompt_tokens, pool);
  const auto examples = part_of(data, o.part);
  if (examples.empty())
    throw tern::config_error("task " + s.run.task + " has no part '" + o.part + "'");
  auto model = tern::load_model<>(o.model);
  const auto result = tern::evaluate(model, examples, data.label_tokens, 64, pool);
  fmt::print("{} | {} {} | {} examples | accuracy {:.2f} % | {} tok/s\n", o.model, s.run.task,
             o.part, examples.size(), result.accuracy, multiple(result.tokens_per_second));
}

}  // namespace bitdistill
