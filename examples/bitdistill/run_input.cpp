#include "run_input.hpp"

#include <fmt/core.h>

#include <cstdint>
#include <span>
#include <utility>

#include "tern/checkpoint/load_model.hpp"
#include "tern/data/token_windows.hpp"
#include "texts.hpp"

namespace bitdistill {
namespace {

/// Refuses tokens for which the model has no row.
void require_rows(const tern::bpe_tokenizer& tokenizer, std::span<const std::int32_t> tokens,
                  std::size_t rows) {
  for (const std::int32_t token : tokens)
    if (static_cast<std::size_t>(token) >= rows)
      throw tern::config_error(
          fmt::format("the data use the token \"{}\" with the id {}, and the "
                      "model has {} tokens",
                      tokenizer.token_text(token), token, rows));
}

}  // namespace

void require_usable(const settings& s, const run_input& input) {
  const tern::bpe_tokenizer& tokenizer = *input.text.tokenizer;
  const tern::task_data& data = input.data;
  const std::size_t rows = s.recipe.model.vocab_size;
  require_rows(tokenizer, data.stream, rows);
  for (const auto* part : {&data.train, &data.dev, &data.test})
    for (const auto& example : part->examples) require_rows(tokenizer, example.tokens, rows);
  for (const auto& example : data.unlabelled) require_rows(tokenizer, example.tokens, rows);
  for (const tern::stage& each : s.recipe.stages) {
    if (tern::is_model_path(each.teacher)) require_same_vocabulary(each.teacher, tokenizer);
    for (const auto& origin : {each.from, each.teacher})
      if (tern::is_model_path(origin)) static_cast<void>(tern::load_model<>(origin));
    if (each.data == tern::stage_data::corpus)
      static_cast<void>(tern::token_windows(data.stream, each.length, each.seed));
  }
  const std::size_t most = s.recipe.model.max_position_embeddings + 1;  // the last is not read
  for (const auto& [name, part] :
       {std::pair("training", &data.train), {"dev", &data.dev}, {"test", &data.test}})
    for (std::size_t i = 0; i < part->examples.size(); ++i)
      if (const std::size_t tokens = part->examples[i].tokens.size(); tokens > most)
        throw tern::config_error(fmt::format(
            "{} example {} has {} tokens with its answer, but the model reads {}: lower "
            "data.prompt_tokens, since answers are not cut",
            name, i + 1, tokens, most - 1));
}

run_input read_input(settings& s, tern::executor_ref ex) {
  const auto texts = load_texts(s.recipe);
  auto text = make_text(s, texts);
  if (s.model.empty()) s.recipe.model.vocab_size = text.tokenizer->vocab_size();
  auto data = tern::tokenize_task(texts, *text.tokenizer, s.recipe.data, ex, text.conventions);
  run_input input{std::move(text), std::move(data)};
  require_usable(s, input);
  return input;
}

void add_text(const tern::model_text& text, const std::filesystem::path& folder) {
  if (!std::filesystem::exists(folder / "tokenizer.json")) tern::save_model_text(text, folder);
}

}  // namespace bitdistill
