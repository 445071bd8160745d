// Fuzzes the reader of safetensors files, with all tensors.
#include "tern/io/safetensors.hpp"

#include "tests/fuzz/memory_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const tern_test::memory_file bytes(data, size);
  try {
    const tern::safetensors_file file(bytes.path());
    for (const auto& t : file.tensors()) {
      if (tern::dtype_readable_as<float>(t.dtype)) static_cast<void>(tern::read_values<float>(t));
      if (tern::dtype_readable_as<std::int8_t>(t.dtype))
        static_cast<void>(tern::read_values<std::int8_t>(t));
    }
    file.verify();
  } catch (const tern::error&) {
  }
  return 0;
}
