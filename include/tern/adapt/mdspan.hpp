// Two-dimensional mdspan (C++23 or Kokkos) of any strided layout as a matrix-like. A concept
// recognises it, so no header of either is needed, and other types with the same members are
// accepted, too.
#pragma once

#include <concepts>
#include <cstddef>
#include <type_traits>

#include "tern/core/tensor.hpp"

namespace tern::inline TERN_ABI {

/// An mdspan of rank 2 whose elements lie in memory at the places that the strides give. An
/// accessor that computes its references (scaled, conjugated, atomic) or that names the memory
/// space of a device is refused.
template <class M>
concept mdspan_like = requires(const M& m) {
  typename M::element_type;
  { m.data_handle() } -> std::same_as<typename M::element_type*>;
  { m.extent(0) } -> std::convertible_to<std::size_t>;
  { m.stride(0) } -> std::convertible_to<std::size_t>;
  requires M::rank() == 2;
  requires std::same_as<typename M::reference, typename M::element_type&>;
  requires !requires { typename M::accessor_type::memory_space; };
};

/// Making a view throws shape_error if the layout has no strides. A const mdspan does not make its
/// elements const, as usual for mdspan.
template <mdspan_like M>
struct tensor_traits<M> {
  using scalar = std::remove_cv_t<typename M::element_type>;

  static std::size_t rows(const M& m) { return static_cast<std::size_t>(m.extent(0)); }
  static std::size_t cols(const M& m) { return static_cast<std::size_t>(m.extent(1)); }
  static std::size_t row_stride(const M& m) { return stride(m, 0); }
  static std::size_t col_stride(const M& m) { return stride(m, 1); }
  static auto data(const M& m) { return m.data_handle(); }

 private:
  static std::size_t stride(const M& m, unsigned dimension) {
    if constexpr (requires { m.is_strided(); })
      if (!m.is_strided()) throw shape_error("mdspan: a layout without strides");
    return static_cast<std::size_t>(m.stride(dimension));
  }
};

}  // namespace tern::inline TERN_ABI
