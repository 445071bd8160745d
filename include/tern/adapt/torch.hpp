// libtorch tensors as matrix-likes. Their element type is known at run time only, so it is checked
// where a view is made.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include "tern/core/tensor.hpp"

namespace tern::inline TERN_ABI {

/// A matrix, or a vector as its one row, of any strides. An undefined tensor is the null view:
/// torch and tern agree that it means "not wanted". Throws config_error where the tensor is not a
/// dense one in host memory with the elements of the view asked for; shape_error where it has more
/// than two dimensions (flatten sequences with t.view({-1, width}) first) or is to be written to
/// though expand() made many elements of one.
template <>
struct tensor_traits<at::Tensor> {
  using scalar = void;  // the view's

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

  /// Becomes a pointer to the elements where their type is T.
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

  /// Whether there is a tensor; one that has no view does not get past here.
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
