// Reading and writing described structs as JSON.
#include <string>
#include <tuple>

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
