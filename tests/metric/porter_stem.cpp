#include "tern/metric/porter_stem.hpp"

#include "tests/metric/oracle.hpp"
#include "tests/support.hpp"

TEST_CASE("stems equal those of NLTK's PorterStemmer", "[porter_stem]") {
  const auto& stems = tern_test::text_metrics_oracle()["stems"];
  REQUIRE(stems.size() > 800);
  for (const auto& pair : stems) {
    INFO(pair.dump());
    CHECK(tern::porter_stem(pair[0].get<std::string>()) == pair[1].get<std::string>());
  }
}

TEST_CASE("words of one or two characters are their own stems", "[porter_stem]") {
  CHECK(tern::porter_stem("") == "");
  CHECK(tern::porter_stem("s") == "s");
  CHECK(tern::porter_stem("as") == "as");
}
