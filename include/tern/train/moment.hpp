// A moment of an optimizer: a number for each element of a parameter, which is stored as it is or
// with eight bits.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "tern/core/enum_names.hpp"
#include "tern/core/executor.hpp"
#include "tern/core/tensor.hpp"
#include "tern/quant/dynamic_code.hpp"
#include "tern/quant/quantizer.hpp"

namespace tern::inline TERN_ABI {

/// How an optimizer stores its moments.
enum class moment_format {
  real,  ///< They are stored in the type of the weights.
  int8,  ///< They are codes of eight bits, with a scale for each 256 columns of a row.
};

/// The names of moment_format in recipes.
inline constexpr enum_names<moment_format> moment_format_names{{"float", moment_format::real},
                                                               {"int8", moment_format::int8}};

/// A moment that an optimizer has for each parameter.
struct moment_kind {
  const char* name;       ///< name in checkpoints
  bool has_sign = false;  ///< whether its elements may be negative
};

/// One moment of a parameter; zero at first.
template <matrix_owner Owner>
class moment {
 public:
  using T = scalar_of<Owner>;                ///< type of an element
  static constexpr std::size_t block = 256;  ///< columns of a row that share a scale

  /// The moment of a parameter of shape (rows, cols).
  moment(std::size_t rows, std::size_t cols, moment_format format, bool has_sign)
      : shape_{rows, cols}, format_(format), has_sign_(has_sign) {
    if (format == moment_format::real) {
      values_ = tensor_traits<Owner>::make(rows, cols);
    } else {
      codes_.resize(rows * cols);
      scales_.resize(rows * blocks(cols));
    }
  }
  /// Bytes of a moment.
  static std::size_t bytes(extents shape, moment_format format) {
    if (format == moment_format::real) return shape.rows * shape.cols * sizeof(T);
    return shape.rows * (shape.cols + blocks(shape.cols) * sizeof(float));
  }

  [[nodiscard]] extents shape() const { return shape_; }          ///< that of the parameter
  [[nodiscard]] moment_format format() const { return format_; }  ///< how it is stored
  [[nodiscard]] matrix_view<T> values() { return values_; }       ///< empty where codes are stored
  /// Codes (rows, cols); empty where numbers are stored as they are.
  [[nodiscard]] matrix_view<std::uint8_t> codes() {
    return {codes_.data(), codes_.empty() ? 0 : shape_.rows, shape_.cols};
  }
  /// Scales (rows, ceil(cols / block)) of the codes.
  [[nodiscard]] matrix_view<float> scales() {
    return {scales_.data(), scales_.empty() ? 0 : shape_.rows, blocks(shape_.cols)};
  }
  /// Calls f(suffix, matrix) for each matrix that is stored. Checkpoints append the suffix to the
  /// name of the moment.
  template <class F>
  void for_each_matrix(F&& f) {
    if (format_ == moment_format::real) return static_cast<void>(f("", values()));
    f("", codes());
    f("_scale", scales());
  }

  /// Copies elements from column `first` of row `r` on, which begins a block and ends one, or the
  /// row. The format must be int8.
  void read(std::size_t r, std::size_t first, row_view<T> out) const {
    const auto codes = std::span(codes_).subspan(r * shape_.cols + first, out.size);
    const float scale = scales_[r * blocks(shape_.cols) + first / block];
    has_sign_ ? decode_block<true>(codes, scale, out) : decode_block<false>(codes, scale, out);
  }
  /// The same in the other direction; rounds to codes.
  void write(std::size_t r, std::size_t first, row_view<const T> in) {
    const auto codes = std::span(codes_).subspan(r * shape_.cols + first, in.size);
    scales_[r * blocks(shape_.cols) + first / block] =
        has_sign_ ? encode_block<true>(in, codes) : encode_block<false>(in, codes);
  }

 private:
  static std::size_t blocks(std::size_t cols) { return (cols + block - 1) / block; }

  extents shape_;
  moment_format format_;
  bool has_sign_;
  Owner values_ = tensor_traits<Owner>::make(0, 0);
  std::vector<std::uint8_t> codes_;
  std::vector<float> scales_;
};

/// The n elements of a row from element `first` on.
template <class T>
row_view<T> part_of(row_view<T> row, std::size_t first, std::size_t n) {
  return {row.data + first * row.stride, n, row.stride};
}

/// Calls f(r, first, parts) for parts of all rows of a parameter; `parts` has a row_view for each
/// of its first K moments, from column `first` of row r on. f may change the elements unless
/// `changes` is false. Parts are whole rows, or blocks that are decoded for f.
template <std::size_t K, bool changes = true, class Owner, class F>
void for_each_part(std::span<moment<Owner>> moments, executor_ref ex, F&& f) {
  using T = scalar_of<Owner>;
  const extents shape = moments[0].shape();
  // A row of each moment, of the weights and of the gradients is work.
  for_each_row(shape.rows, (K + 2) * shape.cols, ex, [&](std::size_t r) {
    std::array<row_view<T>, K> parts;
    if (moments[0].format() == moment_format::real) {
      for (std::size_t k = 0; k < K; ++k) parts[k] = moments[k].values().row(r);
      return static_cast<void>(f(r, std::size_t{0}, std::as_const(parts)));
    }
    constexpr std::size_t block = moment<Owner>::block;
    std::array<std::array<T, block>, K> buffers;
    for (std::size_t first = 0; first < shape.cols; first += block) {
      for (std::size_t k = 0; k < K; ++k) {
        parts[k] = {buffers[k].data(), std::min(block, shape.cols - first)};
        moments[k].read(r, first, parts[k]);
      }
      f(r, first, std::as_const(parts));
      if constexpr (changes)
        for (std::size_t k = 0; k < K; ++k) moments[k].write(r, first, row_view<const T>(parts[k]));
    }
  });
}

}  // namespace tern::inline TERN_ABI
