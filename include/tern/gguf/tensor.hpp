// A tensor inside a GGUF file: what it is and where its bytes lie, decoded to floating-point
// numbers or, where it is ternary, to codes and scales.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/core/tensor.hpp"
#include "tern/gguf/block32.hpp"
#include "tern/gguf/k_quants.hpp"
#include "tern/gguf/ternary_blocks.hpp"
#include "tern/io/tensor_info.hpp"

namespace tern::inline TERN_ABI {

/// `data` refers into the mapped file. `shape` is row-major as everywhere in tern, (rows, cols):
/// the reverse of the order in the file.
struct gguf_tensor {
  std::string name, file;           ///< `file` for messages
  ggml_type type = ggml_type::f32;  ///< of its blocks
  std::vector<std::size_t> shape;   ///< at most 4 extents
  std::span<const std::byte> data;  ///< blocks, row after row

  /// Number of elements.
  [[nodiscard]] std::size_t size() const {
    std::size_t n = 1;
    for (const std::size_t extent : shape) n *= extent;
    return n;
  }

  /// Throws format_error that names file and tensor.
  [[noreturn]] void fail(const std::string& what) const {
    throw format_error(file + ": tensor '" + name + "': " + what);
  }
};

/// Whose I2_S a file holds: its blocks are as wide as that processor's vectors.
enum class i2_s_layout { x86, arm };

namespace detail {

/// f(Block{}) for the codec of a type with blocks of its own; false where there is none.
template <class F>
bool with_ggml_block(ggml_type type, F&& f) {
  const auto is = [&]<class Block>(Block block) { return type == Block::type && (f(block), true); };
  return is(ggml::f32{}) || is(ggml::f16{}) || is(ggml::bf16{}) || is(ggml::q4_0{}) ||
         is(ggml::q4_1{}) || is(ggml::q5_0{}) || is(ggml::q5_1{}) || is(ggml::q8_0{}) ||
         is(ggml::q4_k{}) || is(ggml::q5_k{}) || is(ggml::q6_k{}) || is(ggml::tq1_0{}) ||
         is(ggml::tq2_0{});
}

template <class F>
auto with_i2_s_block(i2_s_layout layout, F&& f) {
  return layout == i2_s_layout::x86 ? f(ggml::i2_s_x86{}) : f(ggml::i2_s_arm{});
}

template <class Block>
void require_whole_blocks(const gguf_tensor& t, std::size_t cols) {
  if (cols % Block::count != 0)
    t.fail("expected rows of a multiple of " + std::to_string(Block::count) + " elements, got " +
           std::to_string(cols));
}

inline float i2_s_scale(const gguf_tensor& t) {
  return ggml::load<float>(t.data.data() + t.data.size() - i2_s_tail);
}

/// False for infinities and NaN; without a branch, and whatever -ffast-math makes of those.
inline bool all_finite(std::span<const float> values) {
  constexpr std::uint32_t exponent = 0x7F800000u;
  unsigned special = 0;
  for (const float v : values)
    special |= static_cast<unsigned>((std::bit_cast<std::uint32_t>(v) & exponent) == exponent);
  return special == 0;
}

/// Decodes row r of a tensor into place(r), `cols` floats, then calls done(r). Throws where a value
/// is not finite, which also finds scales that are not.
template <class Place, class Done>
void decode_rows(const gguf_tensor& t, std::size_t cols, i2_s_layout layout, Place&& place,
                 Done&& done) {
  if (t.size() == 0) return;
  const auto run = [&]<class Block>(Block, auto decode_block) {
    require_whole_blocks<Block>(t, cols);
    const std::byte* from = t.data.data();
    for (std::size_t r = 0, rows = t.size() / cols; r < rows; ++r) {
      float* const to = place(r);
      for (std::size_t c = 0; c < cols; c += Block::count, from += Block::size)
        decode_block(from, to + c);
      if (!all_finite({to, cols}))
        t.fail("row " + std::to_string(r) + " has a value that is not finite");
      done(r);
    }
  };
  if (t.type == ggml_type::i2_s)
    with_i2_s_block(layout, [&]<class Block>(Block block) {
      run(block, [scale = i2_s_scale(t)](const std::byte* from, float* to) {
        Block::decode(from, scale, to);
      });
    });
  else if (!with_ggml_block(t.type, [&]<class Block>(Block block) { run(block, Block::decode); }))
    t.fail("type " + ggml_type_name(t.type) + " cannot be decoded");
}

inline void require_gguf_shape(const gguf_tensor& t, const std::vector<std::size_t>& shape) {
  if (t.shape != shape)
    t.fail("expected shape " + shape_text(shape) + ", got " + shape_text(t.shape));
}

}  // namespace detail

/// Reads a tensor of shape [rows, cols]: exactly the floats that ggml computes. Throws format_error
/// naming file and tensor where the shape does not fit, the type has no decoder or a value is not
/// finite.
template <class T>
void read_matrix(const gguf_tensor& t, matrix_view<T> out, i2_s_layout layout = i2_s_layout::x86) {
  detail::require_gguf_shape(t, {out.rows, out.cols});
  if constexpr (std::same_as<T, float>)
    if (out.col_stride == 1)
      return detail::decode_rows(
          t, out.cols, layout, [&](std::size_t r) { return &out(r, 0); }, [](std::size_t) {});
  std::vector<float> row(out.cols);
  detail::decode_rows(
      t, out.cols, layout, [&](std::size_t) { return row.data(); },
      [&](std::size_t r) {
        for (std::size_t c = 0; c < out.cols; ++c) out(r, c) = static_cast<T>(row[c]);
      });
}

/// All elements in row-major order, whatever the shape.
inline std::vector<float> read_values(const gguf_tensor& t, i2_s_layout layout = i2_s_layout::x86) {
  const std::size_t cols = t.shape.empty() ? 1 : t.shape.back();
  std::vector<float> out(t.size());
  detail::decode_rows(
      t, cols, layout, [&](std::size_t r) { return out.data() + r * cols; }, [](std::size_t) {});
  return out;
}

/// Reads a tensor of shape [size] in the same way.
template <class T>
void read_row(const gguf_tensor& t, row_view<T> out) {
  detail::require_gguf_shape(t, {out.size});
  const auto values = read_values(t);
  for (std::size_t i = 0; i < out.size; ++i) out[i] = static_cast<T>(values[i]);
}

}  // namespace tern::inline TERN_ABI
