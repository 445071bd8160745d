// The limits that kernels are compared with: dot products in registers and reads of memory, with
// the instructions of each level.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "tern/core/thread_pool.hpp"
#include "tern/kernel/matmul.hpp"

namespace bench {

/// The loops of a level; null where it has none.
struct limit_loops {
  std::size_t (*dots)(std::size_t rounds) = nullptr;
  void (*read)(const std::uint8_t* from, std::size_t bytes) = nullptr;
};

}  // namespace bench

#if TERN_X86
TERN_TARGET_BEGIN("ssse3,sse4.1")
namespace bench::sse41 {
using namespace tern::kernel::sse41;
#  include "kernel_limits.inl"
}  // namespace bench::sse41
TERN_TARGET_END
TERN_TARGET_BEGIN("avx2")
namespace bench::avx2 {
using namespace tern::kernel::avx2;
#  include "kernel_limits.inl"
}  // namespace bench::avx2
TERN_TARGET_END
TERN_TARGET_BEGIN("avx2,avxvnni")
namespace bench::avxvnni {
using namespace tern::kernel::avxvnni;
#  include "kernel_limits.inl"
}  // namespace bench::avxvnni
TERN_TARGET_END
TERN_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl")
namespace bench::avx512bw {
using namespace tern::kernel::avx512bw;
#  include "kernel_limits.inl"
}  // namespace bench::avx512bw
TERN_TARGET_END
TERN_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
namespace bench::avx512vnni {
using namespace tern::kernel::avx512vnni;
#  include "kernel_limits.inl"
}  // namespace bench::avx512vnni
TERN_TARGET_END
TERN_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi")
namespace bench::avx512vbmi {
using namespace tern::kernel::avx512vbmi;
#  include "kernel_limits.inl"
}  // namespace bench::avx512vbmi
TERN_TARGET_END
#  if TERN_X86_TILES
TERN_TARGET_BEGIN("amx-tile,amx-int8")
namespace bench::amx {
/// Products of tiles, four sums at once; returns the multiply-adds done.
inline std::size_t dots(std::size_t rounds) {
  tern::kernel::amx::configure(16, 16);
  for (std::size_t r = 0; r < rounds; r += 8) {
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
    _tile_dpbssd(2, 5, 6);
    _tile_dpbssd(3, 5, 7);
  }
  _tile_release();
  return (rounds + 7) / 8 * 4 * 16 * 16 * 64;
}
}  // namespace bench::amx
TERN_TARGET_END
#  endif
#endif

namespace bench {

// clang-format off
inline constexpr tern::isa::dispatch_table<limit_loops> loops{
    {tern::isa::level::scalar, {}},
#if TERN_X86
    {tern::isa::level::sse41, {sse41::dots, sse41::read}},
    {tern::isa::level::avx2, {avx2::dots, avx2::read}},
    {tern::isa::level::avxvnni, {avxvnni::dots, avxvnni::read}},
    {tern::isa::level::avx512bw, {avx512bw::dots, avx512bw::read}},
    {tern::isa::level::avx512vnni, {avx512vnni::dots, avx512vnni::read}},
    {tern::isa::level::avx512vbmi, {avx512vbmi::dots, avx512vbmi::read}},
#  if TERN_X86_TILES
    {tern::isa::level::amx, {amx::dots, avx512vbmi::read}},
#  endif
#endif
};
// clang-format on

/// Seconds that the fastest of `repeats` calls takes.
template <class F>
double fastest(std::size_t repeats, F&& f) {
  using clock = std::chrono::steady_clock;
  double best = 1e300;
  for (std::size_t i = 0; i < repeats; ++i) {
    const auto start = clock::now();
    f();
    best = std::min(best, std::chrono::duration<double>(clock::now() - start).count());
  }
  return best;
}

/// 1e9 operations a second of all threads together, two for a multiply-add.
inline double dot_peak(tern::isa::level level, tern::thread_pool& pool) {
  const limit_loops& best = loops.at(level);
  std::size_t done = 0;
  const double seconds = fastest(40, [&] {
    pool.parallel_for(pool.threads(), 1, [&](std::size_t begin, std::size_t) {
      const std::size_t n = best.dots(40000);
      if (begin == 0) done = n;
    });
  });
  return 2e-9 * static_cast<double>(done * pool.threads()) / seconds;
}

/// Most bytes that are read at once. The distance of the streams in them is no power of two.
inline constexpr std::size_t read_slice = 2048 * 2161;

/// GB/s of reading `memory` again and again, where each thread has its own part. The next 4 MiB of
/// every part are timed at once: a longer read would always be disturbed.
inline double read_bandwidth(tern::isa::level level, const std::vector<std::uint8_t>& memory,
                             tern::thread_pool& pool) {
  const limit_loops& best = loops.at(level);
  const std::size_t part = memory.size() / pool.threads() / 2048 * 2048;
  const std::size_t slice = std::min(part, read_slice), slices = part / slice,
                    times = read_slice / slice;
  std::size_t turn = 0;
  const double seconds = fastest(std::max<std::size_t>(50, 4 * slices), [&] {
    const std::size_t at = turn++ % slices * slice;
    pool.parallel_for(pool.threads(), 1, [&](std::size_t begin, std::size_t) {
      for (std::size_t i = 0; i < times; ++i) best.read(memory.data() + begin * part + at, slice);
    });
  });
  return 1e-9 * static_cast<double>(times * slice * pool.threads()) / seconds;
}

/// The mean rate of `step` while it is repeated for this time; `step` returns what it has done.
template <class F>
double mean_rate(double seconds, F&& step) {
  using clock = std::chrono::steady_clock;
  double done = 0, passed = 0;
  for (const auto start = clock::now(); passed < seconds || done == 0;
       passed = std::chrono::duration<double>(clock::now() - start).count())
    done += step();
  return done / passed;
}

/// Operations a second of all threads together over this time, two for a multiply-add.
inline double mean_dots(tern::isa::level level, tern::thread_pool& pool, double seconds) {
  const limit_loops& best = loops.at(level);
  return mean_rate(seconds, [&] {
    std::size_t done = 0;
    pool.parallel_for(pool.threads(), 1, [&](std::size_t begin, std::size_t) {
      const std::size_t n = best.dots(40000);
      if (begin == 0) done = n;
    });
    return 2.0 * static_cast<double>(done * pool.threads());
  });
}

/// Bytes a second of all threads together that read `memory` again and again for this time.
inline double mean_reading(tern::isa::level level, const std::vector<std::uint8_t>& memory,
                           tern::thread_pool& pool, double seconds) {
  const limit_loops& best = loops.at(level);
  const std::size_t part = memory.size() / pool.threads() / 2048 * 2048;
  return mean_rate(seconds, [&] {
    pool.parallel_for(pool.threads(), 1, [&](std::size_t begin, std::size_t) {
      for (std::size_t at = 0; at < part; at += read_slice)
        best.read(memory.data() + begin * part + at, std::min(read_slice, part - at));
    });
    return static_cast<double>(part * pool.threads());
  });
}

}  // namespace bench
