// Instruction-set levels, and which of them this CPU has: the CPU itself is asked. The environment
// variable TERN_ISA sets an upper limit.
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
#  if defined(__linux__)
#    include <sys/syscall.h>
#    include <unistd.h>
#  endif
#elif TERN_AARCH64 && defined(__linux__)
#  include <sys/auxv.h>
#elif TERN_AARCH64 && defined(__APPLE__)
#  include <sys/sysctl.h>
#endif

namespace tern::inline TERN_ABI::isa {

/// Instruction sets that the library has code for. A comparison asks whether one level has the
/// instructions of the other: `a <= b` where a CPU of level b runs everything that is made for a.
/// Levels of different architectures are neither below nor above each other, nor are AVX-VNNI and
/// AVX-512, since several CPUs with AVX-512 VNNI lack AVX-VNNI. Every level includes `scalar`.
enum class level {
  scalar,
  sse41,
  avx2,
  avxvnni,
  avx512bw,
  avx512vnni,
  avx512vbmi,
  avx512bf16,
  amx,
  neon,
  neon_dotprod
};

/// Number of levels of all architectures.
inline constexpr std::size_t level_count = 11;

/// The levels of this architecture in the order of preference.
#if TERN_X86
inline constexpr std::array levels{level::scalar,     level::sse41,      level::avx2,
                                   level::avxvnni,    level::avx512bw,   level::avx512vnni,
                                   level::avx512vbmi, level::avx512bf16, level::amx};
#elif TERN_AARCH64
inline constexpr std::array levels{level::scalar, level::neon, level::neon_dotprod};
#else
inline constexpr std::array levels{level::scalar};
#endif

namespace detail {

struct level_traits {
  std::string_view name;
  level extends;  ///< the level to which this one adds instructions
};

/// One entry for each level, in the order of the enumeration.
inline constexpr std::array<level_traits, level_count> traits{{
    {"scalar", level::scalar},
    {"sse41", level::scalar},
    {"avx2", level::sse41},
    {"avxvnni", level::avx2},
    {"avx512bw", level::avx2},
    {"avx512vnni", level::avx512bw},
    {"avx512vbmi", level::avx512vnni},
    {"avx512bf16", level::avx512vbmi},
    {"amx", level::avx512bf16},
    {"neon", level::scalar},
    {"neon_dotprod", level::neon},
}};

constexpr const level_traits& traits_of(level l) { return traits[static_cast<std::size_t>(l)]; }

}  // namespace detail

/// Whether a CPU of level b runs everything that is made for a.
constexpr bool operator<=(level a, level b) {
  while (b != a && b != level::scalar) b = detail::traits_of(b).extends;
  return b == a;
}
constexpr bool operator>=(level a, level b) { return b <= a; }
constexpr bool operator<(level a, level b) { return a != b && a <= b; }
constexpr bool operator>(level a, level b) { return b < a; }

/// The name of a level, as the environment variable TERN_ISA spells it.
constexpr std::string_view name(level l) { return detail::traits_of(l).name; }

/// The level of this name. Throws config_error where no level of this architecture has it.
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

/// The registers that the operating system saves: bits 1 and 2 stand for SSE and AVX, 5 to 7 for
/// AVX-512, 17 and 18 for AMX.
inline std::uint32_t enabled_state() {
  constexpr std::uint32_t osxsave = 1u << 27;
  if ((cpuid(1, 0).ecx & osxsave) == 0) return 0;
  std::uint32_t low = 0, high = 0;
  // Without `volatile` g++ -O3 moves it before the check, where a CPU that lacks it would stop.
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

/// Asks Linux for the tile registers of AMX, which only a process that has asked may use. True
/// where Linux agrees.
inline bool tiles_granted() {
#  if defined(__linux__) && defined(__x86_64__)
  constexpr long request_permission = 0x1023, tile_data = 18;
  return ::syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#  else
  return false;
#  endif
}

inline bool detect(level l) {
  const auto has = [](std::uint32_t word, std::uint32_t bits) { return (word & bits) == bits; };
  const std::uint32_t state = enabled_state(), leaf1 = cpuid(1, 0).ecx;
  const cpuid_words leaf7 = cpuid(7, 0);
  constexpr std::uint32_t ssse3_sse41 = 1u << 9 | 1u << 19;                        // 1.ecx
  constexpr std::uint32_t fma_avx_f16c = 1u << 12 | 1u << 28 | 1u << 29;           // 1.ecx
  constexpr std::uint32_t avx2 = 1u << 5;                                          // 7.ebx
  constexpr std::uint32_t f_dq_bw_vl = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;  // 7.ebx
  constexpr std::uint32_t avx512_vnni = 1u << 11, avx_vnni = 1u << 4;              // 7.ecx, 7.1.eax
  constexpr std::uint32_t vbmi = 1u << 1, avx512_bf16 = 1u << 5;                   // 7.ecx, 7.1.eax
  constexpr std::uint32_t amx_bf16_tile_int8 = 1u << 22 | 1u << 24 | 1u << 25;     // 7.edx
  const bool ymm = has(state, 0x06) && has(leaf1, fma_avx_f16c) && has(leaf7.ebx, avx2);
  const bool zmm = ymm && has(state, 0xE6) && has(leaf7.ebx, f_dq_bw_vl);
  const std::uint32_t leaf7_1 = leaf7.eax >= 1 ? cpuid(7, 1).eax : 0;
  const bool bf16 = zmm && has(leaf7.ecx, avx512_vnni | vbmi) && has(leaf7_1, avx512_bf16);
  switch (l) {
    case level::scalar:
      return true;
    case level::sse41:
      return has(leaf1, ssse3_sse41);
    case level::avx2:
      return ymm;
    case level::avxvnni:
      return ymm && has(leaf7_1, avx_vnni);
    case level::avx512bw:
      return zmm;
    case level::avx512vnni:
      return zmm && has(leaf7.ecx, avx512_vnni);
    case level::avx512vbmi:
      return zmm && has(leaf7.ecx, avx512_vnni | vbmi);
    case level::avx512bf16:
      return bf16;
    case level::amx:
      return bf16 && has(state, 0x60000) && has(leaf7.edx, amx_bf16_tile_int8) && tiles_granted();
    default:
      return false;
  }
}
#elif TERN_AARCH64
/// Asks the operating system for the dot products. Where it has no known way to ask, the CPU has
/// them only if the flags of this translation unit say so.
inline bool has_dot_products() {
#  if defined(__linux__)
  constexpr unsigned long asimd_dp = 1ul << 20;
  return (::getauxval(AT_HWCAP) & asimd_dp) != 0;
#  elif defined(__ARM_FEATURE_DOTPROD)
  return true;
#  elif defined(__APPLE__)
  int found = 0;
  std::size_t size = sizeof found;
  return ::sysctlbyname("hw.optional.arm.FEAT_DotProd", &found, &size, nullptr, 0) == 0 &&
         found != 0;
#  else
  return false;
#  endif
}

inline bool detect(level l) {
  if (l == level::neon_dotprod) return has_dot_products();
  return l == level::scalar || l == level::neon;
}
#else
inline bool detect(level l) { return l == level::scalar; }
#endif

/// The last supported level up to TERN_ISA, in the order of preference.
inline level best() {
  const char* cap = std::getenv("TERN_ISA");
  const level top = cap == nullptr || *cap == '\0' ? levels.back() : parse(cap);
  level found = level::scalar;
  for (const level l : levels) {
    if (detect(l)) found = l;
    if (l == top) break;
  }
  return found;
}

}  // namespace detail

/// Whether this CPU and this operating system run the level; TERN_ISA plays no part. Where the CPU
/// has tile registers, the first call asks Linux for them on behalf of the whole process.
inline bool supported(level l) {
  static const std::uint32_t cache = [] {
    std::uint32_t set = 0;
    for (const level each : levels)
      set |= static_cast<std::uint32_t>(detail::detect(each)) << static_cast<unsigned>(each);
    return set;
  }();
  return (cache >> static_cast<unsigned>(l) & 1u) != 0;
}

/// The level that the library uses: the most preferred supported one that does not come after
/// TERN_ISA, which is read once. Throws config_error where TERN_ISA names no level.
inline level active() {
  static const level l = detail::best();
  return l;
}

}  // namespace tern::inline TERN_ABI::isa
