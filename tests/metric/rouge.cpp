#include "tern/metric/rouge.hpp"

#include <functional>

#include "tests/metric/oracle.hpp"
#include "tests/support.hpp"

namespace {

using strings = std::vector<std::string>;
using tern::rouge_stemming;

/// Compares best_rouge() of every pair with one value of the oracle's rows.
void require_equal_f1(
    const std::function<tern::rouge_score(const std::string&, const std::string&)>& score,
    const std::function<double(const nlohmann::json&)>& expected) {
  const auto& pairs = tern_test::text_metrics_oracle()["pairs"];
  REQUIRE(pairs.size() >= 1000);
  for (const auto& row : pairs) {
    const auto prediction = row[0].get<std::string>();
    const auto references = row[1].get<strings>();
    INFO(row.dump());
    REQUIRE(tern::best_rouge(references, [&](const std::string& reference) {
              return score(prediction, reference);
            }).f1 == Approx(expected(row)).margin(1e-12).epsilon(0));
  }
}

}  // namespace

TEST_CASE("ROUGE equals rouge-score on generated texts", "[rouge]") {
  const auto [name, stemming, where] = GENERATE(table<std::string, rouge_stemming, std::size_t>(
      {{"without stemming", rouge_stemming::none, 2},
       {"with stemming", rouge_stemming::porter, 3}}));
  const auto value = [where = where](std::size_t kind) {
    return [where, kind](const nlohmann::json& row) { return row[where][kind].get<double>(); };
  };
  DYNAMIC_SECTION("ROUGE-1 " << name) {
    require_equal_f1([&](auto& p, auto& r) { return tern::rouge_n(p, r, 1, stemming); }, value(0));
  }
  DYNAMIC_SECTION("ROUGE-2 " << name) {
    require_equal_f1([&](auto& p, auto& r) { return tern::rouge_n(p, r, 2, stemming); }, value(1));
  }
  DYNAMIC_SECTION("ROUGE-L " << name) {
    require_equal_f1([&](auto& p, auto& r) { return tern::rouge_l(p, r, stemming); }, value(2));
  }
  DYNAMIC_SECTION("ROUGE-Lsum " << name) {
    require_equal_f1([&](auto& p, auto& r) { return tern::rouge_lsum(p, r, stemming); }, value(3));
  }
}

TEST_CASE("ROUGE-3 equals rouge-score on generated texts", "[rouge]") {
  require_equal_f1([](auto& p, auto& r) { return tern::rouge_n(p, r, 3); },
                   [](const nlohmann::json& row) { return row[4].get<double>(); });
}

TEST_CASE("precision is relative to the prediction, recall to the reference", "[rouge]") {
  const auto score = tern::rouge_n("the cat sat down", "the cat", 1);
  CHECK(score.precision == 0.5);
  CHECK(score.recall == 1);
  CHECK(score.f1 == Approx(2.0 / 3));
}

TEST_CASE("a word counts at most as often as it stands in both texts", "[rouge]") {
  CHECK(tern::rouge_n("the the the the", "the the", 1).precision == 0.5);
  CHECK(tern::rouge_lsum("the", "the\nthe").recall == 0.5);
}

TEST_CASE("line ends separate sentences in ROUGE-Lsum only", "[rouge]") {
  const std::string one = "a b\nc d", other = "c d\na b";
  CHECK(tern::rouge_l(one, other).f1 == 0.5);
  CHECK(tern::rouge_lsum(one, other).f1 == 1);
}

TEST_CASE("texts without words score 0", "[rouge]") {
  const auto [prediction, reference] = GENERATE(table<std::string, std::string>(
      {{"", ""}, {"", "word"}, {"word", ""}, {"...", "word"}, {"\n\n", "\n"}}));
  CAPTURE(prediction, reference);
  CHECK(tern::rouge_n(prediction, reference, 1).f1 == 0);
  CHECK(tern::rouge_l(prediction, reference).f1 == 0);
  CHECK(tern::rouge_lsum(prediction, reference).f1 == 0);
}

TEST_CASE("the best of several references counts", "[rouge]") {
  const strings references{"x", "a b", "a"};
  const auto score = [](const std::string& r) { return tern::rouge_n("a b", r, 1); };
  CHECK(tern::best_rouge(references, score).f1 == 1);
  CHECK_THROWS_AS(tern::best_rouge({}, score), tern::config_error);
}

TEST_CASE("n-grams of no token are refused", "[rouge]") {
  CHECK_THROWS_AS(tern::rouge_n("a", "a", 0), tern::config_error);
}

TEST_CASE("words are runs of letters and digits in lower case", "[rouge_tokens]") {
  const auto [name, text, words] = GENERATE(table<std::string, std::string, strings>(
      {{"punctuation", "Don't, e-mail: 3.5%", {"don", "t", "e", "mail", "3", "5"}},
       {"letters outside ASCII end a word", "na\u00efve caf\u00e9", {"na", "ve", "caf"}},
       {"the Kelvin sign is a k", "\u212aelvin 3\u212a", {"kelvin", "3k"}},
       {"a capital I with a dot is an i that ends its word", "K\u0130M", {"ki", "m"}},
       {"malformed UTF-8 ends a word", "a\xE2\x84 b\xC4", {"a", "b"}}}));
  INFO(name);
  CHECK(tern::rouge_tokens(text) == words);
}

TEST_CASE("words of three characters are not stemmed", "[rouge_tokens]") {
  CHECK(tern::rouge_tokens("Its cats was", rouge_stemming::porter) == strings{"its", "cat", "was"});
}
