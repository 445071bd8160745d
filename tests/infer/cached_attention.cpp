#include "tern/infer/cached_attention.hpp"

#include <cmath>
#include <utility>
#include <vector>

#include "tern/core/thread_pool.hpp"
#include "tests/message.hpp"
#include "tests/oracle/wave.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

constexpr std::size_t kv_heads = 2, q_heads = 6, d = 16, total = 150;

struct inputs {
  std::vector<float> q, k, v;
  inputs() : q(total * q_heads * d), k(total * kv_heads * d), v(k.size()) {
    for (std::size_t i = 0; i < q.size(); ++i)
      q[i] = std::sin(0.37f * static_cast<float>(i * i % 211));
    for (std::size_t i = 0; i < k.size(); ++i) {
      k[i] = std::cos(0.11f * static_cast<float>(i * i % 307));
      v[i] = std::sin(0.23f * static_cast<float>(i * i % 401) + 1);
    }
  }
  [[nodiscard]] matrix_view<const float> rows(const std::vector<float>& m, std::size_t first,
                                              std::size_t n) const {
    const std::size_t width = m.size() / total;
    return {m.data() + first * width, n, width};
  }
};

/// The results as the definition says, computed in double.
std::vector<double> expected(const inputs& x, std::size_t window) {
  std::vector<double> y(x.q.size());
  for (std::size_t i = 0; i < total; ++i)
    for (std::size_t h = 0; h < q_heads; ++h) {
      const std::size_t kv = h / (q_heads / kv_heads);
      const std::size_t first = window != 0 && i + 1 > window ? i + 1 - window : 0;
      double sum = 0;
      std::vector<double> p;
      for (std::size_t j = first; j <= i; ++j) {
        double s = 0;
        for (std::size_t c = 0; c < d; ++c)
          s += double{x.q[(i * q_heads + h) * d + c]} * x.k[(j * kv_heads + kv) * d + c];
        p.push_back(std::exp(s / std::sqrt(double{d})));
        sum += p.back();
      }
      for (std::size_t j = first; j <= i; ++j)
        for (std::size_t c = 0; c < d; ++c)
          y[(i * q_heads + h) * d + c] += p[j - first] / sum * x.v[(j * kv_heads + kv) * d + c];
    }
  return y;
}

/// The results of two sequences that get the same tokens, in chunks whose sizes repeat.
std::vector<float> cached(const inputs& x, std::size_t window, kv_storage storage,
                          const std::vector<std::size_t>& chunks, executor_ref ex = {}) {
  kv_cache cache({.layers = 2,
                  .kv_heads = kv_heads,
                  .head_dim = d,
                  .sequences = 2,
                  .capacity = total,
                  .chunk = 100,
                  .windows = {0, window}},
                 storage);
  std::vector<float> y(2 * total * q_heads * d);
  arena scratch;
  std::size_t turn = 0;
  for (std::size_t done = 0; done < total;) {
    const std::size_t n = std::min(chunks[turn++ % chunks.size()], total - done);
    std::vector<float> q2(2 * n * q_heads * d), y2(q2.size());
    const auto q = x.rows(x.q, done, n);
    for (std::size_t s = 0; s < 2; ++s) {
      std::copy_n(q.data, q.size(), q2.data() + s * q.size());
      cache.append(1, s, x.rows(x.k, done, n), x.rows(x.v, done, n));
    }
    const std::vector<cached_rows> parts{{0, 0, n}, {1, n, n}};
    cached_attention::forward({q2.data(), 2 * n, q_heads * d}, cache, 1, parts,
                              {q_heads, kv_heads, d, 0}, {y2.data(), 2 * n, q_heads * d}, scratch,
                              ex);
    for (std::size_t s = 0; s < 2; ++s) {
      std::copy_n(y2.data() + s * q.size(), q.size(), y.data() + (s * total + done) * q_heads * d);
      cache.advance(s, n);
    }
    done += n;
  }
  return y;
}

double deviation(const std::vector<float>& y, const std::vector<double>& expected) {
  double worst = 0;
  for (std::size_t i = 0; i < y.size(); ++i)
    worst = std::max(worst, std::abs(y[i] - expected[i % expected.size()]));
  return worst;
}

}  // namespace

TEST_CASE("attention over the cache is attention") {
  const inputs x;
  for (const std::size_t window : {0u, 1u, 20u, 149u})
    for (const auto& chunks : {std::vector<std::size_t>{1}, {100}, {7, 1, 30, 2}, {64, 3}}) {
      INFO("window " << window << ", first chunk " << chunks[0]);
      const auto right = expected(x, window);
      CHECK(deviation(cached(x, window, kv_storage::f32, chunks), right) < 2e-6);
      CHECK(deviation(cached(x, window, kv_storage::f16, chunks), right) < 1e-3);
      CHECK(deviation(cached(x, window, kv_storage::int8, chunks), right) < 2e-2);
    }
}

TEST_CASE("cached attention gives the same bits on any number of threads") {
  const inputs x;
  thread_pool pool(3);
  for (const std::size_t n : {1u, 90u})
    CHECK(cached(x, 20, kv_storage::f16, {n}) == cached(x, 20, kv_storage::f16, {n}, pool));
}

namespace {

/// The results of the last of `positions` tokens over a cache of F16 that holds them all, with the
/// definition's beside them.
std::pair<std::vector<float>, std::vector<double>> last_of(std::size_t positions,
                                                           executor_ref ex = {}) {
  std::vector<float> k(positions * d), q(2 * d), y(q.size());
  for (std::size_t i = 0; i < k.size(); ++i)
    k[i] = from_f16(to_f16(std::sin(0.37f * static_cast<float>(i * i % 1021))));
  for (std::size_t i = 0; i < q.size(); ++i) q[i] = 4 * std::cos(static_cast<float>(i));
  kv_cache cache({.layers = 1,
                  .kv_heads = 1,
                  .head_dim = d,
                  .capacity = positions,
                  .chunk = positions,
                  .windows = {}});
  const matrix_view<const float> rows(k.data(), positions, d);
  cache.append(0, 0, rows.row_block(0, positions - 1), rows.row_block(0, positions - 1));
  cache.advance(0, positions - 1);
  cache.append(0, 0, rows.row_block(positions - 1, 1), rows.row_block(positions - 1, 1));
  arena scratch;
  const cached_rows part{0, 0, 1};
  cached_attention::forward({q.data(), 1, 2 * d}, cache, 0, {&part, 1}, {2, 1, d, 0},
                            {y.data(), 1, 2 * d}, scratch, ex);
  std::vector<double> expected(y.size());
  for (std::size_t h = 0; h < 2; ++h) {
    double sum = 0;
    for (std::size_t j = 0; j < positions; ++j) {
      double s = 0;
      for (std::size_t c = 0; c < d; ++c) s += double{q[h * d + c]} * k[j * d + c];
      const double weight = std::exp(s / std::sqrt(double{d}));
      sum += weight;
      for (std::size_t c = 0; c < d; ++c) expected[h * d + c] += weight * k[j * d + c];
    }
    for (std::size_t c = 0; c < d; ++c) expected[h * d + c] /= sum;
  }
  return {y, expected};
}

}  // namespace

TEST_CASE("a token that sees thousands of positions is computed in spans of them") {
  const std::size_t positions = GENERATE(1023u, 1024u, 1025u, 5000u);
  INFO(positions << " positions");
  const auto [y, expected] = last_of(positions);
  CHECK(deviation(y, expected) < 2e-6);
}

TEST_CASE("spans of positions give the same bits on any number of threads") {
  thread_pool pool(3);
  CHECK(last_of(5000).first == last_of(5000, pool).first);
}

namespace {

/// A cache of one layer whose window of five tokens is a ring, and rows to fill it with.
struct small_cache {
  inputs x;
  kv_cache cache{{.layers = 1,
                  .kv_heads = kv_heads,
                  .head_dim = d,
                  .capacity = 20,
                  .chunk = 4,
                  .windows = {5}}};

  void fill(std::size_t n) {
    cache.append(0, 0, x.rows(x.k, 0, n), x.rows(x.v, 0, n));
    cache.advance(0, n);
  }
  void fill_all() {
    for (int i = 0; i < 5; ++i) fill(4);
  }
};

}  // namespace

TEST_CASE("a layer with a window holds the window and a chunk") {
  CHECK(small_cache().cache.size_bytes() == 2 * kv_heads * (5 + 4) * d * 2);
}

TEST_CASE("a full cache refuses another token") {
  small_cache c;
  c.fill_all();
  CHECK(tern_test::message_of<config_error>([&] { c.fill(1); }) ==
        "kv_cache: no room for 1 tokens after 20 (capacity 20, 4 at a time)");
}

TEST_CASE("a ring is truncated as far back as it holds what the last token sees") {
  small_cache c;
  c.fill_all();
  c.cache.truncate(0, 16);  // the last token sees 12 ... 15, and the ring holds 11 ... 19
  CHECK(c.cache.length(0) == 16);
  c.fill(4);
  CHECK(tern_test::message_of<config_error>([&] { c.cache.truncate(0, 15); }) ==
        "kv_cache: cannot go from length 20 to 15");
}

TEST_CASE("a cache is not truncated to more tokens than it holds") {
  small_cache c;
  c.fill_all();
  c.cache.truncate(0, 0);
  c.fill(3);
  c.cache.truncate(0, 1);
  CHECK(tern_test::message_of<config_error>([&] { c.cache.truncate(0, 2); }) ==
        "kv_cache: cannot go from length 1 to 2");
}

TEST_CASE("a cache needs a shape") { CHECK_THROWS_AS(kv_cache(kv_shape{}), config_error); }

TEST_CASE("a cache has no room in a sequence that it does not have") {
  CHECK_THROWS_AS(small_cache().cache.require_room(1, 1), config_error);
}

TEST_CASE("a cache does not advance past its capacity") {
  small_cache c;
  c.fill_all();
  CHECK_THROWS_AS(c.cache.advance(0, 1), config_error);
}

TEST_CASE("a cache takes no more tokens at once than a chunk has") {
  CHECK_THROWS_AS(small_cache().cache.advance(0, 5), config_error);
}

TEST_CASE("a cache does not advance a sequence that it does not have") {
  CHECK_THROWS_AS(small_cache().cache.advance(1, 1), config_error);
}

TEST_CASE("a cache names a layer that it does not have") {
  small_cache c;
  CHECK(tern_test::message_of<config_error>([&] {
          c.cache.append(1, 0, c.x.rows(c.x.k, 0, 1), c.x.rows(c.x.v, 0, 1));
        }) == "kv_cache: no layer 1");
}

TEST_CASE("a cache refuses keys of another width") {
  small_cache c;
  CHECK_THROWS_AS(
      c.cache.append(0, 0, c.x.rows(c.x.k, 0, 1).col_block(0, d), c.x.rows(c.x.v, 0, 1)),
      tern::shape_error);
}

TEST_CASE("a cache refuses keys and values of different numbers of tokens") {
  small_cache c;
  CHECK_THROWS_AS(c.cache.append(0, 0, c.x.rows(c.x.k, 0, 1), c.x.rows(c.x.v, 0, 2)),
                  tern::shape_error);
}
