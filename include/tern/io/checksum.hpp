// CRC-32 (ISO-HDLC, the one of gzip and PNG) of a stream of bytes, by zlib.
#pragma once

#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

/// Running checksum: update() in pieces of any size, then value().
class checksum {
 public:
  /// Appends.
  void update(std::span<const std::byte> bytes) {
    if (bytes.empty()) return;  // zlib takes a null pointer for a wish to start again
    crc_ = ::crc32_z(crc_, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
  }
  /// CRC-32 of all so far.
  [[nodiscard]] std::uint32_t value() const { return static_cast<std::uint32_t>(crc_); }

  /// Of one piece.
  static std::uint32_t of(std::span<const std::byte> bytes) {
    checksum c;
    c.update(bytes);
    return c.value();
  }

 private:
  uLong crc_ = ::crc32_z(0, nullptr, 0);
};

}  // namespace tern::inline TERN_ABI
