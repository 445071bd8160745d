// A batch of floating-point numbers in plain C++, for machines on which xsimd 8 has none. Types and
// functions have the names and the meaning of those of xsimd.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI::simd {

/// One answer for each number of a batch of n numbers.
template <std::size_t n>
struct portable_mask {
  std::array<bool, n> data;  ///< the answers

  /// True where both answers are.
  friend portable_mask operator&(const portable_mask& a, const portable_mask& b) {
    portable_mask out;
    for (std::size_t i = 0; i < n; ++i) out.data[i] = a.data[i] && b.data[i];
    return out;
  }
  /// True where one answer is.
  friend portable_mask operator|(const portable_mask& a, const portable_mask& b) {
    portable_mask out;
    for (std::size_t i = 0; i < n; ++i) out.data[i] = a.data[i] || b.data[i];
    return out;
  }
};

/// 16 bytes of numbers, which a compiler vectorises where the machine has registers of that size.
template <class T>
struct portable_batch {
  using value_type = T;                                ///< type of a number
  static constexpr std::size_t size = 16 / sizeof(T);  ///< numbers of a batch
  using batch_bool_type = portable_mask<size>;         ///< what comparisons give

  std::array<T, size> data;  ///< the numbers

  portable_batch() = default;
  /// All numbers are x. A number converts to a batch, as with xsimd.
  portable_batch(T x) { data.fill(x); }  // NOLINT

  /// The numbers at p, which need no alignment.
  static portable_batch load_unaligned(const T* p) {
    portable_batch out;
    std::copy_n(p, size, out.data.data());
    return out;
  }
  /// Writes the numbers to p, which needs no alignment.
  void store_unaligned(T* p) const { std::copy_n(data.data(), size, p); }
  [[nodiscard]] T get(std::size_t i) const { return data[i]; }  ///< number i < size

  /// f of each number.
  template <class F>
  [[nodiscard]] portable_batch map(F f) const {
    portable_batch out;
    for (std::size_t i = 0; i < size; ++i) out.data[i] = f(data[i]);
    return out;
  }
  /// f of each pair of numbers.
  template <class F>
  [[nodiscard]] portable_batch map(F f, const portable_batch& b) const {
    portable_batch out;
    for (std::size_t i = 0; i < size; ++i) out.data[i] = f(data[i], b.data[i]);
    return out;
  }
  /// Whether f is true of each pair of numbers.
  template <class F>
  [[nodiscard]] batch_bool_type ask(F f, const portable_batch& b) const {
    batch_bool_type out;
    for (std::size_t i = 0; i < size; ++i) out.data[i] = f(data[i], b.data[i]);
    return out;
  }

  /// The numbers with the other sign.
  friend portable_batch operator-(const portable_batch& a) {
    return a.map([](T x) { return -x; });
  }
  /// Sums.
  friend portable_batch operator+(const portable_batch& a, const portable_batch& b) {
    return a.map([](T x, T y) { return x + y; }, b);
  }
  /// Differences.
  friend portable_batch operator-(const portable_batch& a, const portable_batch& b) {
    return a.map([](T x, T y) { return x - y; }, b);
  }
  /// Products.
  friend portable_batch operator*(const portable_batch& a, const portable_batch& b) {
    return a.map([](T x, T y) { return x * y; }, b);
  }
  /// Quotients.
  friend portable_batch operator/(const portable_batch& a, const portable_batch& b) {
    return a.map([](T x, T y) { return x / y; }, b);
  }
  /// Adds b.
  portable_batch& operator+=(const portable_batch& b) { return *this = *this + b; }
  /// Subtracts b.
  portable_batch& operator-=(const portable_batch& b) { return *this = *this - b; }
  /// Multiplies by b.
  portable_batch& operator*=(const portable_batch& b) { return *this = *this * b; }
  /// Divides by b.
  portable_batch& operator/=(const portable_batch& b) { return *this = *this / b; }

  /// Which numbers are equal.
  friend batch_bool_type operator==(const portable_batch& a, const portable_batch& b) {
    return a.ask([](T x, T y) { return x == y; }, b);
  }
  /// Which numbers differ.
  friend batch_bool_type operator!=(const portable_batch& a, const portable_batch& b) {
    return a.ask([](T x, T y) { return x != y; }, b);
  }
  /// Which numbers of a are smaller.
  friend batch_bool_type operator<(const portable_batch& a, const portable_batch& b) {
    return a.ask([](T x, T y) { return x < y; }, b);
  }
  /// Which numbers of a are not larger.
  friend batch_bool_type operator<=(const portable_batch& a, const portable_batch& b) {
    return a.ask([](T x, T y) { return x <= y; }, b);
  }
  /// Which numbers of a are larger.
  friend batch_bool_type operator>(const portable_batch& a, const portable_batch& b) {
    return a.ask([](T x, T y) { return x > y; }, b);
  }
  /// Which numbers of a are not smaller.
  friend batch_bool_type operator>=(const portable_batch& a, const portable_batch& b) {
    return a.ask([](T x, T y) { return x >= y; }, b);
  }
};

/// Whether all answers are true.
template <std::size_t n>
bool all(const portable_mask<n>& mask) {
  return std::ranges::all_of(mask.data, [](bool b) { return b; });
}

/// The number of `yes` where the answer is true, else that of `no`.
template <class T>
portable_batch<T> select(const portable_mask<portable_batch<T>::size>& mask,
                         const portable_batch<T>& yes, const portable_batch<T>& no) {
  portable_batch<T> out;
  for (std::size_t i = 0; i < out.size; ++i) out.data[i] = mask.data[i] ? yes.data[i] : no.data[i];
  return out;
}

/// The smaller and the larger number of each pair.
template <class T>
portable_batch<T> min(const portable_batch<T>& a, const portable_batch<T>& b) {
  return a.map([](T x, T y) { return y < x ? y : x; }, b);
}
template <class T>
portable_batch<T> max(const portable_batch<T>& a, const portable_batch<T>& b) {
  return a.map([](T x, T y) { return x < y ? y : x; }, b);
}

/// a b + c. The compiler decides whether the product is rounded.
template <class T>
portable_batch<T> fma(const portable_batch<T>& a, const portable_batch<T>& b,
                      const portable_batch<T>& c) {
  return a * b + c;
}

/// The numbers of the lower halves of a and b, in turn.
template <class T>
portable_batch<T> zip_lo(const portable_batch<T>& a, const portable_batch<T>& b) {
  portable_batch<T> out;
  for (std::size_t i = 0; i < out.size; ++i) out.data[i] = (i % 2 == 0 ? a : b).data[i / 2];
  return out;
}
/// The numbers of the upper halves of a and b, in turn.
template <class T>
portable_batch<T> zip_hi(const portable_batch<T>& a, const portable_batch<T>& b) {
  portable_batch<T> out;
  for (std::size_t i = 0; i < out.size; ++i)
    out.data[i] = (i % 2 == 0 ? a : b).data[out.size / 2 + i / 2];
  return out;
}

/// The function of the standard library for each number.
template <class T>
portable_batch<T> abs(const portable_batch<T>& a) {
  return a.map([](T x) { return std::abs(x); });
}
template <class T>
portable_batch<T> sqrt(const portable_batch<T>& a) {
  return a.map([](T x) { return std::sqrt(x); });
}
template <class T>
portable_batch<T> exp(const portable_batch<T>& a) {
  return a.map([](T x) { return std::exp(x); });
}
template <class T>
portable_batch<T> erf(const portable_batch<T>& a) {
  return a.map([](T x) { return std::erf(x); });
}
template <class T>
portable_batch<T> tanh(const portable_batch<T>& a) {
  return a.map([](T x) { return std::tanh(x); });
}

}  // namespace tern::inline TERN_ABI::simd
