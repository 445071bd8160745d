// The 64 bytes that stand before packed weights in a file or message. docs/formats.md lists them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include "tern/core/byte_order.hpp"
#include "tern/core/error.hpp"

namespace tern::inline TERN_ABI {

/// The bytes are those in memory, little-endian. Scales follow at once, weights at `weights_at`.
struct packed_header {
  /// What `magic` must be.
  static constexpr std::array<char, 4> expected_magic{'T', 'E', 'R', 'N'};
  static constexpr std::uint16_t expected_version = 2;  ///< what `version` must be

  std::array<char, 4> magic = expected_magic;    ///< the first bytes of a file
  std::uint16_t version = expected_version;      ///< version of this header
  std::uint8_t format = 0;                       ///< `id` of the pack_format
  std::uint8_t scale_bytes = 0;                  ///< 4: float, 8: double
  std::uint64_t rows = 0, cols = 0;              ///< shape of the weights: (out, in)
  std::uint64_t block_rows = 0, block_cols = 0;  ///< weights that share a scale, within rows x cols
  std::uint64_t weights_at = 0;                  ///< offset of the weights, a multiple of 64
  std::uint64_t total = 0;                       ///< bytes of header, scales and weights
  std::uint32_t zero = 0;                        ///< reserved
  std::uint32_t checksum = 0;                    ///< CRC-32 of the 60 bytes before it
};
static_assert(sizeof(packed_header) == 64);

/// The value that `checksum` must have.
inline std::uint32_t checksum_of(const packed_header& h) {
  std::array<std::uint8_t, sizeof h> bytes;
  std::memcpy(bytes.data(), &h, sizeof h);
  std::uint32_t crc = ~0u;
  for (std::size_t i = 0; i < offsetof(packed_header, checksum); ++i) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (0xEDB88320u & (0u - (crc & 1u)));
  }
  return ~crc;
}

/// The header at the beginning of `bytes`; a reader chooses format and scalar by it. Throws
/// format_error where there is none, or where it is damaged, has another version or contradicts
/// itself, and on big-endian machines.
inline packed_header read_packed_header(std::span<const std::byte> bytes) {
  const auto require = [](bool ok, const std::string& otherwise) {
    if (!ok) throw format_error("packed weights: " + otherwise);
  };
  require_little_endian("packed weights", "their format");
  packed_header h;
  require(bytes.size() >= sizeof h, "shorter than the header of 64 bytes");
  std::memcpy(&h, bytes.data(), sizeof h);
  require(h.magic == h.expected_magic, "do not begin with 'TERN'");
  require(h.version == h.expected_version, "version " + std::to_string(h.version) + ", expected " +
                                               std::to_string(h.expected_version));
  require(h.checksum == checksum_of(h), "damaged: the header's checksum does not fit");
  require(h.zero == 0, "bytes 56 to 59 of the header must be 0");
  constexpr std::uint64_t most = std::uint64_t{1} << 48;
  require(h.rows < most && h.cols < most, "more than 2^48 rows or columns");
  const auto within = [](std::uint64_t block, std::uint64_t size) {
    return block >= 1 && (block <= size || block == 1);
  };
  require(within(h.block_rows, h.rows), "the scale block's rows are not within 1 and the rows");
  require(within(h.block_cols, h.cols),
          "the scale block's columns are not within 1 and the columns");
  return h;
}

}  // namespace tern::inline TERN_ABI
