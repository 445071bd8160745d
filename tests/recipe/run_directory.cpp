#include "tern/recipe/run_directory.hpp"

#include <fstream>
#include <iterator>

#include "tests/support.hpp"

using namespace tern;

TEST_CASE("rewinding a log drops what a stage wrote behind a step, and no line of others") {
  const tern_test::scratch_dir scratch;
  const auto path = scratch.path() / "run";
  run_directory run(path, {{"title", "x"}});
  const std::string kept =
      "{\"stage\":\"a\",\"step\":3}\n{\"note\":1}\n{\"stage\":7,\"step\":9}\n"
      "{\"stage\":\"a\",\"step\":\"4\"}\n{\"stage\":\"b\",\"step\":9}\n";
  write_file(path / "metrics.jsonl", "{\"stage\":\"a\",\"step\":4}\n" + kept + "{\"sta");
  run.rewind_log("a", 3);
  std::ifstream in(path / "metrics.jsonl");
  CHECK(std::string(std::istreambuf_iterator<char>(in), {}) == kept);
}

TEST_CASE("a stage is finished once its fingerprint and its config.json are there") {
  const tern_test::scratch_dir scratch;
  run_directory run(scratch.path() / "run", {{"title", "x"}});
  CHECK_FALSE(run.finished("a"));
  run.write_fingerprint("a", {{"steps", 3}});
  CHECK_FALSE(run.finished("a"));
  write_file(run.stage("a") / "config.json", "{}");
  CHECK(run.finished("a") == nlohmann::json{{"steps", 3}});
  run.forget("a");
  CHECK_FALSE(run.finished("a"));
}

TEST_CASE("a row comes back as it was written, and only for the same data") {
  const tern_test::scratch_dir scratch;
  run_directory run(scratch.path() / "run", {{"title", "x"}});
  std::filesystem::create_directories(run.model("a"));
  const result_row row{
      "A", {{"SubLN", true}, {"b", false}}, {{"bleu", 1.5}, {"rouge1", 2.25}}, 3, 4};
  run.write_row("a", "sum", row);
  CHECK_FALSE(run.measured("a", "another sum"));
  const auto back = run.measured("a", "sum");
  REQUIRE(back);
  CHECK(row_to_json(*back) == row_to_json(row));
}

TEST_CASE("a stage that another run has finished is adopted with weights, row and log") {
  const tern_test::scratch_dir scratch;
  run_directory from(scratch.path() / "from", {{"title", "x"}}),
      to(scratch.path() / "to", {{"title", "y"}});
  from.write_fingerprint("a", {{"steps", 3}});
  write_file(from.stage("a") / "config.json", "{}");
  write_file(from.stage("a") / "model.safetensors", "weights");
  std::filesystem::create_directories(from.model("a"));
  from.write_row("a", "sum", {"A", {}, {{"accuracy", 50}}, 3, 4});
  write_file(from.path() / "metrics.jsonl",
             "{\"stage\":\"a\",\"step\":1}\n{\"stage\":\"b\",\"step\":2}\n{\"sta");
  write_file(to.path() / "metrics.jsonl",
             "{\"stage\":\"other\",\"step\":9}\n{\"stage\":\"mine\",\"step\":8}\n");
  write_file(to.state("mine"), "");
  to.adopt("mine", from, "a");
  CHECK(to.finished("mine") == nlohmann::json{{"steps", 3}});
  CHECK(std::filesystem::file_size(to.stage("mine") / "model.safetensors") == 7);
  CHECK(to.measured("mine", "sum")->metrics.at(0).second == 50);
  std::ifstream in(to.path() / "metrics.jsonl");
  CHECK(std::string(std::istreambuf_iterator<char>(in), {}) ==
        "{\"stage\":\"other\",\"step\":9}\n{\"stage\":\"mine\",\"step\":1}\n");
}

TEST_CASE("what is written after a stage was adopted does not change the other run") {
  const tern_test::scratch_dir scratch;
  run_directory from(scratch.path() / "from", {{"title", "x"}}),
      to(scratch.path() / "to", {{"title", "y"}});
  from.write_fingerprint("a", {{"steps", 3}});
  write_file(from.stage("a") / "config.json", "{}");
  to.adopt("a", from, "a");
  to.write_fingerprint("a", {{"steps", 4}});
  CHECK(from.finished("a") == nlohmann::json{{"steps", 3}});
  to.forget("a");
  CHECK(from.finished("a") == nlohmann::json{{"steps", 3}});
}
