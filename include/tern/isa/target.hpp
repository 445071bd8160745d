// Regions of code compiled for a named instruction set, whatever flags the translation unit has:
// the only compiler pragmas of the library. Inside a region keep to free or static functions on
// plain structs; vectors never pass through functions defined outside of it.
#pragma once

#if (defined(__x86_64__) || defined(__i386__)) && (defined(__GNUC__) || defined(__clang__))
#  define TERN_X86 1  ///< 1: kernels for x86 are compiled, by function if not by flag
#else
#  define TERN_X86 0
#endif

#if defined(__aarch64__) && defined(__linux__) && !defined(__AARCH64EB__)
#  define TERN_AARCH64 1
#else
#  define TERN_AARCH64 0  ///< 1: kernels for AArch64 are compiled
#endif

#define TERN_PRAGMA_(text) _Pragma(#text)
#if defined(__clang__)
#  define TERN_TARGET_BEGIN(isa) \
    TERN_PRAGMA_(clang attribute push(__attribute__((target(isa))), apply_to = function))
#  define TERN_TARGET_END TERN_PRAGMA_(clang attribute pop)
#else
/// Functions up to TERN_TARGET_END are compiled for `isa`, a string as in -m or target().
#  define TERN_TARGET_BEGIN(isa) TERN_PRAGMA_(GCC push_options) TERN_PRAGMA_(GCC target(isa))
/// Back to the flags of the unit.
#  define TERN_TARGET_END TERN_PRAGMA_(GCC pop_options)
#endif

/// For AArch64's dot product. Below Armv8.2 g++ needs the architecture too, above it minds another.
#if defined(__ARM_FEATURE_DOTPROD)
#  define TERN_TARGET_DOTPROD "+dotprod"
#else
#  define TERN_TARGET_DOTPROD "arch=armv8.2-a+dotprod"
#endif

/// Functions of a region that must melt into their caller at every optimisation level.
#define TERN_INLINE [[gnu::always_inline]] inline
