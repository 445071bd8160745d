// A checksum inside a safetensors file: the metadata "tern.crc32" has eight hexadecimal digits, the
// CRC-32 of the whole file with these digits set to '0'. Other readers ignore it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "tern/io/checksum.hpp"

namespace tern::inline TERN_ABI {

/// The metadata key of the checksum.
inline constexpr std::string_view safetensors_crc_key = "tern.crc32";
/// The digits that stand there while the checksum is computed.
inline constexpr std::string_view safetensors_crc_zero = "00000000";

namespace detail {

inline std::string crc_digits(std::uint32_t crc) {
  std::string digits(safetensors_crc_zero);
  for (std::size_t i = digits.size(); i-- > 0; crc >>= 4) digits[i] = "0123456789abcdef"[crc & 15];
  return digits;
}

/// The offset of the digits in a header, or npos where it has none.
inline std::size_t find_crc_digits(std::string_view header) {
  const std::string before = '"' + std::string(safetensors_crc_key) + "\":\"";
  const std::size_t at = header.find(before);
  if (at == header.npos) return at;
  const std::size_t digits = at + before.size();
  return digits + safetensors_crc_zero.size() <= header.size() ? digits : header.npos;
}

}  // namespace detail
}  // namespace tern::inline TERN_ABI
