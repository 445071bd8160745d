// Stage 1 of BitDistill (arXiv 2510.13998, section 3.1): SubLN before the output projections of
// attention and feed-forward, and every linear of the blocks ternary. Weights are inherited.
#pragma once

#include "tern/model/decoder.hpp"

namespace tern::inline TERN_ABI {

/// Adds norms with gain 1 directly before projections. The model's function changes: continual
/// pre-training repairs it. Throws config_error if the model has such norms already.
template <class Owner, class W, class A>
void insert_sub_ln(decoder<Owner, W, A>& model, norm_placement placement = norm_placement::subln,
                   double eps = 1e-5) {
  if (model.config().sub_ln != norm_placement::none)
    throw config_error("insert_sub_ln: the model has SubLN already");
  model.place_norms(placement, eps);
}

/// Quantizes the seven linears of every block in the forward pass; embedding and head stay.
template <class Owner, class W, class A>
void make_ternary(decoder<Owner, W, A>& model) {
  model.set_ternary(true);
}

}  // namespace tern::inline TERN_ABI
