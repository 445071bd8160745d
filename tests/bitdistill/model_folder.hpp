// A model for tests of the program that need one at once.
#pragma once

#include <cstddef>
#include <string>

#include "tern/json/write_json.hpp"
#include "tests/bitdistill/program.hpp"

namespace tern_test {

/// Makes a model that was trained for a few steps, with a token for each byte, in the folder
/// `where`/m. Returns the path of the folder. The model reads `positions` tokens.
inline std::string byte_model(const fs::path& where, std::size_t positions = 64) {
  write_text(where / "corpus.txt", small_corpus());
  const auto made = run_bitdistill(words{"pretrain", "--out", (where / "run").string(), "--corpus",
                                         (where / "corpus.txt").string()} +
                                   tiny() + words{"pretraining.steps=12", "data.vocab_size=257"});
  INFO(made.err);
  REQUIRE(made.code == 0);
  fs::rename(where / "run/stages/base", where / "m");
  auto config = tern::read_json(where / "m/config.json");
  config["max_position_embeddings"] = positions;
  tern::write_json(where / "m/config.json", config);
  return (where / "m").string();
}

/// Runs the program, which must end well, and returns what it prints.
inline outcome check_accepted(const words& arguments) {
  auto result = run_bitdistill(arguments);
  INFO(result.err);
  REQUIRE(result.code == 0);
  return result;
}

/// Runs the program, which must refuse with one line on the standard error that has `message`.
inline void check_refused(const words& arguments, const std::string& message) {
  const auto result = run_bitdistill(arguments);
  INFO(result.err);
  CHECK(result.code == 2);
  CHECK(lines_of(result.err).size() == 1);
  CHECK(result.err.find(message) != result.err.npos);
}

}  // namespace tern_test
