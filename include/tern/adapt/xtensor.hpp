// xtensor's containers, adaptors and strided views of any layout as matrix-likes. A concept
// recognises them, so no header of xtensor is needed; their names differ between versions.
#pragma once

#include <concepts>
#include <cstddef>
#include <string>
#include <type_traits>

#include "tern/core/tensor.hpp"

namespace tern::inline TERN_ABI {

/// The members that xt::xtensor, xt::xarray, xt::xtensor_fixed, xt::adapt and strided views of them
/// have in common. A lazy expression has no data().
template <class M>
concept xtensor_like = requires(const M& m) {
  typename M::value_type;
  { *m.data() } -> std::same_as<const typename M::value_type&>;
  { m.data_offset() } -> std::convertible_to<std::size_t>;
  { m.strides()[0] } -> std::convertible_to<std::ptrdiff_t>;
  { m.shape()[0] } -> std::convertible_to<std::size_t>;
  { m.dimension() } -> std::convertible_to<std::size_t>;
  requires std::is_arithmetic_v<typename M::value_type>;
};

/// Making a view throws shape_error unless there are two dimensions, which the type of an xarray
/// does not tell, and neither is reversed.
template <xtensor_like M>
struct tensor_traits<M> {
  using scalar = typename M::value_type;

  static std::size_t rows(const M& m) { return extent(m, 0); }
  static std::size_t cols(const M& m) { return extent(m, 1); }
  static std::size_t row_stride(const M& m) { return stride(m, 0); }
  static std::size_t col_stride(const M& m) { return stride(m, 1); }
  static auto data(const M& m) { return m.data() + m.data_offset(); }
  static auto data(M& m) { return m.data() + m.data_offset(); }

  static M make(std::size_t rows, std::size_t cols)
    requires requires(std::size_t n, M& m) {
      { M::from_shape({n, n}) } -> std::same_as<M>;
      m.fill(scalar(0));
    }
  {
    M m = M::from_shape({rows, cols});
    m.fill(scalar(0));
    return m;
  }

 private:
  static std::size_t extent(const M& m, std::size_t i) {
    if (m.dimension() != 2)
      throw shape_error("xtensor: expected 2 dimensions, got " + std::to_string(m.dimension()));
    return static_cast<std::size_t>(m.shape()[i]);
  }
  static std::size_t stride(const M& m, std::size_t i) {
    extent(m, i);
    const auto s = static_cast<std::ptrdiff_t>(m.strides()[i]);
    if (s < 0) throw shape_error("xtensor: dimension " + std::to_string(i) + " is reversed");
    return static_cast<std::size_t>(s);
  }
};

}  // namespace tern::inline TERN_ABI
