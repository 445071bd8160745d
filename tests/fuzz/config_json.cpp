// Fuzzes the reader of config.json. What it reads is written and read again.
#include "tern/checkpoint/config_json.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const auto config = tern::model_config_from_json(tern::parse_json(text, "f"), "f");
    const auto again = tern::to_json(config, "float32");
    static_cast<void>(tern::model_config_from_json(again, "f"));
  } catch (const tern::error&) {
  }
  return 0;
}
