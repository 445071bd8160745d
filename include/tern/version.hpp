// The one place of the version (CMake reads it here), and what the library asks of the compiler.
#pragma once

#include "tern/abi.hpp"

#if __cplusplus < 202002L
#  error "tern needs C++20: -std=c++20"
#endif

#if !defined(__cpp_exceptions)
#  error "tern throws exceptions: remove -fno-exceptions"
#endif

#define TERN_VERSION_MAJOR 0  ///< semantic version: interfaces may change before the first release
#define TERN_VERSION_MINOR 1  ///< grows with what is new
#define TERN_VERSION_PATCH 0  ///< grows with what is mended

// The words `min` and `max` are names of the standard library and of this one.
#if defined(min) || defined(max)
#  error "min or max is a macro: define NOMINMAX before <windows.h>, or #undef both before tern"
#  undef min  // so that this is the only error
#  undef max
#endif

// NaN and infinity mean something here: masks are -infinity, and NaN in weights, logits and
// gradients is refused. Other parts of -ffast-math are allowed.
#if defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__
#  error "tern needs NaN and infinity: add -fno-finite-math-only after -ffast-math or -Ofast"
#endif

// x87 computes with more bits than a float or double has, so that the same sums give other bits.
#if (defined(__i386__) || defined(__x86_64__)) && !defined(__SSE2_MATH__)
#  error "tern needs the arithmetic of SSE2: add -msse2 -mfpmath=sse"
#endif

// g++ for 64-bit Windows puts variables of AVX types at addresses that are no multiple of their
// size, and moves them with instructions that stop the program there (GCC bug 54412). Only the
// assembler can be told to take the other instructions. The CMake target sets both words.
#if defined(_WIN64) && defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(TERN_UNALIGNED_VECTOR_MOVE)
#  error "g++ for Windows: add -Wa,-muse-unaligned-vector-move -DTERN_UNALIGNED_VECTOR_MOVE"
#endif
