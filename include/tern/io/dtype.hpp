// The element types of checkpoint files and their conversion to and from the library's scalars.
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

#include "tern/core/all_finite.hpp"
#include "tern/core/error.hpp"
#include "tern/quant/half.hpp"

namespace tern::inline TERN_ABI {

/// The element types of safetensors, by its names.
enum class dtype : std::uint8_t {
  // clang-format off
  boolean, u8, i8, f8_e5m2, f8_e4m3, i16, u16, f16, bf16, i32, u32, f32, i64, u64, f64
  // clang-format on
};

namespace detail {

// Both lists have the order of the enumerators.
inline constexpr std::array<std::string_view, 15> dtype_names{
    "BOOL", "U8",  "I8",  "F8_E5M2", "F8_E4M3", "I16", "U16", "F16",
    "BF16", "I32", "U32", "F32",     "I64",     "U64", "F64"};
inline constexpr std::array<std::size_t, 15> dtype_sizes{1, 1, 1, 1, 1, 2, 2, 2,
                                                         2, 4, 4, 4, 8, 8, 8};

/// The bits of an F16 and of a BF16: two types, so that overloads tell them apart.
struct f16_bits {
  std::uint16_t bits;
  explicit operator float() const { return from_f16(bits); }
};
struct bf16_bits {
  std::uint16_t bits;
  explicit operator float() const { return from_bf16(bits); }
};

template <class T>
concept half_bits = std::same_as<T, f16_bits> || std::same_as<T, bf16_bits>;

/// Calls f(Stored{}) with the C++ type that stores `type`. Returns false, without a call, for types
/// that C++ has no arithmetic for.
template <class F>
bool with_stored_type(dtype type, F&& f) {
  switch (type) {
    case dtype::u8:
      return f(std::uint8_t{}), true;
    case dtype::i8:
      return f(std::int8_t{}), true;
    case dtype::i16:
      return f(std::int16_t{}), true;
    case dtype::u16:
      return f(std::uint16_t{}), true;
    case dtype::i32:
      return f(std::int32_t{}), true;
    case dtype::u32:
      return f(std::uint32_t{}), true;
    case dtype::i64:
      return f(std::int64_t{}), true;
    case dtype::u64:
      return f(std::uint64_t{}), true;
    case dtype::f32:
      return f(float{}), true;
    case dtype::f64:
      return f(double{}), true;
    case dtype::f16:
      return f(f16_bits{}), true;
    case dtype::bf16:
      return f(bf16_bits{}), true;
    case dtype::boolean:
    case dtype::f8_e5m2:
    case dtype::f8_e4m3:
      return false;
  }
  return false;
}

}  // namespace detail

/// The name of a type in safetensors, such as "BF16".
inline std::string_view dtype_name(dtype type) {
  return detail::dtype_names[static_cast<std::size_t>(type)];
}
/// The number of bytes of one element.
inline std::size_t dtype_size(dtype type) {
  return detail::dtype_sizes[static_cast<std::size_t>(type)];
}
/// The type of a name, or nothing where no type has it.
inline std::optional<dtype> dtype_from_name(std::string_view name) {
  for (std::size_t i = 0; i < detail::dtype_names.size(); ++i)
    if (detail::dtype_names[i] == name) return static_cast<dtype>(i);
  return std::nullopt;
}

/// The stored type that holds a T exactly.
template <class T>
constexpr dtype dtype_of() {
  if constexpr (std::same_as<T, float>) {
    return dtype::f32;
  } else if constexpr (std::same_as<T, double>) {
    return dtype::f64;
  } else {
    static_assert(std::integral<T> && !std::same_as<T, bool>);
    constexpr bool is_signed = std::signed_integral<T>;
    if constexpr (sizeof(T) == 1) return is_signed ? dtype::i8 : dtype::u8;
    if constexpr (sizeof(T) == 2) return is_signed ? dtype::i16 : dtype::u16;
    if constexpr (sizeof(T) == 4) return is_signed ? dtype::i32 : dtype::u32;
    if constexpr (sizeof(T) == 8) return is_signed ? dtype::i64 : dtype::u64;
  }
}

/// Whether a stored `type` can be read as T: every number as a floating-point T, an integer only as
/// its own type.
template <class T>
bool dtype_readable_as(dtype type) {
  if constexpr (std::floating_point<T>)
    return detail::with_stored_type(type, [](auto) {});
  else
    return type == dtype_of<T>();
}

/// Decodes out.size() elements stored at `bytes`, which may have any alignment. The type must be
/// readable as T, see dtype_readable_as.
template <class T>
void decode(dtype type, const std::byte* bytes, std::span<T> out) {
  if (type == dtype_of<T>()) {
    if (!out.empty()) std::memcpy(out.data(), bytes, out.size_bytes());
    return;
  }
  if constexpr (std::floating_point<T>)
    detail::with_stored_type(type, [&](auto zero) {
      using stored = decltype(zero);
      for (std::size_t i = 0; i < out.size(); ++i) {
        stored v;
        std::memcpy(&v, bytes + i * sizeof v, sizeof v);
        if constexpr (detail::half_bits<stored>)
          out[i] = static_cast<T>(static_cast<float>(v));
        else
          out[i] = static_cast<T>(v);
      }
    });
}

/// Encodes `in` to in.size() elements at `bytes`. `type` is F32, F64, F16, BF16, or the type that
/// holds a T exactly. Doubles are rounded to float before they are rounded to 16 bits. Throws
/// config_error for other types, and where a value is not finite or too large for a narrower type.
template <class T>
void encode(dtype type, std::span<const T> in, std::byte* bytes) {
  const auto put = [&](auto convert) {
    for (std::size_t i = 0; i < in.size(); ++i) {
      const auto v = convert(in[i]);
      std::memcpy(bytes + i * sizeof v, &v, sizeof v);
    }
  };
  if (type == dtype_of<T>()) return put([](T v) { return v; });
  if constexpr (std::floating_point<T>) {
    if (type == dtype::f64) return put([](T v) { return static_cast<double>(v); });
    unsigned special = 0;  // whether a result has the exponent of infinity and NaN
    if (type == dtype::f32)
      put([&](T v) {
        const auto narrow = static_cast<float>(v);
        special |= static_cast<unsigned>(!is_finite(narrow));
        return narrow;
      });
    const auto put_half = [&](auto convert, std::uint16_t exponent) {
      put([&](T v) {
        const std::uint16_t half = convert(static_cast<float>(v));
        special |= static_cast<unsigned>((half & exponent) == exponent);
        return half;
      });
    };
    if (type == dtype::f16) put_half([](float v) { return to_f16(v); }, 0x7C00);
    if (type == dtype::bf16) put_half([](float v) { return to_bf16(v); }, 0x7F80);
    if (special != 0)
      throw config_error("a value is not finite or too large for " + std::string(dtype_name(type)));
    if (type == dtype::f32 || type == dtype::f16 || type == dtype::bf16) return;
  }
  throw config_error("cannot store these values as " + std::string(dtype_name(type)));
}

}  // namespace tern::inline TERN_ABI
