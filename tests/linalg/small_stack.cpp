// What products and the ops above them take of a thread's stack: musl gives 128 KB, many servers
// and fibers 64 KB. The thread runs on memory that was filled with a pattern, and what is no longer
// the pattern was used; so a function that takes too much is named instead of ending the program.
#include <pthread.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "tern/distill/relation.hpp"
#include "tern/kernel/matmul.hpp"
#include "tern/linalg/cholesky.hpp"
#include "tern/linalg/scaled_codes.hpp"
#include "tern/nn/attention.hpp"
#include "tern/nn/bit_linear.hpp"
#include "tern/quant/absmax_int8.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

constexpr std::size_t small_stack = 64 << 10;

/// Bytes of stack that a thread uses which calls f.
std::size_t stack_used_by(const std::function<void()>& f) {
  constexpr unsigned char pattern = 0xA5;
  constexpr std::size_t page = 4096, size = 4 << 20;
  std::vector<unsigned char> memory(size + page, pattern);
  unsigned char* const bottom =
      memory.data() + page - reinterpret_cast<std::uintptr_t>(memory.data()) % page;
  pthread_attr_t attributes;
  REQUIRE(pthread_attr_init(&attributes) == 0);
  REQUIRE(pthread_attr_setstack(&attributes, bottom, size) == 0);
  pthread_t thread;
  const auto call = [](void* job) -> void* {
    (*static_cast<const std::function<void()>*>(job))();
    return nullptr;
  };
  REQUIRE(pthread_create(&thread, &attributes, call,
                         const_cast<void*>(static_cast<const void*>(&f))) == 0);
  REQUIRE(pthread_join(thread, nullptr) == 0);
  pthread_attr_destroy(&attributes);
  const auto* const lowest =
      std::find_if(bottom, bottom + size, [](unsigned char c) { return c != pattern; });
  return static_cast<std::size_t>(bottom + size - lowest);
}

/// Operands of one shape for every function.
struct operands {
  static constexpr std::size_t tokens = 130, in = 520, out = 150;

  std::vector<float> x = std::vector<float>(tokens * in, 0.5f),
                     w = std::vector<float>(out * in, 0.25f),
                     y = std::vector<float>(tokens * out, 0.125f), dx = x, dw = w;
  std::vector<double> xd = std::vector<double>(tokens * in, 0.5),
                      wd = std::vector<double>(out * in, 0.25),
                      yd = std::vector<double>(tokens * out);
  std::vector<std::int8_t> codes = std::vector<std::int8_t>(tokens * in),
                           trits = std::vector<std::int8_t>(out * in, 1);
  std::vector<float> scales = std::vector<float>(tokens, 1), lse = scales,
                     stats = std::vector<float>(tokens * 8);
  std::vector<std::int32_t> row_sums = std::vector<std::int32_t>(tokens),
                            sums = std::vector<std::int32_t>(tokens * out);
  std::vector<std::size_t> offsets{0, tokens};
  attention_shape heads{2, 1, 32, 0, 0};
  relation_options relation = [] {
    relation_options o;
    o.split_heads = 4;
    return o;
  }();
  arena memory;
  bit_linear<float>::saved saved = bit_linear<float>::make_saved(memory, tokens, in, out);

  template <class T>
  static matrix_view<T> matrix(std::vector<T>& v, std::size_t rows) {
    return {v.data(), rows, v.size() / rows};
  }
  /// Columns of x that stand for other operands of attention.
  [[nodiscard]] matrix_view<float> part(std::size_t first, std::size_t width) {
    return matrix(x, tokens).col_block(first, width);
  }
  /// Packed weights times codes at every level that the machine has.
  template <class Format>
  void multiply() {
    const packed_matrix<Format> packed(matrix(trits, out));
    const auto q = matrix(codes, tokens);
    std::vector<std::byte> workspace(ternary_matmul_workspace(packed, q));
    for (const isa::level level : isa::levels)
      if (isa::supported(level))
        ternary_matmul(packed, q, row_sums, matrix(sums, tokens), workspace, {}, level);
  }
};

struct function {
  const char* name;
  void (*call)(operands& o);
};

}  // namespace

TEST_CASE("a thread needs no more than 64 KB of stack") {
  const auto each = GENERATE(values<function>({
      {"gemm<float>",
       [](operands& o) {
         gemm<float>(1, o.matrix(o.x, o.tokens), o.matrix(o.w, o.out).transposed(),
                     o.matrix(o.y, o.tokens));
       }},
      {"gemm<double>",
       [](operands& o) {
         gemm<double>(1, o.matrix(o.xd, o.tokens), o.matrix(o.wd, o.out).transposed(),
                      o.matrix(o.yd, o.tokens));
       }},
      {"cholesky and its inverses",
       [](operands& o) {
         const matrix_view<double> a(o.xd.data(), o.tokens, o.tokens),
             b(o.wd.data(), 100, o.tokens);
         for (std::size_t i = 0; i < o.tokens; ++i) a(i, i) += 1;
         CHECK(cholesky<double>(a));
         multiply_by_inverse_transposed<double>(a, b);
         multiply_by_inverse<double>(a, b);
       }},
      {"gemm of codes",
       [](operands& o) {
         const matrix_view<const std::int8_t> codes = o.matrix(o.trits, o.out);
         gemm<float>(o.matrix(o.y, o.tokens),
                     {codes, {o.scales.data(), 1, 1}, {codes.rows, codes.cols}},
                     o.matrix(o.dx, o.tokens), true, o.memory);
       }},
      {"absmax_int8::quantize",
       [](operands& o) {
         absmax_int8{}.quantize<float>(o.matrix(o.x, o.tokens), o.matrix(o.codes, o.tokens),
                                       o.scales, o.row_sums);
       }},
      {"ternary_matmul of two_bit", [](operands& o) { o.multiply<two_bit>(); }},
      {"ternary_matmul of base3", [](operands& o) { o.multiply<base3>(); }},
      {"ternary_matmul of four_bit", [](operands& o) { o.multiply<four_bit>(); }},
      {"ternary_matmul of eight_bit", [](operands& o) { o.multiply<eight_bit>(); }},
      {"bit_linear forward and backward",
       [](operands& o) {
         bit_linear<float>::forward(o.matrix(o.x, o.tokens), o.matrix(o.w, o.out), {},
                                    o.matrix(o.y, o.tokens), o.saved, o.memory);
         bit_linear<float>::backward(o.matrix(o.y, o.tokens), o.saved, o.matrix(o.dx, o.tokens),
                                     o.matrix(o.dw, o.out), {}, o.memory);
       }},
      {"attention forward and backward",
       [](operands& o) {
         const auto q = o.part(0, 64), k = o.part(64, 32), v = o.part(96, 32);
         const auto y = o.matrix(o.y, o.tokens).col_block(0, 64),
                    lse = matrix_view<float>(o.stats.data(), o.tokens, 2);
         attention<float>::forward(q, k, v, o.offsets, o.heads, y, lse, o.memory);
         const auto d = o.matrix(o.dx, o.tokens);
         attention<float>::backward(y, q, k, v, y, lse, o.offsets, o.heads, d.col_block(0, 64),
                                    d.col_block(64, 32), d.col_block(96, 32), o.memory);
       }},
      {"relation_loss forward and backward",
       [](operands& o) {
         const auto student = o.part(0, 64), teacher = o.part(64, 128);
         const auto stats = o.matrix(o.stats, o.tokens);
         relation_loss<float>::forward(student, teacher, o.offsets, {}, o.relation, stats,
                                       o.memory);
         relation_loss<float>::backward(student, teacher, o.offsets, {}, o.relation, stats, 1,
                                        o.matrix(o.dx, o.tokens).col_block(0, 64), o.memory);
       }},
  }));
  DYNAMIC_SECTION(each.name) {
    operands o;
    std::size_t used = stack_used_by([] {});
    CHECK(used > 0);
    used = stack_used_by([&] { each.call(o); });
    CAPTURE(used);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    CHECK(used > 0);  // sanitizers put room between variables
#else
    CHECK(used <= small_stack);
#endif
  }
}
