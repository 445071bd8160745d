// A source of weights: a file or folder of named tensors, in whatever format. A format describes
// its tensors and decodes their bytes; checking shapes and placing rows is done here for all
// formats.
#pragma once

#include <concepts>
#include <cstddef>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/core/tensor.hpp"

namespace tern::inline TERN_ABI {

/// A tensor in a mapped file. `shape` is row-major, (rows, cols). `require_readable_as<T>` throws
/// where the stored type cannot become a T; `decode(first, out)` then reads out.size() elements,
/// both numbers multiples of a row. `fail` throws a format_error that names file and tensor.
template <class Tensor>
concept stored_tensor =
    requires(const Tensor& t, std::size_t first, std::span<float> out, const std::string& what) {
      { t.name } -> std::convertible_to<std::string>;
      { t.file } -> std::convertible_to<std::string>;
      { t.shape } -> std::convertible_to<std::vector<std::size_t>>;
      { t.data } -> std::convertible_to<std::span<const std::byte>>;
      { t.size() } -> std::same_as<std::size_t>;       // elements
      { t.type_name() } -> std::same_as<std::string>;  // as the format spells it
      t.template require_readable_as<float>();
      t.decode(first, out);
      t.fail(what);
    };

/// Named tensors whose bytes live as long as the source. `at` throws format_error where there is no
/// tensor of the name.
template <class Source>
concept tensor_source = requires(const Source& s, std::string_view name) {
  { s.names() } -> std::same_as<std::vector<std::string>>;
  { s.contains(name) } -> std::same_as<bool>;
  { s.at(name) } -> stored_tensor;
};

namespace detail {

inline std::string shape_text(const std::vector<std::size_t>& shape) {
  std::string text = "[";
  for (const std::size_t n : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(n);
  return text + "]";
}

}  // namespace detail

/// Throws format_error naming file and tensor where the shape is another one.
template <stored_tensor Tensor>
void require_stored_shape(const Tensor& t, const std::vector<std::size_t>& shape) {
  if (t.shape != shape)
    t.fail("expected shape " + detail::shape_text(shape) + ", got " + detail::shape_text(t.shape));
}

/// Reads a tensor of shape [rows, cols], converted to T. Throws format_error naming file and tensor
/// where the shape does not fit or the stored type cannot be read as T.
template <class T, stored_tensor Tensor>
void read_matrix(const Tensor& t, matrix_view<T> out) {
  require_stored_shape(t, {out.rows, out.cols});
  t.template require_readable_as<T>();
  if (t.size() == 0) return;
  if (out.col_stride == 1) {
    for (std::size_t r = 0; r < out.rows; ++r)
      t.decode(r * out.cols, std::span<T>(&out(r, 0), out.cols));
    return;
  }
  std::vector<T> row(out.cols);
  for (std::size_t r = 0; r < out.rows; ++r) {
    t.decode(r * out.cols, std::span<T>(row));
    for (std::size_t c = 0; c < out.cols; ++c) out(r, c) = row[c];
  }
}

/// All elements of a tensor of any shape, in row-major order. Throws as read_matrix.
template <class T = float, stored_tensor Tensor>
std::vector<T> read_values(const Tensor& t) {
  t.template require_readable_as<T>();
  std::vector<T> out(t.size());
  if (!out.empty()) t.decode(0, std::span<T>(out));
  return out;
}

/// Reads a tensor of shape [size]. Throws as read_matrix.
template <class T, stored_tensor Tensor>
void read_row(const Tensor& t, row_view<T> out) {
  require_stored_shape(t, {out.size});
  const std::vector<T> values = read_values<T>(t);
  for (std::size_t i = 0; i < out.size; ++i) out[i] = values[i];
}

/// The number of bytes of all tensors.
template <tensor_source Source>
std::size_t stored_bytes(const Source& source) {
  std::size_t bytes = 0;
  for (const std::string& name : source.names()) bytes += source.at(name).data.size();
  return bytes;
}

/// Throws format_error for a tensor that is not among `known`. A reader that ignored it would
/// compute something else than the program that wrote the file. `reader` stands in the message.
template <tensor_source Source>
void require_known_tensors(const Source& source, const std::set<std::string, std::less<>>& known,
                           const std::string& reader) {
  for (const std::string& name : source.names())
    if (!known.contains(name)) source.at(name).fail("has no place in " + reader);
}

}  // namespace tern::inline TERN_ABI
