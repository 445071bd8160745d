// The order of the bytes of a number. The formats of files and the packed layouts are
// little-endian. Layouts are made in that order on every machine; files are refused on big-endian
// ones.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>

#include "tern/core/error.hpp"

namespace tern::inline TERN_ABI {

/// The word whose bytes in memory, lowest first, are those of `word` as a number. It is its own
/// inverse, and changes nothing on little-endian machines.
template <std::unsigned_integral Word>
constexpr Word little_endian(Word word) {
  static_assert(std::endian::native == std::endian::little ||
                std::endian::native == std::endian::big);
  if constexpr (std::endian::native == std::endian::little) {
    return word;
  } else {
    Word turned = 0;
    for (std::size_t i = 0; i < sizeof(Word); ++i)
      turned = static_cast<Word>(turned << 8 | (word >> 8 * i & 0xFFu));
    return turned;
  }
}

/// Throws format_error("<what>: <format> is little-endian, ...") on a big-endian machine.
inline void require_little_endian([[maybe_unused]] std::string_view what,
                                  [[maybe_unused]] std::string_view format) {
  if constexpr (std::endian::native != std::endian::little)
    throw format_error(std::string(what) + ": " + std::string(format) +
                       " is little-endian and this machine is big-endian, which is not supported");
}

}  // namespace tern::inline TERN_ABI
