// Rotary position embedding (Su et al., "RoFormer", 2021): pair i of the D elements of a head is
// rotated by the angle position * theta^(-2i/D). The frequency is scaled for models whose context
// was extended.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <span>
#include <string>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/core/executor.hpp"
#include "tern/core/simd.hpp"
#include "tern/core/tensor.hpp"

namespace tern::inline TERN_ABI {

/// Which elements of a head form pair i.
enum class rope_pairing {
  halves,    ///< (i, i + D/2): Hugging Face Llama, Qwen, Gemma
  adjacent,  ///< (2i, 2i + 1): the RoFormer paper, Meta's Llama, llama2.c
};

/// The rule by which a model's context was extended.
enum class rope_scaling_kind {
  none,
  linear,  ///< all frequencies divided by the factor (position interpolation, arXiv 2306.15595)
  llama3,  ///< long waves divided, short ones kept, middle ones in part (Llama 3.1)
};

/// The change of frequencies for a longer context. The last three fields are for llama3 only: the
/// frequencies of waves longer than original_positions / low_freq_factor are divided by `factor`,
/// and those of waves shorter than original_positions / high_freq_factor stay.
struct rope_scaling {
  rope_scaling_kind kind = rope_scaling_kind::none;              ///< rule that applies
  double factor = 1, low_freq_factor = 1, high_freq_factor = 4;  ///< the context grows by `factor`
  std::size_t original_positions = 8192;  ///< context length of the pretraining

  bool operator==(const rope_scaling&) const = default;

  /// Throws config_error if a factor is outside its range.
  void validate() const {
    if (!(factor > 0)) throw config_error("rope_scaling: factor must be positive");
    if (kind == rope_scaling_kind::llama3 &&
        !(low_freq_factor > 0 && high_freq_factor > low_freq_factor && original_positions > 0))
      throw config_error(
          "rope_scaling: llama3 needs 0 < low_freq_factor < high_freq_factor and "
          "original_max_position_embeddings");
  }

  /// The scaled frequency. Both frequencies are in radians per position.
  [[nodiscard]] double scaled(double frequency) const {
    if (kind == rope_scaling_kind::none) return frequency;
    if (kind == rope_scaling_kind::linear) return frequency / factor;
    const double waves =
        static_cast<double>(original_positions) * frequency / (2 * std::numbers::pi);
    const double kept =
        std::clamp((waves - low_freq_factor) / (high_freq_factor - low_freq_factor), 0.0, 1.0);
    return frequency * (kept + (1 - kept) / factor);
  }
};

/// Cosines and sines of every angle. They are computed in double.
template <class T>
class rope_table {
 public:
  /// Makes the table for `positions` positions. Throws config_error unless head_dim is even and
  /// positive and theta is positive.
  rope_table(std::size_t head_dim, double theta, std::size_t positions,
             rope_pairing pairing = rope_pairing::halves, const rope_scaling& scaling = {})
      : head_dim_(head_dim), pairing_(pairing) {
    if (head_dim == 0 || head_dim % 2 != 0)
      throw config_error("rope_table: head_dim must be even, got " + std::to_string(head_dim));
    if (!(theta > 0)) throw config_error("rope_table: theta must be positive");
    scaling.validate();
    for (std::size_t i = 0; i < head_dim / 2; ++i)
      frequencies_.push_back(scaling.scaled(
          std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim))));
    extend(positions);
  }

  /// Makes the table hold at least this many positions. Entries that exist stay as they are.
  void extend(std::size_t positions) {
    for (; positions_ < positions; ++positions_)
      for (const double frequency : frequencies_) {
        const double angle = static_cast<double>(positions_) * frequency;
        cos_.push_back(static_cast<T>(std::cos(angle)));
        sin_.push_back(static_cast<T>(std::sin(angle)));
      }
  }

  [[nodiscard]] std::size_t head_dim() const { return head_dim_; }  ///< an even number
  /// Number of positions in the table. The first one is 0.
  [[nodiscard]] std::size_t max_positions() const { return positions_; }
  [[nodiscard]] rope_pairing pairing() const { return pairing_; }  ///< which elements form a pair
  /// The D/2 cosines of a position, one for each pair.
  [[nodiscard]] row_view<const T> cosines(std::size_t position) const {
    return {cos_.data() + position * (head_dim_ / 2), head_dim_ / 2};
  }
  /// The D/2 sines of a position, one for each pair.
  [[nodiscard]] row_view<const T> sines(std::size_t position) const {
    return {sin_.data() + position * (head_dim_ / 2), head_dim_ / 2};
  }

 private:
  std::size_t head_dim_, positions_ = 0;
  rope_pairing pairing_;
  std::vector<double> frequencies_;
  std::vector<T> cos_, sin_;
};

template <class T>
struct rope {
  /// Rotates every head of x in place. x: (N, heads * head_dim), positions: N entries. Throws
  /// shape_error, and config_error for a position outside the table.
  static void forward(matrix_view<T> x, std::span<const std::int32_t> positions,
                      const rope_table<T>& table, executor_ref ex = {}) {
    rotate(x, positions, table, T(1), ex);
  }

  /// Turns the gradient with respect to the output into the gradient with respect to the input, in
  /// place. A rotation is orthogonal, so this is the rotation by the opposite angle.
  static void backward(matrix_view<T> dy, std::span<const std::int32_t> positions,
                       const rope_table<T>& table, executor_ref ex = {}) {
    if (dy) rotate(dy, positions, table, T(-1), ex);
  }

 private:
  static void rotate(matrix_view<T> x, std::span<const std::int32_t> positions,
                     const rope_table<T>& table, T direction, executor_ref ex) {
    const std::size_t d = table.head_dim();
    require_size(positions.size(), x.rows, "rope: positions");
    require_size(x.cols % d, 0, "rope: columns of x modulo head_dim");
    for (const std::int32_t p : positions)
      if (p < 0 || static_cast<std::size_t>(p) >= table.max_positions())
        throw config_error("rope: position " + std::to_string(p) + " is outside the table of " +
                           std::to_string(table.max_positions()));
    const bool halves = table.pairing() == rope_pairing::halves;
    const std::size_t stride = x.col_stride * (halves ? 1 : 2);
    for_each_row(x.rows, x.cols, ex, [&](std::size_t r) {
      const auto position = static_cast<std::size_t>(positions[r]);
      for (std::size_t c = 0; c < x.cols; c += d)
        turn({&x(r, c), d / 2, stride}, {&x(r, c + (halves ? d / 2 : 1)), d / 2, stride},
             table.cosines(position), table.sines(position), direction);
    });
  }

  /// (a, b) = (a cos - b sin, b cos + a sin). The sine is multiplied by `direction`, which is 1 or
  /// -1.
  static void turn(row_view<T> a, row_view<T> b, row_view<const T> cosines, row_view<const T> sines,
                   T direction) {
    const simd::batch<T> sign(direction);
    simd::transform(
        std::array{a, b},
        [&](const auto& u, const auto& v, const auto& c, const auto& s) {
          const simd::batch<T> t = sign * s;
          return std::array{simd::batch<T>(u * c - v * t), simd::batch<T>(v * c + u * t)};
        },
        row_view<const T>(a), row_view<const T>(b), cosines, sines);
  }
};

}  // namespace tern::inline TERN_ABI
