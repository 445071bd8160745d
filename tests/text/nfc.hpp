#pragma once
#include <string>

#include "tern/text/nfc.hpp"

namespace tern_test {

/// The text in Normalization Form C, as a string of its own.
inline std::string nfc(const std::string& text) {
  std::string buffer;
  return std::string(tern::nfc(text, buffer));
}

}  // namespace tern_test
