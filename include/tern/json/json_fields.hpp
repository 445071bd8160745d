// The members of a JSON object as values of C++ types, with errors that a person can act on: they
// name the file, the key, what was expected and what stood there.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tern/core/enum_names.hpp"
#include "tern/core/error.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

/// What a JSON value must be to become a T, or an empty string where it is that.
template <class T>
std::string json_mismatch(const nlohmann::json& v) {
  if constexpr (std::same_as<T, bool>) {
    return v.is_boolean() ? "" : "true or false";
  } else if constexpr (std::same_as<T, std::string>) {
    return v.is_string() ? "" : "a string";
  } else if constexpr (std::floating_point<T>) {
    return v.is_number() ? "" : "a number";
  } else {
    static_assert(std::integral<T>);
    const bool negative =
        !v.is_number_unsigned() && v.is_number_integer() && v.get<std::int64_t>() < 0;
    if (!v.is_number_integer() || (std::unsigned_integral<T> && negative))
      return std::unsigned_integral<T> ? "a non-negative integer" : "an integer";
    const bool fits = v.is_number_unsigned() ? std::in_range<T>(v.get<std::uint64_t>())
                                             : std::in_range<T>(v.get<std::int64_t>());
    return fits ? ""
                : "an integer between " + std::to_string(std::numeric_limits<T>::min()) + " and " +
                      std::to_string(std::numeric_limits<T>::max());
  }
}

}  // namespace detail

/// Typed access to the members of one JSON object, which is referred to, not copied. Whatever does
/// not fit throws config_error "<file>: key '<key>': expected <what>, got <value>".
class json_fields {
 public:
  /// `prefix` stands before each key in messages, such as "quantization_config.".
  json_fields(const nlohmann::json& object, std::string file, std::string prefix = "")
      : object_(&object), file_(std::move(file)), prefix_(std::move(prefix)) {
    if (!object.is_object())
      throw config_error(file_ + ": expected an object, got " + show(object));
  }

  /// Whether the key is present and not null.
  [[nodiscard]] bool has(const std::string& key) const {
    return object_->contains(key) && !object_->at(key).is_null();
  }

  /// Whether the key is present and null, which some files mean to say "none".
  [[nodiscard]] bool is_null(const std::string& key) const {
    return object_->contains(key) && object_->at(key).is_null();
  }
  /// Whether the object has no keys.
  [[nodiscard]] bool empty() const { return object_->empty(); }
  /// The value of a key as JSON for messages, shortened where it is long. The key must be present.
  [[nodiscard]] std::string shown(const std::string& key) const { return show(object_->at(key)); }
  /// Whether the key is present and has a list.
  [[nodiscard]] bool is_list(const std::string& key) const {
    return has(key) && object_->at(key).is_array();
  }
  /// Whether the key is present and has an object.
  [[nodiscard]] bool is_object(const std::string& key) const {
    return has(key) && object_->at(key).is_object();
  }

  /// The value of a key. T: bool, std::string, an integer or a floating-point type.
  template <class T>
  [[nodiscard]] T get(const std::string& key) const {
    return value<T>(required(key), key);
  }
  /// The value of a key; nothing where the text `word` stands there instead.
  template <class T>
  [[nodiscard]] std::optional<T> get_unless(const std::string& key, const std::string& word) const {
    const auto& v = required(key);
    if (v.is_string() && v.get<std::string>() == word) return {};
    if (const auto expected = detail::json_mismatch<T>(v); !expected.empty())
      fail(key, expected + " or \"" + word + '"', show(v));
    return v.get<T>();
  }
  /// The value of a key, or `fallback` where it is missing or null.
  template <class T>
  [[nodiscard]] T get_or(const std::string& key, T fallback) const {
    return has(key) ? get<T>(key) : fallback;
  }

  /// The value of a key, which must be an integer of at least 1.
  [[nodiscard]] std::size_t positive(const std::string& key) const {
    const auto& v = required(key);
    if (!detail::json_mismatch<std::size_t>(v).empty() || v.get<std::size_t>() == 0)
      fail(key, "a positive integer", show(v));
    return v.get<std::size_t>();
  }
  /// The same, or `fallback` where the key is missing or null.
  [[nodiscard]] std::size_t positive_or(const std::string& key, std::size_t fallback) const {
    return has(key) ? positive(key) : fallback;
  }

  /// The value of an enum, which the key must name by one of `names`.
  template <class E>
  [[nodiscard]] E choice(const std::string& key, enum_names<E> names) const {
    const auto text = get<std::string>(key);
    std::string expected;
    for (const auto& [name, e] : names) {
      if (text == name) return e;
      expected.append(expected.empty() ? "one of " : ", ").append(name);
    }
    fail(key, expected, '"' + text + '"');
  }

  /// A list whose elements are all T.
  template <class T>
  [[nodiscard]] std::vector<T> list(const std::string& key) const {
    std::vector<T> result;
    for (const auto& item : any_list(key))
      result.push_back(value<T>(item, key + "[" + std::to_string(result.size()) + "]"));
    return result;
  }

  /// A list whose elements may be of any type.
  [[nodiscard]] const nlohmann::json& any_list(const std::string& key) const {
    const auto& v = required(key);
    if (!v.is_array()) fail(key, "a list", show(v));
    return v;
  }

  /// The members of an object.
  [[nodiscard]] json_fields object(const std::string& key) const {
    const auto& v = required(key);
    if (!v.is_object()) fail(key, "an object", show(v));
    return {v, file_, prefix_ + key + "."};
  }

  /// The members of a list of objects.
  [[nodiscard]] std::vector<json_fields> objects(const std::string& key) const {
    const auto& v = required(key);
    if (!v.is_array()) fail(key, "a list of objects", show(v));
    std::vector<json_fields> result;
    for (const auto& item : v) {
      const auto name = key + "[" + std::to_string(result.size()) + "]";
      if (!item.is_object()) fail(name, "an object", show(item));
      result.emplace_back(item, file_, prefix_ + name + ".");
    }
    return result;
  }

  /// Throws unless every key is one of `known`: catches misspelt options.
  void require_known(const std::vector<std::string>& known) const {
    for (const auto& [key, ignored] : object_->items()) {
      if (std::ranges::find(known, key) != known.end()) continue;
      std::string names;
      for (const auto& name : known) names += (names.empty() ? "" : ", ") + name;
      throw config_error(file_ + ": unknown key '" + prefix_ + key + "', expected one of " + names);
    }
  }

  /// Throws the same config_error, for checks that the caller makes.
  [[noreturn]] void fail(const std::string& key, const std::string& expected,
                         const std::string& got) const {
    throw config_error(place(key) + ": expected " + expected + ", got " + got);
  }
  /// File and key, as the messages name them.
  [[nodiscard]] std::string place(const std::string& key) const {
    return file_ + ": key '" + prefix_ + key + "'";
  }

 private:
  static std::string show(const nlohmann::json& v) {
    auto text = v.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
    return text.size() <= 60 ? text : text.substr(0, 57) + "...";
  }

  [[nodiscard]] const nlohmann::json& required(const std::string& key) const {
    if (!object_->contains(key)) fail(key, "a value", "nothing");
    return object_->at(key);
  }

  template <class T>
  T value(const nlohmann::json& v, const std::string& key) const {
    if (const auto expected = detail::json_mismatch<T>(v); !expected.empty())
      fail(key, expected, show(v));
    return v.get<T>();
  }

  const nlohmann::json* object_;
  std::string file_, prefix_;
};

}  // namespace tern::inline TERN_ABI
