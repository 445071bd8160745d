// Writing safetensors files, atomically and with a checksum in the metadata.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tern/core/atomic_file.hpp"
#include "tern/core/byte_order.hpp"
#include "tern/core/error.hpp"
#include "tern/core/tensor.hpp"
#include "tern/io/dtype.hpp"
#include "tern/io/safetensors_checksum.hpp"
#include "tern/io/safetensors_header.hpp"
#include "tern/json/write_json.hpp"

namespace tern::inline TERN_ABI {

/// Collects views of tensors, then writes them all; what they view must live until then. Tensors
/// that need the widest alignment come first in the file, so that all are aligned; otherwise they
/// stand in the order in which they were added.
class safetensors_writer {
 public:
  /// Sets a value of the file's `__metadata__`.
  void metadata(const std::string& key, std::string value) {
    metadata_.insert_or_assign(key, std::move(value));
  }

  /// Adds bytes as they are. Throws shape_error unless they are as many as type and shape need.
  void add_bytes(std::string name, dtype type, std::vector<std::size_t> shape,
                 std::span<const std::byte> bytes) {
    const auto needed = tensor_bytes(type, shape);
    require_size(bytes.size(), needed.value_or(SIZE_MAX), "tensor '" + name + "' in bytes");
    add_entry(std::move(name), type, std::move(shape), [bytes](const sink& out) { out(bytes); });
  }
  /// Adds a tensor whose bytes `produce(sink)` passes in pieces to sink(std::span<const std::byte>)
  /// when the file is written.
  template <class F>
  void add_parts(std::string name, dtype type, std::vector<std::size_t> shape, F produce) {
    add_entry(std::move(name), type, std::move(shape), std::move(produce));
  }
  /// Adds a tensor of bytes, which `produce(sink)` passes in pieces to
  /// sink(std::span<const std::byte>). They begin at a multiple of `alignment`, at most 64, if the
  /// size of each such tensor is a multiple of it, too.
  template <class F>
  void add_parts(std::string name, std::size_t bytes, std::size_t alignment, F produce) {
    add_entry(std::move(name), dtype::u8, {bytes}, std::move(produce), alignment);
  }
  /// Adds values, which are stored as they are.
  template <class T>
  void add_values(std::string name, std::vector<std::size_t> shape, std::span<const T> values) {
    add_bytes(std::move(name), dtype_of<T>(), std::move(shape), std::as_bytes(values));
  }
  /// Adds a matrix with shape [rows, cols]. It is stored as `type`: F32, F64, F16, BF16, or the
  /// type that holds a T exactly. write() throws config_error, which names the tensor, where a
  /// value is not finite or too large for a narrower type.
  template <class T>
  void add_matrix(const std::string& name, matrix_view<const T> m, dtype type = dtype_of<T>()) {
    const auto produce = [name, m, type](const sink& out) {
      constexpr std::size_t enough = std::size_t{1} << 20;  // so many bytes are worth a system call
      std::vector<T> values(m.cols);
      std::vector<std::byte> bytes;
      for (std::size_t r = 0; r < m.rows; ++r) {
        for (std::size_t c = 0; c < m.cols; ++c) values[c] = m(r, c);
        const std::size_t end = bytes.size();
        bytes.resize(end + m.cols * dtype_size(type));
        try {
          encode(type, std::span<const T>(values), bytes.data() + end);
        } catch (const config_error& e) {
          throw config_error("tensor '" + name + "', row " + std::to_string(r) + ": " + e.what());
        }
        if (bytes.size() < enough && r + 1 < m.rows) continue;
        out(bytes);
        bytes.clear();
      }
    };
    add_entry(name, type, {m.rows, m.cols}, produce);
  }
  /// Adds a row with shape [size], stored in the same way.
  template <class T>
  void add_row(const std::string& name, row_view<const T> v, dtype type = dtype_of<T>()) {
    const matrix_view<const T> m(v.data, 1, v.size, v.size, v.stride);
    add_matrix(name, m, type);
    entries_.back().place.shape = {v.size};
  }

  /// Writes the file. Throws config_error for a name that stands twice and for values that their
  /// type cannot hold, io_error, and format_error on big-endian machines; an old file at `path` is
  /// then untouched.
  void write(const std::filesystem::path& path) {
    require_little_endian(path.string(), "safetensors");
    std::ranges::stable_sort(entries_, std::ranges::greater{},
                             [](const auto& e) { return e.alignment; });
    const std::string head = header();
    atomic_file file(path);
    checksum sum;
    const sink out = [&](std::span<const std::byte> bytes) {
      sum.update(bytes);
      file.write(bytes);
    };
    out(std::as_bytes(std::span(head)));
    for (const auto& e : entries_) e.produce(out);
    const std::string digits = detail::crc_digits(sum.value());
    file.overwrite(detail::find_crc_digits(head), std::as_bytes(std::span(digits)));
    file.commit();
  }

 private:
  using sink = std::function<void(std::span<const std::byte>)>;
  struct entry {
    safetensors_entry place;
    std::function<void(const sink&)> produce;
    std::size_t alignment;
  };

  void add_entry(std::string name, dtype type, std::vector<std::size_t> shape,
                 std::function<void(const sink&)> produce, std::size_t alignment = 0) {
    entries_.push_back({{std::move(name), type, std::move(shape)},
                        std::move(produce),
                        std::max(alignment, dtype_size(type))});
  }

  /// The size and the JSON, padded so that the data begin at a multiple of 64 bytes.
  [[nodiscard]] std::string header() const {
    nlohmann::ordered_json json;
    auto& metadata = json["__metadata__"] = metadata_;
    metadata[std::string(safetensors_crc_key)] = safetensors_crc_zero;
    std::size_t offset = 0;
    for (const entry& e : entries_) {
      const safetensors_entry& place = e.place;
      if (json.contains(place.name))
        throw config_error("tensor '" + place.name + "' is written twice");
      const std::size_t end = offset + tensor_bytes(place.type, place.shape).value();
      json[place.name] = {{"dtype", dtype_name(place.type)},
                          {"shape", place.shape},
                          {"data_offsets", {offset, end}}};
      offset = end;
    }
    std::string text = json_text(json, "tensors' names and metadata");
    text.append(63 - (8 + text.size() + 63) % 64, ' ');
    const std::uint64_t size = text.size();
    std::string head(8, '\0');
    std::memcpy(head.data(), &size, 8);
    return head + text;
  }

  std::map<std::string, std::string> metadata_;
  std::vector<entry> entries_;
};

}  // namespace tern::inline TERN_ABI
