// Stage 1 of BitDistill (arXiv 2510.13998, section 3.1): it puts SubLN before the output
// projections of attention and feed-forward, and makes every linear of the layers ternary. Weights
// are kept.
#pragma once

#include <algorithm>
#include <cstddef>

#include "tern/model/decoder.hpp"

namespace tern::inline TERN_ABI {

/// Adds norms with gain 1 directly before projections. This changes what the model computes, which
/// continual pre-training repairs. Throws config_error if the model has such norms already.
template <class Owner, class W, class A>
void insert_sub_ln(decoder<Owner, W, A>& model, norm_placement placement = norm_placement::subln,
                   double eps = 1e-5) {
  if (model.config().sub_ln != norm_placement::none)
    throw config_error("insert_sub_ln: the model has SubLN already");
  model.place_norms(placement, eps);
}

/// Makes the forward pass quantize the seven linears of every layer. Embedding and head stay as
/// they are.
template <class Owner, class W, class A>
void make_ternary(decoder<Owner, W, A>& model) {
  model.set_ternary(true);
}

/// Gives packed projections master weights, so that a deployed model can be trained further. They
/// quantize to the codes that they come from, and to their scale except for its last bit: where a
/// fraction p of the codes is not 0, the weights code * scale / p have the mean `scale`.
template <class Owner, class A>
void restore_masters(decoder<Owner, absmean, A>& model) {
  using T = scalar_of<Owner>;
  for (auto& layer : model.layers())
    layer.for_each_projection([](projection<Owner>& p) {
      if (!p.packed) return;
      p.weight.allocate();
      const matrix_view<T> w = p.weight.view();
      p.packed->visit([&](const auto& packed) { dequantize(packed, w); });
      std::size_t used = 0;
      for (std::size_t r = 0; r < w.rows; ++r)
        for (std::size_t c = 0; c < w.cols; ++c) used += w(r, c) != 0;
      const auto share = static_cast<T>(static_cast<double>(std::max<std::size_t>(1, used)) /
                                        static_cast<double>(w.size()));
      for (std::size_t r = 0; r < w.rows; ++r)
        for (std::size_t c = 0; c < w.cols; ++c) w(r, c) /= share;
      p.packed.reset();
    });
}

}  // namespace tern::inline TERN_ABI
