// Figures that tell whether ternary training is alive: how many weights are zero, how many change
// their code in one update, and how far the scales have moved.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tern/core/tensor.hpp"
#include "tern/model/parameter.hpp"

namespace tern::inline TERN_ABI {

/// Figures about the ternary weights of a model around one update.
struct ternary_health {
  bool measured = false;   ///< whether the other members were measured
  double zeros = 0;        ///< fraction of codes that are 0 (about 1/3 for Gaussian weights)
  double flips = 0;        ///< fraction of codes that this update changed
  double scale_drift = 0;  ///< mean weight scale relative to the stage's start, minus 1
};

namespace detail {

/// Calls f(codes) with the codes of each ternary weight of the model in turn, and returns the mean
/// of all scales.
template <class Model, class F>
double for_each_codes(Model& model, F&& f) {
  using T = typename Model::scalar;
  std::vector<std::int8_t> codes;
  std::vector<T> scales;
  double scale_sum = 0;
  std::size_t scale_count = 0;
  for (auto& layer : model.layers()) {
    layer.for_each_projection([&](auto& p) {
      if (!p.ternary) return;
      const matrix_view<const T> w = p.weight.view();
      codes.resize(w.size());
      const matrix_view<std::int8_t> to(codes.data(), w.rows, w.cols);
      model.with_weight_quantizer(p, [&](const auto& quantizer) {
        const extents n = scale_extents(p.weight.shape, quantizer.scale_block(w.rows, w.cols));
        scales.resize(n.rows * n.cols);
        quantizer.template quantize<T>(w, to, matrix_view<T>(scales.data(), n.rows, n.cols), {});
        for (const T s : scales) scale_sum += static_cast<double>(s);
        scale_count += scales.size();
      });
      f(std::span<const std::int8_t>(codes));
    });
  }
  return scale_count == 0 ? 0.0 : scale_sum / static_cast<double>(scale_count);
}

}  // namespace detail

/// The mean weight scale of a ternary model; 0 where the model is not ternary.
template <class Model>
double measure_scale(Model& model) {
  return model.config().ternary ? detail::for_each_codes(model, [](std::span<const std::int8_t>) {})
                                : 0.0;
}

/// Runs `update` and tells what it did to the codes of a ternary model. It keeps a byte for each
/// ternary weight.
template <class Model, class Update>
ternary_health measure_health(Model& model, double initial_scale, Update&& update) {
  std::size_t count = 0;
  for (auto& layer : model.layers())
    layer.for_each_projection([&](auto& p) { count += p.ternary ? p.weight.view().size() : 0; });
  std::vector<std::int8_t> before;
  before.reserve(count);
  detail::for_each_codes(model, [&](std::span<const std::int8_t> codes) {
    before.insert(before.end(), codes.begin(), codes.end());
  });
  update();
  std::size_t zeros = 0, flips = 0, at = 0;
  const double scale = detail::for_each_codes(model, [&](std::span<const std::int8_t> codes) {
    for (const std::int8_t code : codes) {
      zeros += code == 0;
      flips += code != before[at++];
    }
  });
  const double n = before.empty() ? 1.0 : static_cast<double>(before.size());
  return {true, static_cast<double>(zeros) / n, static_cast<double>(flips) / n,
          initial_scale > 0 ? scale / initial_scale - 1 : 0.0};
}

}  // namespace tern::inline TERN_ABI
