// The tokens of a calibration: how many come from the corpus and from the task, and what is
// refused.
#include "tern/recipe/calibration_tokens.hpp"

#include <set>
#include <string>

#include "tests/message.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

struct calibration_text {
  std::vector<std::int32_t> stream;
  std::vector<token_example> examples;
};

calibration_text numbered_text(std::size_t stream, std::size_t examples) {
  calibration_text text;
  for (std::size_t i = 0; i < stream; ++i)
    text.stream.push_back(static_cast<std::int32_t>(i % 100));
  for (std::size_t i = 0; i < examples; ++i)
    text.examples.push_back({std::vector<std::int32_t>(10, static_cast<std::int32_t>(i % 9)), 8});
  return text;
}

token_batch tokens_of(const calibration_text& text, const calibration_choice& choice,
                      std::uint64_t seed = 1) {
  return calibration_tokens(text.stream, text.examples, choice, 100, seed);
}

calibration_choice calibration_of(std::size_t tokens, double task_share = 0.5) {
  calibration_choice c;
  c.tokens = tokens;
  c.length = 20;
  c.task_share = task_share;
  return c;
}

}  // namespace

TEST_CASE("corpus and task share the tokens") {
  const auto [name, stream, examples, share, of_task, windows] =
      GENERATE(table<std::string, std::size_t, std::size_t, double, std::size_t, std::size_t>({
          {"both", 1000, 100, 0.5, 10, 5},
          {"a quarter of the task", 1000, 100, 0.25, 5, 7},
          {"the corpus alone", 1000, 0, 0.5, 0, 10},
          {"the task alone", 0, 100, 0.5, 20, 0},
          {"less than was asked for", 50, 2, 0.5, 2, 2},
      }));
  INFO(name);
  const token_batch batch = tokens_of(numbered_text(stream, examples), calibration_of(200, share));
  CHECK(batch.sequences() == of_task + windows);
  CHECK(batch.tokens.size() == 10 * of_task + 20 * windows);
}

TEST_CASE("the seed draws the windows, and none is drawn twice") {
  const auto d = numbered_text(1000, 0);
  const auto a = tokens_of(d, calibration_of(400)), b = tokens_of(d, calibration_of(400), 2);
  CHECK(a.tokens != b.tokens);
  CHECK(a.tokens == tokens_of(d, calibration_of(400)).tokens);
  // Window i of this stream begins with the token 20 i mod 100.
  const auto all = tokens_of(d, calibration_of(1000));
  CHECK(all.sequences() == 50);
  CHECK(std::multiset<std::int32_t>(all.tokens.begin(), all.tokens.end()) ==
        std::multiset<std::int32_t>(d.stream.begin(), d.stream.end()));
}

TEST_CASE("text that cannot be calibrated on is refused") {
  calibration_text same = numbered_text(0, 0), foreign = numbered_text(100, 0);
  same.stream.assign(100, 4);
  foreign.stream[3] = 100;
  const auto [name, d, c, reason] =
      GENERATE_COPY(table<std::string, calibration_text, calibration_choice, std::string>({
          {"text shorter than a window", numbered_text(7, 0), calibration_of(200),
           "calibration: the text has 7 tokens, and a window needs 20"},
          {"one token again and again", same, calibration_of(200),
           "calibration: all 100 tokens are the same"},
          {"text of another tokenizer", foreign, calibration_of(200),
           "calibration: token 100 is outside of the model's vocabulary of 100 tokens"},
          {"too few tokens", numbered_text(100, 0), calibration_of(19),
           "calibration: 19 tokens are too few for one window or example"},
          {"no tokens", numbered_text(100, 0), calibration_of(0),
           "calibration: tokens and length must be positive"},
      }));
  INFO(name);
  const auto message =
      tern_test::message_of<config_error>([&, &text = d, &how = c] { tokens_of(text, how); });
  INFO(message);
  CHECK(message.starts_with(reason));
}
