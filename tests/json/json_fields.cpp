#include "tern/json/json_fields.hpp"
#include "tern/json/read_json.hpp"
#include "tern/json/write_json.hpp"

#include "tests/message.hpp"
#include "tests/support.hpp"

using tern_test::message_of;

TEST_CASE("JSON files come back, broken ones are refused", "[json]") {
  const tern_test::scratch_dir dir;
  const auto path = dir.path() / "c.json";
  const nlohmann::json value{{"a", 1}, {"b", {"x", 2.5, nullptr}}};
  tern::write_json(path, value);
  CHECK(tern::read_json(path) == value);
  CHECK_THROWS_AS(tern::read_json(dir.path() / "none"), tern::io_error);

  CHECK(message_of([] {
          tern::parse_json("{\"a\":\n 1,}", "f");
        }).find("f: not valid JSON: parse error at line 2, column 4") == 0);
  CHECK_THROWS_AS(tern::parse_json("", "f"), tern::format_error);
  CHECK_THROWS_AS(tern::parse_json("{} x", "f"), tern::format_error);
  CHECK_THROWS_AS(tern::parse_json("\"\xFF\"", "f"), tern::format_error);
  CHECK(message_of([] { tern::parse_json(R"({"a": {"k": 1, "k": 2}})", "f"); }) ==
        "f: key \"k\" stands twice in one object");
  CHECK(tern::parse_json(R"([{"k": 1}, {"k": {"k": 2}}])", "f").size() == 2);
  CHECK(message_of([] { tern::parse_json(std::string(1 << 20, '['), "f"); }) ==
        "f: nested deeper than 256");
}

TEST_CASE("fields are typed and errors name file, key, expectation and value", "[json]") {
  const auto json = tern::parse_json(
      R"({"hidden_size": "x", "heads": 0, "eps": 1e-6, "tie": true, "name": "q", "none": null,
          "shape": [1, 2], "mixed": [1, "a"], "minus": -3, "big": 300,
          "inner": {"mode": 7}})",
      "config.json");
  const tern::json_fields f(json, "config.json");
  CHECK(f.get<double>("eps") == 1e-6);
  CHECK(f.get<float>("big") == 300.0f);
  CHECK(f.get<bool>("tie"));
  CHECK(f.get<std::string>("name") == "q");
  CHECK(f.get<int>("minus") == -3);
  CHECK(f.list<std::size_t>("shape") == std::vector<std::size_t>{1, 2});
  CHECK(f.get_or<int>("none", 5) == 5);
  CHECK(f.get_or<int>("absent", 5) == 5);
  CHECK(f.positive_or("absent", 8) == 8);
  CHECK(f.positive("big") == 300);
  CHECK(f.object("inner").get<int>("mode") == 7);

  const std::string head = "config.json: key ";
  CHECK(message_of([&] { (void)f.positive("hidden_size"); }) ==
        head + "'hidden_size': expected a positive integer, got \"x\"");
  CHECK(message_of([&] { (void)f.positive("heads"); }) ==
        head + "'heads': expected a positive integer, got 0");
  CHECK(message_of([&] { (void)f.get<int>("absent"); }) ==
        head + "'absent': expected a value, got nothing");
  CHECK(message_of([&] { (void)f.get<int>("eps"); }) ==
        head + "'eps': expected an integer, got 1e-06");
  CHECK(message_of([&] { (void)f.get<unsigned>("minus"); }) ==
        head + "'minus': expected a non-negative integer, got -3");
  CHECK(message_of([&] { (void)f.get<std::int8_t>("big"); }) ==
        head + "'big': expected an integer between -128 and 127, got 300");
  CHECK(message_of([&] { (void)f.list<int>("mixed"); }) ==
        head + "'mixed[1]': expected an integer, got \"a\"");
  CHECK(message_of([&] { (void)f.object("inner").get<bool>("mode"); }) ==
        head + "'inner.mode': expected true or false, got 7");
  CHECK(message_of([&] { (void)f.object("name"); }) ==
        head + "'name': expected an object, got \"q\"");
  CHECK(message_of([&] {
          f.object("inner").require_known({"model", "mood"});
        }) == "config.json: unknown key 'inner.mode', expected one of model, mood");
  const nlohmann::json signed_one{{"k", 1}};  // not parsed: a literal of type int
  CHECK(tern::json_fields(signed_one, "f").positive("k") == 1);
  CHECK(message_of([&] { tern::json_fields(nlohmann::json::array(), "c.json"); }) ==
        "c.json: expected an object, got []");
}

TEST_CASE("text that is not UTF-8 is not written") {
  const tern_test::scratch_dir scratch;
  const auto path = scratch.path() / "x.json";
  tern::write_json(path, {{"name", "q"}});
  CHECK(message_of([&] {
          tern::write_json(path, {{"name", "\xFF"}});
        }) == path.string() + ": text that is not UTF-8 cannot be written as JSON");
  CHECK(tern::read_json(path) == nlohmann::json{{"name", "q"}});
}
