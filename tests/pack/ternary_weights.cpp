// Packed weights and their scales keep all values, in every format, for any shape and any block of
// scales.
#include "tern/pack/ternary_weights.hpp"

#include <cstring>
#include <numeric>
#include <vector>

#include "../support.hpp"
#include "tern/core/random.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/pack/base3.hpp"
#include "tern/pack/two_bit.hpp"
#include "tern/quant/absmean.hpp"
#include "tern/quant/block.hpp"
#include "tern/quant/per_channel.hpp"
#include "tests/pack/random_trits.hpp"

using namespace tern;

namespace {

/// A format of a user: a byte for each trit, in lines of 9 x 7.
struct bytes {
  static constexpr std::size_t rows = 9, cols = 7;
  static constexpr int least_code = -1, max_digit = 2;
  static std::uint64_t pack(const std::int8_t* codes, std::size_t stride, packed_line& line) {
    std::uint64_t wrong = 0;
    for (std::size_t i = 0; i < rows * cols; ++i) {
      const int code = codes[i / cols * stride + i % cols];
      wrong |= code < -1 || code > 1;
      line.bytes[i] = static_cast<std::uint8_t>(code + 1);
    }
    return wrong;
  }
  static void unpack(const packed_line& line, std::int8_t* codes, std::size_t stride) {
    for (std::size_t i = 0; i < rows * cols; ++i)
      codes[i / cols * stride + i % cols] = static_cast<std::int8_t>(line.bytes[i] - 1);
  }
};

/// A matrix type of a user.
struct column_major {
  std::size_t height, width;
  std::vector<float> data;
};

template <class T>
std::vector<T> random_reals(std::size_t n, std::uint64_t seed) {
  philox random(seed);
  std::vector<T> v(n);
  for (T& x : v) x = static_cast<T>(random.normal());
  return v;
}

/// Shapes around lines and groups, then random ones.
std::vector<extents> shapes() {
  std::vector<extents> all;
  for (const std::size_t rows : {0u, 1u, 16u, 17u, 37u})
    for (const std::size_t cols : {0u, 1u, 15u, 16u, 20u, 63u, 64u, 65u, 127u, 256u, 300u})
      all.push_back({rows, cols});
  philox random(9);
  for (int i = 0; i < 40; ++i) all.push_back({random.below(70), random.below(600)});
  return all;
}

constexpr std::size_t all = 1000;
const std::vector<extents> scale_blocks{{all, all}, {1, all}, {1, 64}, {1, 128},
                                        {1, 256},   {16, 16}, {3, 1},  {all, 50}};

}  // namespace

template <>
struct tern::tensor_traits<column_major> {
  using scalar = float;
  static std::size_t rows(const column_major& m) { return m.height; }
  static std::size_t cols(const column_major& m) { return m.width; }
  static std::size_t row_stride(const column_major&) { return 1; }
  static std::size_t col_stride(const column_major& m) { return m.height; }
  static const float* data(const column_major& m) { return m.data.data(); }
};

TEMPLATE_PRODUCT_TEST_CASE("codes and scales come back, whatever shares a scale", "", std::pair,
                           ((two_bit, float), (two_bit, double), (base3, float), (bytes, float))) {
  using Format = typename TestType::first_type;
  using T = typename TestType::second_type;
  thread_pool pool(3);
  std::size_t wrong = 0;
  for (const auto& [rows, cols] : shapes())
    for (const extents block : scale_blocks) {
      const auto codes = tern_test::random_trits(rows * cols, rows * 1000 + cols);
      const extents n = scale_extents({rows, cols}, block);
      const auto scales = random_reals<T>(n.rows * n.cols, rows + cols);
      const matrix_view<const std::int8_t> code_view(codes.data(), rows, cols);
      const matrix_view<const T> scale_view(scales.data(), n.rows, n.cols);
      const ternary_weights<Format, T> packed(code_view, scale_view, block, pool);
      const auto view = packed.view();
      REQUIRE(view.scales().rows == n.rows);
      REQUIRE(view.scales().cols == n.cols);
      for (std::size_t r = 0; r < n.rows; ++r)
        for (std::size_t c = 0; c < n.cols; ++c) wrong += view.scales()(r, c) != scale_view(r, c);

      std::vector<std::int8_t> back(codes.size(), 9);
      unpack(view.packed, {back.data(), rows, cols});
      wrong += back != codes;

      std::vector<T> reals(codes.size(), T(9)), expected(reals);
      dequantize(view, matrix_view<T>(reals.data(), rows, cols), pool);
      dequantize<T>(code_view, scale_view, block, {expected.data(), rows, cols});
      wrong += reals != expected;
    }
  CHECK(wrong == 0);
}

TEMPLATE_TEST_CASE("real weights are packed by a policy in one call", "", absmean, per_channel,
                   block<64>, block<128>, block<256>) {
  thread_pool pool(2);
  for (const auto& [rows, cols] : shapes()) {
    CAPTURE(rows, cols);
    const auto w = random_reals<float>(rows * cols, 3);
    const matrix_view<const float> view(w.data(), rows, cols);
    const extents size = TestType::scale_block(rows, cols), n = scale_extents({rows, cols}, size);
    std::vector<std::int8_t> codes(w.size()), back(w.size(), 9);
    std::vector<float> scales(n.rows * n.cols);
    TestType{}.template quantize<float>(view, {codes.data(), rows, cols},
                                        {scales.data(), n.rows, n.cols});
    const ternary_weights<two_bit> packed(view, TestType{}, pool);
    unpack(packed.view().packed, {back.data(), rows, cols});
    CHECK((back == codes));
    std::size_t wrong = 0;
    for (std::size_t r = 0; r < n.rows; ++r)
      for (std::size_t c = 0; c < n.cols; ++c)
        wrong += packed.view().scales()(r, c) != scales[r * n.cols + c];
    CHECK(wrong == 0);
  }
}

TEST_CASE("any matrix-like is packed, of any strides") {
  const std::size_t rows = 30, cols = 100;
  const auto w = random_reals<float>(rows * cols, 6);
  column_major columns{rows, cols, std::vector<float>(w.size())};
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < cols; ++c) columns.data[c * rows + r] = w[r * cols + c];
  const matrix_view<const float> view(w.data(), rows, cols);
  const ternary_weights<two_bit> a(view, block<64>{}), b(columns, block<64>{});
  std::vector<float> back(w.size()), same(w.size());
  dequantize(a.view(), matrix_view<float>(back.data(), rows, cols));
  dequantize(b.view(), matrix_view<float>(same.data(), rows, cols));
  CHECK(back == same);
  CHECK(back != std::vector<float>(w.size()));
}

TEST_CASE("every group begins a line") {
  std::vector<std::int8_t> codes(16 * 40, 0);
  codes[25] = 1;  // the first column of group 1; group 0 has 25 columns and takes two lines
  const packed_matrix<two_bit> packed(matrix_view<const std::int8_t>(codes.data(), 16, 40), 25);
  const packed_view<two_bit> view = packed;
  CHECK(view.groups() == 2);
  REQUIRE(view.panel_lines() == 3);
  CHECK(view.group_view(1).data == view.data + 2);
  CHECK(view.group_view(1).cols == 15);
  CHECK(view.group_view(1).panel_stride == 3);
  CHECK(view.data[2].bytes[0] == 0x56);
  CHECK(view.data[1].bytes[0] == 0x55);
}

TEST_CASE("bits of a weight, by format and group") {
  const auto bits = [](const auto& view) {
    return 8.0 * static_cast<double>(view.size_bytes()) / (1600 * 2560);
  };
  const auto two = [&](std::size_t scale_cols) {
    return bits(packed_view<two_bit>{nullptr, 1600, 2560, scale_cols});
  };
  const auto three = [&](std::size_t scale_cols) {
    return bits(packed_view<base3>{nullptr, 1600, 2560, scale_cols});
  };
  for (const std::size_t scale_cols : {2560u, 256u, 128u, 64u}) CHECK(two(scale_cols) == 2.0);
  CHECK(three(2560) == 1.6);
  CHECK(three(256) == 1.625);
  CHECK(three(128) == 1.75);
  CHECK(three(64) == 2.0);
}

TEST_CASE("owners copy, and are 64-byte aligned") {
  const auto w = random_reals<float>(17 * 70, 7);
  const ternary_weights<two_bit> first(matrix_view<const float>(w.data(), 17, 70), per_channel{});
  const ternary_weights<two_bit> copy = first;
  CHECK(reinterpret_cast<std::uintptr_t>(copy.view().packed.data) % 64 == 0);
  CHECK(copy.view().packed.data != first.view().packed.data);
  CHECK(copy.view().block() == extents{1, 70});
  CHECK(first.view().size_bytes() == 2 * 5 * 64 + 17 * 4);
  const ternary_weights<two_bit> none;
  CHECK(none.view().size_bytes() == 0);
}

TEST_CASE("scales lie panel after panel, each group after group") {
  const std::vector<std::int8_t> codes(40 * 6);
  std::vector<float> scales(40 * 3);
  std::iota(scales.begin(), scales.end(), 0.0f);
  const ternary_weights<two_bit> packed(matrix_view<const std::int8_t>(codes.data(), 40, 6),
                                        matrix_view<const float>(scales.data(), 40, 3), {1, 2});
  const auto view = packed.view().scales();
  REQUIRE(view.storage() == 2 * 48 + 2 * 16 + 8);
  const auto at = [&](std::size_t i) { return view.data[i]; };
  CHECK(at(1) == 3.0f);              // row 1, group 0
  CHECK(at(16) == 1.0f);             // row 0, group 1
  CHECK(at(48) == 16 * 3.0f);        // row 16, group 0
  CHECK(at(96 + 16) == 97.0f);       // row 32, group 1
  CHECK(at(96 + 32 + 7) == 119.0f);  // row 39, group 2
}

TEST_CASE("codes and scales that do not fit are refused") {
  std::vector<std::int8_t> codes(6, 1);
  const std::vector<float> scales(6, 1.0f);
  const auto make = [&](std::size_t scale_rows, std::size_t scale_cols, extents block) {
    ternary_weights<two_bit>(matrix_view<const std::int8_t>(codes.data(), 2, 3),
                             {scales.data(), scale_rows, scale_cols}, block);
  };
  CHECK_NOTHROW(make(2, 2, {1, 2}));
  CHECK_THROWS_AS(make(2, 1, {1, 2}), shape_error);
  CHECK_THROWS_AS(make(1, 2, {1, 2}), shape_error);
  CHECK_THROWS_AS(make(2, 2, {0, 2}), config_error);
  CHECK_THROWS_AS(make(2, 2, {1, 0}), config_error);
  codes[5] = 2;
  CHECK_THROWS_AS(make(2, 2, {1, 2}), config_error);
}
