// Products of packed trits with activations: every level gives the integers of the definition.
#include "tern/kernel/matmul.hpp"

#include <numeric>
#include <vector>

#include "tern/core/random.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/pack/base3.hpp"
#include "tern/pack/two_bit.hpp"
#include "tests/kernel/product.hpp"
#include "tests/levels.hpp"
#include "tests/support.hpp"

using namespace tern;
using tern_test::product;

namespace {

struct random_codes {
  philox random{11};
  auto trits() {
    return [this] { return static_cast<int>(random.below(3)) - 1; };
  }
  auto bytes() {
    return [this] { return static_cast<int>(random.below(256)) - 128; };
  }
};

/// Products of all sizes around those of lines, panels and tiles; made once, since the definition
/// takes longer than the kernels.
template <class Format>
const std::vector<product<Format>>& around_the_line_sizes() {
  static const std::vector<product<Format>> all = [] {
    random_codes r;
    std::vector<std::size_t> tokens(18);
    std::iota(tokens.begin(), tokens.end(), 0u);
    tokens.insert(tokens.end(), {24, 25, 60, 61, 70});
    std::vector<product<Format>> made;
    for (const std::size_t m : {0u,  1u,  4u,  7u,  8u,  9u,  15u, 16u, 17u, 23u, 24u, 25u,
                                31u, 32u, 33u, 40u, 47u, 48u, 49u, 63u, 64u, 65u, 70u, 129u})
      for (const std::size_t n : tokens)
        for (const std::size_t k :
             {0u, 1u, 3u, 4u, 5u, 8u, 15u, 16u, 17u, 31u, 32u, 33u, 48u, 63u, 64u, 65u, 70u})
          made.emplace_back(m, n, k, r.trits(), r.bytes());
    return made;
  }();
  return all;
}

}  // namespace

TEMPLATE_TEST_CASE("every level equals the definition around the line sizes", "", two_bit, base3) {
  GENERATE_LEVEL();
  for (const product<TestType>& p : around_the_line_sizes<TestType>())
    if (!p.right(level)) FAIL_CHECK(p.m << " x " << p.k << ", " << p.n << " tokens");
}

TEMPLATE_TEST_CASE("every level equals the definition over several chunks", "", two_bit, base3) {
  struct row {
    const char* name;
    std::size_t m, n, k;
  };
  const auto s = GENERATE(values<row>({
      {"a column past 256", 40, 30, 257},
      {"a token past a task", 64, 241, 256},
      {"tokens past a task, columns past two chunks", 80, 245, 529},
      {"three tokens past two tasks", 33, 483, 48},
      {"few tokens, columns past a chunk", 130, 3, 1040},
      {"one token, many tasks of rows", 1000, 1, 777},
      {"rows and columns past whole lines", 777, 40, 1000},
      {"whole panels, groups of tokens and lines", 96, 240, 1024},
  }));
  DYNAMIC_SECTION(s.name) {
    random_codes r;
    const product<TestType> p(s.m, s.n, s.k, r.trits(), r.bytes());
    GENERATE_LEVEL();
    CHECK(p.right(level));
  }
}

TEMPLATE_TEST_CASE("extreme values neither saturate nor wrap", "", two_bit, base3) {
  struct row {
    const char* name;
    int least_w, most_w, least_x, most_x;
  };
  const auto s = GENERATE(values<row>({
      {"-1 times -128", -1, -1, -128, -128},
      {"0 times -128", 0, 0, -128, -128},
      {"1 times -128", 1, 1, -128, -128},
      {"-1 times 127", -1, -1, 127, 127},
      {"0 times 127", 0, 0, 127, 127},
      {"1 times 127", 1, 1, 127, 127},
      {"both signs of both", -1, 1, -128, 127},
  }));
  const std::size_t n = GENERATE(1u, 2u, 5u, 12u, 17u);
  DYNAMIC_SECTION(s.name << ", " << n << " tokens") {
    philox random(12);
    const auto either = [&](int a, int b) {
      return [&random, a, b] { return random.below(2) == 0 ? a : b; };
    };
    const product<TestType> p(33, n, 4112, either(s.least_w, s.most_w),
                              either(s.least_x, s.most_x));
    GENERATE_LEVEL();
    CHECK(p.right(level));
  }
}

TEMPLATE_TEST_CASE("no sum overflows with the largest number of columns", "", two_bit, base3) {
  const int x = GENERATE(-128, 127);
  const std::size_t n = GENERATE(1u, 2u);
  DYNAMIC_SECTION(n << " tokens of " << x) {
    const product<TestType> p(
        1, n, matmul_max_cols<TestType>, [] { return 1; }, [&] { return x; });
    GENERATE_LEVEL();
    CHECK(p.right(level));
  }
}

TEMPLATE_TEST_CASE("more columns than int32 sums are proven for are refused", "", two_bit, base3) {
  const std::size_t k = matmul_max_cols<TestType> + 1;
  const std::vector<std::int8_t> x(k);
  const packed_matrix<TestType> w(1, k);
  std::vector<std::byte> workspace(k + 16);
  std::int32_t sum = 0, out = 0;
  CHECK_THROWS_AS(ternary_matmul(w, {x.data(), 1, k}, {&sum, 1}, {&out, 1, 1}, workspace),
                  shape_error);
}

TEMPLATE_TEST_CASE("any number of threads gives the same integers", "", two_bit, base3) {
  random_codes r;
  const product<TestType> p(300, 500, 130, r.trits(), r.bytes());
  const std::size_t threads = GENERATE(1u, 2u, 5u);
  thread_pool pool(threads);
  CHECK((p.multiply(isa::active(), pool) == p.expected));
}

TEMPLATE_TEST_CASE("products that share their activations are those of each weight", "", two_bit,
                   base3) {
  const std::size_t n = GENERATE(1u, 2u, 70u), k = 300;
  CAPTURE(n);
  random_codes codes;
  std::vector<product<TestType>> all;
  for (const std::size_t m : {700u, 16u, 0u, 1100u}) {
    all.emplace_back(m, n, k, codes.trits(), codes.bytes());
    all.back().x = all[0].x;
    all.back().sums = all[0].sums;
  }
  const matrix_view<const std::int8_t> x(all[0].x.data(), n, k);
  std::vector<std::byte> workspace(ternary_matmul_workspace(all[0].packed, x));
  std::vector<std::vector<std::int32_t>> outs;
  std::vector<std::vector<int>> visits;
  for (const auto& p : all) {
    outs.emplace_back(n * p.m);
    visits.emplace_back(n * p.m);
  }
  const auto count = [](std::vector<int>& cells, std::size_t m) {
    return [&cells, m](const sum_block& b) {
      for (std::size_t i = 0; i < b.sums.rows; ++i)
        for (std::size_t j = 0; j < b.sums.cols; ++j) ++cells[(b.token + i) * m + b.row + j];
    };
  };
  using counting = decltype(count(visits[0], 0));
  std::vector<ternary_product<TestType, counting>> products;
  for (std::size_t i = 0; i < all.size(); ++i)
    products.push_back({all[i].packed, {outs[i].data(), n, all[i].m}, count(visits[i], all[i].m)});
  GENERATE_LEVEL();
  thread_pool pool(3);
  ternary_matmul(std::span<const ternary_product<TestType, counting>>(products), x, all[0].sums,
                 workspace, pool, level);
  for (std::size_t i = 0; i < all.size(); ++i) {
    CHECK(outs[i] == all[i].multiply(level));
    CHECK(visits[i] == std::vector<int>(n * all[i].m, 1));
  }
}

TEMPLATE_TEST_CASE("operands may be strided and unaligned", "", two_bit, base3) {
  struct row {
    const char* name;
    bool by_columns;
  };
  const auto s = GENERATE(values<row>({{"rows with a distance", false}, {"columns", true}}));
  const std::size_t m = GENERATE(5u, 45u, 64u), n = GENERATE(1u, 2u, 5u, 14u);
  const std::size_t k = GENERATE(64u, 70u);
  DYNAMIC_SECTION(s.name << ", " << m << " x " << k << ", " << n << " tokens") {
    random_codes r;
    const product<TestType> p(m, n, k, r.trits(), r.bytes());
    const std::size_t x_stride = k + 17, out_stride = m + 14;
    std::vector<std::int8_t> rows(n * x_stride + 1, 99), columns(k * n);
    for (std::size_t t = 0; t < n; ++t)
      for (std::size_t c = 0; c < k; ++c)
        columns[c * n + t] = rows[1 + t * x_stride + c] = p.x[t * k + c];
    const auto x = s.by_columns ? matrix_view<const std::int8_t>(columns.data(), n, k, 1, n)
                                : matrix_view<const std::int8_t>(rows.data() + 1, n, k, x_stride);
    std::vector<std::byte> workspace(ternary_matmul_workspace(p.packed, x) + 1);
    GENERATE_LEVEL();
    std::vector<std::int32_t> out(1 + n * out_stride, -5);
    ternary_matmul(p.packed, x, p.sums, {out.data() + 1, n, m, out_stride},
                   std::span(workspace).subspan(1), {}, level);
    std::size_t wrong = out[0] != -5;
    for (std::size_t t = 0; t < n; ++t)
      for (std::size_t c = 0; c < out_stride; ++c)
        wrong += out[1 + t * out_stride + c] != (c < m ? p.expected[t * m + c] : -5);
    CHECK(wrong == 0);
  }
}

TEMPLATE_TEST_CASE("operands that do not fit together are refused", "", two_bit, base3) {
  struct row {
    const char* name;
    std::size_t k, m, sums, missing_bytes;
    bool fits;
  };
  const auto s = GENERATE(values<row>({
      {"all fit", 7, 4, 2, 0, true},
      {"x with a column less", 6, 4, 2, 0, false},
      {"out with a column less", 7, 3, 2, 0, false},
      {"a row sum less", 7, 4, 1, 0, false},
      {"a byte of workspace less", 7, 4, 2, 1, false},
  }));
  DYNAMIC_SECTION(s.name) {
    const packed_matrix<TestType> w(4, 7);
    const std::vector<std::int8_t> x(2 * 7);
    std::vector<std::int32_t> sums(2), out(2 * 4);
    std::vector<std::byte> workspace(ternary_matmul_workspace(w, {x.data(), 2, 7}));
    const auto multiply = [&] {
      ternary_matmul(w, {x.data(), 2, s.k}, row_view<const std::int32_t>(sums.data(), s.sums),
                     {out.data(), 2, s.m},
                     std::span(workspace).first(workspace.size() - s.missing_bytes));
    };
    if (s.fits)
      CHECK_NOTHROW(multiply());
    else
      CHECK_THROWS_AS(multiply(), shape_error);
  }
}
