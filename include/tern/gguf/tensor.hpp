// A tensor in a GGUF file: what it is, where its bytes lie, and how they decode to numbers. Ternary
// ones can also be read as codes and scales, see ternary.hpp.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tern/core/all_finite.hpp"
#include "tern/core/error.hpp"
#include "tern/gguf/block32.hpp"
#include "tern/gguf/k_quants.hpp"
#include "tern/gguf/ternary_blocks.hpp"
#include "tern/io/tensor_source.hpp"

namespace tern::inline TERN_ABI {

/// The processor whose I2_S a file holds: its blocks are as wide as that processor's vectors. No
/// file says which one.
enum class i2_s_layout { x86, arm };

/// `data` refers into the mapped file.
struct gguf_tensor {
  std::string name, file;                 ///< name as in the file; path of the file, for messages
  ggml_type type = ggml_type::f32;        ///< type of its blocks
  std::vector<std::size_t> shape;         ///< at most 4 extents, reversed from the file's order
  std::span<const std::byte> data;        ///< blocks, row after row
  i2_s_layout layout = i2_s_layout::x86;  ///< layout where the type is I2_S

  /// The number of elements.
  [[nodiscard]] std::size_t size() const {
    std::size_t n = 1;
    for (const std::size_t extent : shape) n *= extent;
    return n;
  }
  /// The name of the type, such as "TQ2_0".
  [[nodiscard]] std::string type_name() const { return ggml_type_name(type); }

  /// Throws format_error where elements of the type cannot be read.
  template <std::floating_point T>
  void require_readable_as() const;
  /// Reads out.size() elements from number `first` on, both multiples of a row: exactly the floats
  /// that ggml computes. Throws format_error where a row is not whole blocks or a value is not
  /// finite, which also finds scales that are not.
  template <std::floating_point T>
  void decode(std::size_t first, std::span<T> out) const;

  /// Throws format_error that names file and tensor.
  [[noreturn]] void fail(const std::string& what) const {
    throw format_error(file + ": tensor '" + name + "': " + what);
  }
};

namespace detail {

/// Calls f(Block{}) with the codec of a type. Returns false, without a call, where there is none,
/// and for I2_S, whose blocks depend on the layout.
template <class F>
bool with_ggml_block(ggml_type type, F&& f) {
  const auto is = [&]<class Block>(Block block) { return type == Block::type && (f(block), true); };
  return is(ggml::f32{}) || is(ggml::f16{}) || is(ggml::bf16{}) || is(ggml::q4_0{}) ||
         is(ggml::q4_1{}) || is(ggml::q5_0{}) || is(ggml::q5_1{}) || is(ggml::q8_0{}) ||
         is(ggml::q4_k{}) || is(ggml::q5_k{}) || is(ggml::q6_k{}) || is(ggml::tq1_0{}) ||
         is(ggml::tq2_0{}) || is(ggml::q2_0{}) || is(ggml::pq2_0{});
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

/// Calls f(Block{}, decode) with the codec of the tensor's type, where decode(bytes, floats) reads
/// a block. Returns false, without a call, where there is none.
template <class F>
bool with_codec(const gguf_tensor& t, F&& f) {
  if (t.type != ggml_type::i2_s)
    return with_ggml_block(t.type, [&]<class Block>(Block block) { f(block, Block::decode); });
  with_i2_s_block(t.layout, [&]<class Block>(Block block) {
    const float scale = t.data.empty() ? 0 : i2_s_scale(t);
    f(block, [scale](const std::byte* from, float* to) { Block::decode(from, scale, to); });
  });
  return true;
}

}  // namespace detail

template <std::floating_point T>
void gguf_tensor::require_readable_as() const {
  if (!detail::with_codec(*this, [](auto, auto) {}))
    fail("type " + type_name() + " cannot be decoded");
}

template <std::floating_point T>
void gguf_tensor::decode(std::size_t first, std::span<T> out) const {
  const std::size_t cols = shape.empty() ? 1 : shape.back();
  detail::with_codec(*this, [&]<class Block>(Block, auto decode_block) {
    detail::require_whole_blocks<Block>(*this, cols);
    const std::byte* from = data.data() + first / Block::count * Block::size;
    std::vector<float> row(std::same_as<T, float> ? 0 : cols);
    for (std::size_t begin = 0; begin < out.size(); begin += cols) {
      float* to = row.data();
      if constexpr (std::same_as<T, float>) to = out.data() + begin;
      for (std::size_t c = 0; c < cols; c += Block::count, from += Block::size)
        decode_block(from, to + c);
      if (!all_finite({to, cols}))
        fail("row " + std::to_string((first + begin) / cols) + " has a value that is not finite");
      if constexpr (!std::same_as<T, float>)
        for (std::size_t c = 0; c < cols; ++c) out[begin + c] = static_cast<T>(to[c]);
    }
  });
}

static_assert(stored_tensor<gguf_tensor>);

}  // namespace tern::inline TERN_ABI
