// The one place of the version (CMake reads it here) and of the ABI tag.
#pragma once

#if __cplusplus < 202002L
#  error "tern needs C++20: -std=c++20"
#endif

#define TERN_VERSION_MAJOR 0  ///< semantic version: interfaces may change before the first release
#define TERN_VERSION_MINOR 1  ///< grows with what is new
#define TERN_VERSION_PATCH 0  ///< grows with what is mended

// Every name of the library lives in `tern::inline TERN_ABI`. The tag differs with the instruction
// set the translation unit is compiled for, so that inline functions of two units built with
// different -m flags never replace one another at link time.
#if defined(__AVX512F__)
#  define TERN_ABI v0_avx512
#elif defined(__AVX2__) && defined(__FMA__)
#  define TERN_ABI v0_avx2_fma
#elif defined(__AVX2__)
#  define TERN_ABI v0_avx2
#elif defined(__AVX__)
#  define TERN_ABI v0_avx
#elif defined(__SSE4_1__)
#  define TERN_ABI v0_sse41
#elif defined(__ARM_FEATURE_SVE2)
#  define TERN_ABI v0_sve2
#elif defined(__ARM_FEATURE_SVE)
#  define TERN_ABI v0_sve
#elif defined(__ARM_FEATURE_DOTPROD)
#  define TERN_ABI v0_dotprod
#elif defined(__ARM_FEATURE_ATOMICS)
#  define TERN_ABI v0_lse
#else
#  define TERN_ABI v0  ///< inline namespace of every name, after the instruction set
#endif
