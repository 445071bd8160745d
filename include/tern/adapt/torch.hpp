// libtorch tensors as matrix-likes. Their element type is known at run time only, so it is checked
// when a view is made.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include "tern/core/tensor.hpp"

namespace tern::inline TERN_ABI {

/// A tensor of two dimensions is a matrix of any strides, and a tensor of one dimension is a matrix
/// of one row. An undefined tensor gives the null view, since both mean "not wanted". Making a view
/// throws config_error unless the tensor is dense, in host memory and of the view's element type.
/// It throws shape_error for more than two dimensions (flatten sequences with t.view({-1, width})
/// first), and for a writable view of a tensor in which expand() repeats an element.
template <>
struct tensor_traits<at::Tensor> {
  using scalar = void;  // known at run time only

  static std::size_t rows(const at::Tensor& t) {
    if (!defined(t)) return 0;
    return t.dim() == 2 ? size(t, 0) : 1;
  }
  static std::size_t cols(const at::Tensor& t) { return defined(t) ? size(t, -1) : 0; }
  static std::size_t row_stride(const at::Tensor& t) {
    return defined(t) ? static_cast<std::size_t>(t.dim() == 2 ? t.stride(0) : t.numel()) : 0;
  }
  static std::size_t col_stride(const at::Tensor& t) {
    return defined(t) ? static_cast<std::size_t>(t.stride(-1)) : 1;
  }

  /// Converts to a pointer to T, and checks then that the elements are of that type.
  template <class Tensor>
  struct pointer {
    Tensor& tensor;
    template <class T>
      requires(std::is_const_v<T> || !std::is_const_v<Tensor>)
    operator T*() const {  // NOLINT(google-explicit-constructor): a parameter type
      if (!defined(tensor)) return nullptr;
      using element = std::remove_const_t<T>;
      constexpr auto wanted = c10::CppTypeToScalarType<element>::value;
      if (tensor.scalar_type() != wanted)
        throw config_error(std::string("torch tensor: expected elements of type ") +
                           c10::toString(wanted) + ", got " + c10::toString(tensor.scalar_type()));
      if constexpr (!std::is_const_v<T>)
        for (std::int64_t i = 0; i < tensor.dim(); ++i)
          if (tensor.stride(i) == 0 && tensor.size(i) > 1)
            throw shape_error("torch tensor: expanded, so it cannot be written to");
      return tensor.template data_ptr<element>();
    }
  };
  static pointer<const at::Tensor> data(const at::Tensor& t) { return {t}; }
  static pointer<at::Tensor> data(at::Tensor& t) { return {t}; }

 private:
  static std::size_t size(const at::Tensor& t, std::int64_t i) {
    return static_cast<std::size_t>(t.size(i));
  }

  /// Whether the tensor is defined. Throws for a tensor that has no view.
  static bool defined(const at::Tensor& t) {
    if (!t.defined()) return false;
    if (t.layout() != at::kStrided || !t.device().is_cpu() || t.is_neg())
      throw config_error("torch tensor: expected a dense one in host memory, got " + t.toString() +
                         " on " + t.device().str());
    if (t.dim() != 1 && t.dim() != 2)
      throw shape_error("torch tensor: expected 1 or 2 dimensions, got " + std::to_string(t.dim()));
    return true;
  }
};

}  // namespace tern::inline TERN_ABI
