#include "tern/core/differing_fields.hpp"

#include <functional>
#include <tuple>

#include "tests/core/described.hpp"
#include "tests/support.hpp"

using tern::differing_fields;
using tern_test::everything;

static_assert(tern::field_visitor<tern::detail::field_collector>);
static_assert(tern::field_visitor<tern::detail::field_counter>);
static_assert(tern::member_count<tern_test::term> == 2);
static_assert(tern::member_count<everything> == 10);

namespace {

struct two_members {
  int shown = 0, hidden = 0;
};
template <class V>
constexpr void describe(V& v, two_members& m) {
  v.value("shown", m.shown);
}
static_assert(!tern::describes_all_members<two_members>());

using paths = std::vector<std::string>;

}  // namespace

TEST_CASE("a struct does not differ from its copy") {
  everything a;
  a.terms.resize(2);
  const everything copy = a;
  CHECK(differing_fields(a, copy).empty());
}

TEST_CASE("each kind of field differs under its dotted path") {
  using row = std::tuple<std::string, std::function<void(everything&)>, paths>;
  const auto [name, change, expected] =
      GENERATE(table<std::string, std::function<void(everything&)>, paths>(
          {row{"a flag", [](everything& e) { e.flag = true; }, {"flag"}},
           row{"a size", [](everything& e) { e.size = 4; }, {"size"}},
           row{"a number", [](everything& e) { e.real = 0.25; }, {"real"}},
           row{"a string", [](everything& e) { e.text = "u"; }, {"text"}},
           row{"a list of values", [](everything& e) { e.flags = {true}; }, {"flags"}},
           row{"an enum", [](everything& e) { e.paint = tern_test::colour::green; }, {"paint"}},
           row{"a field of an object", [](everything& e) { e.inner.weight = 2; }, {"inner.weight"}},
           row{"a field of a group", [](everything& e) { e.alpha = 5; }, {"group.alpha"}},
           row{"two fields, in the order of the list",
               [](everything& e) { e.tau = 5, e.flag = true; },
               {"flag", "group.tau"}},
           row{"a field in a list of objects",
               [](everything& e) { e.terms[1].kind = "ld"; },
               {"terms[1].kind"}},
           row{"a shorter list of objects",
               [](everything& e) { e.terms.pop_back(); },
               {"terms[]", "terms[1].kind", "terms[1].weight"}},
           row{"a longer list of objects",
               [](everything& e) { e.terms.emplace_back(); },
               {"terms[]", "terms[2].kind", "terms[2].weight"}}}));
  INFO(name);
  everything a;
  a.terms.resize(2);
  everything b = a;
  change(b);
  CHECK(differing_fields(a, b) == expected);
}
