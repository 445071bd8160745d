// ggml's tensors, and structs that describe memory in the same way, as matrix-likes. A concept
// recognises them, so no header of ggml is needed.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include "tern/core/tensor.hpp"

namespace tern::inline TERN_ABI {

/// A struct with extents `ne` (elements) and strides `nb` (bytes), both with the fastest dimension
/// first, with `data` in host memory and with a `type` that is numbered as in ggml.
template <class M>
concept ggml_like = std::is_class_v<M> && requires(M& m) {
  { m.ne[0] } -> std::convertible_to<std::int64_t>;
  { m.nb[0] } -> std::convertible_to<std::size_t>;
  requires std::extent_v<decltype(M::ne)> >= 2 &&
                   std::extent_v<decltype(M::ne)> == std::extent_v<decltype(M::nb)>;
  requires std::same_as<decltype(m.data), void*>;
  static_cast<int>(m.type);
};

/// The number of a scalar type in ggml, or -1. Quantized types have no view.
template <class T>
inline constexpr int ggml_type_of = -1;
template <>
inline constexpr int ggml_type_of<float> = 0;
template <>
inline constexpr int ggml_type_of<std::int8_t> = 24;
template <>
inline constexpr int ggml_type_of<std::int32_t> = 26;
template <>
inline constexpr int ggml_type_of<double> = 28;

/// The view is (ne[1], ne[0]). Tensors may be permuted or transposed. Making the view throws
/// config_error if `type` is not the type of its elements or if no memory has been allocated, and
/// shape_error if a higher dimension is not 1 or a stride is not a multiple of the element size.
template <ggml_like M>
struct tensor_traits<M> {
  using scalar = void;  // known at run time only

  static std::size_t rows(const M& m) { return static_cast<std::size_t>(m.ne[1]); }
  static std::size_t cols(const M& m) { return static_cast<std::size_t>(m.ne[0]); }
  static std::size_t row_stride(const M& m) { return static_cast<std::size_t>(m.nb[1]) / bytes(m); }
  static std::size_t col_stride(const M& m) { return static_cast<std::size_t>(m.nb[0]) / bytes(m); }

  /// Converts to a pointer to T, and checks then that the elements are of that type.
  template <class Tensor>
  struct pointer {
    Tensor& tensor;
    template <class T>
      requires(ggml_type_of<std::remove_const_t<T>> >= 0 &&
               (std::is_const_v<T> || !std::is_const_v<Tensor>))
    operator T*() const {  // NOLINT(google-explicit-constructor): a parameter type
      check(tensor, ggml_type_of<std::remove_const_t<T>>, sizeof(T));
      return static_cast<T*>(tensor.data);
    }
  };
  static pointer<const M> data(const M& m) { return {m}; }
  static pointer<M> data(M& m) { return {m}; }

 private:
  /// Size of an element in bytes. It is 1 for types that check() refuses.
  static std::size_t bytes(const M& m) {
    switch (static_cast<int>(m.type)) {
      case ggml_type_of<float>:
      case ggml_type_of<std::int32_t>:
        return 4;
      case ggml_type_of<double>:
        return 8;
      default:
        return 1;
    }
  }

  static void check(const M& m, int type, std::size_t size) {
    if (static_cast<int>(m.type) != type)
      throw config_error("ggml tensor: expected type " + std::to_string(type) + ", got " +
                         std::to_string(static_cast<int>(m.type)));
    if (m.data == nullptr) throw config_error("ggml tensor: no memory has been allocated");
    for (std::size_t i = 0; i < std::extent_v<decltype(M::ne)>; ++i) {
      if (i > 1 && m.ne[i] != 1)
        throw shape_error("ggml tensor: expected ne[" + std::to_string(i) + "] to be 1, got " +
                          std::to_string(m.ne[i]));
      if (i < 2 && static_cast<std::size_t>(m.nb[i]) % size != 0)
        throw shape_error("ggml tensor: nb[" + std::to_string(i) + "] is no multiple of " +
                          std::to_string(size));
    }
  }
};

}  // namespace tern::inline TERN_ABI
