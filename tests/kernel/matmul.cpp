#include "tern/kernel/matmul.hpp"

#include <numeric>
#include <vector>

#include "../support.hpp"
#include "tern/core/random.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/pack/base3.hpp"
#include "tern/pack/two_bit.hpp"

using namespace tern;

namespace {

/// One product with all its operands, and the same from the definition.
template <class Format>
struct product {
  std::size_t m, n, k;
  std::vector<std::int8_t> w, x;
  std::vector<std::int32_t> sums, expected;
  packed_matrix<Format> packed;

  template <class W, class X>
  product(std::size_t m_, std::size_t n_, std::size_t k_, W weight, X token)
      : m(m_), n(n_), k(k_), w(m * k), x(n * k), sums(n), expected(n * m) {
    for (auto& v : w) v = static_cast<std::int8_t>(weight());
    for (auto& v : x) v = static_cast<std::int8_t>(token());
    for (std::size_t t = 0; t < n; ++t) {
      for (std::size_t c = 0; c < k; ++c) sums[t] += x[t * k + c];
      for (std::size_t r = 0; r < m; ++r)
        for (std::size_t c = 0; c < k; ++c) expected[t * m + r] += w[r * k + c] * x[t * k + c];
    }
    packed = packed_matrix<Format>(matrix_view<const std::int8_t>(w.data(), m, k));
  }

  [[nodiscard]] std::vector<std::int32_t> run(isa::level level, executor_ref ex = {}) const {
    std::vector<std::int32_t> out(n * m, -77);
    const matrix_view<const std::int8_t> view(x.data(), n, k);
    std::vector<std::byte> workspace(ternary_matmul_workspace(packed, view), std::byte{0x7F});
    ternary_matmul(packed, view, sums, {out.data(), n, m}, workspace, ex, level);
    return out;
  }

  void check() const {
    for (const isa::level level : isa::levels) {
      if (!isa::supported(level)) continue;
      const std::vector<std::int32_t> out = run(level);
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < out.size(); ++i) wrong += out[i] != expected[i];
      CAPTURE(isa::name(level), m, n, k);
      if (wrong != 0) CHECK(wrong == 0);
    }
  }
};

struct random_codes {
  philox random{11};
  auto trits() {
    return [this] { return static_cast<int>(random.below(3)) - 1; };
  }
  auto bytes() {
    return [this] { return static_cast<int>(random.below(256)) - 128; };
  }
};

}  // namespace

TEMPLATE_TEST_CASE("every level equals the definition around the block sizes", "", two_bit, base3) {
  random_codes r;
  std::vector<std::size_t> tokens(18);
  std::iota(tokens.begin(), tokens.end(), 0u);
  tokens.insert(tokens.end(), {24, 25, 60, 61, 70});
  for (const std::size_t m : {0u,  1u,  4u,  7u,  8u,  9u,  15u, 16u, 17u, 23u, 24u, 25u,
                              31u, 32u, 33u, 40u, 47u, 48u, 49u, 63u, 64u, 65u, 70u, 129u})
    for (const std::size_t n : tokens)
      for (const std::size_t k :
           {0u, 1u, 3u, 4u, 5u, 8u, 15u, 16u, 17u, 31u, 32u, 33u, 48u, 63u, 64u, 65u, 70u})
        product<TestType>(m, n, k, r.trits(), r.bytes()).check();
}

TEMPLATE_TEST_CASE("every level equals the definition over several chunks of columns and tokens",
                   "", two_bit, base3) {
  random_codes r;
  for (const auto& [m, n, k] : {std::array<std::size_t, 3>{40, 30, 257},
                                {64, 241, 256},
                                {80, 245, 529},
                                {33, 483, 48},
                                {130, 3, 1040},
                                {1000, 1, 777},
                                {777, 40, 1000},
                                {96, 240, 1024}})
    product<TestType>(m, n, k, r.trits(), r.bytes()).check();
}

TEMPLATE_TEST_CASE("extreme values neither saturate nor wrap", "", two_bit, base3) {
  philox random(12);
  for (const std::size_t n : {1u, 2u, 5u, 12u, 17u}) {
    for (const int x : {-128, 127})
      for (const int w : {-1, 0, 1})
        product<TestType>(
            17, n, 4112, [&] { return w; }, [&] { return x; })
            .check();
    product<TestType>(
        33, n, 4112, [&] { return random.below(2) == 0 ? -1 : 1; },
        [&] { return random.below(2) == 0 ? -128 : 127; })
        .check();
  }
}

TEMPLATE_TEST_CASE("no sum overflows at the greatest K, beyond it is refused", "", two_bit, base3) {
  const std::size_t k = matmul_max_cols<TestType>;
  for (const int x : {-128, 127})
    for (const std::size_t n : {1u, 2u})
      product<TestType>(
          1, n, k, [] { return 1; }, [&] { return x; })
          .check();
  const std::vector<std::int8_t> x(k + 1);
  const packed_matrix<TestType> w(1, k + 1);
  std::vector<std::byte> workspace(k + 16);
  std::int32_t sum = 0, out = 0;
  CHECK_THROWS_AS(ternary_matmul(w, {x.data(), 1, k + 1}, {&sum, 1}, {&out, 1, 1}, workspace),
                  shape_error);
}

TEMPLATE_TEST_CASE("any number of threads gives the same integers", "", two_bit, base3) {
  random_codes r;
  const product<TestType> p(300, 500, 130, r.trits(), r.bytes());
  for (const std::size_t threads : {1u, 2u, 5u}) {
    thread_pool pool(threads);
    CHECK((p.run(isa::active(), pool) == p.expected));
  }
}

TEMPLATE_TEST_CASE("products that share their activations are those of each weight", "", two_bit,
                   base3) {
  random_codes codes;
  thread_pool pool(3);
  for (const std::size_t n : {1u, 2u, 70u}) {
    const std::size_t k = 1000;
    std::vector<product<TestType>> all;
    for (const std::size_t m : {700u, 16u, 0u, 1100u}) {
      all.emplace_back(m, n, k, codes.trits(), codes.bytes());
      all.back().x = all[0].x;
      all.back().sums = all[0].sums;
    }
    const matrix_view<const std::int8_t> x(all[0].x.data(), n, k);
    std::vector<std::byte> workspace(ternary_matmul_workspace(all[0].packed, x));
    std::vector<std::vector<std::int32_t>> outs;
    std::vector<std::vector<int>> done;
    for (const auto& p : all) {
      outs.emplace_back(n * p.m);
      done.emplace_back(n * p.m);
    }
    const auto count = [](std::vector<int>& cells, std::size_t m) {
      return [&cells, m](const sum_block& b) {
        for (std::size_t i = 0; i < b.sums.rows; ++i)
          for (std::size_t j = 0; j < b.sums.cols; ++j) ++cells[(b.token + i) * m + b.row + j];
      };
    };
    using counting = decltype(count(done[0], 0));
    std::vector<ternary_product<TestType, counting>> products;
    for (std::size_t i = 0; i < all.size(); ++i)
      products.push_back({all[i].packed, {outs[i].data(), n, all[i].m}, count(done[i], all[i].m)});
    for (const isa::level level : isa::levels) {
      if (!isa::supported(level)) continue;
      CAPTURE(isa::name(level), n);
      for (auto& cells : done) std::fill(cells.begin(), cells.end(), 0);
      ternary_matmul(std::span<const ternary_product<TestType, counting>>(products), x, all[0].sums,
                     workspace, pool, level);
      for (std::size_t i = 0; i < all.size(); ++i) {
        CHECK(outs[i] == all[i].run(level));
        CHECK(done[i] == std::vector<int>(n * all[i].m, 1));
      }
    }
  }
}

TEMPLATE_TEST_CASE("operands may be strided and unaligned", "", two_bit, base3) {
  random_codes r;
  for (const std::size_t m : {5u, 45u, 64u})
    for (const std::size_t n : {1u, 2u, 5u, 14u})
      for (const std::size_t k : {64u, 70u}) {
        const product<TestType> p(m, n, k, r.trits(), r.bytes());
        const std::size_t x_stride = k + 17, out_stride = m + 14;
        std::vector<std::int8_t> wide(n * x_stride + 1, 99), columns(k * n);
        for (std::size_t t = 0; t < n; ++t)
          for (std::size_t c = 0; c < k; ++c)
            columns[c * n + t] = wide[1 + t * x_stride + c] = p.x[t * k + c];
        for (const auto& x : {matrix_view<const std::int8_t>(wide.data() + 1, n, k, x_stride),
                              matrix_view<const std::int8_t>(columns.data(), n, k, 1, n)}) {
          std::vector<std::byte> workspace(ternary_matmul_workspace(p.packed, x) + 1);
          for (const isa::level level : isa::levels) {
            if (!isa::supported(level)) continue;
            CAPTURE(isa::name(level), m, n, k);
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
      }
}

TEMPLATE_TEST_CASE("shapes that disagree and a short workspace are refused", "", two_bit, base3) {
  const packed_matrix<TestType> w(4, 7);
  const std::vector<std::int8_t> x(2 * 7);
  std::vector<std::int32_t> sums(2), out(2 * 4);
  const std::size_t bytes_needed = ternary_matmul_workspace(w, {x.data(), 2, 7});
  std::vector<std::byte> workspace(bytes_needed);
  const auto run = [&](std::size_t k, std::size_t m, std::size_t n_sums, std::size_t bytes) {
    ternary_matmul(w, {x.data(), 2, k}, row_view<const std::int32_t>(sums.data(), n_sums),
                   {out.data(), 2, m}, std::span(workspace).first(bytes));
  };
  CHECK_NOTHROW(run(7, 4, 2, bytes_needed));
  CHECK_THROWS_AS(run(6, 4, 2, bytes_needed), shape_error);
  CHECK_THROWS_AS(run(7, 3, 2, bytes_needed), shape_error);
  CHECK_THROWS_AS(run(7, 4, 1, bytes_needed), shape_error);
  CHECK_THROWS_AS(run(7, 4, 2, bytes_needed - 1), shape_error);
}
