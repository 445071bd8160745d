// The limits that products of floats are compared with: multiply-adds of floats and dot products of
// bf16 numbers in registers, with the widest instructions of this CPU.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <limits>

#include "tern/core/thread_pool.hpp"
#include "tern/isa/dispatch_table.hpp"
#include "tern/isa/level.hpp"
#include "tern/isa/target.hpp"
#include "tern/isa/tile_config.hpp"

namespace bench {

/// Loops that keep the float unit busy; each returns the multiply-adds done. Null where a level has
/// none.
struct float_loops {
  std::size_t (*fp32)(std::size_t rounds) = nullptr;
  std::size_t (*bf16)(std::size_t rounds) = nullptr;
};

// Sixteen sums hide the latency of an instruction. Written in assembly, the loops are the same for
// every compiler.
#define BENCH_SIXTEEN(op, r)                                                                      \
  op r "0\n\t" op r "1\n\t" op r "2\n\t" op r "3\n\t" op r "4\n\t" op r "5\n\t" op r "6\n\t" op r \
       "7\n\t" op r "8\n\t" op r "9\n\t" op r "10\n\t" op r "11\n\t" op r "12\n\t" op r           \
       "13\n\t" op r "14\n\t" op r "15\n\t"
#define BENCH_CLOBBERS                                                                     \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
      "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"

#if TERN_X86 && defined(__x86_64__)
TERN_TARGET_BEGIN("avx2,fma")
namespace avx2 {
inline std::size_t fp32(std::size_t rounds) {
  for (std::size_t i = 0; i < rounds; ++i)
    __asm__ volatile(BENCH_SIXTEEN("vfmadd231ps %%ymm0, %%ymm0, ", "%%ymm")::: BENCH_CLOBBERS);
  return rounds * 16 * 8;
}
}  // namespace avx2
TERN_TARGET_END
TERN_TARGET_BEGIN("avx512f,avx512bf16")
namespace avx512 {
inline std::size_t fp32(std::size_t rounds) {
  for (std::size_t i = 0; i < rounds; ++i)
    __asm__ volatile(BENCH_SIXTEEN("vfmadd231ps %%zmm16, %%zmm16, ", "%%zmm")::: BENCH_CLOBBERS);
  return rounds * 16 * 16;
}
inline std::size_t bf16(std::size_t rounds) {
  for (std::size_t i = 0; i < rounds; ++i)
    __asm__ volatile(BENCH_SIXTEEN("vdpbf16ps %%zmm16, %%zmm16, ", "%%zmm")::: BENCH_CLOBBERS);
  return rounds * 16 * 32;
}
}  // namespace avx512
TERN_TARGET_END
TERN_TARGET_BEGIN("amx-tile,amx-bf16")
namespace amx {
inline constexpr tern::isa::tile_config config{};
inline std::size_t bf16(std::size_t rounds) {
  _tile_loadconfig(&config);
  for (std::size_t i = 0; i < rounds; ++i) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
  return rounds * 4 * 16 * 16 * 32;
}
}  // namespace amx
TERN_TARGET_END
#endif

// clang-format off
inline constexpr tern::isa::dispatch_table<float_loops> float_limits{
    {tern::isa::level::scalar, {}},
#if TERN_X86 && defined(__x86_64__)
    {tern::isa::level::avx2, {avx2::fp32, nullptr}},
    {tern::isa::level::avx512bw, {avx512::fp32, nullptr}},
    {tern::isa::level::avx512bf16, {avx512::fp32, avx512::bf16}},
    {tern::isa::level::amx, {avx512::fp32, amx::bf16}},
#endif
};
// clang-format on

/// 1e9 operations a second of all threads together, two for a multiply-add; NaN where the CPU has
/// no such loop. The fastest of many short runs counts, since other programs only ever disturb.
inline double float_peak(std::size_t (*loop)(std::size_t rounds), tern::thread_pool& pool) {
  using clock = std::chrono::steady_clock;
  if (loop == nullptr) return std::numeric_limits<double>::quiet_NaN();
  double best = std::numeric_limits<double>::infinity();
  std::size_t done = 0;
  for (int i = 0; i < 60; ++i) {
    const auto start = clock::now();
    pool.parallel_for(pool.threads(), 1, [&](std::size_t begin, std::size_t) {
      const std::size_t n = loop(20000);
      if (begin == 0) done = n;
    });
    best = std::min(best, std::chrono::duration<double>(clock::now() - start).count());
  }
  return 2e-9 * static_cast<double>(done * pool.threads()) / best;
}

}  // namespace bench
