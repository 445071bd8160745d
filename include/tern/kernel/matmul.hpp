// Packed weights times int8 activations, with the best kernel of the CPU that the program runs on,
// whatever flags it was compiled with. Sums are exact, so every level and any number of threads
// give the same integers. An epilogue makes real numbers of them; where groups of columns have
// scales, kernels may add up the scaled sums for it.
#pragma once

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tern/core/executor.hpp"
#include "tern/core/tensor.hpp"
#include "tern/core/thread_scratch.hpp"
#include "tern/isa/dispatch_table.hpp"
#include "tern/isa/level.hpp"
#include "tern/kernel/amx.hpp"
#include "tern/kernel/avx2.hpp"
#include "tern/kernel/avx512bw.hpp"
#include "tern/kernel/avx512vbmi.hpp"
#include "tern/kernel/avx512vnni.hpp"
#include "tern/kernel/avxvnni.hpp"
#include "tern/kernel/column_groups.hpp"
#include "tern/kernel/epilogue.hpp"
#include "tern/kernel/neon.hpp"
#include "tern/kernel/neon_dotprod.hpp"
#include "tern/kernel/scalar.hpp"
#include "tern/kernel/sse41.hpp"
#include "tern/pack/base3.hpp"
#include "tern/pack/eight_bit.hpp"
#include "tern/pack/four_bit.hpp"
#include "tern/pack/two_bit.hpp"

namespace tern::inline TERN_ABI {

/// The largest number of columns of a group for which no sum can overflow. With ternary formats the
/// accumulator of a matvec's top plane fills first: it adds digits 2 * 64 times activations down to
/// -128 for one column in four, so 2^12 K < 2^31. Other digits are at most 255: 255 * 128 K < 2^31.
template <pack_format Format>
inline constexpr std::size_t matmul_max_cols =
    (std::size_t{1} << (Format::max_digit == 2 ? 19 : 16)) - 16;

namespace kernel {

/// The kernels of a format.
// clang-format off
template <class Format>
inline constexpr isa::dispatch_table<entry<Format>> kernels{
    {isa::level::scalar, scalar::entry_of<Format>},
#if TERN_X86
    {isa::level::sse41, sse41::entry_of<Format>},
    {isa::level::avx2, avx2::entry_of<Format>},
    {isa::level::avxvnni, avxvnni::entry_of<Format>},
    {isa::level::avx512bw, avx512bw::entry_of<Format>},
    {isa::level::avx512vnni, avx512vnni::entry_of<Format>},
    {isa::level::avx512vbmi, avx512vbmi::entry_of<Format>},
#  if TERN_X86_TILES
    {isa::level::amx, amx::entry_of<Format>},
#  endif
#elif TERN_AARCH64
    {isa::level::neon, neon::entry_of<Format>},
    {isa::level::neon_dotprod, neon_dotprod::entry_of<Format>},
#endif
};
// clang-format on

}  // namespace kernel

/// Bytes of workspace that ternary_matmul needs for these operands at any level: about as many as x
/// has, and none for a single dense token where the weights are one group of columns and K is a
/// multiple of the format's columns.
template <packed_weights W>
std::size_t ternary_matmul_workspace(const W& weights, matrix_view<const std::int8_t> x) {
  return kernel::column_groups<typename W::format>::workspace(weights, x);
}

/// A product of weights with activations that several products may share.
template <pack_format Format, class Epilogue = no_epilogue>
struct ternary_product {
  static_assert(std::invocable<const Epilogue&, const sum_block&>,
                "an epilogue needs: void operator()(const tern::sum_block&) const");

  packed_view<Format> weights;  ///< (M, K)
  /// (N, M), receives the sums; its rows are dense. Null where only the epilogue needs them: then
  /// the sums of each part stay in a small buffer of the thread that computes them.
  matrix_view<std::int32_t> out;
  Epilogue epilogue;  ///< is called with each finished sum_block
};

namespace kernel {

/// Throws where p does not fit x and the workspace. `first` is the first product that shares x.
template <class Format, class Epilogue>
void require_product(const ternary_product<Format, Epilogue>& p, const packed_view<Format>& first,
                     matrix_view<const std::int8_t> x, std::size_t workspace) {
  const packed_view<Format>& w = p.weights;
  require_shape(x, x.rows, w.cols, "ternary_matmul: x");
  if (p.out || std::same_as<Epilogue, no_epilogue>)
    require_shape(p.out, x.rows, w.rows, "ternary_matmul: out");
  if (w.scale_cols != first.scale_cols)
    throw shape_error(
        "ternary_matmul: products of the same x with groups of columns of different lengths");
  if (std::min(w.scale_cols, w.cols) > matmul_max_cols<Format>)
    throw shape_error("ternary_matmul: more columns than int32 sums are proven for");
  if (p.out.col_stride != 1 && p.out.cols > 1)
    throw shape_error("ternary_matmul: out must be dense along its rows");
  if (workspace < ternary_matmul_workspace(w, x))
    throw shape_error("ternary_matmul: workspace smaller than ternary_matmul_workspace()");
  if (std::same_as<Epilogue, no_epilogue> && w.groups() > 1)
    throw config_error(
        "ternary_matmul: several groups of columns need an epilogue that takes each one's sums");
}

/// An epilogue that gets the sums of several groups of columns as one total, such as rescale. It
/// has add() and finish() for them, and where totals are floats scaling().
template <class Epilogue>
concept totals_epilogue = requires { typename Epilogue::total_type; };

/// Bytes of a total; 0 for other epilogues.
template <class Epilogue>
inline constexpr std::size_t total_bytes = 0;
template <totals_epilogue Epilogue>
inline constexpr std::size_t total_bytes<Epilogue> = sizeof(typename Epilogue::total_type);

/// The place where number (0, 0) of a result would stand of which `part`, from token and row on, is
/// in memory. It is computed as a number, since there may be nothing at that place.
template <class T>
T* whole_of_part(matrix_view<T> part, std::size_t token, std::size_t row) {
  const std::size_t before = (token * part.row_stride + row) * sizeof(T);
  return std::bit_cast<T*>(std::bit_cast<std::uintptr_t>(part.data) - before);
}

/// The product where x has no columns: all sums are 0.
template <class Format, class Epilogue>
void without_columns(const ternary_product<Format, Epilogue>& p, std::size_t tokens) {
  const std::size_t rows = p.weights.rows;
  if (rows == 0) return;
  const thread_scratch memory(rows * sizeof(std::int32_t));
  for (std::size_t n = 0; n < tokens; ++n) {
    const matrix_view<std::int32_t> sums(p.out ? p.out.row(n).data : memory.data<std::int32_t>(), 1,
                                         rows);
    std::fill_n(sums.data, rows, 0);
    p.epilogue({n, 0, sums});
  }
}

/// Computes task i of a product, and calls its epilogue. `sums` and `totals` have room for those of
/// a task.
template <class Format, class Epilogue>
void multiply_part(const entry<Format>& kernel, const column_groups<Format>& groups,
                   const ternary_product<Format, Epilogue>& p, const problem<Format>& mine,
                   std::size_t i, std::uint8_t* unpacked, std::int32_t* sums,
                   [[maybe_unused]] const thread_scratch& totals) {
  const auto part = mine.part(i);
  const matrix_view<std::int32_t> out =
      p.out ? p.out.block(part.token, part.row, part.tokens, part.rows)
            : matrix_view<std::int32_t>(sums, part.tokens, part.rows);
  const auto multiply = [&](std::size_t g) {
    problem<Format> group = groups.one(p.weights, g);
    group.out = whole_of_part(out, part.token, part.row);
    group.out_stride = out.row_stride;
    kernel.compute(group, i, i + 1, unpacked);
    return sum_block{part.token, part.row, out, g};
  };
  if constexpr (totals_epilogue<Epilogue>) {
    using total = typename Epilogue::total_type;
    const matrix_view<total> all(totals.data<total>(), part.tokens, part.rows);
    const auto add_in_kernel = [&] {
      if constexpr (std::same_as<total, float>) {
        if (p.weights.group_lines() > kernel.scaled_lines) return false;
        problem<Format> whole = groups.all(p.weights);
        whole.scaling = p.epilogue.scaling(whole_of_part(all, part.token, part.row), all.row_stride,
                                           groups.size());
        kernel.compute(whole, i, i + 1, unpacked);
        return true;
      }
      return false;
    };
    if (groups.size() > 1) {
      std::fill_n(all.data, all.size(), total(0));
      if (!add_in_kernel())
        for (std::size_t g = 0; g < groups.size(); ++g) p.epilogue.add(multiply(g), all);
      return p.epilogue.finish(part.token, part.row, all);
    }
  }
  for (std::size_t g = 0; g < groups.size(); ++g) p.epilogue(multiply(g));
}

}  // namespace kernel

/// Computes out = x (N, K) * w (M, K) transposed in int32 for each of the products. row_sums (N)
/// are the sums of the rows of x, as an activation quantizer gives them. The workspace is used
/// during the call only; besides, each thread uses up to 66 KB of thread_scratch, as much again
/// for a product without `out`, and as much again for totals of floats. `level` must be supported
/// by this CPU. epilogue(sum_block) is called once for each part of the result, on the thread that
/// has just computed it. Where w has several groups of columns, it is called for each group of a
/// part in order, and the sums of all groups have the same place in `out`; but rescale gets the
/// totals of all groups at once, which kernels may add up themselves, and then `out` has no sums.
/// Throws shape_error where shapes disagree, the workspace is too small or a group of columns
/// exceeds matmul_max_cols; config_error where w has several groups and there is no epilogue.
template <pack_format Format, class Epilogue>
void ternary_matmul(std::span<const ternary_product<Format, Epilogue>> products,
                    matrix_view<const std::int8_t> x, row_view<const std::int32_t> row_sums,
                    std::span<std::byte> workspace, executor_ref ex = {},
                    isa::level level = isa::active()) {
  require_size(row_sums.size, x.rows, "ternary_matmul: row sums");
  if (row_sums.stride != 1 && row_sums.size > 1)
    throw shape_error("ternary_matmul: row sums must be dense");
  for (const auto& p : products)
    kernel::require_product(p, products[0].weights, x, workspace.size());
  if (products.empty() || x.rows == 0) return;
  if (x.cols == 0) {
    for (const auto& p : products) kernel::without_columns(p, x.rows);
    return;
  }

  const kernel::entry<Format> kernel = kernel::kernels<Format>.at(level);
  const std::size_t most = kernel.group_size(x.rows);
  const bool tiled = x.rows >= kernel.tiled_from;
  const kernel::token_partition parts(x.rows, most != 0 ? most : x.rows);
  const auto whole = [&](const ternary_product<Format, Epilogue>& p) {
    return kernel::problem<Format>{p.weights,
                                   x.data,
                                   x.row_stride,
                                   0,
                                   most != 0 && !tiled,
                                   parts,
                                   nullptr,
                                   x.rows,
                                   p.out.data,
                                   p.out.row_stride,
                                   kernel::problem<Format>::groups_of_task(x.cols, parts)};
  };
  const kernel::column_groups<Format> groups(whole(products[0]), x, row_sums.data, tiled, workspace,
                                             ex);
  const std::size_t total_bytes = groups.size() > 1 ? kernel::total_bytes<Epilogue> : 0;
  std::size_t row_tasks = 0, buffered = 0;
  for (const auto& p : products) {
    const kernel::problem<Format> mine = whole(p);
    row_tasks += mine.row_tasks();
    if ((p.out && total_bytes == 0) || mine.tasks() == 0) continue;
    const auto first = mine.part(0);  // no other part is larger
    buffered = std::max(buffered, first.rows * first.tokens);
  }
  // A chunk of about 4M multiply-adds is worth a thread. Reading and unpacking the weights takes as
  // long as the multiply-adds of eight tokens.
  const std::size_t work =
      64 * (8 + std::min(x.rows, kernel::problem<Format>::task_tokens)) * (x.cols + 1);
  // All products of some tokens come before those of the next ones, so that executors that deal
  // neighbours to a thread give it the same tokens here as in what is done row by row.
  const std::size_t pieces = whole(products[0]).token_tasks();
  ex.parallel_for(pieces * row_tasks, (std::size_t{1} << 22) / work + 1,
                  [&](std::size_t begin, std::size_t end) {
                    const thread_scratch unpacked(most != 0 ? kernel.unpacked_bytes : 0);
                    const thread_scratch sums(sizeof(std::int32_t) * buffered);
                    const thread_scratch totals(total_bytes * buffered);
                    for (std::size_t i = begin; i < end; ++i) {
                      std::size_t rows = i % row_tasks, n = 0;
                      kernel::problem<Format> mine = whole(products[0]);
                      while (rows >= mine.row_tasks()) {
                        rows -= mine.row_tasks();
                        mine = whole(products[++n]);
                      }
                      kernel::multiply_part(kernel, groups, products[n], mine,
                                            i / row_tasks * mine.row_tasks() + rows,
                                            unpacked.data<std::uint8_t>(),
                                            sums.data<std::int32_t>(), totals);
                    }
                  });
}

/// The same for a single product.
template <packed_weights W, class Epilogue = no_epilogue>
void ternary_matmul(const W& weights, matrix_view<const std::int8_t> x,
                    row_view<const std::int32_t> row_sums, matrix_view<std::int32_t> out,
                    std::span<std::byte> workspace, executor_ref ex = {},
                    isa::level level = isa::active(), const Epilogue& epilogue = {}) {
  using product = ternary_product<typename W::format, Epilogue>;
  const product one{weights, out, epilogue};
  ternary_matmul(std::span<const product>(&one, 1), x, row_sums, workspace, ex, level);
}

// The kernels of all levels cost seconds of compile time for each format in every unit. A program
// of many units may avoid this as it does for gemm.
#if defined(TERN_EXTERN_GEMM)
#  define TERN_PRODUCTS_OF(FORMAT, T)                                                          \
    template void ternary_matmul(std::span<const ternary_product<FORMAT, rescale<T>>>,         \
                                 matrix_view<const std::int8_t>, row_view<const std::int32_t>, \
                                 std::span<std::byte>, executor_ref, isa::level);
#  define TERN_PRODUCTS(PREFIX)                                                                \
    PREFIX TERN_PRODUCTS_OF(two_bit, float) PREFIX TERN_PRODUCTS_OF(two_bit, double)           \
        PREFIX TERN_PRODUCTS_OF(base3, float) PREFIX TERN_PRODUCTS_OF(base3, double)           \
            PREFIX TERN_PRODUCTS_OF(four_bit, float) PREFIX TERN_PRODUCTS_OF(four_bit, double) \
                PREFIX TERN_PRODUCTS_OF(eight_bit, float)                                      \
                    PREFIX TERN_PRODUCTS_OF(eight_bit, double)
TERN_PRODUCTS(extern)
#endif

}  // namespace tern::inline TERN_ABI
