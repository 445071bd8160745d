// One key of a GGUF file's metadata and its value: a number, a boolean, a string, or a list of
// those. It refers into the mapped file and is decoded when it is asked for.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

/// Types of values, with their ids in files.
enum class gguf_type : std::uint32_t {
  // clang-format off
  u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64
  // clang-format on
};

namespace detail {

// Both lists have the order of the enumerators.
inline constexpr std::array<std::string_view, 13> gguf_type_names{
    "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"};
inline constexpr std::array<std::size_t, 13> gguf_type_sizes{1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

/// Calls f(T{}) with the C++ type of a number or boolean. Returns false, without a call, for other
/// types.
template <class F>
bool with_gguf_type(gguf_type type, F&& f) {
  switch (type) {
    case gguf_type::u8:
      return f(std::uint8_t{}), true;
    case gguf_type::i8:
      return f(std::int8_t{}), true;
    case gguf_type::u16:
      return f(std::uint16_t{}), true;
    case gguf_type::i16:
      return f(std::int16_t{}), true;
    case gguf_type::u32:
      return f(std::uint32_t{}), true;
    case gguf_type::i32:
      return f(std::int32_t{}), true;
    case gguf_type::u64:
      return f(std::uint64_t{}), true;
    case gguf_type::i64:
      return f(std::int64_t{}), true;
    case gguf_type::f32:
      return f(float{}), true;
    case gguf_type::f64:
      return f(double{}), true;
    case gguf_type::boolean:
      return f(bool{}), true;
    case gguf_type::string:
    case gguf_type::array:
      return false;
  }
  return false;
}

}  // namespace detail

/// The type in files of a C++ type.
template <class T>
constexpr gguf_type gguf_type_of() {
  if constexpr (std::same_as<T, bool>) {
    return gguf_type::boolean;
  } else if constexpr (std::floating_point<T>) {
    return sizeof(T) == 4 ? gguf_type::f32 : gguf_type::f64;
  } else if constexpr (std::integral<T>) {
    constexpr bool is_signed = std::signed_integral<T>;
    if constexpr (sizeof(T) == 1) return is_signed ? gguf_type::i8 : gguf_type::u8;
    if constexpr (sizeof(T) == 2) return is_signed ? gguf_type::i16 : gguf_type::u16;
    if constexpr (sizeof(T) == 4) return is_signed ? gguf_type::i32 : gguf_type::u32;
    if constexpr (sizeof(T) == 8) return is_signed ? gguf_type::i64 : gguf_type::u64;
  } else {
    static_assert(std::convertible_to<T, std::string_view>);
    return gguf_type::string;
  }
}

/// `data` are the bytes behind the type, for a list those behind its count. They are complete.
struct gguf_value {
  std::string_view key;             ///< name of the key
  gguf_type type = gguf_type::u8;   ///< type of the value, or of each element of a list
  bool is_list = false;             ///< whether the value is a list
  std::uint64_t count = 1;          ///< number of elements
  std::span<const std::byte> data;  ///< the elements, little-endian

  /// The name of the type, such as "u32" or "list of string".
  [[nodiscard]] std::string type_name() const {
    const auto name = detail::gguf_type_names[static_cast<std::size_t>(type)];
    return (is_list ? "list of " : "") + std::string(name);
  }

  /// All elements as T, or nothing where one does not fit; a single value is one element. T: bool,
  /// std::string_view, std::string, an integer (read from any integer in its range), or a
  /// floating-point type.
  template <class T>
  [[nodiscard]] std::optional<std::vector<T>> as() const {
    std::vector<T> out;
    if constexpr (std::convertible_to<T, std::string_view>) {
      if (type != gguf_type::string) return std::nullopt;
      out.reserve(count);
      for_each_string([&](std::string_view text) { out.emplace_back(text); });
      return out;
    } else {
      bool fits = true;
      out.reserve(type == gguf_type::string ? 0 : count);
      const bool numbers = detail::with_gguf_type(type, [&]<class Stored>(Stored) {
        for (std::uint64_t i = 0; fits && i < count; ++i) {
          const auto value = element<Stored, T>(i);
          fits = value.has_value();
          if (fits) out.push_back(*value);
        }
      });
      return numbers && fits ? std::optional(std::move(out)) : std::nullopt;
    }
  }

 private:
  template <class F>
  void for_each_string(F&& f) const {
    const auto* at = data.data();
    for (std::uint64_t i = 0; i < count; ++i) {
      std::uint64_t size = 0;
      std::memcpy(&size, at, 8);
      f(std::string_view(reinterpret_cast<const char*>(at + 8), static_cast<std::size_t>(size)));
      at += 8 + size;
    }
  }

  template <class Stored, class T>
  [[nodiscard]] std::optional<T> element(std::uint64_t i) const {
    const auto* at = data.data() + i * sizeof(Stored);
    if constexpr (std::same_as<Stored, bool>) {
      const auto byte = std::to_integer<unsigned>(*at);
      if (!std::same_as<T, bool> || byte > 1) return std::nullopt;
      return static_cast<T>(byte == 1);
    } else if constexpr (std::same_as<T, bool>) {
      return std::nullopt;
    } else {
      Stored value;
      std::memcpy(&value, at, sizeof value);
      if constexpr (std::floating_point<T>) {
        if constexpr (!std::floating_point<Stored>) return std::nullopt;
        return static_cast<T>(value);
      } else if constexpr (std::integral<Stored>) {
        return std::in_range<T>(value) ? std::optional(static_cast<T>(value)) : std::nullopt;
      } else {
        return std::nullopt;
      }
    }
  }
};

}  // namespace tern::inline TERN_ABI
