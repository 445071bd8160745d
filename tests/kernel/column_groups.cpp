// Products of weights that have a scale for each group of columns. At every level the sums of each
// group, and the real numbers made of them, equal the definition.
#include "tern/kernel/column_groups.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <vector>

#include "tern/core/random.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/kernel/matmul.hpp"
#include "tern/pack/base3.hpp"
#include "tern/pack/eight_bit.hpp"
#include "tern/pack/four_bit.hpp"
#include "tern/pack/two_bit.hpp"
#include "tests/levels.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

template <class Format>
struct product_in_groups {
  std::size_t m, n, k, scale_cols, groups;
  std::vector<std::int8_t> w, x;
  std::vector<std::int32_t> row_sums, expected;  // `expected` has a matrix (n, m) for each group
  packed_matrix<Format> packed;

  product_in_groups(std::size_t m_, std::size_t n_, std::size_t k_, std::size_t scale_cols_)
      : m(m_),
        n(n_),
        k(k_),
        scale_cols(scale_cols_),
        groups((k + scale_cols - 1) / scale_cols),
        w(m * k),
        x(n * k),
        row_sums(n),
        expected(groups * n * m) {
    philox random(m * 7 + n * 5 + k);
    for (auto& v : w) v = static_cast<std::int8_t>(static_cast<int>(random.below(3)) - 1);
    for (auto& v : x) v = static_cast<std::int8_t>(static_cast<int>(random.below(256)) - 128);
    for (std::size_t t = 0; t < n; ++t)
      for (std::size_t c = 0; c < k; ++c) {
        row_sums[t] += x[t * k + c];
        for (std::size_t r = 0; r < m; ++r)
          expected[(c / scale_cols * n + t) * m + r] += w[r * k + c] * x[t * k + c];
      }
    packed = packed_matrix<Format>(matrix_view<const std::int8_t>(w.data(), m, k), scale_cols);
  }

  [[nodiscard]] matrix_view<const std::int8_t> tokens() const { return {x.data(), n, k}; }

  template <class Epilogue>
  void multiply(matrix_view<const std::int8_t> xs, isa::level level, const Epilogue& epilogue,
                executor_ref ex = {}) const {
    std::vector<std::int32_t> out(n * m);
    std::vector<std::byte> workspace(ternary_matmul_workspace(packed, xs) + 1, std::byte{0x7F});
    ternary_matmul(packed, xs, row_sums, {out.data(), n, m}, workspace, ex, level, epilogue);
    CHECK(workspace.back() == std::byte{0x7F});
  }

  /// The sums of all groups; checks that the epilogue sees each of them once.
  [[nodiscard]] std::vector<std::int32_t> sums(matrix_view<const std::int8_t> xs, isa::level level,
                                               executor_ref ex = {}) const {
    std::vector<std::int32_t> seen(expected.size(), -77);
    std::atomic<std::size_t> count = 0;
    multiply(
        xs, level,
        [&](const sum_block& b) {
          for (std::size_t i = 0; i < b.sums.rows; ++i)
            for (std::size_t j = 0; j < b.sums.cols; ++j)
              seen[(b.group * n + b.token + i) * m + b.row + j] = b.sums(i, j);
          count += b.sums.size();
        },
        ex);
    CHECK(count == seen.size());
    return seen;
  }
};

template <class T>
std::vector<T> reals(std::size_t n, std::uint64_t seed) {
  philox random(seed);
  std::vector<T> v(n);
  for (T& x : v) x = static_cast<T>(random.normal());
  return v;
}

}  // namespace

TEMPLATE_TEST_CASE("every level sums each group as defined", "", two_bit, base3) {
  struct row {
    const char* name;
    std::size_t k, scale_cols;
  };
  const auto s = GENERATE(values<row>({
      {"one group", 64, 64},
      {"a group of one column", 65, 64},
      {"a short last group", 200, 64},
      {"whole groups", 256, 128},
      {"groups of 128", 300, 128},
      {"groups of 256", 500, 256},
      {"groups of a line of base3", 47, 20},
      {"groups of one column", 5, 1},
  }));
  const std::size_t m = GENERATE(0u, 1u, 16u, 33u, 70u);
  DYNAMIC_SECTION(s.name << ", " << m << " rows") {
    std::vector<product_in_groups<TestType>> all;
    for (std::size_t n = 0; n <= 20; ++n) all.emplace_back(m, n, s.k, s.scale_cols);
    GENERATE_LEVEL();
    for (const auto& p : all)
      if (p.sums(p.tokens(), level) != p.expected) FAIL_CHECK(p.n << " tokens");
  }
}

TEMPLATE_TEST_CASE("every level sums the groups of large products", "", two_bit, base3) {
  struct row {
    const char* name;
    std::size_t m, n, k, scale_cols;
  };
  const auto s = GENERATE(values<row>({
      {"tokens past a task", 130, 245, 384, 64},
      {"one token, many rows", 1000, 1, 777, 256},
      {"groups past a chunk of columns", 90, 3, 2600, 2100},
  }));
  DYNAMIC_SECTION(s.name) {
    const product_in_groups<TestType> p(s.m, s.n, s.k, s.scale_cols);
    GENERATE_LEVEL();
    CHECK((p.sums(p.tokens(), level) == p.expected));
  }
}

TEMPLATE_TEST_CASE("groups of strided tokens, on any number of threads", "", two_bit, base3) {
  const std::size_t n = GENERATE(1u, 2u, 7u, 300u);
  CAPTURE(n);
  const product_in_groups<TestType> p(150, n, 200, 64);
  std::vector<std::int8_t> columns(p.x.size()), wide(n * 231 + 1);
  for (std::size_t t = 0; t < n; ++t)
    for (std::size_t c = 0; c < p.k; ++c)
      columns[c * n + t] = wide[1 + t * 231 + c] = p.x[t * p.k + c];
  thread_pool pool(3);
  GENERATE_LEVEL();
  CHECK((p.sums({columns.data(), n, p.k, 1, n}, level) == p.expected));
  CHECK((p.sums({wide.data() + 1, n, p.k, 231}, level) == p.expected));
  CHECK((p.sums(p.tokens(), level, pool) == p.expected));
}

TEMPLATE_TEST_CASE("rescale adds up groups in order, rounding after each operation", "", float,
                   double) {
  using T = TestType;
  const std::size_t n = GENERATE(1u, 2u, 9u, 40u), scale_cols = GENERATE(32u, 64u, 256u, 50u);
  const std::size_t scale_rows = GENERATE(1u, 16u, 77u);
  const bool with_bias = GENERATE(false, true), with_residual = GENERATE(false, true);
  CAPTURE(n, scale_cols, scale_rows, with_bias, with_residual);
  const product_in_groups<two_bit> p(77, n, 300, scale_cols);
  const std::size_t row_groups = (p.m + scale_rows - 1) / scale_rows;
  const auto x_scales = reals<T>(n, 1), w_scales = reals<T>(row_groups * p.groups, 2),
             bias = reals<T>(p.m, 3), residual = reals<T>(n * p.m, 4);
  std::vector<T> expected(n * p.m);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    volatile T y = 0;  // volatile keeps operations from being fused
    for (std::size_t r = 0; r < p.groups; ++r) {
      volatile T value = w_scales[i % p.m / scale_rows * p.groups + r];
      value = static_cast<T>(p.expected[r * n * p.m + i]) * value;
      y = y + value;
    }
    y = y * x_scales[i / p.m];
    if (with_bias) y = y + bias[i % p.m];
    if (with_residual) y = y + residual[i];
    expected[i] = y;
  }
  const matrix_view<const T> scales(w_scales.data(), row_groups, p.groups);
  thread_pool pool(3);
  GENERATE_LEVEL();
  std::vector<T> y = residual;
  const matrix_view<T> view(y.data(), n, p.m);
  p.multiply(p.tokens(), level,
             rescale<T>(x_scales, scales, with_bias ? row_view<const T>(bias) : row_view<const T>{},
                        view, with_residual ? view : matrix_view<T>{}, scale_rows),
             pool);
  CHECK(std::memcmp(y.data(), expected.data(), y.size() * sizeof(T)) == 0);
}

TEMPLATE_TEST_CASE("every level gives the reals of large products in groups", "", two_bit, base3,
                   four_bit, eight_bit) {
  struct row {
    const char* name;
    std::size_t m, n, k, scale_cols;
  };
  const auto s = GENERATE(values<row>({
      {"tokens past a task", 130, 245, 384, 64},
      {"one token, many rows", 1000, 1, 777, 128},
      {"several chunks of columns", 90, 30, 2600, 64},
      {"two short tiles", 77, 13, 300, 32},
      {"chunks that groups do not fill", 64, 13, 2600, 320},
      {"groups past a chunk of columns", 90, 3, 2600, 2100},
  }));
  DYNAMIC_SECTION(s.name) {
    const product_in_groups<TestType> p(s.m, s.n, s.k, s.scale_cols);
    const auto x_scales = reals<float>(s.n, 1), w_scales = reals<float>(s.m * p.groups, 2);
    const matrix_view<const float> by_group(w_scales.data(), s.m, p.groups, 1, s.m);
    std::vector<float> memory(w_scales.size() + 16 * p.groups);
    const auto by_panel = scale_view<float>::panels(memory.data(), s.m, p.groups);
    copy_scales<float>(by_group, by_panel);
    const auto scaled = [&](isa::level level, scale_view<const float> scales) {
      std::vector<float> y(s.n * s.m);
      p.multiply(p.tokens(), level, rescale<float>(x_scales, scales, {}, {y.data(), s.n, s.m}));
      return y;
    };
    const auto expected = scaled(isa::level::scalar, by_group);
    GENERATE_LEVEL();
    CHECK((scaled(level, by_group) == expected));
    CHECK((scaled(level, by_panel) == expected));
  }
}

TEST_CASE("several groups without an epilogue are refused") {
  const product_in_groups<two_bit> p(20, 3, 100, 64);
  CHECK_THROWS_AS(p.multiply(p.tokens(), isa::active(), no_epilogue{}), config_error);
}

TEST_CASE("an epilogue that calls rescale for each of several groups is refused") {
  const product_in_groups<two_bit> p(20, 3, 100, 64);
  const std::vector<float> scales(40, 1.0f);
  std::vector<float> y(60);
  const rescale<float> each(row_view<const float>(scales.data(), 3), {scales.data(), 20, 2}, {},
                            {y.data(), 3, 20});
  CHECK_THROWS_AS(p.multiply(p.tokens(), isa::active(), [&](const sum_block& b) { each(b); }),
                  shape_error);
}

TEST_CASE("a group without scales is refused") {
  const product_in_groups<two_bit> p(20, 3, 100, 64);
  const std::vector<float> scales(20, 1.0f);
  std::vector<float> y(60);
  const rescale<float> one_group(row_view<const float>(scales.data(), 3), {scales.data(), 20, 1},
                                 {}, {y.data(), 3, 20});
  CHECK_THROWS_AS(p.multiply(p.tokens(), isa::active(), one_group), shape_error);
}

TEST_CASE("the sum of a row, of any size and stride") {
  std::vector<std::int8_t> x(5000);
  for (const int value : {-128, 127, 0}) {
    philox random(4);
    for (auto& v : x)
      v = static_cast<std::int8_t>(value != 0 ? value : static_cast<int>(random.below(256)) - 128);
    for (const std::size_t stride : {1u, 3u})
      for (const std::size_t n : {0u, 1u, 7u, 8u, 9u, 64u, 1600u}) {
        std::int32_t sum = 0;
        for (std::size_t i = 0; i < n; ++i) sum += x[i * stride];
        CHECK(kernel::row_sum({x.data(), n, stride}) == sum);
      }
    CHECK((value == 0 || kernel::row_sum({x.data(), 5000, 1}) == 5000 * value));
  }
}
