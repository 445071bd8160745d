#include "serve/requests.hpp"

#include <fmt/core.h>

#include <utility>

#include "serve/fields.hpp"
#include "serve/refusal.hpp"

namespace bitdistill::serving {
namespace {

constexpr std::size_t most_alternatives = 20, most_stops = 16, most_stop_bytes = 256;

std::vector<std::string> stops_of(fields& f) {
  const nlohmann::json* const value = f.find("stop");
  if (value == nullptr) return {};
  std::vector<std::string> stops;
  const nlohmann::json list = value->is_array() ? *value : nlohmann::json::array({*value});
  for (const nlohmann::json& stop : list) {
    if (!stop.is_string() || stop.get_ref<const std::string&>().empty() ||
        stop.get_ref<const std::string&>().size() > most_stop_bytes || stops.size() == most_stops)
      f.refuse("stop",
               fmt::format("at most {} texts of 1 to {} bytes", most_stops, most_stop_bytes));
    stops.push_back(stop.get<std::string>());
  }
  return stops;
}

void read_sampling(fields& f, generation_request& r) {
  tern::sampling_options& s = r.sampling;
  s.temperature = f.real("temperature", 0, 100).value_or(1);
  s.top_p = f.real("top_p", 0, 1).value_or(1);
  if (s.top_p == 0) f.refuse("top_p", "a number above 0");
  s.min_p = f.real("min_p", 0, 1).value_or(0);
  s.top_k = f.whole("top_k", 0, 1 << 24).value_or(0);
  s.repetition_penalty = f.real("repetition_penalty", 1e-3, 1e3).value_or(1);
  const auto seed = f.whole("seed");
  r.seeded = seed.has_value();
  s.seed = seed.value_or(0);
}

/// Reads what completions and chats have in common, except max_tokens and logprobs.
void read_common(fields& f, generation_request& r) {
  r.model = f.text("model").value_or("");
  read_sampling(f, r);
  r.stop = stops_of(f);
  r.stream = f.flag("stream").value_or(false);
  if (const nlohmann::json* const options = f.find("stream_options")) {
    fields o(*options, "stream_options");
    r.include_usage = o.flag("include_usage").value_or(false);
    o.finish();
    if (!r.stream) f.refuse("stream_options", "stream to be true beside it");
  }
  f.only("n", {1});
  f.only("presence_penalty", {0});
  f.only("frequency_penalty", {0});
  f.only("logit_bias", {nlohmann::json::object()});
  f.ignore({"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"});
}

std::string content_of(fields& message) {
  const nlohmann::json& content = message.required("content");
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array()) message.refuse("content", "a text or a list of parts");
  std::string text;
  for (std::size_t i = 0; i < content.size(); ++i) {
    fields part(content[i], fmt::format("content[{}]", i));
    part.required("type");
    part.only("type", {"text"});
    part.required("text");
    text += *part.text("text");
    part.finish();
  }
  return text;
}

tern::chat_message message_of(const nlohmann::json& value, std::size_t index) {
  fields f(value, fmt::format("messages[{}]", index));
  f.required("role");
  std::string role = *f.text("role");
  if (role == "developer") role = "system";
  if (role != "system" && role != "user" && role != "assistant")
    f.refuse("role", "system, developer, user or assistant");
  tern::chat_message message{std::move(role), content_of(f)};
  f.only("tool_calls", {nlohmann::json::array()});
  f.only("annotations", {nlohmann::json::array()});
  f.finish();
  return message;
}

/// The items of a list, or the value itself as the only item.
nlohmann::json items_of(fields& f, const char* name, bool single) {
  const nlohmann::json& value = f.required(name);
  const nlohmann::json items = single ? nlohmann::json::array({value}) : value;
  if (!items.is_array() || items.empty() || items.size() > most_inputs)
    f.refuse(name, fmt::format("1 to {} inputs", most_inputs));
  return items;
}

}  // namespace

completion_request parse_completion(std::string_view body) {
  fields f(body);
  completion_request r;
  read_common(f, r);
  r.max_tokens = f.whole("max_tokens", 0, 1 << 24);
  r.logprobs = f.whole("logprobs", 0, most_alternatives);
  const nlohmann::json& prompt = f.required("prompt");
  if (prompt.is_string())
    r.prompt = prompt.get<std::string>();
  else if (prompt.is_array() && prompt.size() == 1 && prompt[0].is_string())
    r.prompt = prompt[0].get<std::string>();
  else if (is_token_list(prompt))
    r.prompt = prompt.get<std::vector<std::int32_t>>();
  else
    f.refuse("prompt", "one text, or a list of tokens");
  f.only("best_of", {1});
  f.only("echo", {false});
  f.only("suffix", {""});
  f.finish();
  return r;
}

chat_request parse_chat(std::string_view body) {
  fields f(body);
  chat_request r;
  read_common(f, r);
  r.max_tokens = f.whole("max_tokens", 0, 1 << 24);
  const auto completion_tokens = f.whole("max_completion_tokens", 0, 1 << 24);
  if (r.max_tokens && completion_tokens)
    f.refuse("max_tokens", "no max_completion_tokens beside it");
  if (completion_tokens) r.max_tokens = completion_tokens;
  const auto alternatives = f.whole("top_logprobs", 0, most_alternatives);
  if (f.flag("logprobs").value_or(false))
    r.logprobs = alternatives.value_or(0);
  else if (alternatives.value_or(0) != 0)
    f.refuse("top_logprobs", "logprobs to be true beside it");
  const nlohmann::json& messages = f.required("messages");
  if (!messages.is_array() || messages.empty()) f.refuse("messages", "at least one message");
  for (const nlohmann::json& m : messages) r.messages.push_back(message_of(m, r.messages.size()));
  if (const nlohmann::json* const arguments = f.find("chat_template_kwargs")) {
    fields a(*arguments, "chat_template_kwargs");
    r.enable_thinking = a.flag("enable_thinking").value_or(true);
    a.finish();
  }
  f.only("response_format", {{{"type", "text"}}});
  f.only("modalities", {nlohmann::json::array({"text"})});
  f.only("tools", {nlohmann::json::array()});
  f.only("functions", {nlohmann::json::array()});
  f.only("tool_choice", {"none", "auto"});
  f.only("function_call", {"none", "auto"});
  f.only("parallel_tool_calls", {true, false});
  f.finish();
  return r;
}

embedding_request parse_embedding(std::string_view body) {
  fields f(body);
  embedding_request r;
  r.model = f.text("model").value_or("");
  const nlohmann::json& input = f.required("input");
  const bool single = input.is_string() || (!input.empty() && is_token_list(input));
  for (const nlohmann::json& item : items_of(f, "input", single)) {
    if (item.is_string())
      r.input.emplace_back(item.get<std::string>());
    else if (is_token_list(item))
      r.input.emplace_back(item.get<std::vector<std::int32_t>>());
    else
      f.refuse("input", "texts or lists of tokens");
  }
  const std::string format = f.text("encoding_format").value_or("float");
  if (format != "float" && format != "base64") f.refuse("encoding_format", "float or base64");
  r.base64 = format == "base64";
  f.ignore({"user"});
  f.finish();
  return r;
}

classify_request parse_classify(std::string_view body) {
  fields f(body);
  classify_request r;
  r.model = f.text("model").value_or("");
  for (const nlohmann::json& item : items_of(f, "input", !f.required("input").is_array())) {
    auto& columns = r.input.emplace_back();
    if (item.is_string()) {
      columns[""] = item.get<std::string>();
      continue;
    }
    if (!item.is_object()) f.refuse("input", "texts, or objects with a text for each column");
    for (const auto& [name, value] : item.items()) {
      if (!value.is_string() || name.empty()) f.refuse("input", "a text for each named column");
      columns[name] = value.get<std::string>();
    }
  }
  f.ignore({"user"});
  f.finish();
  return r;
}

tokenize_request parse_tokenize(std::string_view body) {
  fields f(body);
  tokenize_request r;
  f.required("content");
  r.content = *f.text("content");
  r.add_special = f.flag("add_special").value_or(false);
  r.parse_special = f.flag("parse_special").value_or(true);
  f.finish();
  return r;
}

detokenize_request parse_detokenize(std::string_view body) {
  fields f(body);
  detokenize_request r{f.tokens("tokens")};
  f.finish();
  return r;
}

}  // namespace bitdistill::serving
