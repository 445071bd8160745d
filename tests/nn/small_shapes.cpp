// Tests of ops without rows or without columns, forward and backward, and of dimensions of size 1,
// whose stride nobody reads.
#include <array>
#include <string>
#include <vector>

#include "tern/distill/logits.hpp"
#include "tern/distill/relation.hpp"
#include "tern/linalg/gemm.hpp"
#include "tern/nn/attention.hpp"
#include "tern/nn/bit_linear.hpp"
#include "tern/nn/cross_entropy.hpp"
#include "tern/nn/embedding.hpp"
#include "tern/nn/feed_forward.hpp"
#include "tern/nn/linear.hpp"
#include "tern/nn/rms_norm.hpp"
#include "tern/nn/scaled_bit_linear.hpp"
#include "tern/quant/block.hpp"
#include "tern/quant/per_channel.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

/// Tokens, inputs and outputs of a linear.
struct linear_shape {
  std::size_t n, k, m;
};

constexpr float one_bias = 5, before_all = 3;  // gradients are added to `before_all`

/// Operands of a linear. Without inputs, y must be the bias, and gradients must stay as they are.
struct linear_operands {
  linear_shape s;
  std::vector<float> x, w, y, dx, dw, b, db;

  explicit linear_operands(const linear_shape& shape)
      : s(shape),
        x(s.n * s.k, 1.0f),
        w(s.m * s.k, 1.0f),
        y(s.n * s.m, 9.0f),
        dx(s.n * s.k, before_all),
        dw(s.m * s.k, before_all),
        b(s.m, one_bias),
        db(s.m, before_all) {
    // A view of no elements is not a null view: that would mean "not wanted".
    for (auto* each : {&x, &w, &y, &dx, &dw, &b, &db}) each->reserve(1);
  }

  [[nodiscard]] matrix_view<const float> inputs() const { return {x.data(), s.n, s.k}; }
  [[nodiscard]] matrix_view<const float> weights() const { return {w.data(), s.m, s.k}; }
  [[nodiscard]] row_view<const float> biases() const { return {b.data(), b.size()}; }
  matrix_view<float> outputs() { return {y.data(), s.n, s.m}; }
  matrix_view<float> input_gradient() { return {dx.data(), s.n, s.k}; }
  matrix_view<float> weight_gradient() { return {dw.data(), s.m, s.k}; }
  row_view<float> bias_gradient() { return {db.data(), db.size()}; }

  void check_outputs() const {
    if (s.k == 0) CHECK(y == std::vector<float>(y.size(), one_bias));
  }
  void check_gradients() const {
    if (s.m == 0) CHECK(dx == std::vector<float>(dx.size(), before_all));
    if (s.n == 0) CHECK(dw == std::vector<float>(dw.size(), before_all));
    CHECK(db == std::vector<float>(db.size(), before_all + static_cast<float>(s.n)));
  }
};

template <class WeightQ>
void check_bit_linear(const linear_shape& shape, precision p) {
  using layer = bit_linear<float, WeightQ>;
  linear_operands o(shape);
  arena memory;
  const auto saved = layer::make_saved(memory, shape.n, shape.k, shape.m);
  layer::forward(o.inputs(), o.weights(), o.biases(), o.outputs(), saved, memory);
  o.check_outputs();
  const std::vector<float> dy(shape.n * shape.m, 1.0f);
  layer::backward({dy.data(), shape.n, shape.m}, saved, o.input_gradient(), o.weight_gradient(),
                  o.bias_gradient(), memory, {}, p);
  o.check_gradients();
}

linear_shape empty_shape() {
  return GENERATE(values<linear_shape>(
      {{0, 8, 4}, {3, 0, 4}, {3, 8, 0}, {0, 0, 4}, {3, 0, 0}, {0, 8, 0}, {0, 0, 0}}));
}

std::string shape_text(const linear_shape& s) {
  return std::to_string(s.n) + " tokens, " + std::to_string(s.k) + " inputs, " +
         std::to_string(s.m) + " outputs";
}

}  // namespace

TEST_CASE("a quantized linear may have no tokens, inputs or outputs") {
  const linear_shape s = empty_shape();
  const precision p = GENERATE(precision::exact, precision::bf16, precision::int8);
  INFO(shape_text(s));
  check_bit_linear<absmean>(s, p);
  check_bit_linear<per_channel>(s, p);
  check_bit_linear<block<32>>(s, p);
}

TEST_CASE("a quantized linear with learned scales may have no tokens, inputs or outputs") {
  const linear_shape s = empty_shape();
  const extents blocks = GENERATE(values<extents>({{1, 4}, {4, 8}, {1, 8}}));
  INFO(shape_text(s));
  using layer = scaled_bit_linear<float>;
  linear_operands o(s);
  arena memory;
  const auto saved = layer::make_saved(memory, s.n, s.k, s.m, blocks);
  const extents n = scale_extents({s.m, s.k}, blocks);
  std::vector<float> scales(n.rows * n.cols, 1.0f), dscales(scales.size(), before_all);
  layer::forward(o.inputs(), o.weights(), {scales.data(), n.rows, n.cols}, o.biases(), o.outputs(),
                 saved, memory);
  o.check_outputs();
  const std::vector<float> dy(s.n * s.m, 1.0f);
  layer::backward({dy.data(), s.n, s.m}, o.weights(), saved, o.input_gradient(),
                  o.weight_gradient(), {dscales.data(), n.rows, n.cols}, o.bias_gradient(), memory);
  o.check_gradients();
  if (s.n == 0) CHECK(dscales == std::vector<float>(dscales.size(), before_all));
}

TEST_CASE("a linear may have no tokens, inputs or outputs") {
  const linear_shape s = empty_shape();
  INFO(shape_text(s));
  linear_operands o(s);
  linear<float>::forward(o.inputs(), o.weights(), o.biases(), o.outputs());
  o.check_outputs();
  const std::vector<float> dy(s.n * s.m, 1.0f);
  linear<float>::backward({dy.data(), s.n, s.m}, o.inputs(), o.weights(), o.input_gradient(),
                          o.weight_gradient(), o.bias_gradient());
  o.check_gradients();
}

TEST_CASE("norms and gates may have no rows or no columns") {
  const auto [rows, cols] = GENERATE(table<std::size_t, std::size_t>({{0, 8}, {3, 0}, {0, 0}}));
  std::vector<float> x(rows * cols, 1.0f), y(x), inverse(rows), gain(cols, before_all);
  const matrix_view<const float> in(x.data(), rows, cols);
  const matrix_view<float> out(y.data(), rows, cols);
  rms_norm<float>::forward(in, {}, 1e-5f, out, inverse);
  rms_norm<float>::backward(in, in, {}, inverse, out, gain);
  CHECK(gain == std::vector<float>(cols, before_all));
  gated_activation<float>::forward(activation::silu, in, in, out);
  gated_activation<float>::backward(activation::silu, in, in, in, out, out);
}

TEST_CASE("losses and attention may have no tokens") {
  arena memory;
  const matrix_view<float> none(nullptr, 0, 8);
  const std::vector<std::size_t> offsets =
      GENERATE(std::vector<std::size_t>{0}, std::vector<std::size_t>{0, 0, 0});
  CHECK(cross_entropy<float>::forward(none, {}, {}) == 0);
  cross_entropy<float>::backward_columns(none, {}, {}, 1, 0, none);
  CHECK(logits_loss<float>::forward(none, none, {}, {}, {}) == 0);
  logits_loss<float>::backward_columns(none, none, {}, {}, {}, 1, 0, none);
  relation_options options;
  options.split_heads = 2;
  const matrix_view<float> stats(nullptr, 0, 4);
  CHECK(relation_loss<float>::forward(none, none, offsets, {}, options, stats, memory) == 0);
  relation_loss<float>::backward(none, none, offsets, {}, options, stats, 1, none, memory);
  const attention_shape shape{2, 2, 4};
  const matrix_view<float> lse(nullptr, 0, 2);
  attention<float>::forward(none, none, none, offsets, shape, none, lse, memory);
  attention<float>::backward(none, none, none, none, none, lse, offsets, shape, none, none, none,
                             memory);
}

TEST_CASE("an embedding may have no tokens or no columns") {
  const std::size_t cols = GENERATE(0u, 8u);
  std::vector<float> table(5 * cols, 1.0f), y(2 * cols), gradient(table.size(), before_all);
  const std::vector<std::int32_t> ids{1, 4};
  const matrix_view<const float> rows(table.data(), 5, cols);
  embedding<float>::forward({}, rows, {nullptr, 0, cols});
  embedding<float>::forward(ids, rows, {y.data(), 2, cols});
  embedding<float>::backward({nullptr, 0, cols}, {}, {gradient.data(), 5, cols});
  CHECK(gradient == std::vector<float>(gradient.size(), before_all));
}

TEST_CASE("gemm does not read the stride of a dimension of size 1") {
  // Catch makes the views of the rows below once, and runs this function for each of them.
  static std::array<float, 64> from, c;
  for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<float>(i);
  using operand = matrix_view<const float>;
  using result = matrix_view<float>;
  struct row {
    const char* name;
    operand a, b;
    result c;
  };
  const auto r = GENERATE_REF(values<row>({
      {"a of one column", {&from[1], 3, 1, 5, 7}, {&from[2], 1, 4}, {c.data(), 3, 4}},
      {"a of one row", {&from[1], 1, 3, 9, 4}, {&from[2], 3, 4}, {c.data(), 1, 4}},
      {"b of one row", {&from[1], 2, 1}, {&from[2], 1, 4, 9, 3}, {c.data(), 2, 4}},
      {"b of one column", {&from[1], 2, 3}, {&from[2], 3, 1, 5, 7}, {c.data(), 2, 1}},
      {"c of one column", {&from[1], 4, 2}, {&from[2], 2, 1}, {c.data(), 4, 1, 5, 7}},
      {"c of one row", {&from[1], 1, 2}, {&from[2], 2, 4}, {c.data(), 1, 4, 7, 5}},
      {"c of one element", {&from[1], 1, 2, 9, 9}, {&from[2], 2, 1}, {c.data(), 1, 1, 7, 5}},
  }));
  INFO(r.name);
  c.fill(9.0f);
  gemm<float>(1, r.a, r.b, r.c);
  std::array<float, 64> want;
  want.fill(9.0f);
  for (std::size_t i = 0; i < r.c.rows; ++i)
    for (std::size_t j = 0; j < r.c.cols; ++j) {
      float sum = 0;
      for (std::size_t k = 0; k < r.a.cols; ++k) sum += r.a(i, k) * r.b(k, j);
      want[i * r.c.row_stride + j * r.c.col_stride] = sum;
    }
  CHECK(c == want);
}

TEST_CASE("attention of width 1 does not read the stride of its column") {
  const std::vector<float> q{1, 7, 7, 2, 7, 7, 3, 7, 7}, dense{1, 2, 3};
  const std::vector<std::size_t> offsets{0, 3};
  const auto attend = [&](matrix_view<const float> in) {
    arena memory;
    std::vector<float> y(3), lse(3);
    attention<float>::forward(in, in, in, offsets, {1, 1, 1}, {y.data(), 3, 1}, {lse.data(), 3, 1},
                              memory);
    return y;
  };
  CHECK(attend({q.data(), 3, 1, 3, 5}) == attend({dense.data(), 3, 1}));
}
