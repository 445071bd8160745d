// The bodies of requests: what is understood, and what is refused by name.
#include "serve/requests.hpp"

#include <string>
#include <variant>
#include <vector>

#include "serve/refusal.hpp"
#include "tests/message.hpp"
#include "tests/support.hpp"

using namespace bitdistill::serving;

namespace {

/// The message with which f refuses a request, with its status before it.
template <class F>
std::string refused(F&& f) {
  try {
    f();
  } catch (const refusal& e) {
    return std::to_string(e.status) + " " + e.what();
  }
  return "not refused";
}

/// A body that has `member` beside what is needed.
std::string with(const std::string& needed, const std::string& member) {
  return "{" + needed + (member.empty() ? "" : ", ") + member + "}";
}

const std::string prompt = R"("prompt": "a")";
const std::string messages = R"("messages": [{"role": "user", "content": "a"}])";

}  // namespace

TEST_CASE("a completion has the defaults of OpenAI's interface") {
  const auto r = parse_completion(with(prompt, ""));
  CHECK(std::get<std::string>(r.prompt) == "a");
  CHECK(r.sampling.temperature == 1);
  CHECK(r.sampling.top_p == 1);
  CHECK(!r.seeded);
  CHECK(!r.stream);
  CHECK(!r.max_tokens);
  CHECK(!r.logprobs);
  CHECK(r.stop.empty());
}

TEST_CASE("the settings of a completion are read") {
  const auto r = parse_completion(with(prompt, R"("model": "m", "max_tokens": 7, "temperature": 0.5,
      "top_p": 0.9, "top_k": 40, "min_p": 0.1, "repetition_penalty": 1.1, "seed": 18446744073709551615,
      "stop": ["\n", "é"], "logprobs": 3, "stream": true, "stream_options": {"include_usage": true}, "n": 1,
      "user": "u", "suffix": null, "best_of": 1, "echo": false, "logit_bias": {})"));
  CHECK(r.model == "m");
  CHECK(r.max_tokens == 7u);
  CHECK(r.sampling.temperature == 0.5);
  CHECK(r.sampling.top_p == 0.9);
  CHECK(r.sampling.top_k == 40);
  CHECK(r.sampling.min_p == 0.1);
  CHECK(r.sampling.repetition_penalty == 1.1);
  CHECK(r.seeded);
  CHECK(r.sampling.seed == 18446744073709551615u);
  CHECK(r.stop == std::vector<std::string>{"\n", "é"});
  CHECK(r.logprobs == 3u);
  CHECK(r.stream);
  CHECK(r.include_usage);
}

TEST_CASE("a prompt is a text or a list of tokens") {
  CHECK(std::get<std::string>(parse_completion(R"({"prompt": ["b"]})").prompt) == "b");
  CHECK(std::get<std::vector<std::int32_t>>(
            parse_completion(R"({"prompt": [1, 2147483647]})").prompt) ==
        std::vector<std::int32_t>{1, 2147483647});
}

TEST_CASE("the content of a message is a text or a list of texts") {
  const auto r = parse_chat(R"({"messages": [{"role": "developer", "content": "a"},
      {"role": "user", "content": [{"type": "text", "text": "b"}, {"type": "text", "text": "c"}]},
      {"role": "assistant", "content": "d", "refusal": null, "tool_calls": null, "annotations": []}],
      "max_completion_tokens": 5, "logprobs": true, "top_logprobs": 2, "tools": [], "tool_choice": "none",
      "response_format": {"type": "text"}, "chat_template_kwargs": {"enable_thinking": false}})");
  REQUIRE(r.messages.size() == 3);
  CHECK(r.messages[0].role == "system");
  CHECK(r.messages[1].content == "bc");
  CHECK(r.messages[2].role == "assistant");
  CHECK(r.max_tokens == 5u);
  CHECK(r.logprobs == 2u);
  CHECK(!r.enable_thinking);
}

TEST_CASE("what a completion does not support is refused by name") {
  const auto [member, message] = GENERATE(table<std::string, std::string>({
      {R"("n": 2)", "400 n is not supported; the only value is 1"},
      {R"("best_of": 3)", "400 best_of is not supported; the only value is 1"},
      {R"("echo": true)", "400 echo is not supported; the only value is false"},
      {R"("suffix": "x")", "400 suffix is not supported; the only value is \"\""},
      {R"("presence_penalty": 0.5)", "400 presence_penalty is not supported; the only value is 0"},
      {R"("logit_bias": {"5": 1})", "400 logit_bias is not supported; the only value is {}"},
      {R"("grammar": "x")", "400 grammar is not supported"},
      {R"("temperature": "hot")", "400 temperature: expected a number from 0 to 100"},
      {R"("temperature": -1)", "400 temperature: expected a number from 0 to 100"},
      {R"("temperature": 1e999)", "400 body: not valid JSON"},
      {R"("top_p": 0)", "400 top_p: expected a number above 0"},
      {R"("max_tokens": -1)", "400 max_tokens: expected a whole number from 0 to 16777216"},
      {R"("max_tokens": 1.5)", "400 max_tokens: expected a whole number from 0 to 16777216"},
      {R"("logprobs": 21)", "400 logprobs: expected a whole number from 0 to 20"},
      {R"("stop": "")", "400 stop: expected at most 16 texts of 1 to 256 bytes"},
      {R"("stop": [1])", "400 stop: expected at most 16 texts of 1 to 256 bytes"},
      {R"("stream": 1)", "400 stream: expected true or false"},
      {R"("stream_options": {})", "400 stream_options: expected stream to be true beside it"},
      {R"("model": 5)", "400 model: expected a text"},
      {R"("seed": -1)", "400 seed: expected a whole number"},
  }));
  INFO(member);
  const auto said = refused([&, m = member] { parse_completion(with(prompt, m)); });
  INFO(said);
  CHECK(said.starts_with(message));
}

TEST_CASE("a prompt of another kind is refused") {
  const std::string value =
      GENERATE("[\"a\", \"b\"]", "[[1], [2]]", "5", "{}", "[1, \"a\"]", "[-1]", "[2147483648]");
  INFO(value);
  CHECK(refused([&] { parse_completion("{\"prompt\": " + value + "}"); }) ==
        "400 prompt: expected one text, or a list of tokens");
}

TEST_CASE("what a chat does not support is refused by name") {
  const auto [member, message] = GENERATE(table<std::string, std::string>({
      {R"("tools": [{}])", "400 tools is not supported; the only value is []"},
      {R"("response_format": {"type": "json_object"})",
       "400 response_format is not supported; the only value is {\"type\":\"text\"}"},
      {R"("top_logprobs": 2)", "400 top_logprobs: expected logprobs to be true beside it"},
      {R"("max_tokens": 1, "max_completion_tokens": 1)",
       "400 max_tokens: expected no max_completion_tokens beside it"},
      {R"("chat_template_kwargs": {"x": 1})", "400 chat_template_kwargs.x is not supported"},
      {R"("prompt": "x")", "400 prompt is not supported"},
  }));
  INFO(member);
  CHECK(refused([&, m = member] { parse_chat(with(messages, m)); }) == message);
}

TEST_CASE("a message that is none is refused") {
  const auto [list, message] = GENERATE(table<std::string, std::string>({
      {"[]", "400 messages: expected at least one message"},
      {"{}", "400 messages: expected at least one message"},
      {"[5]", "400 messages[0]: expected an object"},
      {R"([{"content": "a"}])", "400 messages[0].role is missing"},
      {R"([{"role": "user"}])", "400 messages[0].content is missing"},
      {R"([{"role": "tool", "content": "a"}])",
       "400 messages[0].role: expected system, developer, user or assistant"},
      {R"([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}])",
       "400 content[0].type is not supported; the only value is \"text\""},
      {R"([{"role": "user", "content": 5}])",
       "400 messages[0].content: expected a text or a list of parts"},
  }));
  INFO(list);
  CHECK(refused([&, l = list] { parse_chat("{\"messages\": " + l + "}"); }) == message);
}

TEST_CASE("a body that is no object of JSON is refused") {
  const std::string body = GENERATE(as<std::string>{}, "", "[]", "5", "{", "{\"a\": \"\xFF\"}",
                                    R"({"prompt": "a", "prompt": "b"})", R"({"prompt": "\ud800"})");
  INFO(body);
  CHECK(refused([&] { parse_completion(body); }).starts_with("400 body: "));
}

TEST_CASE("inputs of embeddings are texts or lists of tokens") {
  CHECK(parse_embedding(R"({"input": "a"})").input.size() == 1);
  CHECK(parse_embedding(R"({"input": ["a", "b"]})").input.size() == 2);
  CHECK(parse_embedding(R"({"input": [1, 2]})").input.size() == 1);
  CHECK(parse_embedding(R"({"input": [[1], [2]], "encoding_format": "base64"})").base64);
  const std::string bad = GENERATE("[]", "[\"a\", 5]", "{}", "true");
  INFO(bad);
  CHECK(refused([&] { parse_embedding("{\"input\": " + bad + "}"); }).starts_with("400 input: "));
}

TEST_CASE("inputs of a classifier are texts or columns by name") {
  CHECK(parse_classify(R"({"input": "a"})").input[0].at("") == "a");
  const auto r = parse_classify(R"({"input": [{"x": "1", "y": "2"}, "b"]})");
  REQUIRE(r.input.size() == 2);
  CHECK(r.input[0].at("y") == "2");
  CHECK(r.input[1].at("") == "b");
  const std::string bad = GENERATE("[]", "5", "[{\"x\": 5}]", "[{\"\": \"a\"}]", "[[\"a\"]]");
  INFO(bad);
  CHECK(refused([&] { parse_classify("{\"input\": " + bad + "}"); }).starts_with("400 input: "));
}

TEST_CASE("texts become tokens and back by name") {
  const auto t = parse_tokenize(R"({"content": "a", "add_special": true, "parse_special": false})");
  CHECK(t.content == "a");
  CHECK(t.add_special);
  CHECK(!t.parse_special);
  CHECK(parse_detokenize(R"({"tokens": [3, 4]})").tokens == std::vector<std::int32_t>{3, 4});
  CHECK(refused([] { parse_tokenize("{}"); }) == "400 content is missing");
  CHECK(refused([] { parse_detokenize(R"({"tokens": ["a"]})"); }) ==
        "400 tokens: expected a list of tokens, which are whole numbers from 0 on");
}
