#include "tern/json/json_fields.hpp"

#include <functional>
#include <string>

#include "tests/message.hpp"
#include "tests/support.hpp"

using tern::json_fields;
using tern_test::message_of;

namespace {

const nlohmann::json sample = nlohmann::json::parse(
    R"({"hidden_size": "x", "heads": 0, "eps": 1e-6, "tie": true, "name": "q", "none": null,
        "shape": [1, 2], "mixed": [1, "a"], "minus": -3, "big": 300, "inner": {"mode": 7}})");

json_fields fields() { return {sample, "config.json"}; }

}  // namespace

TEST_CASE("a member is read as the type that is asked for") {
  CHECK(fields().get<double>("eps") == 1e-6);
  CHECK(fields().get<float>("big") == 300.0f);
  CHECK(fields().get<bool>("tie"));
  CHECK(fields().get<std::string>("name") == "q");
  CHECK(fields().get<int>("minus") == -3);
  CHECK(fields().positive("big") == 300);
}

TEST_CASE("a list is read element by element") {
  CHECK(fields().list<std::size_t>("shape") == std::vector<std::size_t>{1, 2});
}

TEST_CASE("an inner object is read through its own fields") {
  CHECK(fields().object("inner").get<int>("mode") == 7);
}

TEST_CASE("a key that is null or missing gives the fallback") {
  const std::string key = GENERATE("none", "absent");
  INFO(key);
  CHECK_FALSE(fields().has(key));
  CHECK(fields().get_or<int>(key, 5) == 5);
  CHECK(fields().positive_or(key, 8) == 8);
}

TEST_CASE("an integer that was not parsed but made is a positive integer, too") {
  const nlohmann::json made{{"k", 1}};  // stored as a signed number
  CHECK(json_fields(made, "f").positive("k") == 1);
}

TEST_CASE("what does not fit is refused with file, key, expectation and value") {
  using row = std::function<void(const json_fields&)>;
  const auto [message, read] = GENERATE(table<std::string, row>({
      {"key 'hidden_size': expected a positive integer, got \"x\"",
       [](auto& f) { (void)f.positive("hidden_size"); }},
      {"key 'heads': expected a positive integer, got 0",
       [](auto& f) { (void)f.positive("heads"); }},
      {"key 'absent': expected a value, got nothing",
       [](auto& f) { (void)f.template get<int>("absent"); }},
      {"key 'eps': expected an integer, got 1e-06",
       [](auto& f) { (void)f.template get<int>("eps"); }},
      {"key 'minus': expected a non-negative integer, got -3",
       [](auto& f) { (void)f.template get<unsigned>("minus"); }},
      {"key 'big': expected an integer between -128 and 127, got 300",
       [](auto& f) { (void)f.template get<std::int8_t>("big"); }},
      {"key 'mixed[1]': expected an integer, got \"a\"",
       [](auto& f) { (void)f.template list<int>("mixed"); }},
      {"key 'inner.mode': expected true or false, got 7",
       [](auto& f) { (void)f.object("inner").template get<bool>("mode"); }},
      {"key 'name': expected an object, got \"q\"", [](auto& f) { (void)f.object("name"); }},
      {"key 'mixed[0]': expected an object, got 1", [](auto& f) { (void)f.objects("mixed"); }},
      {"unknown key 'inner.mode', expected one of model, mood",
       [](auto& f) {
         f.object("inner").require_known({"model", "mood"});
       }},
  }));
  CHECK(message_of<tern::config_error>([&, &call = read] { call(fields()); }) ==
        "config.json: " + message);
}

TEST_CASE("fields of what is no object are refused") {
  CHECK(message_of([] { json_fields(nlohmann::json::array(), "c.json"); }) ==
        "c.json: expected an object, got []");
}
