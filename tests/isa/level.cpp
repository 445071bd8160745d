#include "tern/isa/level.hpp"

#include "tests/message.hpp"
#include "tests/support.hpp"

using namespace tern;

TEST_CASE("level names go both ways") {
  for (const isa::level l : isa::levels) CHECK(isa::parse(isa::name(l)) == l);
  std::string known;
  for (const isa::level l : isa::levels)
    known += (known.empty() ? "" : ", ") + std::string(name(l));
  CHECK(tern_test::message_of<config_error>([] { isa::parse("sse9"); }) ==
        "TERN_ISA: expected one of " + known + ", got sse9");
}

TEST_CASE("the active level is supported") {
  CHECK(isa::supported(isa::level::scalar));
  CHECK(isa::supported(isa::active()));
  // Set where an emulated CPU runs this.
  if (const char* expected = std::getenv("TERN_TEST_LEVEL"))
    CHECK(isa::name(isa::active()) == expected);
}

TEST_CASE("TERN_ISA caps the level") {
  const char* old = std::getenv("TERN_ISA");
  const std::string saved = old == nullptr ? "" : old;
  for (const isa::level cap : isa::levels) {
    setenv("TERN_ISA", std::string(isa::name(cap)).c_str(), 1);
    const isa::level found = isa::detail::best();
    CHECK(found <= cap);
    CHECK(isa::supported(found));
    if (isa::supported(cap)) CHECK(found == cap);
  }
  setenv("TERN_ISA", "fastest", 1);
  CHECK_THROWS_AS(isa::detail::best(), config_error);
  setenv("TERN_ISA", saved.c_str(), 1);
}
