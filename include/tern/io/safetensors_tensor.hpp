// A tensor in a safetensors file: what it is and where its bytes lie.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/io/dtype.hpp"
#include "tern/io/tensor_source.hpp"

namespace tern::inline TERN_ABI {

/// `data` refers into the mapped file, at any alignment, little-endian, row-major.
struct safetensors_tensor {
  std::string name, file;           ///< name as in the file; path of the file, for messages
  tern::dtype dtype = dtype::f32;   ///< type of an element
  std::vector<std::size_t> shape;   ///< empty where the tensor is one number
  std::span<const std::byte> data;  ///< all elements

  /// The number of elements.
  [[nodiscard]] std::size_t size() const { return data.size() / dtype_size(dtype); }
  /// The name of the element type, such as "BF16".
  [[nodiscard]] std::string type_name() const { return std::string(dtype_name(dtype)); }

  /// Throws format_error where the elements cannot be read as T: every number can be read as a
  /// floating-point T, an integer only as its own type.
  template <class T>
  void require_readable_as() const {
    if (!dtype_readable_as<T>(dtype))
      fail("dtype " + type_name() + " cannot be read as " + std::string(dtype_name(dtype_of<T>())));
  }
  /// Reads out.size() elements from number `first` on.
  template <class T>
  void decode(std::size_t first, std::span<T> out) const {
    tern::decode(dtype, data.data() + first * dtype_size(dtype), out);
  }

  /// Throws format_error that names file and tensor.
  [[noreturn]] void fail(const std::string& what) const {
    throw format_error(file + ": tensor '" + name + "': " + what);
  }
};

static_assert(stored_tensor<safetensors_tensor>);

}  // namespace tern::inline TERN_ABI
