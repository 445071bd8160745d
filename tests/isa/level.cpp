#include "tern/isa/level.hpp"

#include <algorithm>

#include "tests/message.hpp"
#include "tests/support.hpp"

using namespace tern;
using isa::level;

namespace {

/// Where a level stands in the order of preference.
std::ptrdiff_t position(level l) { return std::ranges::find(isa::levels, l) - isa::levels.begin(); }

}  // namespace

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
  // The variable is set where an emulated CPU runs this.
  if (const char* expected = std::getenv("TERN_TEST_LEVEL"))
    CHECK(isa::name(isa::active()) == expected);
}

TEST_CASE("TERN_ISA caps the level") {
  const char* old = std::getenv("TERN_ISA");
  const std::string saved = old == nullptr ? "" : old;
  for (const isa::level cap : isa::levels) {
    tern_test::set_environment("TERN_ISA", std::string(isa::name(cap)));
    const isa::level found = isa::detail::best();
    CHECK(position(found) <= position(cap));
    CHECK(isa::supported(found));
    if (isa::supported(cap)) CHECK(found == cap);
  }
  tern_test::set_environment("TERN_ISA", "fastest");
  CHECK_THROWS_AS(isa::detail::best(), config_error);
  tern_test::set_environment("TERN_ISA", saved);
}

TEST_CASE("a comparison of levels asks for their instructions") {
  struct row {
    const char* name;
    level part, whole;
    bool included;
  };
  const auto r = GENERATE(values<row>({
      {"scalar in SSE4.1", level::scalar, level::sse41, true},
      {"scalar in NEON", level::scalar, level::neon, true},
      {"a level in itself", level::avx2, level::avx2, true},
      {"SSE4.1 in AVX2", level::sse41, level::avx2, true},
      {"AVX2 in AVX-VNNI", level::avx2, level::avxvnni, true},
      {"AVX2 in AVX-512", level::avx2, level::avx512bw, true},
      {"AVX2 in AMX", level::avx2, level::amx, true},
      {"VNNI in VBMI", level::avx512vnni, level::avx512vbmi, true},
      {"VBMI in BF16", level::avx512vbmi, level::avx512bf16, true},
      {"BF16 in AMX", level::avx512bf16, level::amx, true},
      {"NEON in its dot products", level::neon, level::neon_dotprod, true},
      {"AVX2 in SSE4.1", level::avx2, level::sse41, false},
      {"AVX-VNNI in AVX-512 VNNI", level::avxvnni, level::avx512vnni, false},
      {"AVX-VNNI in AMX", level::avxvnni, level::amx, false},
      {"AVX-512 in AVX-VNNI", level::avx512bw, level::avxvnni, false},
      {"SSE4.1 in NEON", level::sse41, level::neon, false},
      {"AVX2 in NEON", level::avx2, level::neon, false},
      {"AVX2 in the dot products of NEON", level::avx2, level::neon_dotprod, false},
      {"AMX in the dot products of NEON", level::amx, level::neon_dotprod, false},
      {"NEON in AVX2", level::neon, level::avx2, false},
      {"NEON in AMX", level::neon, level::amx, false},
      {"something in scalar", level::sse41, level::scalar, false},
  }));
  DYNAMIC_SECTION(r.name) {
    const bool other = r.part != r.whole;
    CHECK((r.part <= r.whole) == r.included);
    CHECK((r.whole >= r.part) == r.included);
    CHECK((r.part < r.whole) == (r.included && other));
    CHECK((r.whole > r.part) == (r.included && other));
  }
}
