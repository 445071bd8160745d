// The command generate: text from a model.
#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include "chat.hpp"
#include "commands.hpp"
#include "format.hpp"
#include "machine.hpp"
#include "standard_output.hpp"
#include "tern/checkpoint/load_model.hpp"
#include "tern/core/stopwatch.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/infer/generate.hpp"
#include "tern/io/text_file.hpp"
#include "tern/text/chat_prompt.hpp"
#include "tern/text/chat_template.hpp"
#include "tern/text/end_tokens.hpp"
#include "texts.hpp"

namespace bitdistill {
namespace {

/// The prompt that --prompt or the standard input gives.
std::string given_prompt(const options& o) {
  if (o.has("--prompt")) return o.prompt;
  std::string text = tern::checked_text(std::string(std::istreambuf_iterator<char>(std::cin), {}),
                                        "standard input");
  for (const char end : {'\n', '\r'})
    if (text.ends_with(end)) text.pop_back();
  return text;
}

/// Puts the prompt into the chat template of the model; see chat_text().
std::string chat_of(const options& o, const tern::model_text& text, const std::string& prompt,
                    const std::string& model_type) {
  std::vector<tern::chat_message> messages;
  if (!o.system.empty()) messages.push_back({"system", o.system});
  messages.push_back({"user", prompt});
  if (o.no_think && !can_skip_thoughts(text))
    throw tern::config_error("--no-think: the chat template of the model has no enable_thinking");
  auto chat = chat_text(text, messages, !o.no_think, model_type);
  tern::require_control_tokens(*text.tokenizer, chat, messages);
  return chat;
}

tern::generation_options options_of(const options& o, const tern::model_text& text,
                                    std::size_t vocab_size) {
  tern::generation_options g;
  g.sampling = {o.temperature, o.top_k, o.top_p, o.min_p, o.repetition_penalty, o.seed.value_or(1)};
  g.max_tokens = o.max_tokens;
  g.stop_strings = o.stop;
  g.stop_tokens = ends_of(text, o.end_tokens, o.chat);
  g.never = tern::ids_without_text(*text.tokenizer, vocab_size, g.stop_tokens);
  return g;
}

/// The number of positions that prompt and answer may take: --context, or fewer by default where
/// the model reads fewer. Throws config_error where the model reads fewer than --context says, and
/// where the prompt alone takes more.
std::size_t context_of(const options& o, const tern::model_config& config, std::size_t prompt) {
  const std::size_t most = config.max_position_embeddings;
  if (o.has("--context") && o.context > most)
    throw tern::config_error(
        fmt::format("--context {}: the model reads at most {} tokens (max_position_embeddings)",
                    o.context, most));
  const std::size_t context = std::min(o.context, most);
  if (prompt > context)
    throw tern::config_error(fmt::format("the prompt has {} tokens, but {} allows {}", prompt,
                                         context == most ? "the model" : "--context", context));
  return context;
}

/// Says what a reader of the answer should know and could not see.
void print_notes(const options& o, std::span<const std::int32_t> prompt, std::size_t context,
                 const tern::generation& result, const tern::bpe_tokenizer& tokenizer) {
  if (result.finish == tern::finish_reason::length && result.tokens.size() < o.max_tokens)
    say(fmt::format(
        "bitdistill: note: the answer was cut: prompt and answer fill the context of {} tokens",
        context));
  if (prompt.size() > 1 && prompt[0] == prompt[1] &&
      tokenizer.decode(prompt.first(1), true).empty())
    say(fmt::format(
        "bitdistill: note: the prompt begins with {} twice: the tokenizer adds it, so it should "
        "not stand in the text",
        tokenizer.token_text(prompt[0])));
}

}  // namespace

void generate(const options& o) {
  auto model = tern::load_model<>(o.model);
  const auto text = read_text_of(o.model, o.tokenizer);
  const auto& tokenizer = text.required(o.model);
  tern::thread_pool pool(o.threads);
  std::string words = given_prompt(o);
  if (o.chat) words = chat_of(o, text, words, model.config().model_type);
  const auto prompt =
      tokenizer.encode(words, tern::added_text::recognise,
                       o.chat ? tern::special_tokens::none : tern::special_tokens::add);
  if (prompt.empty()) throw tern::config_error("generate: the prompt is empty");
  const std::size_t context = context_of(o, model.config(), prompt.size());
  tern::session s(model,
                  {.capacity = std::min(context, prompt.size() + o.max_tokens),
                   .storage = kv_storage_of(o),
                   .alone = true},
                  pool);
  const tern::stopwatch watch;
  const auto result =
      tern::generate(s, tokenizer, prompt, options_of(o, text, model.config().vocab_size),
                     [](std::string_view part) {
                       put(part);
                       require_output();  // nobody could read what follows
                     });
  const double seconds = watch.seconds();
  put("\n");
  require_output();
  print_notes(o, prompt, context, result, tokenizer);
  say(fmt::format("{} + {} tokens in {:.2f} s", prompt.size(), result.tokens.size(), seconds));
}

}  // namespace bitdistill
