// Vectorised floating-point loops over row_views (xsimd), with the instruction set that this
// translation unit is compiled for. The same function object is used for whole vectors and for the
// tail; strided rows are copied through a buffer of one register; no result depends on alignment.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <type_traits>
#include <utility>

#include "tern/core/batch.hpp"
#include "tern/core/is_finite.hpp"
#include "tern/core/tensor.hpp"

namespace tern::inline TERN_ABI::simd {

namespace detail {

/// Loads the elements [i, i + n) of r, n <= lanes. The lanes past n hold zero.
template <class T>
batch<std::remove_const_t<T>> load_part(row_view<T> r, std::size_t i, std::size_t n) {
  std::array<std::remove_const_t<T>, lanes<std::remove_const_t<T>>> buffer{};
  for (std::size_t k = 0; k < n; ++k) buffer[k] = r[i + k];
  return batch<std::remove_const_t<T>>::load_unaligned(buffer.data());
}

template <class T>
void store_part(row_view<T> r, std::size_t i, std::size_t n, const batch<T>& v) {
  std::array<T, lanes<T>> buffer;
  v.store_unaligned(buffer.data());
  for (std::size_t k = 0; k < n; ++k) r[i + k] = buffer[k];
}

template <class T>
batch<std::remove_const_t<T>> load(row_view<T> r, std::size_t i) {
  return batch<std::remove_const_t<T>>::load_unaligned(r.data + i);
}

template <class... R>
bool contiguous(const R&... r) {
  return ((r.stride == 1) && ...);
}

}  // namespace detail

/// outs[k][i] = f(in[i]...)[k] in one pass. f takes one batch per input and returns an array of K
/// batches. A row of `outs` may be the same memory as an input, but must not overlap it partly.
template <class T, std::size_t K, class F, class... In>
void transform(const std::array<row_view<T>, K>& outs, F&& f, const In&... in) {
  [&]<std::size_t... k>(std::index_sequence<k...>) {
    constexpr std::size_t width = lanes<T>;
    const std::size_t n = outs[0].size;
    std::size_t i = 0;
    if (detail::contiguous(outs[k]..., in...))
      for (; i + width <= n; i += width) {
        const std::array<batch<T>, K> v = f(detail::load(in, i)...);
        (v[k].store_unaligned(outs[k].data + i), ...);
      }
    for (; i < n; i += width) {
      const std::size_t part = n - i < width ? n - i : width;
      const std::array<batch<T>, K> v = f(detail::load_part(in, i, part)...);
      (detail::store_part(outs[k], i, part, v[k]), ...);
    }
  }(std::make_index_sequence<K>());
}

/// out[i] = f(in[i]...). f takes one batch per input and returns a batch. `out` may be the same
/// memory as an input, but must not overlap it partly.
template <class T, class F, class... In>
void transform(row_view<T> out, F&& f, const In&... in) {
  transform(
      std::array{out}, [&](const auto&... v) { return std::array{batch<T>(f(v...))}; }, in...);
}

/// Combines f(in[i]...) over all i, starting from `init`, which is the identity of `combine`.
/// `combine` takes two batches or two scalars. Four accumulators hide the latency of the operation;
/// the order of the operations depends on the size alone.
template <class T, class Combine, class F, class First, class... In>
T fold(T init, Combine combine, F&& f, const First& first, const In&... in) {
  constexpr std::size_t width = lanes<T>;
  const std::size_t n = first.size;
  batch<T> a0(init), a1(init), a2(init), a3(init);
  std::size_t i = 0;
  const auto whole_vectors = [&](auto load) {
    for (; i + 4 * width <= n; i += 4 * width) {
      a0 = combine(a0, f(load(first, i), load(in, i)...));
      a1 = combine(a1, f(load(first, i + width), load(in, i + width)...));
      a2 = combine(a2, f(load(first, i + 2 * width), load(in, i + 2 * width)...));
      a3 = combine(a3, f(load(first, i + 3 * width), load(in, i + 3 * width)...));
    }
    for (; i + width <= n; i += width) a0 = combine(a0, f(load(first, i), load(in, i)...));
  };
  if (detail::contiguous(first, in...))
    whole_vectors([](const auto& r, std::size_t at) { return detail::load(r, at); });
  else
    whole_vectors([](const auto& r, std::size_t at) { return detail::load_part(r, at, width); });
  std::array<T, width> buffer;
  if (i < n) {
    const std::size_t part = n - i;
    const batch<T> v = f(detail::load_part(first, i, part), detail::load_part(in, i, part)...);
    v.store_unaligned(buffer.data());
    for (std::size_t k = part; k < width; ++k) buffer[k] = init;
    a0 = combine(a0, batch<T>::load_unaligned(buffer.data()));
  }
  combine(combine(a0, a1), combine(a2, a3)).store_unaligned(buffer.data());
  T result = init;
  for (const T lane : buffer) result = combine(result, lane);
  return result;
}

/// The sum of two values, for fold().
struct plus {
  /// Adds two batches or two scalars.
  template <class B>
  B operator()(const B& a, const B& b) const {
    return a + b;
  }
};

/// The larger of two values, for fold().
struct maximum {
  /// Compares element by element.
  template <class T>
  batch<T> operator()(const batch<T>& a, const batch<T>& b) const {
    return simd::max(a, b);
  }
  float operator()(float a, float b) const { return a < b ? b : a; }
  double operator()(double a, double b) const { return a < b ? b : a; }
};

/// Sum of f(in[i]...).
template <class F, class First, class... In>
auto sum(F&& f, const First& first, const In&... in) {
  using T = std::remove_cvref_t<decltype(first[0])>;
  return fold(T(0), plus{}, f, first, in...);
}

/// Sum of x[i].
template <class T>
std::remove_const_t<T> sum(row_view<T> x) {
  return sum([](const auto& a) { return a; }, x);
}

/// Sum of x[i] y[i].
template <class T, class U>
std::remove_const_t<T> dot(row_view<T> x, row_view<U> y) {
  return sum([](const auto& a, const auto& b) { return a * b; }, x, y);
}

/// Largest |x[i]|. It is 0 for an empty row.
template <class T>
std::remove_const_t<T> max_abs(row_view<T> x) {
  return fold(
      std::remove_const_t<T>(0), maximum{}, [](const auto& a) { return simd::abs(a); }, x);
}

/// Root of the sum of x[i]^2. Where the squares overflow, they are those of x divided by its
/// largest magnitude.
template <class T>
std::remove_const_t<T> norm(row_view<T> x) {
  using U = std::remove_const_t<T>;
  const U plain = std::sqrt(dot(x, x));
  if (is_finite(plain)) return plain;
  const U largest = max_abs(x);
  if (!is_finite(largest)) return plain;
  const batch<U> by(largest);
  const auto square = [&](const auto& a) { return (a / by) * (a / by); };
  return largest * std::sqrt(sum(square, x));
}

/// y += a * x
template <class T>
void axpy(T a, row_view<const T> x, row_view<T> y) {
  const batch<T> factor(a);
  transform(
      y, [&](const auto& u, const auto& v) { return v + factor * u; }, x, row_view<const T>(y));
}

}  // namespace tern::inline TERN_ABI::simd
