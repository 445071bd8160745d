#include "tern/metric/text_metric.hpp"

#include "tern/metric/bits_per_byte.hpp"
#include "tests/message.hpp"
#include "tests/support.hpp"

namespace {

using strings = std::vector<std::string>;

const strings predictions{"a b c d e", "x"};
const std::vector<strings> references{{"a b c d e"}, {"y", "x z"}};

}  // namespace

TEST_CASE("metrics of texts by name, in percent", "[text_metric]") {
  const auto [name, value] =
      GENERATE(table<std::string, double>({{"accuracy", 50},
                                           {"rouge1", (100 + 200. / 3) / 2},
                                           {"rouge2", 50},
                                           {"rougeL", (100 + 200. / 3) / 2},
                                           {"rougeLsum", (100 + 200. / 3) / 2},
                                           {"bleu", 100}}));
  INFO(name);
  CHECK(tern::score_texts(name, {predictions, references}) == Approx(value));
}

TEST_CASE("accuracy accepts each of the references", "[text_metric]") {
  const strings wrote{"yes", "no", "Yes"};
  const std::vector<strings> right{{"no", "yes"}, {"yes"}, {"yes"}};
  CHECK(tern::accuracy(wrote, right) == Approx(100. / 3));
}

TEST_CASE("an unknown metric is refused with the names of all", "[text_metric]") {
  const auto message = tern_test::message_of<tern::config_error>([] {
    tern::score_texts("rouge", {predictions, references});
  });
  CHECK(message.starts_with("unknown metric 'rouge', expected one of accuracy, bleu, "));
  for (const auto& metric : tern::text_metrics) {
    INFO(metric.name);
    CHECK(message.find(metric.name) != std::string::npos);
  }
}

TEST_CASE("metrics refuse texts that they cannot compare", "[text_metric]") {
  const std::vector<strings> lacking{{"a"}, {}};
  CHECK_THROWS_AS(tern::score_texts("bleu", {{}, {}}), tern::config_error);
  CHECK_THROWS_AS(tern::score_texts("bleu", {predictions, lacking}), tern::config_error);
  CHECK_THROWS_AS(tern::score_texts("bleu", {predictions, std::span(references).first(1)}),
                  tern::shape_error);
  CHECK_THROWS_AS(tern::accuracy(predictions, std::span(references).first(1)), tern::shape_error);
  CHECK_THROWS_AS(tern::accuracy({}, {}), tern::config_error);
}

TEST_CASE("bits per byte are nats over ln 2 and the number of bytes", "[bits_per_byte]") {
  CHECK(tern::bits_per_byte(8 * std::numbers::ln2, 4) == Approx(2));
  CHECK_THROWS_AS(tern::bits_per_byte(1, 0), tern::config_error);
}
