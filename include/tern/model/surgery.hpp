// Stage 1 of BitDistill (arXiv 2510.13998, section 3.1): it puts SubLN before the output
// projections of attention and feed-forward, and makes every linear of the layers ternary. Weights
// are kept.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>

#include "tern/model/decoder.hpp"
#include "tern/quant/absmean.hpp"

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
void make_ternary(decoder<Owner, W, A>& model, weight_policy policy = weight_policy::absmean) {
  model.set_weight_quantizer(policy);
  model.set_ternary(true);
}

/// Sets each scale of a layer's projections that is a parameter to 1.5 mean|w| of its block: near
/// the scale that rounds normally distributed weights with the least squared error.
template <class Owner>
void set_first_scales(decoder_layer<Owner>& layer) {
  using T = scalar_of<Owner>;
  layer.for_each_projection([](projection<Owner>& p) {
    if (!p.scales) return;
    const matrix_view<const T> w = std::as_const(p.weight).view();
    const matrix_view<T> scales = p.scales->view();
    for (std::size_t i = 0; i < scales.rows; ++i)
      for (std::size_t j = 0; j < scales.cols; ++j) {
        const std::size_t r = i * p.scale_block.rows, c = j * p.scale_block.cols;
        const auto block = w.block(r, c, std::min(p.scale_block.rows, w.rows - r),
                                   std::min(p.scale_block.cols, w.cols - c));
        scales(i, j) = T(1.5) * absmean::mean_abs<T>(block);
      }
  });
}

/// Makes the scales of the ternary linears parameters, with the values of set_first_scales().
/// `group` is the number of columns of a group, 0 for other granularities. Throws config_error.
template <class Owner, class W, class A>
void learn_scales(decoder<Owner, W, A>& model, scale_granularity granularity,
                  std::size_t group = 0) {
  model.place_scales(granularity, group);
  for (auto& layer : model.layers()) set_first_scales(layer);
}

namespace detail {

/// Divides weights of -scale, 0 and +scale by the fraction of them that is not 0, so that the mean
/// of their magnitudes is `scale`.
template <class T>
void raise_mean_to_scale(matrix_view<T> w) {
  std::size_t used = 0;
  for (std::size_t r = 0; r < w.rows; ++r)
    for (std::size_t c = 0; c < w.cols; ++c) used += w(r, c) != 0;
  const auto share = static_cast<T>(static_cast<double>(std::max<std::size_t>(1, used)) /
                                    static_cast<double>(w.size()));
  for (std::size_t r = 0; r < w.rows; ++r)
    for (std::size_t c = 0; c < w.cols; ++c) w(r, c) /= share;
}

/// Makes weights that are code * scale quantize to the same codes and scales.
template <class T>
void restore_scales(matrix_view<T> w, const chosen_quantizer& quantizer) {
  using policy = weight_policy;
  if (quantizer.policy == policy::paper_gptq || quantizer.policy == policy::paper_awq)
    throw config_error(
        std::string("restore_masters: no weights are known from which the quantizer ") +
        name_of(quantizer.policy, weight_policy_names) + " makes the packed ones");
  if (quantizer.policy == policy::twn)
    return;  // its scale is the mean of the weights that are not 0
  const extents block = quantizer.scale_block(w.rows, w.cols);
  for (std::size_t r = 0; r < w.rows; r += block.rows)
    for (std::size_t c = 0; c < w.cols; c += block.cols)
      raise_mean_to_scale(
          w.block(r, c, std::min(block.rows, w.rows - r), std::min(block.cols, w.cols - c)));
}

}  // namespace detail

/// Gives packed projections master weights, so that a deployed model can be trained further. They
/// quantize to the codes that they come from. Where scales are parameters, the packed scales become
/// their values again. Otherwise the masters quantize to their scale except for its last bit:
/// where a fraction p of the codes is not 0, the weights code * scale / p have the mean `scale`.
/// Throws config_error where the model's quantizer takes scales from something else than a mean.
template <class Owner, class A>
void restore_masters(decoder<Owner, chosen_quantizer, A>& model) {
  for (auto& layer : model.layers())
    layer.for_each_projection([&](projection<Owner>& p) {
      if (!p.packed) return;
      p.weight.allocate();
      p.packed->visit([&](const auto& packed) { dequantize(packed, p.weight.view()); });
      if (model.config().learned_scales == scale_granularity::none) {
        detail::restore_scales(p.weight.view(), model.weight_quantizer());
      } else {
        p.place_scales(model.config().scale_block(p.weight.shape));
        p.packed->visit([&](const auto& packed) {
          copy_scales<scalar_of<Owner>>(packed.scales(), p.scales->view());
        });
      }
      p.packed.reset();
    });
}

}  // namespace tern::inline TERN_ABI
