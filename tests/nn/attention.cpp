#include "tern/nn/attention.hpp"

#include <vector>

#include "../gradient_check.hpp"

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
        const auto first = static_cast<Eigen::Index>(c.offsets[b]),
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
  for (const attention_shape shape : {attention_shape{4, 2, 16}, attention_shape{3, 1, 5, 0.3}}) {
    call<T> c(shape, {0, 1, 1, 17, 80, 144, 300});
    c.forward();
    CHECK((c.y - plain(c)).cwiseAbs().maxCoeff() < (sizeof(T) == 4 ? 2e-6 : 1e-14));
  }
}

TEST_CASE("attention's gradients agree with central differences") {
  const attention_shape shape = GENERATE(attention_shape{4, 2, 6}, attention_shape{2, 2, 3, 0.7});
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

TEST_CASE("attention gives the same bits on any number of threads") {
  call<float> one({4, 2, 16}, {0, 24, 150, 163, 163, 260}), three(one.shape, one.offsets);
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
