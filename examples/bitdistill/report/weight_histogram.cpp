#include "report/weight_histogram.hpp"

#include <array>
#include <cmath>
#include <cstdint>

#include "tern/checkpoint/load_model.hpp"
#include "tern/quant/absmean.hpp"

namespace bitdistill {
namespace {

namespace fs = std::filesystem;

constexpr double low = -3, step = 0.1;
constexpr std::uintmax_t most_bytes = 2'000'000'000;

struct histogram {
  std::array<std::size_t, 60> counts{};
  std::size_t all = 0;

  void add(double value) {
    ++all;
    const double at = std::floor((value - low) / step);
    if (at >= 0 && at < static_cast<double>(counts.size())) ++counts[static_cast<std::size_t>(at)];
  }
};

/// Adds each weight of a projection in units of its scale.
template <class Model, class Projection>
void add_weights(Model& model, Projection& p, histogram& h) {
  using T = typename Model::scalar;
  const tern::matrix_view<const T> w = p.weight.view();
  tern::extents block{w.rows, w.cols};
  std::vector<T> scales{tern::absmean::mean_abs(w)};
  if (p.ternary)
    model.with_weight_quantizer(p, [&](const auto& quantizer) {
      block = quantizer.scale_block(w.rows, w.cols);
      const tern::extents n = tern::scale_extents(p.weight.shape, block);
      std::vector<std::int8_t> codes(w.size());
      scales.resize(n.rows * n.cols);
      quantizer.template quantize<T>(w, {codes.data(), w.rows, w.cols},
                                     {scales.data(), n.rows, n.cols}, {});
    });
  const std::size_t across = (w.cols + block.cols - 1) / block.cols;
  for (std::size_t r = 0; r < w.rows; ++r)
    for (std::size_t c = 0; c < w.cols; ++c)
      if (const T scale = scales[r / block.rows * across + c / block.cols]; scale > 0)
        h.add(static_cast<double>(w(r, c) / scale));
}

}  // namespace

std::vector<svg::point> weight_histogram(const fs::path& stage) {
  const fs::path weights = stage / "model.safetensors";
  if (!fs::exists(stage / "config.json") || !fs::exists(weights) ||
      fs::file_size(weights) > most_bytes)
    return {};
  auto model = tern::load_model<>(stage);
  histogram h;
  for (auto& layer : model.layers())
    layer.for_each_projection([&](auto& p) { add_weights(model, p, h); });
  std::vector<svg::point> density;
  for (std::size_t i = 0; i < h.counts.size() && h.all > 0; ++i)
    density.push_back({low + step * (static_cast<double>(i) + 0.5),
                       static_cast<double>(h.counts[i]) / (step * static_cast<double>(h.all))});
  return density;
}

}  // namespace bitdistill
