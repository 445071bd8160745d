#include "tern/json/write_json.hpp"

#include "tern/json/read_json.hpp"
#include "tests/message.hpp"
#include "tests/support.hpp"

TEST_CASE("what is written to a JSON file is read back") {
  const tern_test::scratch_dir dir;
  const nlohmann::json value{{"a", 1}, {"b", {"x", 2.5, nullptr}}};
  tern::write_json(dir.path() / "c.json", value);
  CHECK(tern::read_json(dir.path() / "c.json") == value);
}

TEST_CASE("text that is not UTF-8 is not written, and the old file stays") {
  const tern_test::scratch_dir dir;
  const auto path = dir.path() / "x.json";
  tern::write_json(path, {{"name", "q"}});
  CHECK(tern_test::message_of<tern::config_error>([&] {
          tern::write_json(path, {{"name", "\xFF"}});
        }) == path.string() + ": text that is not UTF-8 cannot be written as JSON");
  CHECK(tern::read_json(path) == nlohmann::json{{"name", "q"}});
}
