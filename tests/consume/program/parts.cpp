// A stranger's program that uses the optional parts. It is optimised, without run-time type
// information, and with all warnings as errors.
#include <cstdio>
#include <filesystem>

#include "tern/checkpoint/load_gguf.hpp"
#include "tern/checkpoint/save_gguf.hpp"
#include "tern/infer/generate.hpp"
#include "tern/recipe/pipeline.hpp"
#include "tern/tern.hpp"

int main(int, char** argv) {
  const auto path = std::filesystem::path(argv[0]).concat(".json");
  tern::write_json(path, {{"rows", 2}});
  const auto read = tern::read_json(path);
  std::filesystem::remove(path);
  std::printf("%s\n", read.dump().c_str());
  return read.at("rows") == 2 ? 0 : 1;
}
