// The ops on a tape: each function computes the value, records the matching backward and keeps
// what that needs in the tape's arena. Glue only; the mathematics is in the op headers.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tern/core/simd.hpp"
#include "tern/grad/tape.hpp"
#include "tern/nn/attention.hpp"
#include "tern/nn/bit_linear.hpp"
#include "tern/nn/embedding.hpp"
#include "tern/nn/feed_forward.hpp"
#include "tern/nn/linear.hpp"
#include "tern/nn/rms_norm.hpp"
#include "tern/nn/rope.hpp"
#include "tern/pack/shared_weights.hpp"

namespace tern::inline TERN_ABI::graph {

/// Row of a 1 x n variable, null where the view is null.
template <class T>
row_view<T> vector_of(matrix_view<T> m) {
  return m ? m.row(0) : row_view<T>{};
}

/// y[i] = scale * table[tokens[i]]. `tokens` must outlive the step.
template <class T>
variable<T> embedding(tape<T>& t, std::span<const std::int32_t> tokens, variable<T> table,
                      T scale = T(1)) {
  variable<T> y = t.make(tokens.size(), table.cols());
  tern::embedding<T>::forward(tokens, table.value, y.value, t.executor(), scale);
  t.record([=, ex = t.executor()] {
    tern::embedding<T>::backward(y.grad, tokens, table.grad, ex, scale);
  });
  return y;
}

/// The same from a packed table. Inference only.
template <class T>
variable<T> embedding(tape<T>& t, std::span<const std::int32_t> tokens,
                      const shared_weights<T>& table, T scale = T(1)) {
  if (t.recording()) throw config_error("packed weights cannot be trained");
  variable<T> y = t.make(tokens.size(), table.cols());
  tern::embedding<T>::require_ids(tokens, table.rows());
  table.visit([&](const auto& view) {
    for_each_row(y.rows(), y.cols(), t.executor(), [&](std::size_t r) {
      const row_view<T> row = y.value.row(r);
      dequantize_row(view, static_cast<std::size_t>(tokens[r]), row);
      for (std::size_t c = 0; c < row.size; ++c) row[c] *= scale;
    });
  });
  return y;
}

/// y = x W^T + b; a null b stands for none.
template <class T>
variable<T> linear(tape<T>& t, variable<T> x, variable<T> w, variable<T> b = {}) {
  variable<T> y = t.make(x.rows(), w.rows());
  tern::linear<T>::forward(x.value, w.value, vector_of(b.value), y.value, t.executor());
  t.record([=, ex = t.executor()] {
    tern::linear<T>::backward(y.grad, x.value, w.value, x.grad, w.grad, vector_of(b.grad), ex);
  });
  return y;
}

/// y = Qa(x) Qw(W)^T + b, straight through in the backward; a null b stands for none.
template <class T, class WeightQ, class ActQ>
variable<T> bit_linear(tape<T>& t, variable<T> x, variable<T> w, variable<T> b = {},
                       const WeightQ& weight_quantizer = {},
                       const ActQ& activation_quantizer = {}) {
  using op = tern::bit_linear<T, WeightQ, ActQ>;
  variable<T> y = t.make(x.rows(), w.rows());
  const auto saved = op::make_saved(t.memory(), x.rows(), x.cols(), w.rows());
  op::forward(x.value, w.value, vector_of(b.value), y.value, saved, t.memory(), t.executor(),
              weight_quantizer, activation_quantizer);
  t.record([=, &t] {
    op::backward(y.grad, saved, x.grad, w.grad, vector_of(b.grad), t.memory(), t.executor());
  });
  return y;
}

/// Packed W and a bias, or none.
template <class T>
struct packed_operand {
  const shared_weights<T>& w;  ///< (out, in)
  variable<T> bias;            ///< (1, out) or null
};

/// What a norm multiplies by: offset + gain.
template <class T>
row_view<const T> norm_factors(tape<T>& t, variable<T> gain, double offset) {
  if (offset == 0) return vector_of(gain.value);
  const row_view<T> factors(t.memory().template allocate<T>(gain.cols()), gain.cols());
  for (std::size_t i = 0; i < factors.size; ++i)
    factors[i] = static_cast<T>(offset) + gain.value(0, i);
  return factors;
}

/// A norm in front of packed_linear, as rms_norm over whole rows; none where gain is null.
template <class T>
struct norm_operand {
  variable<T> gain;            ///< (1, K)
  double eps = 0, offset = 0;  ///< offset + gain multiplies
};

/// y_i = Qa(norm(x)) W_i^T + b_i with packed ternary W_i: the same bits as bit_linear. x is
/// quantized once, each row where its norm left it in the cache, and neighbours of one format are
/// multiplied side by side. Inference only.
template <class T, class ActQ, std::size_t N>
std::array<variable<T>, N> packed_linear(tape<T>& t, variable<T> x,
                                         const std::array<packed_operand<T>, N>& operands,
                                         const ActQ& activation_quantizer = {},
                                         const norm_operand<T>& norm = {}) {
  using op = tern::bit_linear<T, absmean, ActQ>;
  using normed = tern::bit_linear<T, absmean, ActQ, sub_ln<T>>;
  if (t.recording()) throw config_error("packed weights cannot be trained");
  std::array<variable<T>, N> y;
  for (std::size_t i = 0; i < N; ++i) y[i] = t.make(x.rows(), operands[i].w.rows());
  const arena_scope temporaries(t.memory());
  const auto tokens = norm.gain.value
                          ? normed::quantize(x.value, norm_factors(t, norm.gain, norm.offset),
                                             static_cast<T>(norm.eps), t.memory(), t.executor(),
                                             activation_quantizer)
                          : op::quantize(x.value, t.memory(), t.executor(), activation_quantizer);
  for (std::size_t done = 0; done < N;)
    operands[done].w.visit([&]<class Format>(const ternary_weights_view<Format, T>& first) {
      std::array<typename op::template output<Format>, N> to;
      std::size_t n = 0;
      for (; done < N; ++done, ++n) {
        const auto* const w = operands[done].w.template view_if<Format>();
        if (w == nullptr || w->trits.run != first.trits.run) break;
        to[n] = {w->trits, w->scales(), w->scale_rows, vector_of(operands[done].bias.value),
                 y[done].value};
      }
      op::template multiply<Format>(tokens, std::span(to).first(n), t.memory(), t.executor());
    });
  return y;
}

/// RMSNorm over the last `gain.cols()` elements of each row: x may hold several heads a row. What
/// multiplies is offset + gain (Gemma: 1), which leaves the gain's gradient as it is.
template <class T>
variable<T> rms_norm(tape<T>& t, variable<T> x, variable<T> gain, double eps, double offset = 0) {
  const auto per_group = [&](matrix_view<T> m) {
    return m ? matrix_view<T>(m.data, m.size() / gain.cols(), gain.cols()) : m;
  };
  variable<T> y = t.make(x.rows(), x.cols());
  const variable<T> in{per_group(x.value), per_group(x.grad)};
  const variable<T> out{per_group(y.value), per_group(y.grad)};
  const row_view<T> inv_rms(t.memory().template allocate<T>(in.rows()), in.rows());
  const row_view<const T> factors = norm_factors(t, gain, offset);
  tern::rms_norm<T>::forward(in.value, factors, static_cast<T>(eps), out.value, inv_rms,
                             t.executor());
  t.record([=, ex = t.executor()] {
    tern::rms_norm<T>::backward(out.grad, in.value, factors, inv_rms, in.grad, vector_of(gain.grad),
                                ex);
  });
  return y;
}

/// Rotates x in place; its earlier value is gone, so x must not be needed by a recorded backward.
template <class T>
void rope(tape<T>& t, variable<T> x, std::span<const std::int32_t> positions,
          const rope_table<T>& table) {
  tern::rope<T>::forward(x.value, positions, table, t.executor());
  t.record(
      [=, &table, ex = t.executor()] { tern::rope<T>::backward(x.grad, positions, table, ex); });
}

/// Causal grouped-query attention within each sequence. `offsets` must outlive the step.
template <class T>
variable<T> attention(tape<T>& t, variable<T> q, variable<T> k, variable<T> v,
                      std::span<const std::size_t> offsets, attention_shape shape) {
  variable<T> y = t.make(q.rows(), q.cols());
  const matrix_view<T> lse = t.memory().template matrix<T>(q.rows(), shape.q_heads);
  tern::attention<T>::forward(q.value, k.value, v.value, offsets, shape, y.value, lse, t.memory(),
                              t.executor());
  t.record([=, &t] {
    tern::attention<T>::backward(y.grad, q.value, k.value, v.value, y.value, lse, offsets, shape,
                                 q.grad, k.grad, v.grad, t.memory(), t.executor());
  });
  return y;
}

/// y = act(gate) * up
template <class T>
variable<T> gated_activation(tape<T>& t, activation act, variable<T> gate, variable<T> up) {
  variable<T> y = t.make(gate.rows(), gate.cols());
  tern::gated_activation<T>::forward(act, gate.value, up.value, y.value, t.executor());
  t.record([=, ex = t.executor()] {
    tern::gated_activation<T>::backward(act, y.grad, gate.value, up.value, gate.grad, up.grad, ex);
  });
  return y;
}

/// to += from, for any two matrices of one shape.
template <class T>
void accumulate(matrix_view<const T> from, matrix_view<T> to, executor_ref ex) {
  for_each_row(to.rows, to.cols, ex,
               [&](std::size_t r) { simd::axpy<T>(T(1), from.row(r), to.row(r)); });
}

/// y = a + b (residual connection)
template <class T>
variable<T> add(tape<T>& t, variable<T> a, variable<T> b) {
  variable<T> y = t.make(a.rows(), a.cols());
  const executor_ref ex = t.executor();
  for_each_row(y.rows(), y.cols(), ex, [&](std::size_t r) {
    simd::transform(
        y.value.row(r), [](const auto& u, const auto& v) { return u + v; },
        row_view<const T>(a.value.row(r)), row_view<const T>(b.value.row(r)));
  });
  t.record([=] {
    if (a.grad) accumulate<T>(y.grad, a.grad, ex);
    if (b.grad) accumulate<T>(y.grad, b.grad, ex);
  });
  return y;
}

/// x + branch(x). On a tape that does not record x itself becomes the sum, and the memory that the
/// branch took is free again: a model of many layers needs that of one.
template <class T, class F>
variable<T> residual(tape<T>& t, variable<T> x, F&& branch) {
  if (t.recording()) return add(t, x, branch(x));
  const arena_scope temporaries(t.memory());
  accumulate<T>(branch(x).value, x.value, t.executor());
  return x;
}

/// y[i] = x[rows[i]]. `rows` must outlive the step.
template <class T>
variable<T> gather_rows(tape<T>& t, variable<T> x, std::span<const std::size_t> rows) {
  variable<T> y = t.make(rows.size(), x.cols());
  for (std::size_t i = 0; i < rows.size(); ++i)
    std::copy_n(x.value.row(rows[i]).data, x.cols(), y.value.row(i).data);
  t.record([=] {
    for (std::size_t i = 0; x.grad && i < rows.size(); ++i)
      simd::axpy<T>(T(1), y.grad.row(i), x.grad.row(rows[i]));
  });
  return y;
}

}  // namespace tern::inline TERN_ABI::graph
