// A model made ready to run: master weights become packed ones, in place.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "tern/core/executor.hpp"
#include "tern/model/decoder.hpp"
#include "tern/pack/shared_weights.hpp"

namespace tern::inline TERN_ABI {

/// Packs the ternary projections of all blocks in `Format` (two_bit, base3): what the model
/// computes stays the same to the last bit. Those packed in another format are packed again.
template <pack_format Format, class Owner, class WeightQ, class ActQ>
void pack_ternary(decoder<Owner, WeightQ, ActQ>& model, executor_ref ex = {}) {
  using T = scalar_of<Owner>;
  for (auto& block : model.blocks())
    block.for_each_projection([&](projection<Owner>& p) {
      if (p.packed) {
        std::vector<std::int8_t> codes(p.packed->rows() * p.packed->cols());
        const matrix_view<std::int8_t> view(codes.data(), p.packed->rows(), p.packed->cols());
        p.packed = p.packed->visit([&](const auto& w) {
          unpack(w.trits, view, ex);
          return shared_weights<T>(ternary_weights<Format, T>(view, w.scales(), w.block(), ex));
        });
      } else if (p.ternary) {
        p.pack(shared_weights<T>(ternary_weights<Format, T>(std::as_const(p.weight).view(),
                                                            model.weight_quantizer(), ex)));
      }
    });
}

/// Packs embedding and head in `Format` (eight_bit, four_bit) with a policy that rounds to its
/// codes. This changes what the model computes: its logits come from int8 activations then, too.
template <pack_format Format, class Owner, class WeightQ, class ActQ, class Quantizer>
void pack_tables(decoder<Owner, WeightQ, ActQ>& model, const Quantizer& quantizer,
                 executor_ref ex = {}) {
  using T = scalar_of<Owner>;
  const auto pack = [&](projection<Owner>& p) {
    if (!p.packed)
      p.pack(shared_weights<T>(
          ternary_weights<Format, T>(std::as_const(p.weight).view(), quantizer, ex)));
  };
  pack(model.embedding());
  pack(model.head_projection());
}

}  // namespace tern::inline TERN_ABI
