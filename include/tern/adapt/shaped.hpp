// A contiguous range with its extents as a matrix-like. With std::vector it owns its elements, with
// std::span it refers to them.
#pragma once

#include <cstddef>
#include <iterator>
#include <type_traits>
#include <utility>

#include "tern/core/tensor.hpp"

namespace tern::inline TERN_ABI {

/// Row-major (rows, cols) over any range with std::data and std::size. `shaped<std::vector<T, A>>`
/// is a matrix_owner whose memory comes from the allocator A; `shaped{std::span(v), rows, cols}`
/// refers to the memory of v. Making a view throws shape_error unless the range has rows * cols
/// elements.
template <class Range>
struct shaped {
  Range values;                    ///< the elements in row-major order
  std::size_t rows = 0, cols = 0;  ///< extents
};

/// Deduces the type from a range, which is taken by value.
template <class Range>
shaped(Range, std::size_t, std::size_t) -> shaped<Range>;

template <class Range>
  requires requires(Range& r) { *std::data(r), std::size(r); }
struct tensor_traits<shaped<Range>> {
  using scalar = std::remove_cvref_t<decltype(*std::data(std::declval<Range&>()))>;

  static std::size_t rows(const shaped<Range>& m) { return m.rows; }
  static std::size_t cols(const shaped<Range>& m) { return m.cols; }
  static std::size_t row_stride(const shaped<Range>& m) { return m.cols; }
  static std::size_t col_stride(const shaped<Range>&) { return 1; }
  static auto data(const shaped<Range>& m) { return checked(m); }
  static auto data(shaped<Range>& m) { return checked(m); }

  static shaped<Range> make(std::size_t rows, std::size_t cols)
    requires requires { Range(rows * cols, scalar(0)); }
  {
    return {Range(rows * cols, scalar(0)), rows, cols};
  }

 private:
  template <class M>
  static auto checked(M& m) {
    require_size(std::size(m.values), m.rows * m.cols, "shaped: elements for rows * cols");
    return std::data(m.values);
  }
};

}  // namespace tern::inline TERN_ABI
