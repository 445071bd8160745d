// The parts of a product that an epilogue sees, and the epilogue that scales them.
#include "tern/kernel/epilogue.hpp"

#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "tern/core/random.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/kernel/matmul.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

struct visited_product {
  std::size_t m, n, k;
  std::vector<std::int8_t> codes, x;
  std::vector<std::int32_t> row_sums, out;
  packed_matrix<two_bit> w;

  visited_product(std::size_t m_, std::size_t n_, std::size_t k_)
      : m(m_), n(n_), k(k_), codes(m * k), x(n * k), row_sums(n), out(n * m) {
    philox random(3);
    for (auto& c : codes) c = static_cast<std::int8_t>(static_cast<int>(random.below(3)) - 1);
    for (auto& v : x) v = static_cast<std::int8_t>(static_cast<int>(random.below(255)) - 127);
    for (std::size_t i = 0; i < x.size(); ++i) row_sums[i / k] += x[i];
    w = packed_matrix<two_bit>(matrix_view<const std::int8_t>(codes.data(), m, k));
  }

  template <class Epilogue>
  void multiply(const Epilogue& epilogue, executor_ref ex = {}) {
    const matrix_view<const std::int8_t> xs(x.data(), n, k);
    std::vector<std::byte> workspace(ternary_matmul_workspace(w, xs));
    ternary_matmul(w, xs, row_sums, {out.data(), n, m}, workspace, ex, isa::active(), epilogue);
  }
};

}  // namespace

TEST_CASE("an epilogue sees every sum once, when it is done") {
  for (const std::size_t n : {0u, 1u, 2u, 5u, 13u, 250u})
    for (const std::size_t m : {0u, 1u, 17u, 64u, 200u})
      for (const std::size_t k : {0u, 33u}) {
        CAPTURE(m, n, k);
        visited_product p(m, n, k);
        p.multiply(no_epilogue{});
        const std::vector<std::int32_t> expected = p.out;
        std::vector<int> visits(n * m);
        std::vector<std::int32_t> seen(n * m);
        std::mutex mutex;
        thread_pool pool(3);
        p.multiply(
            [&](const sum_block& b) {
              const std::lock_guard lock(mutex);
              for (std::size_t i = 0; i < b.sums.rows; ++i)
                for (std::size_t j = 0; j < b.sums.cols; ++j) {
                  const std::size_t at = (b.token + i) * m + b.row + j;
                  ++visits[at];
                  seen[at] = b.sums(i, j);
                }
            },
            pool);
        CHECK(visits == std::vector<int>(n * m, 1));
        CHECK(seen == expected);
      }
}

TEMPLATE_TEST_CASE("rescale rounds after each operation", "", float, double) {
  using T = TestType;
  visited_product p(77, 15, 40);
  philox random(5);
  const auto numbers = [&](std::size_t count) {
    std::vector<T> v(count);
    for (T& x : v) x = static_cast<T>(random.normal());
    return v;
  };
  const std::vector<T> x_scales = numbers(p.n), w_scales = numbers(p.m), bias = numbers(p.m),
                       residual = numbers(p.n * p.m);
  for (const bool per_row : {false, true})
    for (const bool with_bias : {false, true})
      for (const bool with_residual : {false, true}) {
        CAPTURE(per_row, with_bias, with_residual);
        std::vector<T> y = residual, expected(y);
        const matrix_view<const T> scales(w_scales.data(), per_row ? p.m : 1, 1);
        p.multiply(rescale<T>(
            x_scales, scales, with_bias ? row_view<const T>(bias) : row_view<const T>{},
            {y.data(), p.n, p.m},
            with_residual ? matrix_view<const T>(y.data(), p.n, p.m) : matrix_view<const T>{}));
        for (std::size_t i = 0; i < y.size(); ++i) {
          volatile T value = x_scales[i / p.m] * w_scales[per_row ? i % p.m : 0];
          value = static_cast<T>(p.out[i]) * value;  // volatile keeps operations from being fused
          if (with_bias) value = value + bias[i % p.m];
          if (with_residual) value = value + residual[i];
          expected[i] = value;
        }
        CHECK(y == expected);
      }
}

TEST_CASE("rescale refuses operands of other shapes") {
  const std::vector<float> three(3), four(4);
  std::vector<float> y(12);
  const auto make = [&](const std::vector<float>& x_scales, std::size_t w_scales,
                        const std::vector<float>& bias) {
    rescale<float>(x_scales, {four.data(), w_scales, 1}, bias, {y.data(), 3, 4});
  };
  CHECK_NOTHROW(make(three, 4, four));
  CHECK_THROWS_AS(make(four, 4, four), shape_error);
  CHECK_THROWS_AS(make(three, 3, four), shape_error);
  CHECK_THROWS_AS(make(three, 4, three), shape_error);
}

TEST_CASE("a product without a place for its sums has the same epilogue") {
  using row = std::tuple<std::string, std::size_t, std::size_t, std::size_t>;
  const auto [name, m, n, k] = GENERATE(table<std::string, std::size_t, std::size_t, std::size_t>({
      row("one token", 200, 1, 96),
      row("a few tokens", 70, 5, 33),
      row("several tasks of tokens", 130, 500, 64),
      row("no columns", 20, 3, 0),
      row("no rows", 0, 3, 10),
  }));
  INFO(name);
  visited_product p(m, n, k);
  p.multiply(no_epilogue{});
  const matrix_view<const std::int8_t> x(p.x.data(), n, k);
  std::vector<std::byte> workspace(ternary_matmul_workspace(p.w, x));
  for (const isa::level level : isa::levels) {
    if (!isa::supported(level)) continue;
    INFO(isa::name(level));
    std::vector<std::int32_t> seen(n * m);
    const auto keep = [&](const sum_block& b) {
      for (std::size_t i = 0; i < b.sums.rows; ++i)
        for (std::size_t j = 0; j < b.sums.cols; ++j)
          seen[(b.token + i) * m + b.row + j] = b.sums(i, j);
    };
    thread_pool pool(2);
    const ternary_product<two_bit, decltype(keep)> one{p.w, {}, keep};
    ternary_matmul(std::span(&one, 1), x, p.row_sums, workspace, pool, level);
    CHECK(seen == p.out);
  }
}

TEST_CASE("blocks of sums are scaled alike at every level") {
  using row = std::tuple<std::string, bool, bool, bool>;
  const bool totals = GENERATE(false, true);
  const auto [name, many, has_bias, has_addend] = GENERATE(table<std::string, bool, bool, bool>({
      row("one scale", false, false, false),
      row("a scale for each column", true, false, false),
      row("bias", true, true, false),
      row("addend", false, false, true),
      row("bias and addend", true, true, true),
  }));
  INFO(name << (totals ? ", totals" : ", sums"));
  constexpr std::size_t rows = 3, cols = 45;
  philox random(5);
  std::vector<std::int32_t> sums(rows * cols);
  for (auto& each : sums) each = static_cast<std::int32_t>(random.below(1u << 27)) - (1 << 26);
  const auto floats = [&](std::size_t size) {
    std::vector<float> all(size);
    for (float& each : all) each = static_cast<float>(random.uniform() * 2 - 1);
    return all;
  };
  const auto x_scales = floats(rows), w_scales = floats(cols), bias = floats(cols),
             addend = floats(rows * cols), reals = floats(rows * cols);
  std::vector<float> expected(rows * cols);
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < cols; ++c) {
      volatile float v = x_scales[r] * w_scales[many ? c : 0];  // each operation rounds
      v = static_cast<float>(sums[r * cols + c]) * v;
      if (totals) v = reals[r * cols + c] * x_scales[r];
      if (has_bias) v = v + bias[c];
      if (has_addend) v = v + addend[r * cols + c];
      expected[r * cols + c] = v;
    }
  for (const isa::level level : isa::levels) {
    if (!isa::supported(level) || kernel::rescale_blocks.at(level) == nullptr) continue;
    INFO(isa::name(level));
    std::vector<float> y(rows * cols);
    kernel::rescale_blocks.at(level)(
        {totals ? nullptr : sums.data(), totals ? reals.data() : nullptr, cols, rows, cols,
         x_scales.data(), 1, w_scales.data(), many ? 1u : 0u, has_bias ? bias.data() : nullptr,
         has_addend ? addend.data() : nullptr, cols, y.data(), cols});
    CHECK(y == expected);
  }
}
