// A table of implementations gives each level the best one that it can run.
#include "tern/isa/dispatch_table.hpp"

#include "tests/message.hpp"
#include "tests/support.hpp"

using namespace tern;
using isa::level;

namespace {

constexpr isa::dispatch_table<const char*> names_of_levels{{level::scalar, "scalar"},
                                                           {level::avx2, "avx2"},
                                                           {level::avxvnni, "avxvnni"},
                                                           {level::avx512bw, "avx512bw"},
                                                           {level::neon, "neon"}};

}  // namespace

TEST_CASE("a level takes the best implementation that it can run") {
  struct row {
    level at;
    std::string expected;
  };
  const auto r = GENERATE(values<row>({
      {level::scalar, "scalar"},
      {level::sse41, "scalar"},
      {level::avx2, "avx2"},
      {level::avxvnni, "avxvnni"},
      {level::avx512bw, "avx512bw"},
      {level::avx512vnni, "avx512bw"},  // it has no AVX-VNNI
      {level::avx512vbmi, "avx512bw"},
      {level::avx512bf16, "avx512bw"},
      {level::amx, "avx512bw"},
      {level::neon, "neon"},
      {level::neon_dotprod, "neon"},
  }));
  DYNAMIC_SECTION(name(r.at)) { CHECK(names_of_levels.at(r.at) == r.expected); }
}

TEST_CASE("a table without an implementation for every machine is refused") {
  using table_of_int = isa::dispatch_table<int>;
  CHECK(tern_test::message_of<config_error>([] {
          table_of_int{{level::avx2, 1}};
        }) == "dispatch_table: the first implementation, and no other, needs scalar");
}

TEST_CASE("an implementation that no level would take is refused") {
  using table_of_int = isa::dispatch_table<int>;
  CHECK(tern_test::message_of<config_error>([] {
          table_of_int{{level::scalar, 1}, {level::avx512bw, 2}, {level::avx2, 3}};
        }) == "dispatch_table: an implementation stands behind a better one");
}
