// The products of a few new tokens with the keys and values of a kv_cache: a few rows of floats
// times the rows of a head as they are stored, with the instructions of the CPU, whatever flags the
// translation unit has. Reading the rows takes the time; all query heads that share them use them
// in one pass.
//
// Keys are taken four positions at a time. Each position and register of columns takes a load with
// its conversion (vcvtph2ps, or vpmovsxbd and vcvtdq2ps), and a vfmadd231ps for each query row.
// Values take the same, with a register of sums for each query row and register of columns.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "tern/infer/kv_cache.hpp"
#include "tern/isa/dispatch_table.hpp"
#include "tern/isa/level.hpp"
#include "tern/isa/registers/avx2.hpp"
#include "tern/isa/registers/avx512.hpp"
#include "tern/isa/target.hpp"
#include "tern/quant/half.hpp"

namespace tern::inline TERN_ABI::cache_products::portable {

/// Four floats in the registers of any machine.
struct ops {
  using reg [[gnu::vector_size(16)]] = float;
  static constexpr std::size_t lanes = 4, most_rows = 2, sums = 8;

  TERN_INLINE static reg fill(float v) { return reg{v, v, v, v}; }
  TERN_INLINE static reg load(const float* p) { return reg{p[0], p[1], p[2], p[3]}; }
  TERN_INLINE static reg load(const std::int8_t* p) {
    return reg{float(p[0]), float(p[1]), float(p[2]), float(p[3])};
  }
  TERN_INLINE static reg load(const std::uint16_t* p) {
    return reg{from_f16(p[0]), from_f16(p[1]), from_f16(p[2]), from_f16(p[3])};
  }
  TERN_INLINE static void store(float* p, reg a) { std::memcpy(p, &a, sizeof a); }
  TERN_INLINE static reg multiply_add(reg a, reg b, reg c) { return a * b + c; }
  TERN_INLINE static reg max(reg a, reg b) { return a > b ? a : b; }
  TERN_INLINE static void store_totals(float* p, reg a, reg b, reg c, reg d) {
    const reg all[] = {a, b, c, d};
    for (std::size_t i = 0; i < 4; ++i) p[i] = (all[i][0] + all[i][1]) + (all[i][2] + all[i][3]);
  }
};

#include "tern/infer/generic/cache_products.inl"

}  // namespace tern::inline TERN_ABI::cache_products::portable

#if TERN_X86
TERN_TARGET_BEGIN("avx2,fma,f16c")
namespace tern::inline TERN_ABI::cache_products::avx2 {

struct ops : isa::avx2::floats {
  static constexpr std::size_t most_rows = 2, sums = 8;
};

#  include "tern/infer/generic/cache_products.inl"

}  // namespace tern::inline TERN_ABI::cache_products::avx2
TERN_TARGET_END

TERN_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl")
namespace tern::inline TERN_ABI::cache_products::avx512bw {

struct ops : isa::avx512::floats {
  static constexpr std::size_t most_rows = 4, sums = 16;
};

#  include "tern/infer/generic/cache_products.inl"

}  // namespace tern::inline TERN_ABI::cache_products::avx512bw
TERN_TARGET_END
#endif

namespace tern::inline TERN_ABI::cache_products {

/// The products of generic/cache_products.inl with rows of elements E.
template <class E>
struct entry {
  /// s[r][j] = factor * q[r] . k[j] for `rows` rows of q and all rows of k.
  void (*scores)(const float* q, std::size_t q_stride, std::size_t rows, const stored_rows<E>& k,
                 float factor, float* s, std::size_t s_stride) = nullptr;
  /// y[r] = sum_j p[r][j] v[j], or y[r] += that sum.
  void (*mix)(const float* p, std::size_t p_stride, std::size_t rows, const stored_rows<E>& v,
              float* y, std::size_t y_stride, bool add) = nullptr;
  /// Replaces n scores by exp(score - top), where top becomes the largest of them and of its value
  /// before. Returns the sum of the new numbers. s has room for n rounded up to a multiple of 64.
  float (*weigh)(float* s, std::size_t n, float& top) = nullptr;
};

/// The products of all levels.
// clang-format off
template <class E>
inline constexpr isa::dispatch_table<entry<E>> products{
    {isa::level::scalar, {portable::scores<E>, portable::mix<E>, portable::weigh}},
#if TERN_X86
    {isa::level::avx2, {avx2::scores<E>, avx2::mix<E>, avx2::weigh}},
    {isa::level::avx512bw, {avx512bw::scores<E>, avx512bw::mix<E>, avx512bw::weigh}},
#endif
};
// clang-format on

}  // namespace tern::inline TERN_ABI::cache_products
