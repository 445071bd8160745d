// The part of a GGUF file (versions 2 and 3) before its data, read strictly: magic, version, two
// counts, the metadata, and a description of each tensor. No count is believed before its bytes
// were seen.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tern/core/byte_order.hpp"
#include "tern/core/error.hpp"
#include "tern/core/file_kind.hpp"
#include "tern/core/utf8.hpp"
#include "tern/gguf/metadata.hpp"
#include "tern/gguf/type.hpp"

namespace tern::inline TERN_ABI {

inline constexpr std::uint32_t gguf_version = 3;  ///< version that is written; 2 is read, too
inline constexpr std::size_t gguf_default_alignment = 32;  ///< bytes
/// The metadata key of another alignment.
inline constexpr std::string_view gguf_alignment_key = "general.alignment";

/// The description of a tensor. Its bytes are [offset, offset + size) behind the header.
struct gguf_entry {
  std::string name;                  ///< unique in the file
  ggml_type type = ggml_type::f32;   ///< type of its blocks
  std::vector<std::size_t> shape;    ///< extents, row-major
  std::size_t offset = 0, size = 0;  ///< bytes
};

/// The content of a header.
struct gguf_header {
  std::uint32_t version = gguf_version;            ///< 2 or 3
  std::size_t alignment = gguf_default_alignment;  ///< tensors begin at multiples of so many bytes
  gguf_metadata metadata;                          ///< keys, in the order of the file
  std::vector<gguf_entry> entries;                 ///< tensors, in the order of the file
  std::size_t size = 0;  ///< bytes of the header, with the padding to `alignment`
};

/// The next multiple of `alignment` from n on.
inline std::size_t aligned(std::size_t n, std::size_t alignment) {
  return (n + alignment - 1) / alignment * alignment;
}

namespace detail {

class gguf_header_reader {
 public:
  gguf_header_reader(std::span<const std::byte> bytes, std::string file)
      : bytes_(bytes), file_(std::move(file)) {
    header_.metadata = gguf_metadata(file_);
  }

  gguf_header read() {
    require_little_endian(file_, "GGUF");
    if (bytes_.size() < 4 || std::memcmp(bytes_.data(), "GGUF", 4) != 0) {
      refuse_known_kind({reinterpret_cast<const char*>(bytes_.data()), bytes_.size()}, file_,
                        "a GGUF file");
      fail("not a GGUF file: it does not begin with GGUF");
    }
    at_ = 4;
    where_ = "the header";
    header_.version = number<std::uint32_t>();
    if (header_.version != 2 && header_.version != gguf_version)
      fail((header_.version & 0xFFFFu) == 0
               ? "big-endian GGUF is not supported"
               : "expected GGUF version 2 or 3, got " + std::to_string(header_.version));
    const auto tensors = number<std::uint64_t>();
    const auto keys = number<std::uint64_t>();
    for (std::uint64_t i = 0; i < keys; ++i) read_key(i);
    read_alignment();
    for (std::uint64_t i = 0; i < tensors; ++i) read_entry(i);
    header_.size = aligned(at_, header_.alignment);
    return std::move(header_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw format_error(file_ + ": " + what); }
  [[noreturn]] void fail_here(const std::string& what) const { fail(where_ + ": " + what); }

  std::span<const std::byte> take(std::uint64_t size) {
    if (size > bytes_.size() - at_) fail_here("cut off: the file ends inside it");
    const auto part = bytes_.subspan(at_, static_cast<std::size_t>(size));
    at_ += part.size();
    return part;
  }

  template <class T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }

  std::string_view string() {
    const auto text = take(number<std::uint64_t>());
    return {reinterpret_cast<const char*>(text.data()), text.size()};
  }

  /// A key or the name of a tensor. It must be UTF-8, since it goes into messages.
  std::string_view name(const std::string& place) {
    where_ = place;
    const auto text = string();
    if (text.empty() || text.size() > 65535 || find_invalid_utf8(text) != text.size())
      fail_here("expected a name of 1 to 65535 bytes of UTF-8");
    return text;
  }

  gguf_type value_type() {
    const auto id = number<std::uint32_t>();
    if (id >= gguf_type_names.size()) fail_here("no value has type " + std::to_string(id));
    return static_cast<gguf_type>(id);
  }

  void read_key(std::uint64_t i) {
    gguf_value value;
    value.key = name("key " + std::to_string(i));
    where_ = "key '" + std::string(value.key) + "'";
    value.type = value_type();
    value.is_list = value.type == gguf_type::array;
    if (value.is_list) {
      value.type = value_type();
      value.count = number<std::uint64_t>();
    }
    if (value.type == gguf_type::array) fail_here("lists of lists are not supported");
    const std::size_t begin = at_;
    if (value.type == gguf_type::string) {
      for (std::uint64_t n = 0; n < value.count; ++n) string();
    } else {
      const std::size_t size = gguf_type_sizes[static_cast<std::size_t>(value.type)];
      if (value.count > bytes_.size() / size) fail_here("cut off: the file ends inside it");
      take(value.count * size);
    }
    value.data = bytes_.subspan(begin, at_ - begin);
    if (!header_.metadata.add(value)) fail_here("stands twice");
  }

  void read_alignment() {
    if (!header_.metadata.contains(gguf_alignment_key)) return;
    const auto value = header_.metadata.get<std::uint32_t>(gguf_alignment_key);
    if (!std::has_single_bit(value))
      header_.metadata.fail(gguf_alignment_key,
                            "expected a power of two, got " + std::to_string(value));
    header_.alignment = value;
  }

  void read_entry(std::uint64_t i) {
    gguf_entry entry;
    entry.name = name("tensor " + std::to_string(i));
    where_ = "tensor '" + entry.name + "'";
    const auto dimensions = number<std::uint32_t>();
    if (dimensions > 4)
      fail_here("expected at most 4 dimensions, got " + std::to_string(dimensions));
    entry.shape.resize(dimensions);
    for (std::size_t d = dimensions; d-- > 0;)
      entry.shape[d] = static_cast<std::size_t>(number<std::uint64_t>());
    entry.type = static_cast<ggml_type>(number<std::uint32_t>());
    const auto* info = find_ggml_type(entry.type);
    if (info == nullptr || entry.type == ggml_type::pq2_0)
      fail_here("no tensor has type id " + std::to_string(static_cast<std::uint32_t>(entry.type)));
    const std::size_t row = dimensions == 0 ? 1 : entry.shape.back();
    if (row % info->count != 0)
      fail_here("its rows of " + std::to_string(row) + " elements are not whole blocks of " +
                std::string(info->name) + ", " + std::to_string(info->count) + " each");
    const auto size = ggml_tensor_bytes(entry.type, entry.shape);
    if (!size) fail_here("its size overflows");
    entry.size = *size;
    entry.offset = static_cast<std::size_t>(number<std::uint64_t>());
    if (entry.offset % header_.alignment != 0)
      fail_here("its offset " + std::to_string(entry.offset) + " is not a multiple of " +
                std::to_string(header_.alignment));
    header_.entries.push_back(std::move(entry));
  }

  std::span<const std::byte> bytes_;
  std::string file_, where_;
  std::size_t at_ = 0;
  gguf_header header_;
};

}  // namespace detail

/// Parses the beginning of a file, whose bytes the metadata then refers to. `file` is its name in
/// messages. Throws format_error. It is the caller who checks that no tensor stands twice or lies
/// outside the file.
inline gguf_header parse_gguf_header(std::span<const std::byte> bytes, const std::string& file) {
  return detail::gguf_header_reader(bytes, file).read();
}

}  // namespace tern::inline TERN_ABI
