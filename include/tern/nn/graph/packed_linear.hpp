// The op `packed_linear` on a tape that does not record.
#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "tern/core/error.hpp"
#include "tern/grad/tape.hpp"
#include "tern/nn/graph/operands.hpp"
#include "tern/nn/packed_linear.hpp"
#include "tern/pack/shared_weights.hpp"

namespace tern::inline TERN_ABI::graph {

/// Packed weights and a bias, which may be null.
template <class T>
struct packed_operand {
  const shared_weights<T>& w;  ///< (out, in)
  variable<T> bias;            ///< (1, out) or null
};

/// The norm of whole rows before packed_linear. A null gain means that there is no norm.
template <class T>
struct norm_operand {
  variable<T> gain;            ///< (1, K)
  double eps = 0, offset = 0;  ///< the normalised row is multiplied by offset + gain
};

/// y_i = Qa(norm(x)) W_i^T + b_i with packed ternary W_i, with the same bits as bit_linear. x is
/// quantized once, each row directly after its norm, while it is still in the cache. Neighbouring
/// products of the same format are computed in one call. With `onto` the first y is added to that
/// variable, which then is the result. Where groups of columns have scales it is not, because the
/// sum over them must be complete before anything is added to it. For inference only: throws
/// config_error on a tape that records.
template <class T, class ActQ, std::size_t N>
std::array<variable<T>, N> packed_linear(tape<T>& t, variable<T> x,
                                         const std::array<packed_operand<T>, N>& operands,
                                         const ActQ& activation_quantizer = {},
                                         const norm_operand<T>& norm = {}, variable<T> onto = {}) {
  using op = tern::packed_linear<T, ActQ>;
  if (t.recording()) throw config_error("packed weights cannot be trained");
  if (!operands[0].w.visit([](const auto& w) { return w.packed.groups() == 1; })) onto = {};
  std::array<variable<T>, N> y;
  for (std::size_t i = 0; i < N; ++i)
    y[i] = i == 0 && onto.value ? onto : t.make(x.rows(), operands[i].w.rows());
  const arena_scope temporaries(t.memory());
  const auto tokens = norm.gain.value
                          ? op::quantize_normed(x.value, norm_factors(t, norm.gain, norm.offset),
                                                static_cast<T>(norm.eps), t.memory(), t.executor(),
                                                activation_quantizer)
                          : op::quantize(x.value, t.memory(), t.executor(), activation_quantizer);
  for (std::size_t done = 0; done < N;)
    operands[done].w.visit([&]<class Format>(const ternary_weights_view<Format, T>& first) {
      std::array<typename op::template output<Format>, N> to;
      std::size_t n = 0;
      for (; done < N; ++done, ++n) {
        const auto* const w = operands[done].w.template view_if<Format>();
        if (w == nullptr || w->packed.scale_cols != first.packed.scale_cols) break;
        to[n] = {w->packed,     w->scales(),
                 w->scale_rows, vector_of(operands[done].bias.value),
                 y[done].value, done == 0 ? onto.value : matrix_view<T>{}};
      }
      op::template multiply<Format>(tokens, std::span(to).first(n), t.memory(), t.executor());
    });
  return y;
}

}  // namespace tern::inline TERN_ABI::graph
