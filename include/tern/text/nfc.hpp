// Unicode normalization form C (UAX #15) with utf8proc. Text that is certainly normal is skipped.
#pragma once

#include <utf8proc.h>

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "tern/core/error.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

// Every character below U+0300 (lead bytes below 0xCC) is its own normal form and never combines
// with the character before it. Only the last of them before a higher character can combine with a
// mark.
inline bool leads_unsafe(char byte) { return static_cast<unsigned char>(byte) >= 0xCC; }
inline bool leads_safe(char byte) {
  return !leads_unsafe(byte) && (static_cast<unsigned char>(byte) & 0xC0u) != 0x80u;
}

inline void append_nfc(std::string& out, std::string_view text) {
  utf8proc_uint8_t* normal = nullptr;
  const auto length =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                   static_cast<utf8proc_ssize_t>(text.size()), &normal,
                   static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  const std::unique_ptr<utf8proc_uint8_t, void (*)(void*)> owner(normal, std::free);
  if (length < 0) throw format_error(std::string("NFC: ") + utf8proc_errmsg(length));
  out.append(reinterpret_cast<const char*>(normal), static_cast<std::size_t>(length));
}

}  // namespace detail

/// Returns the NFC form of well-formed UTF-8: a view of `text` itself if nothing can change, else
/// of `buffer`, which is overwritten. Throws format_error on malformed input.
inline std::string_view nfc(std::string_view text, std::string& buffer) {
  const auto first_unsafe = [&](std::size_t at) {
    while (at < text.size() && !detail::leads_unsafe(text[at])) ++at;
    return at;
  };
  std::size_t unsafe = first_unsafe(0);
  if (unsafe == text.size()) return text;
  buffer.clear();
  std::size_t done = 0;
  while (unsafe < text.size()) {
    std::size_t begin = unsafe, end = unsafe;
    while (begin > done && !detail::leads_safe(text[--begin])) {
    }
    while (end < text.size() && !detail::leads_safe(text[end])) ++end;
    buffer.append(text, done, begin - done);
    detail::append_nfc(buffer, text.substr(begin, end - begin));
    done = end;
    unsafe = first_unsafe(end);
  }
  buffer.append(text, done);
  return buffer;
}

}  // namespace tern::inline TERN_ABI
