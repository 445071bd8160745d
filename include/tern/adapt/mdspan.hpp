// Two-dimensional mdspan (C++23 or Kokkos) as a matrix-like, any strided layout. By a concept: no
// header of either is needed, and a type of one's own with the same members is accepted too.
#pragma once

#include <concepts>
#include <cstddef>
#include <type_traits>

#include "tern/core/tensor.hpp"

namespace tern::inline TERN_ABI {

/// Rank 2, and elements that lie where the strides say: an accessor that computes its references
/// (scaled, conjugated, atomic) or knows of a device's memory space is no matrix-like.
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

/// Throws shape_error where a layout has no strides. Const is shallow, as mdspan has it.
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
