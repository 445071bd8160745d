// ggml's tensors, and structs that describe memory the same way, as matrix-likes. By a concept: no
// header of ggml is needed.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include "tern/core/tensor.hpp"

namespace tern::inline TERN_ABI {

/// Extents `ne` (elements) and strides `nb` (bytes), the fastest dimension first, `data` in host
/// memory and `type`, numbered as in ggml.
template <class M>
concept ggml_like = std::is_class_v<M> && requires(M& m) {
  { m.ne[0] } -> std::convertible_to<std::int64_t>;
  { m.nb[0] } -> std::convertible_to<std::size_t>;
  requires std::extent_v<decltype(M::ne)> >= 2 &&
                   std::extent_v<decltype(M::ne)> == std::extent_v<decltype(M::nb)>;
  requires std::same_as<decltype(m.data), void*>;
  static_cast<int>(m.type);
};

/// The number of a scalar type in ggml; quantized types have blocks and no view.
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

/// (ne[1], ne[0]); permuted and transposed tensors, too. Throws config_error where `type` is not
/// that of the view asked for or there is no memory yet, shape_error where higher dimensions are
/// not 1 or bytes are no multiple of an element.
template <ggml_like M>
struct tensor_traits<M> {
  using scalar = void;  // the view's

  static std::size_t rows(const M& m) { return static_cast<std::size_t>(m.ne[1]); }
  static std::size_t cols(const M& m) { return static_cast<std::size_t>(m.ne[0]); }
  static std::size_t row_stride(const M& m) { return static_cast<std::size_t>(m.nb[1]) / bytes(m); }
  static std::size_t col_stride(const M& m) { return static_cast<std::size_t>(m.nb[0]) / bytes(m); }

  /// Becomes a pointer to the elements where their type is T.
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
  /// Of an element; 1 where check() is going to throw.
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
