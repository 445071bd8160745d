#include "tern/metric/bleu.hpp"

#include "tests/metric/oracle.hpp"
#include "tests/support.hpp"

namespace {

using strings = std::vector<std::string>;

double bleu_of(const std::string& prediction, const strings& references,
               tern::bleu_order order = tern::bleu_order::four) {
  tern::bleu sums;
  sums.add(prediction, references);
  return sums.score(order);
}

auto near(double value) { return Approx(value).margin(1e-10).epsilon(0); }

}  // namespace

TEST_CASE("BLEU of a sentence equals sacrebleu on generated texts", "[bleu]") {
  const auto& pairs = tern_test::text_metrics_oracle()["pairs"];
  REQUIRE(pairs.size() >= 1000);
  for (const auto& row : pairs) {
    const auto prediction = row[0].get<std::string>();
    const auto references = row[1].get<strings>();
    INFO(row.dump());
    REQUIRE(bleu_of(prediction, references) == near(row[5].get<double>()));
    REQUIRE(bleu_of(prediction, references, tern::bleu_order::effective) ==
            near(row[6].get<double>()));
  }
}

TEST_CASE("BLEU of a corpus equals sacrebleu on generated texts", "[bleu]") {
  const auto& oracle = tern_test::text_metrics_oracle();
  for (const auto& corpus : oracle["corpora"]) {
    tern::bleu sums;
    const auto begin = corpus[0].get<std::size_t>(), size = corpus[1].get<std::size_t>();
    for (std::size_t i = begin; i < begin + size; ++i)
      sums.add(oracle["pairs"][i][0].get<std::string>(), oracle["pairs"][i][1].get<strings>());
    INFO(corpus.dump());
    CHECK(sums.score() == near(corpus[2].get<double>()));
    CHECK(sums.score(tern::bleu_order::effective) == near(corpus[3].get<double>()));
  }
}

TEST_CASE("a prediction that equals a reference scores 100", "[bleu]") {
  CHECK(bleu_of("one two three four", {"five", "one two three four"}) == Approx(100));
}

TEST_CASE("short predictions need the effective order", "[bleu]") {
  CHECK(bleu_of("one two", {"one two"}) == 0);
  CHECK(bleu_of("one two", {"one two"}, tern::bleu_order::effective) == Approx(100));
}

TEST_CASE("BLEU is 0 without a match, and without a prediction", "[bleu]") {
  CHECK(tern::bleu().score() == 0);
  CHECK(bleu_of("a b c d", {"e f g h"}, tern::bleu_order::effective) == 0);
  CHECK(bleu_of("", {"a"}) == 0);
}

TEST_CASE("a reference of the same distance is chosen by its smaller length", "[bleu]") {
  // With a length of 2 there is no brevity penalty; with one of 4 there would be one.
  CHECK(bleu_of("a b c", {"a b c x", "a b"}, tern::bleu_order::effective) == Approx(100));
}

TEST_CASE("a prediction without a reference is refused", "[bleu]") {
  CHECK_THROWS_AS(tern::bleu().add("a", {}), tern::config_error);
}

TEST_CASE("tokens of 13a", "[tokenize_13a]") {
  const auto [name, text, tokens] = GENERATE(table<std::string, std::string, strings>(
      {{"symbols stand alone", "(a)/b&c", {"(", "a", ")", "/", "b", "&", "c"}},
       {"apostrophes and hyphens do not", "it's well-known", {"it's", "well-known"}},
       {"a point inside a number does not", "1,250.75", {"1,250.75"}},
       {"a point at an end of a number does", "5. .5,", {"5", ".", ".", "5", ","}},
       {"a hyphen behind a digit does", "3-2 a-2", {"3", "-", "2", "a-2"}},
       {"a line broken at a hyphen is joined", "exam-\nple\nend", {"example", "end"}},
       {"entities, in one pass each", "&quot;&amp;lt;&gt;", {"\"", "<", ">"}},
       {"the mark of skipped segments is left out", "a <skipped>b", {"a", "b"}},
       {"white space outside ASCII",
        "a\u00a0b\u3000c\u2003d\u0085e\u200bf",
        {"a", "b", "c", "d", "e\u200bf"}},
       {"a hyphen at the end, for space is stripped first", "a-\n", {"a-"}},
       {"malformed UTF-8 stays", "a\xE2\x80 b", {"a\xE2\x80", "b"}}}));
  INFO(name);
  CHECK(tern::tokenize_13a(text) == tokens);
}
