// Fuzzes the reader of tokenizer.json. The tokenizer then encodes a text and decodes it.
#include "tern/text/tokenizer_json.hpp"

#include <cstdlib>

#include "tests/fuzz/memory_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const tern_test::memory_file bytes(data, size);
  try {
    const auto tokenizer = tern::bpe_tokenizer::load(bytes.path());
    const auto ids = tokenizer.encode("It's <e> a  w\u00f6rld, 1234 \U0001F642\n\n x");
    static_cast<void>(tokenizer.decode(ids));
  } catch (const tern::error&) {
  }
  return 0;
}
