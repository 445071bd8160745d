#include "tern/nn/attention.hpp"

#include <algorithm>
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

/// The definition, element by element.
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

}  // namespace

TEMPLATE_TEST_CASE("attention follows its definition at every length", "", float, double) {
  using T = TestType;
  for (const attention_shape shape :
       {attention_shape{4, 2, 16}, attention_shape{3, 1, 5, 0.3}, attention_shape{2, 1, 8, 0, 1},
        attention_shape{2, 1, 8, 0, 7}, attention_shape{2, 1, 8, 0, 64},
        attention_shape{2, 1, 8, 0, 100}}) {
    call<T> c(shape, {0, 1, 1, 17, 80, 144, 300});
    c.forward();
    CHECK((c.y - plain(c)).cwiseAbs().maxCoeff() < (sizeof(T) == 4 ? 2e-6 : 1e-14));
  }
}

TEST_CASE("attention's gradients agree with central differences") {
  const attention_shape shape = GENERATE(attention_shape{4, 2, 6}, attention_shape{2, 2, 3, 0.7},
                                         attention_shape{2, 1, 3, 0, 5});
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

TEMPLATE_TEST_CASE("attention equals PyTorch's, gradients too", "", float, double) {
  using T = TestType;
  const double tolerance = sizeof(T) == 4 ? 2e-6 : 1e-13;
#define CASE(n)                                                                 \
  {                                                                             \
    call<T> c({n::q_heads, n::kv_heads, n::head_dim, n::scale}, {0, 3, 4, 11}); \
    c.q = wave<T>(11, n::q_heads * n::head_dim, 1),                             \
    c.k = wave<T>(11, n::kv_heads * n::head_dim, 2);                            \
    c.v = wave<T>(11, n::kv_heads * n::head_dim, 3),                            \
    c.dy = wave<T>(11, n::q_heads * n::head_dim, 4);                            \
    c.forward();                                                                \
    c.backward();                                                               \
    CHECK(distance(c.y, n::y) < tolerance);                                     \
    CHECK(distance(c.dq, n::dq) < tolerance);                                   \
    CHECK(distance(c.dk, n::dk) < tolerance);                                   \
    CHECK(distance(c.dv, n::dv) < tolerance);                                   \
  }
  CASE(grouped);
  CASE(one_kv_head);
  CASE(equal_heads);
#undef CASE
}

TEST_CASE("attention reads and writes column blocks, adds, and leaves out null gradients") {
  call<double> c({4, 2, 8}, {0, 5, 40});
  c.forward();
  c.backward();
  // q, k, v and their gradients as neighbours in wide matrices
  matrix<double> qkv(40, 64), d = matrix<double>::Ones(40, 64), out(40, 50), lse(40, 9);
  qkv << c.q, c.k, c.v;
  const matrix_view<double> all = qkv, grad = d;
  const auto q = all.col_block(0, 32), k = all.col_block(32, 16), v = all.col_block(48, 16);
  const auto y = matrix_view<double>(out).col_block(7, 32);
  const auto l = matrix_view<double>(lse).col_block(2, 4);
  attention<double>::forward(q, k, v, c.offsets, c.shape, y, l, c.scratch);
  CHECK(out.middleCols(7, 32) == c.y);
  CHECK(lse.middleCols(2, 4) == c.lse);
  attention<double>::backward(c.dy, q, k, v, y, l, c.offsets, c.shape, grad.col_block(0, 32),
                              grad.col_block(32, 16), grad.col_block(48, 16), c.scratch);
  matrix<double> expected(40, 64);
  expected << c.dq, c.dk, c.dv;
  CHECK((d - expected).isOnes(1e-12));

  matrix<double> only_k = matrix<double>::Zero(40, 16);
  attention<double>::backward(c.dy, q, k, v, y, l, c.offsets, c.shape, {}, only_k, {}, c.scratch);
  CHECK(only_k == c.dk);
}

TEST_CASE("attention needs scratch linear in the sequence's length and gives it back") {
  const auto used = [](std::size_t length) {
    call<float> c({1, 1, 8}, {0, length});
    c.scratch = arena(64);
    c.forward();
    c.backward();
    CHECK(c.scratch.mark().used == 0);
    return c.scratch.capacity();
  };
  CHECK(2 * used(2048) < 5 * used(1024));
}

TEST_CASE("attention refuses what does not fit") {
  call<float> c({4, 2, 8}, {0, 5, 12});
  c.shape.kv_heads = 3;
  CHECK_THROWS_AS(c.forward(), shape_error);
  c.shape = {4, 2, 7};
  CHECK_THROWS_AS(c.forward(), shape_error);
  c.shape = {4, 2, 8};
  for (const auto& bad : {std::vector<std::size_t>{}, {0}, {0, 11}, {1, 12}, {0, 9, 5, 12}}) {
    c.offsets = bad;
    CHECK_THROWS_AS(c.forward(), shape_error);
    CHECK_THROWS_AS(c.backward(), shape_error);
  }
  c.offsets = {0, 12};
  c.forward();
  c.dk.resize(12, 15);
  CHECK_THROWS_AS(c.backward(), shape_error);
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
