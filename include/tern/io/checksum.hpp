// The CRC-32 of a stream of bytes (ISO-HDLC, which gzip and PNG use). zlib computes it.
#pragma once

#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

/// A running checksum: call update() with pieces of any size, then value().
class checksum {
 public:
  /// Continues the checksum with these bytes.
  void update(std::span<const std::byte> bytes) {
    if (bytes.empty()) return;  // zlib starts again when it is given a null pointer
    crc_ = ::crc32_z(crc_, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
  }
  /// The CRC-32 of all bytes so far.
  [[nodiscard]] std::uint32_t value() const { return static_cast<std::uint32_t>(crc_); }

  /// The CRC-32 of one piece.
  static std::uint32_t of(std::span<const std::byte> bytes) {
    checksum c;
    c.update(bytes);
    return c.value();
  }

 private:
  uLong crc_ = ::crc32_z(0, nullptr, 0);
};

}  // namespace tern::inline TERN_ABI
