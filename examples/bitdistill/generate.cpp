// The command generate: text from a model.
#include <fmt/core.h>

#include <chrono>
#include <cstdio>
#include <iostream>
#include <iterator>

#include "commands.hpp"
#include "format.hpp"
#include "machine.hpp"
#include "tern/checkpoint/load_model.hpp"
#include "tern/checkpoint/load_tokenizer.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/infer/generate.hpp"
#include "tern/text/chat_template.hpp"
#include "tern/text/end_tokens.hpp"

namespace bitdistill {
namespace {

std::string prompt_text(const options& o, const tern::model_config& config) {
  std::string text =
      o.prompts.empty() ? std::string(std::istreambuf_iterator<char>(std::cin), {}) : o.prompts[0];
  if (o.prompts.empty() && text.ends_with('\n')) text.pop_back();
  if (!o.chat) return text;
  tern::chat_template_options chat;
  chat.thoughts = config.model_type == "qwen3";
  chat.enable_thinking = !o.no_think;
  chat.system = o.system;
  if (chat.system.empty() && config.model_type == "qwen2") chat.system = tern::qwen2_system;
  const tern::chat_message message{"user", text};
  return tern::apply_chat_template({&message, 1}, chat);
}

tern::generation_options options_of(const options& o, const tern::bpe_tokenizer& tokenizer) {
  tern::generation_options g;
  g.sampling = {o.temperature, o.top_k, o.top_p, o.min_p, o.repetition_penalty, o.seed.value_or(1)};
  g.max_tokens = o.max_tokens;
  g.stop_strings = o.stop;
  g.stop_tokens = tern::end_tokens(tokenizer);
  return g;
}

}  // namespace

void generate(const options& o) {
  auto model = tern::load_model<>(o.model);
  const auto tokenizer = tern::load_tokenizer(o.model);
  tern::thread_pool pool(o.threads);
  tern::session s(model, {.capacity = o.context, .storage = kv_storage_of(o)}, pool);
  const auto prompt =
      tokenizer.encode(prompt_text(o, model.config()), tern::added_text::recognise,
                       o.chat ? tern::special_tokens::none : tern::special_tokens::add);
  if (prompt.empty()) throw tern::config_error("generate: the prompt is empty");
  const auto start = std::chrono::steady_clock::now();
  const auto result =
      tern::generate(s, tokenizer, prompt, options_of(o, tokenizer), [](std::string_view text) {
        fmt::print("{}", text);
        std::fflush(stdout);
      });
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  fmt::print("\n");
  std::fflush(stdout);
  fmt::print(stderr, "{} + {} tokens in {:.2f} s\n", prompt.size(), result.tokens.size(), seconds);
}

}  // namespace bitdistill
