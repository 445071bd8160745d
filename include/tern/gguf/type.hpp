// The element types of GGUF files: their ids, names and block sizes. Rows are cut into blocks of
// equal size; the codecs (float_blocks, block32, k_quants, ternary_blocks) know what is in a block.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

/// Types with their ids in files. Those named here can be decoded; ggml_types lists the others,
/// too.
enum class ggml_type : std::uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q5_0 = 6,
  q5_1 = 7,
  q8_0 = 8,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  bf16 = 30,
  tq1_0 = 34,
  tq2_0 = 35,
  i2_s = 36,  ///< known to bitnet.cpp only
  q2_0 = 42,
  /// Q2_0 as an older fork of llama.cpp wrote it, with groups of 128 weights. Files give it the id
  /// of Q2_0, and only the room that a tensor has tells them apart. This number stands in no file.
  pq2_0 = 0xFFFFFF2A,
};

/// `count` elements of a row are a block of `size` bytes.
struct ggml_block_info {
  ggml_type type;           ///< id in files
  std::string_view name;    ///< name that llama.cpp prints
  std::size_t count, size;  ///< elements of a block; bytes of a block
};

/// Bytes of the tail of an I2_S tensor. I2_S stores four weights a byte, and one scale for all of
/// them in this tail.
inline constexpr std::size_t i2_s_tail = 32;

namespace detail {

inline constexpr auto ggml_types = [] {
  const auto id = [](std::uint32_t n) { return static_cast<ggml_type>(n); };
  return std::array{
      ggml_block_info{id(0), "F32", 1, 4},
      ggml_block_info{id(1), "F16", 1, 2},
      ggml_block_info{id(2), "Q4_0", 32, 18},
      ggml_block_info{id(3), "Q4_1", 32, 20},
      ggml_block_info{id(6), "Q5_0", 32, 22},
      ggml_block_info{id(7), "Q5_1", 32, 24},
      ggml_block_info{id(8), "Q8_0", 32, 34},
      ggml_block_info{id(9), "Q8_1", 32, 36},
      ggml_block_info{id(10), "Q2_K", 256, 84},
      ggml_block_info{id(11), "Q3_K", 256, 110},
      ggml_block_info{id(12), "Q4_K", 256, 144},
      ggml_block_info{id(13), "Q5_K", 256, 176},
      ggml_block_info{id(14), "Q6_K", 256, 210},
      ggml_block_info{id(15), "Q8_K", 256, 292},
      ggml_block_info{id(16), "IQ2_XXS", 256, 66},
      ggml_block_info{id(17), "IQ2_XS", 256, 74},
      ggml_block_info{id(18), "IQ3_XXS", 256, 98},
      ggml_block_info{id(19), "IQ1_S", 256, 50},
      ggml_block_info{id(20), "IQ4_NL", 32, 18},
      ggml_block_info{id(21), "IQ3_S", 256, 110},
      ggml_block_info{id(22), "IQ2_S", 256, 82},
      ggml_block_info{id(23), "IQ4_XS", 256, 136},
      ggml_block_info{id(24), "I8", 1, 1},
      ggml_block_info{id(25), "I16", 1, 2},
      ggml_block_info{id(26), "I32", 1, 4},
      ggml_block_info{id(27), "I64", 1, 8},
      ggml_block_info{id(28), "F64", 1, 8},
      ggml_block_info{id(29), "IQ1_M", 256, 56},
      ggml_block_info{id(30), "BF16", 1, 2},
      ggml_block_info{id(34), "TQ1_0", 256, 54},
      ggml_block_info{id(35), "TQ2_0", 256, 66},
      ggml_block_info{id(36), "I2_S", 4, 1},
      ggml_block_info{id(39), "MXFP4", 32, 17},
      ggml_block_info{id(40), "NVFP4", 64, 36},
      ggml_block_info{id(41), "Q1_0", 128, 18},
      ggml_block_info{id(42), "Q2_0", 64, 18},
      ggml_block_info{id(0xFFFFFF2A), "PQ2_0", 128, 34},
  };
}();

}  // namespace detail

/// The entry of a type, or null where no type has the id.
inline const ggml_block_info* find_ggml_type(ggml_type type) {
  const auto found = std::ranges::find(detail::ggml_types, type, &ggml_block_info::type);
  return found == detail::ggml_types.end() ? nullptr : &*found;
}

/// The id that files give a type.
inline std::uint32_t ggml_file_id(ggml_type type) {
  return static_cast<std::uint32_t>(type == ggml_type::pq2_0 ? ggml_type::q2_0 : type);
}

/// The name of a type, such as "Q4_0", or "of id 77" where no type has the id.
inline std::string ggml_type_name(ggml_type type) {
  const auto* info = find_ggml_type(type);
  return info != nullptr ? std::string(info->name)
                         : "of id " + std::to_string(static_cast<std::uint32_t>(type));
}

/// The number of bytes of a tensor; the last extent of its shape is a row. Nothing where a row is
/// not whole blocks, the product overflows, or no type has the id.
inline std::optional<std::size_t> ggml_tensor_bytes(ggml_type type,
                                                    const std::vector<std::size_t>& shape) {
  const auto* info = find_ggml_type(type);
  if (info == nullptr || (shape.empty() ? 1 : shape.back()) % info->count != 0) return std::nullopt;
  if (std::ranges::find(shape, std::size_t{0}) != shape.end()) return 0;
  constexpr std::size_t most = std::numeric_limits<std::size_t>::max() / 2;  // leaves room to align
  std::size_t bytes = info->size;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const std::size_t factor = i + 1 < shape.size() ? shape[i] : shape[i] / info->count;
    if (factor > most / bytes) return std::nullopt;
    bytes *= factor;
  }
  return type == ggml_type::i2_s ? bytes + i2_s_tail : bytes;
}

}  // namespace tern::inline TERN_ABI
