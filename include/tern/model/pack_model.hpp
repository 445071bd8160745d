// Making a model ready to run: its master weights are replaced by packed ones.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "tern/core/executor.hpp"
#include "tern/model/decoder.hpp"
#include "tern/pack/eight_bit.hpp"
#include "tern/pack/shared_weights.hpp"
#include "tern/quant/absmax_groups.hpp"

namespace tern::inline TERN_ABI {

/// Packs the weights of a projection in `Format` with a policy that rounds to the codes of that
/// format. Packing embedding and head (eight_bit, four_bit) changes what the model computes: then
/// the head has int8 activations, too.
template <pack_format Format, class Owner, class Quantizer>
void pack_projection(projection<Owner>& p, const Quantizer& quantizer, executor_ref ex = {}) {
  using T = scalar_of<Owner>;
  p.pack(
      shared_weights<T>(ternary_weights<Format, T>(std::as_const(p.weight).view(), quantizer, ex)));
}

/// Packs the same codes and scales in another format.
template <pack_format Format, class From, class T>
shared_weights<T> packed_again(const ternary_weights_view<From, T>& w, executor_ref ex = {}) {
  std::vector<std::int8_t> codes(w.rows() * w.cols());
  const matrix_view<std::int8_t> view(codes.data(), w.rows(), w.cols());
  unpack(w.packed, view, ex);
  return shared_weights<T>(ternary_weights<Format, T>(view, w.scales(), w.block(), ex));
}

/// Packs the ternary projections of all layers in `Format` (two_bit, base3), also those that are
/// packed in another format. The model computes the same to the last bit.
template <pack_format Format, class Owner, class WeightQ, class ActQ>
void pack_ternary(decoder<Owner, WeightQ, ActQ>& model, executor_ref ex = {}) {
  using T = scalar_of<Owner>;
  for (auto& layer : model.layers())
    layer.for_each_projection([&](projection<Owner>& p) {
      if (!p.packed && p.ternary)
        model.with_weight_quantizer(
            p, [&](const auto& quantizer) { pack_projection<Format>(p, quantizer, ex); });
      if (!p.packed) return;
      p.packed = p.packed->visit([&](const auto& w) -> shared_weights<T> {
        if constexpr (std::same_as<decltype(w), const ternary_weights_view<Format, T>&>)
          return *p.packed;
        else
          return packed_again<Format>(w, ex);
      });
    });
}

/// Packs the projections of all layers with 8 bits a weight and a scale for each row, so that a
/// model in full precision runs in integers: faster, and nearly as well. Those that are ternary or
/// packed stay as they are.
template <class Owner, class WeightQ, class ActQ>
void pack_eight_bit(decoder<Owner, WeightQ, ActQ>& model, executor_ref ex = {}) {
  for (auto& layer : model.layers())
    layer.for_each_projection([&](projection<Owner>& p) {
      if (!p.packed && !p.ternary) pack_projection<eight_bit>(p, absmax_groups<8>{}, ex);
    });
}

}  // namespace tern::inline TERN_ABI
