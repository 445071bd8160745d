// Converts a model file of llama2.c or bitllama2.c to a folder that tern and transformers load:
//   example_llama2c stories260K.bin stories260K
#include "llama2c.hpp"

#include <cstdio>
#include <exception>

#include "tern/checkpoint/save_model.hpp"
#include "tern/model/surgery.hpp"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::puts("usage: example_llama2c FILE FOLDER");
    return argc == 1 ? 0 : 2;
  }
  try {
    if (llama2c::is_ternary(argv[1])) {
      auto model = llama2c::read_ternary(argv[1]);
      tern::restore_masters(model);
      tern::save_model(model, argv[2], tern::storage::deployed);
    } else {
      auto model = llama2c::read_floats(argv[1]);
      tern::save_model(model, argv[2], tern::storage::master);
    }
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
