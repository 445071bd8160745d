// What every matrix-like must do: be seen in place, through every way into the view.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "tern/core/tensor.hpp"
#include "tern/quant/absmean.hpp"
#include "tests/support.hpp"

namespace tern_test {

/// v(r, c) == 10 r + c + first everywhere.
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

/// Writes those values, through the view.
template <class T = float>
void fill(std::type_identity_t<tern::matrix_view<T>> v) {
  for (std::size_t r = 0; r < v.rows; ++r)
    for (std::size_t c = 0; c < v.cols; ++c) v(r, c) = 10 * static_cast<T>(r) + static_cast<T>(c);
}

/// A policy quantizes the view to what it makes of the same elements in dense rows.
inline void check_quantized(tern::matrix_view<const float> v) {
  std::vector<float> copy(v.size());
  for (std::size_t i = 0; i < copy.size(); ++i) copy[i] = v(i / v.cols, i % v.cols);
  const auto codes_of = [&](tern::matrix_view<const float> w) {
    std::vector<std::int8_t> codes(w.size());
    float scale = 0;
    tern::absmean{}.quantize<float>(w, {codes.data(), w.rows, w.cols}, {&scale, 1, 1});
    CHECK(scale == tern::absmean::mean_abs<float>({copy.data(), v.rows, v.cols}));
    return codes;
  };
  CHECK(codes_of(v) == codes_of({copy.data(), v.rows, v.cols}));
}

}  // namespace tern_test
