// Accuracy and speed of a model folder.
#include <fmt/core.h>

#include "commands.hpp"
#include "format.hpp"
#include "settings.hpp"
#include "tern/model/checkpoint.hpp"
#include "tern/train/evaluate.hpp"
#include "texts.hpp"

namespace bitdistill {
namespace {

std::span<const tern::task_example> part_of(const tern::task_data& data, const std::string& name) {
  if (name == "train") return data.train;
  if (name == "dev") return data.dev;
  if (name == "test") return data.test;
  return data.reported();
}

}  // namespace

void evaluate(const options& o) {
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
