#include "tern/recipe/run_directory.hpp"

#include <fstream>
#include <iterator>

#include "tests/support.hpp"

TEST_CASE("rewinding a log drops what a stage wrote behind a step, and no line of others") {
  const tern_test::scratch_dir scratch;
  const auto path = scratch.path() / "run";
  tern::run_directory run(path, {{"task", "x"}}, tern::run_mode::create);
  const std::string kept =
      "{\"stage\":\"a\",\"step\":3}\n{\"note\":1}\n{\"stage\":7,\"step\":9}\n"
      "{\"stage\":\"a\",\"step\":\"4\"}\n{\"stage\":\"b\",\"step\":9}\n";
  tern::write_file(path / "metrics.jsonl", "{\"stage\":\"a\",\"step\":4}\n" + kept + "{\"sta");
  run.rewind_log("a", 3);
  std::ifstream in(path / "metrics.jsonl");
  CHECK(std::string(std::istreambuf_iterator<char>(in), {}) == kept);
}
