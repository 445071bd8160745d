#include "report/event_file.hpp"

#include <array>
#include <bit>
#include <cstddef>
#include <string_view>

namespace bitdistill {
namespace {

/// The CRC-32C (Castagnoli, reflected polynomial 0x82f63b78) of each byte.
constexpr auto crc32c_table = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0u);
    table[byte] = crc;
  }
  return table;
}();

/// The CRC-32C of bytes, rotated and shifted as TFRecord stores it.
std::uint32_t masked_crc(std::string_view bytes) {
  std::uint32_t crc = 0xffffffffu;
  for (const char c : bytes)
    crc = crc32c_table[(crc ^ static_cast<unsigned char>(c)) & 0xff] ^ (crc >> 8);
  return std::rotr(~crc, 15) + 0xa282ead8u;
}

/// An unsigned integer as little-endian bytes.
template <class T>
std::string little_endian(T value) {
  std::string bytes;
  for (std::size_t i = 0; i < sizeof(T); ++i)
    bytes += static_cast<char>(static_cast<unsigned char>(value >> (8 * i)));
  return bytes;
}

/// The parts of a protobuf message: a field is its number and wire type, then its value.
enum wire_type : unsigned { varint_type = 0, fixed64_type = 1, bytes_type = 2, fixed32_type = 5 };

std::string varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(0x80 | (value & 0x7f));
  return bytes + static_cast<char>(value);
}

std::string key(unsigned field, wire_type type) { return varint(field << 3 | type); }

std::string bytes_field(unsigned field, std::string_view bytes) {
  return key(field, bytes_type) + varint(bytes.size()) + std::string(bytes);
}

std::string double_field(unsigned field, double value) {
  return key(field, fixed64_type) + little_endian(std::bit_cast<std::uint64_t>(value));
}

std::string record(const std::string& event) {
  const std::string length = little_endian(std::uint64_t{event.size()});
  return length + little_endian(masked_crc(length)) + event + little_endian(masked_crc(event));
}

/// tensorflow.Event: wall_time = 1, step = 2, file_version = 3, summary = 5; its values = 1, each
/// with tag = 1 and simple_value = 2.
std::string event_of(const scalar_event& e) {
  std::string summary;
  for (const auto& [tag, value] : e.values)
    summary += bytes_field(1, bytes_field(1, tag) + key(2, fixed32_type) +
                                  little_endian(std::bit_cast<std::uint32_t>(value)));
  return double_field(1, e.wall_time) + key(2, varint_type) +
         varint(static_cast<std::uint64_t>(e.step)) + bytes_field(5, summary);
}

}  // namespace

std::string event_file(const std::vector<scalar_event>& events) {
  const double begin = events.empty() ? 0 : events.front().wall_time;
  std::string bytes = record(double_field(1, begin) + bytes_field(3, "brain.Event:2"));
  for (const scalar_event& e : events) bytes += record(event_of(e));
  return bytes;
}

}  // namespace bitdistill
