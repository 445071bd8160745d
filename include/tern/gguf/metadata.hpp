// The metadata of a GGUF file by key, with errors that name file and key.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/gguf/value.hpp"

namespace tern::inline TERN_ABI {

/// All keys of a file. It refers into the mapped file and lives as long as that does.
class gguf_metadata {
 public:
  gguf_metadata() = default;
  explicit gguf_metadata(std::string file)
      : file_(std::move(file)) {}  ///< `file` is its name in messages

  /// Adds a value. Returns false where the key is there already.
  bool add(const gguf_value& value) {
    const bool fresh = index_.emplace(value.key, values_.size()).second;
    if (fresh) values_.push_back(value);
    return fresh;
  }

  /// The name of the file in messages.
  [[nodiscard]] const std::string& file() const { return file_; }
  /// All values, in the order of the file.
  [[nodiscard]] std::span<const gguf_value> values() const { return values_; }
  /// Whether the file has the key.
  [[nodiscard]] bool contains(std::string_view key) const { return index_.contains(key); }

  /// The value of a key. T: bool, std::string, std::string_view, an integer (read from any integer
  /// in its range) or a floating-point type. Throws format_error where the key is missing or has no
  /// such value.
  template <class T>
  [[nodiscard]] T get(std::string_view key) const {
    const gguf_value& value = at(key);
    auto elements = value.is_list ? std::nullopt : value.as<T>();
    if (!elements) fail(key, "expected " + kind_of<T>() + ", got " + shown(value));
    return std::move(elements->front());
  }
  /// The value of a key, or `fallback` where it is missing.
  template <class T>
  [[nodiscard]] T get_or(std::string_view key, T fallback) const {
    return contains(key) ? get<T>(key) : fallback;
  }

  /// The list of such values that a key has. Throws as get().
  template <class T>
  [[nodiscard]] std::vector<T> list(std::string_view key) const {
    const gguf_value& value = at(key);
    auto elements = value.is_list ? value.as<T>() : std::nullopt;
    if (!elements) fail(key, "expected a list, each " + kind_of<T>() + ", got " + shown(value));
    return *std::move(elements);
  }

  /// Throws format_error naming file and key, for checks that the caller makes.
  [[noreturn]] void fail(std::string_view key, const std::string& what) const {
    throw format_error(file_ + ": key '" + std::string(key) + "': " + what);
  }

 private:
  [[nodiscard]] const gguf_value& at(std::string_view key) const {
    const auto found = index_.find(key);
    if (found == index_.end()) fail(key, "is missing");
    return values_[found->second];
  }

  template <class T>
  static std::string kind_of() {
    if constexpr (std::convertible_to<T, std::string_view>)
      return "a string";
    else if constexpr (std::same_as<T, bool>)
      return "true or false";
    else if constexpr (std::floating_point<T>)
      return "a floating-point number";
    else
      return "an integer between " + std::to_string(std::numeric_limits<T>::min()) + " and " +
             std::to_string(std::numeric_limits<T>::max());
  }

  /// What the file has, for messages: the type, and the value where it is one integer.
  static std::string shown(const gguf_value& value) {
    if (value.is_list || value.type == gguf_type::f32 || value.type == gguf_type::f64)
      return value.type_name();
    if (const auto number = value.as<std::int64_t>())
      return value.type_name() + " " + std::to_string(number->front());
    return value.type_name();
  }

  std::string file_;
  std::vector<gguf_value> values_;
  std::unordered_map<std::string_view, std::size_t> index_;
};

}  // namespace tern::inline TERN_ABI
