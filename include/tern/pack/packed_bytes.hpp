// Packed weights as bytes, and a view of such bytes without a copy. Header, scales and weights
// begin at multiples of 64. The caller reads or maps the bytes; io/packed_file.hpp does so for
// files.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string>

#include "tern/core/all_finite.hpp"
#include "tern/core/byte_order.hpp"
#include "tern/core/error.hpp"
#include "tern/pack/packed_header.hpp"
#include "tern/pack/ternary_weights.hpp"

namespace tern::inline TERN_ABI {

/// A format that has a number of its own in headers. Numbers 1 to 127 belong to the library.
template <class Format>
concept stored_format =
    pack_format<Format> && requires { requires Format::id > 0 && Format::id < 256; };

/// The header that serialize() writes.
template <stored_format Format, class T>
packed_header header_of(const ternary_weights_view<Format, T>& w) {
  static_assert(std::same_as<T, float> || std::same_as<T, double>);
  packed_header h;
  h.format = Format::id;
  h.scale_bytes = sizeof(T);
  h.rows = w.rows();
  h.cols = w.cols();
  h.block_rows = w.block().rows;
  h.block_cols = w.block().cols;
  h.weights_at = sizeof h + (w.scales().storage() * sizeof(T) + 63) / 64 * 64;
  h.total = h.weights_at + w.packed.size_bytes();
  h.checksum = checksum_of(h);
  return h;
}

/// Calls sink(std::span<const std::byte>) with one piece of the bytes after another. Throws
/// format_error on big-endian machines.
template <stored_format Format, class T, class Sink>
void for_each_part(const ternary_weights_view<Format, T>& w, Sink sink) {
  require_little_endian("packed weights", "their format");
  const packed_header header = header_of(w);
  const auto scales = std::as_bytes(std::span(w.scale_data, w.scales().storage()));
  constexpr std::array<std::byte, 64> zeros{};
  sink(std::as_bytes(std::span(&header, 1)));
  sink(scales);
  const auto gap = static_cast<std::size_t>(header.weights_at) - sizeof header - scales.size();
  sink(std::span(zeros).first(gap));
  sink(std::as_bytes(std::span(w.packed.data, w.packed.size_bytes() / sizeof(packed_line))));
}

/// Writes the bytes to `to`, which has header_of(w).total bytes. Throws shape_error for another
/// size.
template <stored_format Format, class T>
void serialize(const ternary_weights_view<Format, T>& w, std::span<std::byte> to) {
  require_size(to.size(), static_cast<std::size_t>(header_of(w).total), "serialize: bytes");
  for_each_part(w, [&](std::span<const std::byte> part) {
    if (!part.empty()) std::memcpy(to.data(), part.data(), part.size());
    to = to.subspan(part.size());
  });
}

/// A view of the weights in `bytes`, which must be aligned to 64 and outlive the view. Throws
/// config_error where they are not aligned, and format_error where they are not exactly what
/// serialize() wrote for this Format and T, or where a scale is not finite. The weights, whose
/// pages are read when a product first needs them, are not looked at: any digits are finite
/// numbers.
template <stored_format Format, class T = float>
ternary_weights_view<Format, T> view_bytes(std::span<const std::byte> bytes) {
  const packed_header h = read_packed_header(bytes);
  const auto fail = [](const std::string& what) { throw format_error("packed weights: " + what); };
  const auto expect = [&](std::uint64_t got, std::uint64_t expected, const char* what) {
    if (got != expected)
      fail(what + (" " + std::to_string(got)) + ", expected " + std::to_string(expected));
  };
  expect(h.format, Format::id, "format");
  expect(h.scale_bytes, sizeof(T), "bytes of a scale");
  if (reinterpret_cast<std::uintptr_t>(bytes.data()) % sizeof(packed_line) != 0)
    throw config_error("packed weights: the bytes must be aligned to 64");

  constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
  if (h.total > most || h.rows > most || h.cols > most)  // where addresses have 32 bits
    fail("too large for the addresses of this machine");
  const auto count = [](std::uint64_t n) { return static_cast<std::size_t>(n); };
  ternary_weights_view<Format, T> w{{nullptr, count(h.rows), count(h.cols), count(h.block_cols)},
                                    count(h.block_rows)};
  // Divides, since a product might overflow.
  const auto fits = [&](std::size_t a, std::size_t b, std::size_t size) {
    return b == 0 || a <= bytes.size() / size / b;
  };
  if (!fits(w.packed.panels(), w.packed.panel_lines(), sizeof(packed_line)) ||
      !fits(w.scales().rows, w.scales().cols, sizeof(T)))
    fail("cut off: the weights and scales do not fit into " + std::to_string(bytes.size()) +
         " bytes");
  const packed_header expected = header_of(w);
  expect(h.weights_at, expected.weights_at, "offset of the weights");
  expect(h.total, expected.total, "total bytes");
  expect(bytes.size(), h.total, "bytes given");
  for (std::size_t i = sizeof h + w.scales().storage() * sizeof(T); i < h.weights_at; ++i)
    if (bytes[i] != std::byte{0}) fail("padding behind the scales is not 0");
  w.packed.data = reinterpret_cast<const packed_line*>(bytes.data() + h.weights_at);
  w.scale_data = reinterpret_cast<const T*>(bytes.data() + sizeof h);
  if (!all_finite(std::span<const T>(w.scale_data, w.scales().storage())))
    fail("a scale is not finite");
  return w;
}

}  // namespace tern::inline TERN_ABI
