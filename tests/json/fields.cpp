// Reading and writing described structs as JSON.
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "tern/core/differing_fields.hpp"
#include "tern/json/read_fields.hpp"
#include "tern/json/write_fields.hpp"
#include "tests/core/described.hpp"
#include "tests/message.hpp"
#include "tests/support.hpp"

using nlohmann::json;
using tern_test::everything;

static_assert(tern::field_visitor<tern::field_reader>);
static_assert(tern::field_visitor<tern::field_writer>);

namespace {

everything changed() {
  everything e{true, 7, -1.5, "x", {true, false}, tern_test::colour::green, {"ld", 3}, 8, 9, {}};
  e.terms = {{"a", 1}, {"b", 2}};
  return e;
}

everything read(const json& from, everything into = {}) {
  tern::read_fields(into, tern::json_fields(from, "f"));
  return into;
}

/// A number, or a word where there is none.
struct place {
  std::optional<int> layer = -2;
};
template <class V>
constexpr void describe(V& v, place& p) {
  v.optional("layer", p.layer, "auto");
}
static_assert(tern::describes_all_members<place>());

place read_place(const json& layer) {
  place p{5};
  tern::read_fields(p, tern::json_fields(json{{"layer", layer}}, "f"));
  return p;
}

}  // namespace

TEST_CASE("every kind of field is written under its name") {
  CHECK(tern::write_fields(changed()) ==
        json{{"flag", true},
             {"size", 7},
             {"real", -1.5},
             {"text", "x"},
             {"flags", {true, false}},
             {"paint", "green"},
             {"inner", {{"kind", "ld"}, {"weight", 3.0}}},
             {"group", {{"tau", 8.0}, {"alpha", 9.0}}},
             {"terms", {{{"kind", "a"}, {"weight", 1.0}}, {{"kind", "b"}, {"weight", 2.0}}}}});
}

TEST_CASE("what was written is read back") {
  CHECK(tern::differing_fields(read(tern::write_fields(changed())), changed()).empty());
}

TEST_CASE("an enum is written by the first of its names and read by any") {
  CHECK(tern::write_fields(everything{}).at("paint") == "red");
  CHECK(read({{"paint", "rot"}}, changed()).paint == tern_test::colour::red);
}

TEST_CASE("keys that are missing or null leave their fields as they are") {
  const json some = {{"size", 5}, {"text", nullptr}, {"inner", {{"weight", 6}}}};
  CHECK(tern::differing_fields(read(some, changed()), changed()) ==
        std::vector<std::string>{"size", "inner.weight"});
}

TEST_CASE("a list of objects replaces the old one, each element from its defaults") {
  const everything e = read({{"terms", {{{"weight", 4}}}}}, changed());
  REQUIRE(e.terms.size() == 1);
  CHECK(e.terms[0].kind == "ce");
  CHECK(e.terms[0].weight == 4);
}

TEST_CASE("what no field can hold is refused with its path") {
  const auto [object, message] = GENERATE(table<json, std::string>(
      {{json{{"flagg", true}},
        "f: unknown key 'flagg', expected one of flag, size, real, text, flags, paint, inner, "
        "group, terms"},
       {json{{"group", {{"beta", 1}}}}, "f: unknown key 'group.beta', expected one of tau, alpha"},
       {json{{"inner", {{"weigth", 1}}}},
        "f: unknown key 'inner.weigth', expected one of kind, weight"},
       {json{{"terms", {{{"kind", "a"}}, {{"k", "b"}}}}},
        "f: unknown key 'terms[1].k', expected one of kind, weight"},
       {json{{"inner", {{"weight", "x"}}}}, "f: key 'inner.weight': expected a number, got \"x\""},
       {json{{"paint", "blue"}}, "f: key 'paint': expected one of red, rot, green, got \"blue\""},
       {json{{"flags", {1}}}, "f: key 'flags[0]': expected true or false, got 1"},
       {json{{"terms", 1}}, "f: key 'terms': expected a list of objects, got 1"}}));
  INFO(object);
  CHECK(tern_test::message_of<tern::config_error>([&, &from = object] { read(from); }) == message);
}

TEST_CASE("a word stands for a value that is not there") {
  CHECK(tern::write_fields(place{}) == json{{"layer", -2}});
  CHECK(tern::write_fields(place{std::nullopt}) == json{{"layer", "auto"}});
  CHECK(read_place(3).layer == 3);
  CHECK(read_place("auto").layer == std::nullopt);
  CHECK(read_place(nullptr).layer == 5);
  CHECK(tern::differing_fields(place{}, place{std::nullopt}) == std::vector<std::string>{"layer"});
  CHECK(tern_test::message_of<tern::config_error>([] { read_place("last"); }) ==
        "f: key 'layer': expected an integer or \"auto\", got \"last\"");
}
