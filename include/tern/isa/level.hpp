// What this CPU can run, asked of the CPU itself. The environment variable TERN_ISA caps it.
#pragma once

#include <array>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "tern/core/error.hpp"
#include "tern/isa/target.hpp"

#if TERN_X86
#  include <cpuid.h>
#endif

namespace tern::inline TERN_ABI::isa {

/// Kernel sets in order of preference. A CPU may run one and lack another below it: several with
/// AVX-512 VNNI know no AVX-VNNI.
enum class level { scalar, avx2, avxvnni, avx512vnni };

inline constexpr std::array levels{level::scalar, level::avx2, level::avxvnni, level::avx512vnni};

constexpr std::string_view name(level l) {
  constexpr std::array<std::string_view, levels.size()> names{"scalar", "avx2", "avxvnni",
                                                              "avx512vnni"};
  return names[static_cast<std::size_t>(l)];
}

/// Throws config_error for a name that is none.
inline level parse(std::string_view text) {
  std::string known;
  for (const level l : levels) {
    if (name(l) == text) return l;
    known.append(known.empty() ? "" : ", ").append(name(l));
  }
  throw config_error("TERN_ISA: expected one of " + known + ", got " + std::string(text));
}

namespace detail {

#if TERN_X86
struct cpuid_words {
  std::uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

inline cpuid_words cpuid(std::uint32_t leaf, std::uint32_t subleaf) {
  cpuid_words w;
  if (__get_cpuid_count(leaf, subleaf, &w.eax, &w.ebx, &w.ecx, &w.edx) == 0) return {};
  return w;
}

/// Register state that the operating system saves: bits 1-2 SSE and AVX, 5-7 AVX-512.
inline std::uint32_t enabled_state() {
  constexpr std::uint32_t osxsave = 1u << 27;
  if ((cpuid(1, 0).ecx & osxsave) == 0) return 0;
  std::uint32_t low = 0, high = 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

inline bool detect(level l) {
  const auto has = [](std::uint32_t word, std::uint32_t bits) { return (word & bits) == bits; };
  const std::uint32_t state = enabled_state();
  const cpuid_words leaf7 = cpuid(7, 0);
  constexpr std::uint32_t avx = 1u << 28, avx2 = 1u << 5;                          // 1.ecx, 7.ebx
  constexpr std::uint32_t f_dq_bw_vl = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;  // 7.ebx
  constexpr std::uint32_t avx512_vnni = 1u << 11, avx_vnni = 1u << 4;              // 7.ecx, 7.1.eax
  const bool ymm = has(state, 0x06) && has(cpuid(1, 0).ecx, avx) && has(leaf7.ebx, avx2);
  switch (l) {
    case level::scalar:
      return true;
    case level::avx2:
      return ymm;
    case level::avxvnni:
      return ymm && leaf7.eax >= 1 && has(cpuid(7, 1).eax, avx_vnni);
    case level::avx512vnni:
      return ymm && has(state, 0xE6) && has(leaf7.ebx, f_dq_bw_vl) && has(leaf7.ecx, avx512_vnni);
  }
  return false;
}
#else
inline bool detect(level l) { return l == level::scalar; }
#endif

inline level best() {
  const char* cap = std::getenv("TERN_ISA");
  const level top = cap == nullptr || *cap == '\0' ? levels.back() : parse(cap);
  level found = level::scalar;
  for (const level l : levels)
    if (l <= top && detect(l)) found = l;
  return found;
}

}  // namespace detail

/// Whether this CPU and operating system run the level (TERN_ISA plays no part).
inline bool supported(level l) {
  static const std::array<bool, levels.size()> cache = [] {
    std::array<bool, levels.size()> a{};
    for (const level each : levels) a[static_cast<std::size_t>(each)] = detail::detect(each);
    return a;
  }();
  return cache[static_cast<std::size_t>(l)];
}

/// The level kernels use: the best supported one not above TERN_ISA, read once. Throws
/// config_error where TERN_ISA names no level.
inline level active() {
  static const level l = detail::best();
  return l;
}

}  // namespace tern::inline TERN_ABI::isa
