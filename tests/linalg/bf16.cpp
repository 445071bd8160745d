// Products whose operands are rounded to bf16 equal their definition, a scalar loop, to the bit, in
// any order of the operands and on any number of threads. This holds for the dot products of
// AVX512-BF16, so the shapes of these tests are too small for tiles, which add in another order.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "tern/core/thread_pool.hpp"
#include "tern/linalg/scaled_codes.hpp"
#include "tern/quant/half.hpp"
#include "tests/gradient_check.hpp"

using tern::matrix_view;
using tern::precision;
using tern_test::random_matrix;

namespace {

bool cpu_has_unit() { return tern::isa::active() >= tern::isa::level::avx512bf16; }

float without_subnormals(float x) {
  return std::abs(x) < std::numeric_limits<float>::min() ? std::copysign(0.0f, x) : x;
}
float rounded(float x) {
  return without_subnormals(tern::from_bf16(tern::to_bf16(without_subnormals(x))));
}

/// Where the piece of k that begins at `first` ends: of 2560 steps at a time, as few pieces of at
/// most 640 steps as can be, whose sizes are multiples of 32.
std::size_t end_of_piece(std::size_t first, std::size_t depth) {
  const std::size_t block = first / 2560 * 2560, steps = std::min<std::size_t>(2560, depth - block),
                    pieces = (steps + 639) / 640,
                    size = ((steps + pieces - 1) / pieces + 31) / 32 * 32;
  return std::min(first + size, block + steps);
}

/// The definition: the factors multiply a, both operands are rounded, and the pieces of k are
/// summed in fp32. Of two neighbouring steps the second one comes first.
float sum_of(float before, bool add, std::size_t depth, const auto& left, const auto& right) {
  float result = before;
  for (std::size_t first = 0, end = 0; first == 0 || first < depth;
       first = std::max(end, std::size_t{1})) {
    float sum = 0;
    end = depth == 0 ? 0 : end_of_piece(first, depth);
    const auto step = [&](std::size_t k) {
      sum = without_subnormals(std::fma(rounded(left(k)), rounded(right(k)), sum));
    };
    for (std::size_t k = first; k < end; k += 2) {
      if (k + 1 < end) step(k + 1);
      step(k);
    }
    result = add || first > 0 ? result + sum : sum;
  }
  return result;
}

tern::matrix<float> defined_product(float alpha, matrix_view<const float> a,
                                    matrix_view<const float> b, const tern::matrix<float>& start,
                                    bool add) {
  tern::matrix<float> c = start;
  for (std::size_t i = 0; i < a.rows; ++i)
    for (std::size_t j = 0; j < b.cols; ++j) {
      float& at = matrix_view<float>(c)(i, j);
      at = sum_of(
          at, add, a.cols, [&](std::size_t k) { return alpha * a(i, k); },
          [&](std::size_t k) { return b(k, j); });
    }
  return c;
}

/// A copy in row-major or column-major order, which has to outlive the view.
matrix_view<const float> ordered(const tern::matrix<float>& m, bool column_major,
                                 Eigen::MatrixXf& memory) {
  if (!column_major) return m;
  memory = m;
  return memory;
}

struct shape {
  const char* name;
  std::size_t m, k, n;
};

}  // namespace

TEST_CASE("gemm<float> with bf16 operands equals its definition to the bit", "[gemm][bf16]") {
  if (!cpu_has_unit()) {
    WARN("skipped: this CPU has no AVX512-BF16");
    return;
  }
  const auto s = GENERATE(values<shape>({
      {"single elements", 1, 1, 1},
      {"a row", 1, 9, 4},
      {"one step of k", 5, 1, 3},
      {"an odd number of steps", 9, 33, 50},
      {"less than a tile", 3, 17, 11},
      {"several tiles", 70, 66, 101},
      {"one long piece of k", 20, 576, 49},
      {"several pieces of k", 37, 1100, 101},
      {"several blocks of k", 9, 2570, 60},
      {"several blocks of columns", 20, 40, 1600},
      {"several strips of rows", 650, 34, 40},
      {"no step of k", 3, 0, 2},
      {"no rows", 0, 4, 2},
  }));
  const int orders = GENERATE(range(0, 8));
  const bool accumulate = GENERATE(false, true);
  DYNAMIC_SECTION(s.name << ", orders " << orders << (accumulate ? ", added" : "")) {
    const auto a = random_matrix<float>(s.m, s.k, 1), b = random_matrix<float>(s.k, s.n, 2),
               start = random_matrix<float>(s.m, s.n, 3);
    Eigen::MatrixXf left, right, out = start;
    tern::matrix<float> c = start;
    const bool into_columns = (orders & 4) != 0;
    const matrix_view<float> to = into_columns ? matrix_view<float>(out) : matrix_view<float>(c);
    tern::gemm<float>(-0.7f, ordered(a, (orders & 1) != 0, left),
                      ordered(b, (orders & 2) != 0, right), to, accumulate, {}, precision::bf16);
    const tern::matrix<float> got = into_columns ? tern::matrix<float>(out) : c;
    if (to.col_stride == 1) {
      CHECK(got == defined_product(-0.7f, a, b, start, accumulate));
    } else {
      // The transposed product is computed, so alpha multiplies the other operand.
      const tern::matrix<float> at = a.transpose(), bt = b.transpose(), ct = start.transpose();
      CHECK(got.transpose() == defined_product(-0.7f, bt, at, ct, accumulate));
    }
  }
}

TEST_CASE("bf16 products count subnormal numbers as zero", "[gemm][bf16]") {
  if (!cpu_has_unit()) {
    WARN("skipped: this CPU has no AVX512-BF16");
    return;
  }
  tern::matrix<float> a = random_matrix<float>(20, 40, 1), b = random_matrix<float>(40, 30, 2);
  for (Eigen::Index k = 0; k < a.cols(); ++k) {
    a.col(k) *= std::exp2f(static_cast<float>(-130 + k / 2));
    b.row(k) *= std::exp2f(static_cast<float>(k / 4));
  }
  const tern::matrix<float> zero = tern::matrix<float>::Zero(20, 30);
  tern::matrix<float> c = zero;
  tern::gemm<float>(1, a, b, c, false, {}, precision::bf16);
  CHECK(c == defined_product(1, a, b, zero, false));
}

TEST_CASE("bf16 products with codes scale a, or b where its blocks have scales, and then round",
          "[gemm][bf16]") {
  if (!cpu_has_unit()) {
    WARN("skipped: this CPU has no AVX512-BF16");
    return;
  }
  constexpr std::size_t m = 70, k = 600, n = 301;
  const auto a = random_matrix<float>(m, k, 1), start = random_matrix<float>(m, n, 3);
  std::vector<std::int8_t> codes(k * n);
  tern::philox random(5, 0);
  for (std::int8_t& c : codes)
    c = static_cast<std::int8_t>(static_cast<int>(random.below(255)) - 127);
  struct row {
    const char* name;
    tern::extents block;
  };
  const auto [name, block] = GENERATE(values<row>({{"a scale for each row", {1, n}},
                                                   {"one scale", {k, n}},
                                                   {"groups of 32", {1, 32}},
                                                   {"groups of 64", {1, 64}},
                                                   {"groups of 50", {1, 50}},
                                                   {"blocks of 7 rows", {7, 128}}}));
  const bool column_major = GENERATE(false, true), accumulate = GENERATE(false, true);
  DYNAMIC_SECTION(name << (column_major ? ", a column-major" : "")
                       << (accumulate ? ", added" : "")) {
    const tern::extents size = tern::scale_extents({k, n}, block);
    tern::matrix<float> scales(size.rows, size.cols);
    for (Eigen::Index i = 0; i < scales.size(); ++i)
      scales.data()[i] = 0.01f * static_cast<float>(i % 29 + 1);
    const tern::scaled_codes<float> b{{codes.data(), k, n}, scales, block};
    const auto scale = [&, bh = block.rows, bw = block.cols](std::size_t p, std::size_t j) {
      return b.scales(p / bh, j / bw);
    };
    const bool scales_a = size.cols == 1;
    tern::matrix<float> expected = start, c = start;
    for (std::size_t i = 0; i < m; ++i)
      for (std::size_t j = 0; j < n; ++j) {
        float& at = matrix_view<float>(expected)(i, j);
        at = sum_of(
            at, accumulate, k,
            [&](std::size_t p) {
              return matrix_view<const float>(a)(i, p) * (scales_a ? scale(p, 0) : 1);
            },
            [&](std::size_t p) {
              return static_cast<float>(b.codes(p, j)) * (scales_a ? 1 : scale(p, j));
            });
      }
    tern::arena scratch;
    Eigen::MatrixXf memory;
    tern::thread_pool pool(3);
    tern::gemm<float>(ordered(a, column_major, memory), b, matrix_view<float>(c), accumulate,
                      scratch, pool, precision::bf16);
    CHECK(c == expected);
  }
}

TEST_CASE("large bf16 products err by the rounding of their operands", "[gemm][bf16]") {
  if (!cpu_has_unit()) {
    WARN("skipped: this CPU has no unit for bf16 numbers");
    return;
  }
  constexpr std::size_t m = 300, k = 700, n = 400;
  const auto a = random_matrix<float>(m, k, 1), b = random_matrix<float>(k, n, 2);
  tern::matrix<float> c(m, n);
  tern::gemm<float>(1, a, b, c, false, {}, precision::bf16);
  const auto in_double = [](const tern::matrix<float>& x) {
    return tern::matrix<double>(x.cast<double>());
  };
  const tern::matrix<double> exact = in_double(a) * in_double(b),
                             sizes = in_double(a).cwiseAbs() * in_double(b).cwiseAbs();
  // Each operand is rounded by at most 2^-8 of itself, so a term errs by 2^-7 and a little.
  CHECK((((c.cast<double>() - exact).array().abs()) < 0x1.02p-7 * sizes.array()).all());
  CHECK(((c.cast<double>() - exact).array().abs() > 0x1p-12 * sizes.array()).any());
}

TEST_CASE("bf16 products have the same bits for any number of threads", "[gemm][bf16][threads]") {
  const auto s = GENERATE(values<shape>({
      {"tall", 700, 600, 150},
      {"wide", 150, 300, 1700},
      {"small", 40, 64, 50},
  }));
  const std::size_t threads = GENERATE(2u, 3u);
  DYNAMIC_SECTION(s.name << ", " << threads << " threads") {
    const auto a = random_matrix<float>(s.m, s.k, 1), b = random_matrix<float>(s.k, s.n, 2);
    tern::matrix<float> serial = random_matrix<float>(s.m, s.n, 3), c = serial;
    tern::gemm<float>(1, a, b, serial, true, {}, precision::bf16);
    tern::thread_pool pool(threads);
    tern::gemm<float>(1, a, b, c, true, pool, precision::bf16);
    CHECK(c == serial);
  }
}

TEST_CASE("bf16 products keep what is not finite in its row and column", "[gemm][bf16]") {
  constexpr std::size_t m = 150, k = 333, n = 141;
  tern::matrix<float> a = random_matrix<float>(m, k, 1), b = random_matrix<float>(k, n, 2), c(m, n);
  a(7, 300) = std::numeric_limits<float>::infinity();
  a(140, 2) = std::numeric_limits<float>::quiet_NaN();
  b(332, 140) = -std::numeric_limits<float>::infinity();
  tern::gemm<float>(1, a, b, c, false, {}, precision::bf16);
  for (Eigen::Index i = 0; i < c.rows(); ++i)
    for (Eigen::Index j = 0; j < c.cols(); ++j)
      if (std::isfinite(c(i, j)) != (i != 7 && i != 140 && j != 140)) {
        CAPTURE(i, j, c(i, j));
        FAIL();
      }
}

TEMPLATE_TEST_CASE("a CPU without a unit for bf16 numbers, and doubles, are exact", "[gemm][bf16]",
                   float, double) {
  using T = TestType;
  if (std::is_same_v<T, float> && cpu_has_unit()) return;
  const auto a = random_matrix<T>(40, 64, 1), b = random_matrix<T>(64, 50, 2);
  tern::matrix<T> exact(40, 50), c(40, 50);
  tern::gemm<T>(1, a, b, exact);
  tern::gemm<T>(1, a, b, c, false, {}, precision::bf16);
  CHECK(c == exact);
}
