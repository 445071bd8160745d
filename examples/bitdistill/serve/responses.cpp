#include "serve/responses.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <ctime>
#include <random>
#include <string_view>
#include <utility>

#include "tern/core/utf8.hpp"

namespace bitdistill::serving {
namespace {

/// A name that no other answer of this or another process has.
std::string new_id(const char* prefix) {
  static const std::uint64_t process = [] {
    std::random_device random;
    return static_cast<std::uint64_t>(random()) << 32 | random();
  }();
  static std::atomic<std::uint64_t> count{0};
  return fmt::format("{}-{:016x}{:08x}", prefix, process, count++);
}

const char* finish_name(tern::finish_reason reason) {
  return reason == tern::finish_reason::length ? "length" : "stop";
}

const char* error_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    default:
      return status < 500 ? "invalid_request_error" : "server_error";
  }
}

/// The text of a token, or its bytes as "\xe2\x98" where it is only a part of a character.
std::string token_name(std::string_view text) {
  if (tern::find_invalid_utf8(text) == text.size()) return std::string(text);
  std::string name;
  for (const char c : text) name += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  return name;
}

std::string base64_text(std::string_view bytes) {
  constexpr std::string_view digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t n = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t j = 0; j < 3; ++j)
      group = group << 8 | (j < n ? static_cast<unsigned char>(bytes[i + j]) : 0U);
    for (std::size_t j = 0; j < 4; ++j) text += j <= n ? digits[group >> (18 - 6 * j) & 63] : '=';
  }
  return text;
}

std::size_t characters(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; }));
}

}  // namespace

std::string to_text(const ordered_json& value) {
  return value.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

ordered_json error_json(int status, const std::string& message, const std::string& code) {
  return {{"error",
           {{"message", message},
            {"type", error_type(status)},
            {"param", nullptr},
            {"code", code.empty() ? ordered_json(nullptr) : ordered_json(code)}}}};
}

ordered_json usage_json(std::size_t prompt, std::size_t completion) {
  return {{"prompt_tokens", prompt},
          {"completion_tokens", completion},
          {"total_tokens", prompt + completion}};
}

ordered_json vector_json(std::span<const float> values, bool base64) {
  if (!base64) return values;
  std::string bytes;
  for (const float v : values)
    for (int shift = 0; shift < 32; shift += 8)
      bytes += static_cast<char>(std::bit_cast<std::uint32_t>(v) >> shift & 0xFF);
  return base64_text(bytes);
}

answer_json::answer_json(bool chat, bool logprobs, std::string model,
                         const tern::bpe_tokenizer& tokenizer)
    : chat_(chat),
      logprobs_(logprobs),
      model_(std::move(model)),
      id_(new_id(chat ? "chatcmpl" : "cmpl")),
      created_(static_cast<std::int64_t>(std::time(nullptr))),
      tokenizer_(tokenizer) {}

ordered_json answer_json::whole(const answer_part& all, tern::finish_reason finish,
                                std::size_t prompt, std::size_t completion) {
  ordered_json json = frame(chat_ ? "chat.completion" : "text_completion");
  ordered_json content =
      chat_ ? ordered_json{{"message", {{"role", "assistant"}, {"content", all.text}}}}
            : ordered_json{{"text", all.text}};
  json["choices"] = choices(std::move(content), logprobs_of(all), finish_name(finish));
  json["usage"] = usage_json(prompt, completion);
  return json;
}

ordered_json answer_json::opening() const {
  ordered_json json = streamed();
  json["choices"] =
      choices({{"delta", {{"role", "assistant"}, {"content", ""}}}}, nullptr, nullptr);
  return json;
}

ordered_json answer_json::piece(const answer_part& part) {
  ordered_json json = streamed();
  json["choices"] = choices(
      chat_ ? ordered_json{{"delta", {{"content", part.text}}}} : ordered_json{{"text", part.text}},
      logprobs_of(part), nullptr);
  return json;
}

ordered_json answer_json::end(tern::finish_reason finish) const {
  ordered_json json = streamed();
  json["choices"] =
      choices(chat_ ? ordered_json{{"delta", ordered_json::object()}} : ordered_json{{"text", ""}},
              nullptr, finish_name(finish));
  return json;
}

ordered_json answer_json::usage(std::size_t prompt, std::size_t completion) const {
  ordered_json json = streamed();
  json["choices"] = ordered_json::array();
  json["usage"] = usage_json(prompt, completion);
  return json;
}

ordered_json answer_json::frame(const char* object) const {
  return {{"id", id_}, {"object", object}, {"created", created_}, {"model", model_}};
}

ordered_json answer_json::streamed() const {
  return frame(chat_ ? "chat.completion.chunk" : "text_completion");
}

ordered_json answer_json::choices(const ordered_json& content, ordered_json logprobs,
                                  ordered_json finish) {
  ordered_json json{{"index", 0}};
  json.update(content);
  json["logprobs"] = std::move(logprobs);
  json["finish_reason"] = std::move(finish);
  return ordered_json::array({std::move(json)});
}

ordered_json answer_json::logprobs_of(const answer_part& part) {
  if (!logprobs_) return nullptr;
  return chat_ ? chat_logprobs(part) : completion_logprobs(part);
}

ordered_json answer_json::token_json(const scored_token& t) const {
  const std::string text = tokenizer_.token_text(t.token);
  auto bytes = ordered_json::array();
  for (const char c : text) bytes.push_back(static_cast<unsigned char>(c));
  return {{"token", token_name(text)}, {"logprob", t.log_probability}, {"bytes", std::move(bytes)}};
}

ordered_json answer_json::chat_logprobs(const answer_part& part) const {
  auto content = ordered_json::array();
  for (const token_logprobs& t : part.logprobs) {
    ordered_json entry = token_json(t.chosen);
    entry["top_logprobs"] = ordered_json::array();
    for (const scored_token& other : t.top) entry["top_logprobs"].push_back(token_json(other));
    content.push_back(std::move(entry));
  }
  return {{"content", std::move(content)}};
}

ordered_json answer_json::completion_logprobs(const answer_part& part) {
  ordered_json json{{"tokens", ordered_json::array()},
                    {"token_logprobs", ordered_json::array()},
                    {"top_logprobs", ordered_json::array()},
                    {"text_offset", ordered_json::array()}};
  for (const token_logprobs& t : part.logprobs) {
    const std::string text = tokenizer_.token_text(t.chosen.token);
    json["tokens"].push_back(token_name(text));
    json["token_logprobs"].push_back(t.chosen.log_probability);
    auto top = ordered_json::object();
    for (const scored_token& other : t.top)
      top[token_name(tokenizer_.token_text(other.token))] = other.log_probability;
    json["top_logprobs"].push_back(std::move(top));
    json["text_offset"].push_back(offset_);
    offset_ += characters(text);
  }
  return json;
}

}  // namespace bitdistill::serving
