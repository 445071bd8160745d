// The JSON header of a safetensors file, read strictly. It is read event by event, so that a key
// that stands twice is seen; every field is checked, and every size is computed without overflow.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/io/dtype.hpp"

namespace tern::inline TERN_ABI {

/// The size of the largest header that is read, in bytes.
inline constexpr std::size_t max_safetensors_header = 100'000'000;

/// One entry of the header.
struct safetensors_entry {
  std::string name;                ///< unique in the file
  dtype type = dtype::f32;         ///< type of the elements
  std::vector<std::size_t> shape;  ///< extents, row-major
  std::size_t begin = 0, end = 0;  ///< its bytes are [begin, end) of the data
};

/// The content of a header.
struct safetensors_header {
  std::vector<safetensors_entry> entries;       ///< tensors, in the order of the header
  std::map<std::string, std::string> metadata;  ///< keys and values under "__metadata__"
};

/// The number of bytes of a tensor, or nothing where the product overflows.
inline std::optional<std::size_t> tensor_bytes(dtype type, const std::vector<std::size_t>& shape) {
  std::size_t bytes = dtype_size(type);
  for (const std::size_t n : shape)
    if (n == 0) return 0;
  for (const std::size_t n : shape) {
    if (bytes > std::numeric_limits<std::size_t>::max() / n) return std::nullopt;
    bytes *= n;
  }
  return bytes;
}

namespace detail {

/// Takes the parser's events of `{"<name>": {"dtype": s, "shape": [n...], "data_offsets": [n,
/// n]}...,
/// "__metadata__": {"<key>": s...}}`; throws format_error for anything else.
class safetensors_sax : public nlohmann::json_sax<nlohmann::json> {
 public:
  safetensors_sax(std::string file, safetensors_header& out) : file_(std::move(file)), out_(&out) {}

  bool start_object(std::size_t) override {
    if (depth_ == 1 && in_array_ == nullptr) {
      if (!metadata()) out_->entries.emplace_back().name = name_;
      fields_.clear();
    } else if (depth_ != 0) {
      unexpected("an object");
    }
    ++depth_;
    return true;
  }
  bool end_object() override {
    if (--depth_ == 1 && !metadata()) finish_tensor();
    return true;
  }
  bool key(string_t& key) override {
    if (depth_ == 1) {
      name_ = key;
      if (!names_.insert(key).second) fail("stands twice");
    } else {
      field_ = key;
      if (!fields_.insert(key).second) fail("key '" + key + "' stands twice");
    }
    return true;
  }
  bool start_array(std::size_t) override {
    if (depth_ != 2 || metadata() || in_array_ != nullptr) unexpected("a list");
    if (field_ == "shape")
      in_array_ = &out_->entries.back().shape;
    else if (field_ == "data_offsets")
      in_array_ = &offsets_;
    else
      unexpected("a list");
    in_array_->clear();
    return true;
  }
  bool end_array() override {
    in_array_ = nullptr;
    return true;
  }
  bool number_unsigned(number_unsigned_t n) override {
    if (in_array_ == nullptr) unexpected("a number");
    in_array_->push_back(static_cast<std::size_t>(n));
    return true;
  }
  bool string(string_t& text) override {
    if (depth_ != 2 || in_array_ != nullptr) unexpected("a string");
    if (metadata()) {
      out_->metadata.emplace(field_, text);
      return true;
    }
    if (field_ != "dtype") unexpected("a string");
    const auto type = dtype_from_name(text);
    if (!type) fail("unknown dtype '" + text + "'");
    out_->entries.back().type = *type;
    return true;
  }
  bool null() override { unexpected("null"); }
  bool boolean(bool) override { unexpected("a boolean"); }
  bool number_integer(number_integer_t) override { unexpected("a negative number"); }
  bool number_float(number_float_t, const string_t&) override {
    unexpected("a number that is not a 64-bit integer");
  }
  bool binary(binary_t&) override { unexpected("binary data"); }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::json::exception&) override {
    throw format_error(file_ + ": the header is not valid JSON at its byte " +
                       std::to_string(position));
  }

 private:
  [[nodiscard]] bool metadata() const { return name_ == "__metadata__"; }

  void finish_tensor() {
    auto& t = out_->entries.back();
    for (const char* field : {"dtype", "shape", "data_offsets"})
      if (!fields_.contains(field)) fail("'" + std::string(field) + "' is missing");
    if (fields_.size() != 3) fail("has other fields than dtype, shape, data_offsets");
    if (offsets_.size() != 2 || offsets_[0] > offsets_[1])
      fail("data_offsets must be [begin, end]");
    t.begin = offsets_[0];
    t.end = offsets_[1];
    const auto bytes = tensor_bytes(t.type, t.shape);
    if (!bytes) fail("its size overflows");
    if (*bytes != t.end - t.begin)
      fail("dtype and shape make " + std::to_string(*bytes) + " bytes, data_offsets " +
           std::to_string(t.end - t.begin));
  }

  [[noreturn]] void unexpected(const std::string& what) const {
    if (depth_ == 0) throw format_error(file_ + ": the header is not an object");
    fail("unexpected " + what + (depth_ == 2 ? " at '" + field_ + "'" : ""));
  }
  [[noreturn]] void fail(const std::string& what) const {
    throw format_error(file_ + ": tensor '" + name_ + "': " + what);
  }

  std::string file_, name_, field_;
  safetensors_header* out_;
  std::set<std::string> names_, fields_;
  std::vector<std::size_t> offsets_;
  std::vector<std::size_t>* in_array_ = nullptr;
  int depth_ = 0;
};

}  // namespace detail

/// Parses the text of a header. `file` is the name in messages. Throws format_error.
inline safetensors_header parse_safetensors_header(std::string_view json, const std::string& file) {
  safetensors_header header;
  detail::safetensors_sax events(file, header);
  nlohmann::json::sax_parse(json, &events);
  return header;
}

}  // namespace tern::inline TERN_ABI
