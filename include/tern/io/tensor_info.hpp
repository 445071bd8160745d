// A tensor inside a checkpoint file: what it is and where its bytes lie, with typed reading.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/core/tensor.hpp"
#include "tern/io/dtype.hpp"

namespace tern::inline TERN_ABI {

/// `data` refers into the mapped file, at any alignment, little-endian, row-major.
struct tensor_info {
  std::string name, file;           ///< `file` for messages
  tern::dtype dtype = dtype::f32;   ///< of an element
  std::vector<std::size_t> shape;   ///< empty: one number
  std::span<const std::byte> data;  ///< all elements

  /// Number of elements.
  [[nodiscard]] std::size_t size() const { return data.size() / dtype_size(dtype); }

  /// Throws format_error that names file and tensor.
  [[noreturn]] void fail(const std::string& what) const {
    throw format_error(file + ": tensor '" + name + "': " + what);
  }
};

namespace detail {

inline std::string shape_text(const std::vector<std::size_t>& shape) {
  std::string text = "[";
  for (const std::size_t n : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(n);
  return text + "]";
}

template <class T>
void read_tensor_row(const tensor_info& t, std::size_t first, row_view<T> out,
                     std::vector<T>& scratch) {
  const std::byte* bytes = t.data.data() + first * dtype_size(t.dtype);
  if (out.stride == 1) return decode(t.dtype, bytes, std::span<T>(out.data, out.size));
  scratch.resize(out.size);
  decode(t.dtype, bytes, std::span<T>(scratch));
  for (std::size_t i = 0; i < out.size; ++i) out[i] = scratch[i];
}

template <class T>
void require_tensor(const tensor_info& t, const std::vector<std::size_t>& shape) {
  if (t.shape != shape)
    t.fail("expected shape " + shape_text(shape) + ", got " + shape_text(t.shape));
  if (!dtype_readable_as<T>(t.dtype))
    t.fail("dtype " + std::string(dtype_name(t.dtype)) + " cannot be read as " +
           std::string(dtype_name(dtype_of<T>())));
}

}  // namespace detail

/// Reads a tensor of shape [rows, cols], converted to T (an integer T only from its own dtype).
/// Throws format_error naming file and tensor where shape or dtype do not fit.
template <class T>
void read_matrix(const tensor_info& t, matrix_view<T> out) {
  detail::require_tensor<T>(t, {out.rows, out.cols});
  std::vector<T> scratch;
  for (std::size_t r = 0; r < out.rows; ++r)
    detail::read_tensor_row(t, r * out.cols, out.row(r), scratch);
}

/// The same for shape [size].
template <class T>
void read_row(const tensor_info& t, row_view<T> out) {
  detail::require_tensor<T>(t, {out.size});
  std::vector<T> scratch;
  detail::read_tensor_row(t, 0, out, scratch);
}

/// All elements in row-major order, whatever the shape.
template <class T>
std::vector<T> read_values(const tensor_info& t) {
  detail::require_tensor<T>(t, t.shape);
  std::vector<T> out(t.size());
  decode(t.dtype, t.data.data(), std::span<T>(out));
  return out;
}

}  // namespace tern::inline TERN_ABI
