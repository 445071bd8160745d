#include "tern/nn/attention.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include "../gradient_check.hpp"
#include "../oracle/attention.inc"
#include "../oracle/wave.hpp"
#include "tern/core/thread_pool.hpp"

using namespace tern;
using namespace tern_test;

namespace {

/// Operands, results and gradients of one call.
template <class T>
struct call {
  attention_shape shape;
  std::vector<std::size_t> offsets;
  matrix<T> q, k, v, dy, y, lse, dq, dk, dv;
  arena scratch;

  call(attention_shape s, std::vector<std::size_t> bounds)
      : shape(s),
        offsets(std::move(bounds)),
        q(random_matrix<T>(offsets.back(), s.q_heads * s.head_dim, 1)),
        k(random_matrix<T>(offsets.back(), s.kv_heads * s.head_dim, 2)),
        v(random_matrix<T>(offsets.back(), s.kv_heads * s.head_dim, 3)),
        dy(random_matrix<T>(offsets.back(), s.q_heads * s.head_dim, 4)),
        y(q.rows(), q.cols()),
        lse(q.rows(), static_cast<Eigen::Index>(s.q_heads)),
        dq(matrix<T>::Zero(q.rows(), q.cols())),
        dk(matrix<T>::Zero(k.rows(), k.cols())),
        dv(matrix<T>::Zero(v.rows(), v.cols())) {}

  void forward(executor_ref ex = {}) {
    attention<T>::forward(q, k, v, offsets, shape, y, lse, scratch, ex);
  }
  void backward(executor_ref ex = {}) {
    attention<T>::backward(dy, q, k, v, y, lse, offsets, shape, dq, dk, dv, scratch, ex);
  }
};

/// Attention as its definition says, computed element by element.
template <class T>
matrix<T> plain(const call<T>& c) {
  matrix<T> y = matrix<T>::Zero(c.q.rows(), c.q.cols());
  const auto d = static_cast<Eigen::Index>(c.shape.head_dim);
  for (std::size_t b = 0; b + 1 < c.offsets.size(); ++b)
    for (std::size_t head = 0; head < c.shape.q_heads; ++head)
      for (std::size_t t = c.offsets[b]; t < c.offsets[b + 1]; ++t) {
        const std::size_t window = c.shape.window == 0 ? t + 1 : c.shape.window;
        const auto first = static_cast<Eigen::Index>(
                       std::max(c.offsets[b], t + 1 - std::min(t + 1, window))),
                   row = static_cast<Eigen::Index>(t), h = static_cast<Eigen::Index>(head),
                   g = static_cast<Eigen::Index>(head / c.shape.group()), n = row - first + 1;
        Eigen::Matrix<T, Eigen::Dynamic, 1> p = static_cast<T>(c.shape.factor()) *
                                                c.k.block(first, g * d, n, d) *
                                                c.q.block(row, h * d, 1, d).transpose();
        p = (p.array() - p.maxCoeff()).exp();
        y.block(row, h * d, 1, d) = p.transpose() / p.sum() * c.v.block(first, g * d, n, d);
      }
  return y;
}

/// A case of oracle/attention.py.
struct oracle_row {
  const char* name;
  attention_shape shape;
  std::span<const double> y, dq, dk, dv;

  /// The operands that the script uses.
  template <class T>
  [[nodiscard]] call<T> operands() const {
    call<T> c(shape, {0, 3, 4, 11});
    c.q = wave<T>(11, shape.q_heads * shape.head_dim, 1);
    c.k = wave<T>(11, shape.kv_heads * shape.head_dim, 2);
    c.v = wave<T>(11, shape.kv_heads * shape.head_dim, 3);
    c.dy = wave<T>(11, shape.q_heads * shape.head_dim, 4);
    return c;
  }
};

#define ROW(n) \
  oracle_row { #n, {n::q_heads, n::kv_heads, n::head_dim, n::scale}, n::y, n::dq, n::dk, n::dv }
const std::array oracle_rows{ROW(grouped), ROW(one_kv_head), ROW(equal_heads)};
#undef ROW

template <class T>
constexpr double oracle_tolerance = sizeof(T) == 4 ? 2e-6 : 1e-13;

/// The operands of a call as columns of wider matrices, and its results there.
struct in_wide_matrices {
  call<double>& c;
  matrix<double> qkv{40, 64}, out{40, 50}, lse{40, 9};

  explicit in_wide_matrices(call<double>& from) : c(from) {
    qkv << c.q, c.k, c.v;
    attention<double>::forward(q(), k(), v(), c.offsets, c.shape, y(), l(), c.scratch);
  }

  void backward(matrix_view<double> dq, matrix_view<double> dk, matrix_view<double> dv) {
    attention<double>::backward(c.dy, q(), k(), v(), y(), l(), c.offsets, c.shape, dq, dk, dv,
                                c.scratch);
  }

 private:
  [[nodiscard]] matrix_view<const double> q() const { return all().col_block(0, 32); }
  [[nodiscard]] matrix_view<const double> k() const { return all().col_block(32, 16); }
  [[nodiscard]] matrix_view<const double> v() const { return all().col_block(48, 16); }
  [[nodiscard]] matrix_view<const double> all() const { return qkv; }
  matrix_view<double> y() { return matrix_view<double>(out).col_block(7, 32); }
  matrix_view<double> l() { return matrix_view<double>(lse).col_block(2, 4); }
};

}  // namespace

TEMPLATE_TEST_CASE("attention follows its definition at every length", "", float, double) {
  using T = TestType;
  const auto [name, shape] = GENERATE(
      table<const char*, attention_shape>({{"two query heads per key head", {4, 2, 16}},
                                           {"an odd head_dim and a scale", {3, 1, 5, 0.3}},
                                           {"a window of the token itself", {2, 1, 8, 0, 1}},
                                           {"a window below a tile", {2, 1, 8, 0, 7}},
                                           {"a window of a tile", {2, 1, 8, 0, 64}},
                                           {"a window above a tile", {2, 1, 8, 0, 100}}}));
  INFO(name);
  call<T> c(shape, {0, 1, 1, 17, 80, 144, 300});
  c.forward();
  CHECK((c.y - plain(c)).cwiseAbs().maxCoeff() < (sizeof(T) == 4 ? 2e-6 : 1e-14));
}

TEST_CASE("attention's gradients agree with central differences") {
  const auto [name, shape] =
      GENERATE(table<const char*, attention_shape>({{"two query heads per key head", {4, 2, 6}},
                                                    {"a scale", {2, 2, 3, 0.7}},
                                                    {"a window", {2, 1, 3, 0, 5}}}));
  INFO(name);
  call<double> c(shape, {0, 2, 9, 76});
  c.forward();
  c.backward();
  const auto loss = [&] {
    c.forward();
    return weighted_sum<double>(c.y, c.dy);
  };
  check_gradient(loss, c.q, c.dq);
  check_gradient(loss, c.k, c.dk);
  check_gradient(loss, c.v, c.dv);
}

TEMPLATE_TEST_CASE("attention equals PyTorch", "", float, double) {
  const oracle_row& row = GENERATE(from_range(oracle_rows));
  INFO(row.name);
  auto c = row.operands<TestType>();
  c.forward();
  CHECK(distance(c.y, row.y) < oracle_tolerance<TestType>);
}

TEMPLATE_TEST_CASE("attention's gradients equal PyTorch's", "", float, double) {
  const oracle_row& row = GENERATE(from_range(oracle_rows));
  INFO(row.name);
  auto c = row.operands<TestType>();
  c.forward();
  c.backward();
  CHECK(distance(c.dq, row.dq) < oracle_tolerance<TestType>);
  CHECK(distance(c.dk, row.dk) < oracle_tolerance<TestType>);
  CHECK(distance(c.dv, row.dv) < oracle_tolerance<TestType>);
}

TEST_CASE("attention reads and writes columns of wider matrices") {
  call<double> c({4, 2, 8}, {0, 5, 40});
  c.forward();
  const in_wide_matrices wide(c);
  CHECK(wide.out.middleCols(7, 32) == c.y);
  CHECK(wide.lse.middleCols(2, 4) == c.lse);
}

TEST_CASE("attention adds its gradients to what is there") {
  call<double> c({4, 2, 8}, {0, 5, 40});
  c.forward();
  c.backward();
  in_wide_matrices wide(c);
  matrix<double> d = matrix<double>::Ones(40, 64), expected(40, 64);
  const matrix_view<double> grad = d;
  wide.backward(grad.col_block(0, 32), grad.col_block(32, 16), grad.col_block(48, 16));
  expected << c.dq, c.dk, c.dv;
  CHECK((d - expected).isOnes(1e-12));
}

TEST_CASE("attention leaves out null gradients") {
  call<double> c({4, 2, 8}, {0, 5, 40});
  c.forward();
  c.backward();
  in_wide_matrices wide(c);
  matrix<double> only_k = matrix<double>::Zero(40, 16);
  wide.backward({}, only_k, {});
  CHECK(only_k == c.dk);
}

TEST_CASE("attention takes scratch that is linear in the sequence's length") {
  const auto used = [](std::size_t length) {
    call<float> c({1, 1, 8}, {0, length});
    c.scratch = arena(64);
    c.forward();
    c.backward();
    return c.scratch.capacity();
  };
  CHECK(2 * used(2048) < 5 * used(1024));
}

TEST_CASE("attention gives its scratch back") {
  call<float> c({1, 1, 8}, {0, 100});
  c.forward();
  c.backward();
  CHECK(c.scratch.mark().used == 0);
}

TEST_CASE("attention refuses heads that do not divide") {
  call<float> c({4, 2, 8}, {0, 5, 12});
  c.shape.kv_heads = 3;
  CHECK_THROWS_AS(c.forward(), shape_error);
}

TEST_CASE("attention refuses operands of another head_dim") {
  call<float> c({4, 2, 8}, {0, 5, 12});
  c.shape.head_dim = 7;
  CHECK_THROWS_AS(c.forward(), shape_error);
}

TEST_CASE("attention refuses bounds that are not those of its sequences") {
  const auto [name, bad] = GENERATE(
      table<const char*, std::vector<std::size_t>>({{"no bounds", {}},
                                                    {"an end below the number of tokens", {0, 11}},
                                                    {"one bound", {0}},
                                                    {"a start above 0", {1, 12}},
                                                    {"a descending bound", {0, 9, 5, 12}}}));
  INFO(name);
  call<float> c({4, 2, 8}, {0, 5, 12});
  c.offsets = bad;
  CHECK_THROWS_AS(c.forward(), shape_error);
  CHECK_THROWS_AS(c.backward(), shape_error);
}

TEST_CASE("attention refuses a gradient of another shape") {
  call<float> c({4, 2, 8}, {0, 12});
  c.forward();
  c.dk.resize(12, 15);
  CHECK_THROWS_AS(c.backward(), shape_error);
}

TEST_CASE("attention refuses rows that are not contiguous") {
  call<float> c({4, 2, 8}, {0, 12});
  const matrix<float> by_column(32, 12);
  CHECK_THROWS_AS(attention<float>::forward(matrix_view<const float>(by_column).transposed(), c.k,
                                            c.v, c.offsets, c.shape, c.y, c.lse, c.scratch),
                  shape_error);
}

TEST_CASE("attention gives the same bits on any number of threads") {
  const std::size_t window = GENERATE(0u, 40u);
  call<float> one({4, 2, 16, 0, window}, {0, 24, 150, 163, 163, 260}),
      three(one.shape, one.offsets);
  thread_pool pool(3);
  one.forward();
  one.backward();
  three.forward(pool);
  three.backward(pool);
  CHECK(one.y == three.y);
  CHECK(one.lse == three.lse);
  CHECK(one.dq == three.dq);
  CHECK(one.dk == three.dk);
  CHECK(one.dv == three.dv);
}
