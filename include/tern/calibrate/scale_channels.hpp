// AWQ on a layer: the factors of input channels go into the weights, and their inverses into the
// norm or the projection that makes these channels, so that the layer computes in full precision
// what it did.
#pragma once

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "tern/calibrate/awq.hpp"
#include "tern/calibrate/calibrated_input.hpp"
#include "tern/calibrate/calibration_options.hpp"
#include "tern/calibrate/stream_recorder.hpp"
#include "tern/core/arena.hpp"
#include "tern/core/error.hpp"
#include "tern/model/layer.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

/// Multiplies the columns of m by the factors.
template <class T>
void scale_columns(matrix_view<T> m, const std::vector<T>& factors, executor_ref ex) {
  for_each_row(m.rows, m.cols, ex, [&](std::size_t r) {
    for (std::size_t c = 0; c < m.cols; ++c) m(r, c) *= factors[c];
  });
}

/// Projections that share an input, and what makes its channels: a norm, or the rows of another
/// projection.
template <class Owner>
struct shared_channels {
  parameter<Owner>* gain = nullptr;
  scalar_of<Owner> offset = 0;         ///< the norm multiplies by gain + offset
  projection<Owner>* maker = nullptr;  ///< its rows make the channels where there is no norm
  std::size_t first = 0;               ///< number of the first projection
  std::vector<projection<Owner>*> projections{};

  /// Multiplies the channels of the input.
  void scale(const std::vector<scalar_of<Owner>>& factors, executor_ref ex) const {
    using T = scalar_of<Owner>;
    if (gain != nullptr) {
      const row_view<T> g = gain->view().row(0);
      for (std::size_t c = 0; c < g.size; ++c) g[c] = (g[c] + offset) * factors[c] - offset;
      return;
    }
    scale_columns<T>(maker->weight.view().transposed(), factors, ex);
    if (maker->bias) scale_columns<T>(maker->bias->view(), factors, ex);
  }
};

/// The projections of a layer whose input can be scaled channel by channel. The one of `down` is
/// linear in that of `up`, and the one of `o` in the values, where each head has values of its own.
template <class Owner>
std::vector<shared_channels<Owner>> shared_channels_of(decoder_layer<Owner>& layer,
                                                       scalar_of<Owner> norm_offset) {
  std::vector<shared_channels<Owner>> list;
  std::size_t index = 0;
  layer.for_each_projection([&](projection<Owner>& p) {
    const std::size_t i = index++;
    if (shares_input(i, p))
      list.back().projections.push_back(&p);
    else if (p.norm)
      list.push_back({&*p.norm, 0, nullptr, i, {&p}});
    else if (i < 3)
      list.push_back({&layer.attention_norm, norm_offset, nullptr, i, {&p}});
    else if (i == 4)
      list.push_back({&layer.feed_forward_norm, norm_offset, nullptr, i, {&p}});
    else if (i == 6)
      list.push_back({nullptr, 0, &layer.up, i, {&p}});
    else if (layer.v.weight.shape.rows == p.weight.shape.cols)
      list.push_back({nullptr, 0, &layer.v, i, {&p}});
  });
  return list;
}

}  // namespace detail

/// Finds the factors of AWQ for the projections of a layer, and moves them into the weights from
/// what makes their input: a norm, `up` for `down`, or `v` for `o`. `o` and `down` without norms
/// are left as they are where several rows of weights share a scale, which factors of rows would
/// spoil, and `o` also where several heads share their values. `inputs`, what projections get in
/// full precision, is changed accordingly. hidden_rms: root mean squares of the tokens' hidden
/// states before the layer. rule_of(projection): the scale_rule for its weights. Throws
/// numeric_error, which names a projection, where weights or activations are not finite.
template <class Owner, class Rule>
void scale_channels(decoder_layer<Owner>& layer, stream_recorder<scalar_of<Owner>>& inputs,
                    const std::vector<scalar_of<Owner>>& hidden_rms, calibration_options options,
                    double norm_offset, Rule&& rule_of, arena& memory, executor_ref ex = {},
                    reducer& ranks = one_rank()) {
  using T = scalar_of<Owner>;
  options.correct_target = false;  // there is one stream
  for (auto& group : detail::shared_channels_of(layer, static_cast<T>(norm_offset))) try {
      if (const auto* p = group.maker;
          p != nullptr &&
          rule_of(*p).scale_block(p->weight.shape.rows, p->weight.shape.cols).rows != 1)
        continue;
      const matrix_view<T> x = inputs.editable(group.first);
      const calibrated_input<T> input(x, x, hidden_rms, options, ex, ranks);
      std::vector<matrix_view<const T>> weights;
      for (const projection<Owner>* p : group.projections) weights.push_back(p->weight.view());
      std::vector<T> factors =
          awq{}
              .search<T>(std::span<const matrix_view<const T>>(weights), input.moments(),
                         rule_of(*group.projections[0]), memory, ex)
              .factors;
      for (projection<Owner>* p : group.projections)
        detail::scale_columns<T>(p->weight.view(), factors, ex);
      for (T& f : factors) f = 1 / f;
      detail::scale_columns<T>(x, factors, ex);
      group.scale(factors, ex);
    } catch (const numeric_error& e) {
      throw numeric_error("AWQ of '" + group.projections[0]->weight.name + "': " + e.what());
    }
}

}  // namespace tern::inline TERN_ABI
