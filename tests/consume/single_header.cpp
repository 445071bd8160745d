// A stranger's program that uses the core in one file, without an -m flag and with all warnings as
// errors.
#include <cstdint>
#include <span>
#include <vector>

#include "tern/tern.hpp"

#if defined(__SSE3__)
#  error "this test is about programs without instruction-set flags"
#endif

namespace {

/// A tensor type of the stranger.
struct table {
  std::size_t rows, cols;
  std::vector<float> cells;
};

}  // namespace

template <>
struct tern::tensor_traits<table> {
  using scalar = float;
  static std::size_t rows(const table& t) { return t.rows; }
  static std::size_t cols(const table& t) { return t.cols; }
  static std::size_t row_stride(const table& t) { return t.cols; }
  static std::size_t col_stride(const table&) { return 1; }
  static auto data(auto& t) { return t.cells.data(); }
};

int main() {
  const table w{2, 3, {2, 0, -2, 2, 2, 2}}, x{2, 3, {10, 20, 30, 127, 0, -127}};
  std::vector<std::int8_t> w_codes(6), x_codes(6);
  std::vector<float> x_scales(2), w_scale(1);
  std::vector<std::int32_t> sums(2), y(4);
  const tern::matrix_view<std::int8_t> tokens(x_codes.data(), 2, 3);
  tern::thread_pool threads(2);

  tern::absmean{}.quantize<float>(w, {w_codes.data(), 2, 3}, {w_scale.data(), 1, 1}, threads);
  tern::absmax_int8{}.quantize<float>(x, tokens, x_scales, sums, threads);
  const tern::packed_matrix<tern::two_bit> packed({w_codes.data(), 2, 3});
  std::vector<std::byte> workspace(tern::ternary_matmul_workspace(packed, tokens));
  tern::ternary_matmul(packed, tokens, sums, {y.data(), 2, 2}, workspace, threads);

  table product{2, 2, std::vector<float>(4)};
  tern::linear<float>::forward(x, w, {}, product);
  const bool whole = y == std::vector<std::int32_t>{42 - 127, 42 + 85 + 127, 254, 0};
  return whole && product.cells == std::vector<float>{-40, 120, 508, 0} ? 0 : 1;
}
