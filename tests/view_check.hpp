// The checks that every matrix-like must pass: each conversion to a view refers to its own memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "tern/core/tensor.hpp"
#include "tern/nn/rms_norm.hpp"
#include "tern/quant/absmean.hpp"
#include "tests/support.hpp"

namespace tern_test {

/// Checks that every element v(r, c) is 10 r + c + first.
template <class T = float>
void check_values(std::type_identity_t<tern::matrix_view<const T>> v, std::size_t rows,
                  std::size_t cols, std::type_identity_t<T> first = 0) {
  REQUIRE((v.rows == rows && v.cols == cols && v.size() == rows * cols));
  const auto t = v.transposed();
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < cols; ++c) {
      const T expected = first + 10 * static_cast<T>(r) + static_cast<T>(c);
      CHECK(v(r, c) == expected);
      CHECK(v.row(r)[c] == expected);
      CHECK(v.col(c)[r] == expected);
      CHECK(t(c, r) == expected);
      CHECK(v.block(r, c, 1, 1)(0, 0) == expected);
    }
}

/// Writes these values through the view.
template <class T = float>
void fill(std::type_identity_t<tern::matrix_view<T>> v) {
  for (std::size_t r = 0; r < v.rows; ++r)
    for (std::size_t c = 0; c < v.cols; ++c) v(r, c) = 10 * static_cast<T>(r) + static_cast<T>(c);
}

/// Checks that a policy and an op give the same results for the view as for the same elements in
/// dense rows.
template <class T = float>
void check_used(std::type_identity_t<tern::matrix_view<const T>> v) {
  std::vector<T> copy(v.size());
  for (std::size_t i = 0; i < copy.size(); ++i) copy[i] = v(i / v.cols, i % v.cols);
  const tern::matrix_view<const T> dense(copy.data(), v.rows, v.cols);
  const auto codes_of = [&](tern::matrix_view<const T> w) {
    std::vector<std::int8_t> codes(w.size());
    T scale = 0;
    tern::absmean{}.quantize<T>(w, {codes.data(), w.rows, w.cols}, {&scale, 1, 1});
    CHECK(scale == tern::absmean::mean_abs<T>(dense));
    return codes;
  };
  CHECK(codes_of(v) == codes_of(dense));
  const auto norms_of = [&](tern::matrix_view<const T> x) {
    std::vector<T> y(x.size());
    tern::rms_norm<T>::forward(x, {}, T(0), {y.data(), x.rows, x.cols}, {});
    return y;
  };
  CHECK(norms_of(v) == norms_of(dense));
}

}  // namespace tern_test
