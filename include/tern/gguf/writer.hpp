// Writing GGUF files, version 3. A file is written atomically, and read back before it takes its
// place.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tern/core/atomic_file.hpp"
#include "tern/core/byte_order.hpp"
#include "tern/core/error.hpp"
#include "tern/core/mapped_file.hpp"
#include "tern/core/tensor.hpp"
#include "tern/gguf/encode.hpp"
#include "tern/gguf/file.hpp"
#include "tern/io/checksum.hpp"

namespace tern::inline TERN_ABI {

/// Collects metadata and views of tensors, then writes them all; what they view must live until
/// then. Both stand in the file in the order in which they were added.
class gguf_writer {
 public:
  /// Adds a bool, a number or a string. Readers insist on types: they expect most counts as
  /// std::uint32_t. Throws config_error for a key that is there already.
  template <class T>
  void metadata(std::string_view key, const T& value) {
    begin_key(key, gguf_type_of<T>());
    put<T>(value);
  }
  /// Adds a list of such values.
  template <std::ranges::sized_range R>
  void metadata_list(std::string_view key, const R& values) {
    using T = std::ranges::range_value_t<R>;
    begin_key(key, gguf_type::array);
    put(static_cast<std::uint32_t>(gguf_type_of<T>()));
    put(static_cast<std::uint64_t>(std::ranges::size(values)));
    for (const T& value : values) put<T>(value);
  }

  /// A function that makes the bytes of a tensor when they are written.
  using producer = std::function<void(const std::string& name, const byte_sink&)>;
  /// Adds a tensor; `shape` is row-major. Throws config_error for a name or shape that llama.cpp
  /// does not read, and for a name that is there already.
  void add(std::string name, ggml_type type, std::vector<std::size_t> shape, producer produce) {
    if (name.empty() || name.size() > 63)
      detail::fail_to_encode(name, "llama.cpp reads names of 1 to 63 bytes");
    if (std::ranges::find(tensors_, name, [](const auto& t) { return t.place.name; }) !=
        tensors_.end())
      detail::fail_to_encode(name, "is written twice");
    const auto* info = find_ggml_type(type);
    if (info == nullptr) detail::fail_to_encode(name, "no type is " + ggml_type_name(type));
    require_whole_blocks(name, type, shape.empty() ? 1 : shape.back(), info->count);
    const auto size = ggml_tensor_bytes(type, shape);
    if (!size || shape.size() > 4) detail::fail_to_encode(name, "its shape is too large");
    const std::size_t offset =
        tensors_.empty() ? 0
                         : aligned(tensors_.back().place.offset + tensors_.back().place.size,
                                   gguf_default_alignment);
    tensors_.push_back(
        {{std::move(name), type, std::move(shape), offset, *size}, std::move(produce)});
  }

  /// Adds bytes as they are. Throws shape_error unless they are as many as type and shape need.
  void add_bytes(std::string name, ggml_type type, std::vector<std::size_t> shape,
                 std::span<const std::byte> bytes) {
    require_size(bytes.size(), ggml_tensor_bytes(type, shape).value_or(bytes.size()),
                 "tensor '" + name + "' in bytes");
    add(std::move(name), type, std::move(shape),
        [bytes](const auto&, const byte_sink& out) { out(bytes); });
  }
  /// Adds a matrix of shape [rows, cols], stored as F32, F16, BF16 or Q8_0.
  template <class T>
  void add_matrix(std::string name, matrix_view<const T> m, ggml_type type = ggml_type::f32) {
    add_numbers(std::move(name), m, type, {m.rows, m.cols});
  }
  /// Adds a row of shape [size], stored in the same way.
  template <class T>
  void add_row(std::string name, row_view<const T> v, ggml_type type = ggml_type::f32) {
    const matrix_view<const T> m(v.data, 1, v.size, v.size, v.stride);
    add_numbers(std::move(name), m, type, {v.size});
  }
  /// Adds a tensor of the shape of the codes, stored in a ternary type. Throws config_error
  /// where the codes have more scales than the type can store.
  void add_ternary(std::string name, const ternary_codes& m, ggml_type type,
                   i2_s_layout layout = i2_s_layout::x86) {
    const std::size_t rows = m.codes.rows, cols = m.codes.cols;
    const auto n = scale_extents({rows, cols}, m.block);
    require_shape(m.scales, n.rows, n.cols, "tensor '" + name + "': scales");
    if (!is_ternary(type)) detail::fail_to_encode(name, ggml_type_name(type) + " is not ternary");
    const auto unit = ternary_scale_block(type, rows, cols);
    if (m.block.rows % unit.rows != 0 || (n.cols > 1 && m.block.cols % unit.cols != 0))
      detail::fail_to_encode(name, "its scales are too many for " + ggml_type_name(type));
    detail::with_ternary_block(type, layout, [&]<class Block>(Block) {
      require_whole_blocks(name, type, cols, Block::count);
    });
    add(std::move(name), type, {rows, cols}, [=](const std::string& tensor, const byte_sink& out) {
      encode_ternary(tensor, m, type, layout, out);
    });
  }

  /// Writes the file. Throws config_error for content that its type cannot hold, io_error, and
  /// format_error on big-endian machines; an old file at `path` is then untouched.
  void write(const std::filesystem::path& path) const {
    require_little_endian(path.string(), "GGUF");
    const std::string head = header();
    atomic_file file(path);
    file.write(head);
    std::vector<std::uint32_t> sums;
    for (const auto& t : tensors_) {
      checksum sum;
      t.produce(t.place.name, [&](std::span<const std::byte> bytes) {
        sum.update(bytes);
        file.write(bytes);
      });
      file.write(padding(file.size()));
      sums.push_back(sum.value());
    }
    read_back(file, head, sums);
    file.commit();
  }

 private:
  struct entry {
    gguf_entry place;
    producer produce;
  };

  template <class T>
  void put(const T& value) {
    if constexpr (std::convertible_to<T, std::string_view>) {
      const std::string_view text = value;
      put(static_cast<std::uint64_t>(text.size()));
      metadata_ += text;
    } else {
      append(metadata_, value);
    }
  }
  template <class T>
  static void append(std::string& out, const T& value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  static void append_name(std::string& out, const std::string& name) {
    append(out, static_cast<std::uint64_t>(name.size()));
    out += name;
  }

  void begin_key(std::string_view key, gguf_type type) {
    if (std::ranges::find(keys_, key) != keys_.end())
      throw config_error("key '" + std::string(key) + "' is written twice");
    keys_.emplace_back(key);
    put(key);
    put(static_cast<std::uint32_t>(type));
  }

  static std::string padding(std::size_t end) {
    return std::string(aligned(end, gguf_default_alignment) - end, '\0');
  }

  static void require_whole_blocks(const std::string& name, ggml_type type, std::size_t cols,
                                   std::size_t count) {
    if (cols % count != 0)
      detail::fail_to_encode(name, ggml_type_name(type) + " needs rows of a multiple of " +
                                       std::to_string(count) + " elements, got " +
                                       std::to_string(cols));
  }

  template <class T>
  void add_numbers(std::string name, matrix_view<const T> m, ggml_type type,
                   std::vector<std::size_t> shape) {
    if (!can_encode(type))
      detail::fail_to_encode(name, "numbers are not rounded to " + ggml_type_name(type));
    add(std::move(name), type, std::move(shape),
        [m, type](const std::string& tensor, const byte_sink& out) {
          encode_matrix<T>(tensor, m, type, out);
        });
  }

  /// Everything before the data, with the padding.
  [[nodiscard]] std::string header() const {
    std::string out = "GGUF";
    append(out, gguf_version);
    append(out, std::uint64_t{tensors_.size()});
    append(out, std::uint64_t{keys_.size()});
    out += metadata_;
    for (const auto& [place, ignored] : tensors_) {
      append_name(out, place.name);
      append(out, static_cast<std::uint32_t>(place.shape.size()));
      for (const std::size_t n : place.shape | std::views::reverse) append(out, std::uint64_t{n});
      append(out, ggml_file_id(place.type));
      append(out, std::uint64_t{place.offset});
    }
    return out + padding(out.size());
  }

  /// Opens the file that was written, as any reader would, and compares it with what was to be
  /// written.
  void read_back(const atomic_file& file, std::string_view head,
                 std::span<const std::uint32_t> sums) const {
    const mapped_file content(file.temporary());
    const gguf_file written(file.temporary());
    const auto fail = [&](const std::string& what) {
      throw io_error("cannot write '" + file.path().string() + "': " + what +
                     " is not as it was written");
    };
    if (!content.text().starts_with(head)) fail("the header");
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      const gguf_tensor& t = written.tensors()[i];
      const gguf_entry& place = tensors_[i].place;
      if (t.name != place.name || t.type != place.type || t.shape != place.shape ||
          t.data.size() != place.size || checksum::of(t.data) != sums[i])
        fail("tensor '" + place.name + "'");
    }
  }

  std::vector<std::string> keys_;
  std::string metadata_;
  std::vector<entry> tensors_;
};

}  // namespace tern::inline TERN_ABI
