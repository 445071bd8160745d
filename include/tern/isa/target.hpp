// Regions of code that are compiled for a named instruction set, whatever flags the translation
// unit has. These are the only target pragmas of the library. A region contains free or static
// functions on plain structs, and no vector passes through a function that is defined outside of a
// region.
#pragma once

#if (defined(__x86_64__) || defined(__i386__)) && (defined(__GNUC__) || defined(__clang__))
#  define TERN_X86 1  ///< 1 where kernels for x86 are compiled
#else
#  define TERN_X86 0
#endif

#if defined(__aarch64__) && !defined(__AARCH64EB__) && (defined(__GNUC__) || defined(__clang__))
#  define TERN_AARCH64 1
#else
#  define TERN_AARCH64 0  ///< 1 where kernels for AArch64 are compiled
#endif

/// 1 where kernels for AMX are compiled. The intrinsics of g++ use `long` as an address, which is
/// too short on Windows.
#if TERN_X86 && defined(__x86_64__) && !defined(_WIN32)
#  define TERN_X86_TILES 1
#else
#  define TERN_X86_TILES 0
#endif

#define TERN_PRAGMA_(text) _Pragma(#text)
#if defined(__clang__)
#  define TERN_TARGET_BEGIN(isa) \
    TERN_PRAGMA_(clang attribute push(__attribute__((target(isa))), apply_to = function))
#  define TERN_TARGET_END TERN_PRAGMA_(clang attribute pop)
#else
/// Functions from here to TERN_TARGET_END are compiled for `isa`, a string as the function
/// attribute target() takes it.
#  define TERN_TARGET_BEGIN(isa) TERN_PRAGMA_(GCC push_options) TERN_PRAGMA_(GCC target(isa))
/// From here on functions are compiled for the flags of the unit.
#  define TERN_TARGET_END TERN_PRAGMA_(GCC pop_options)
#endif

/// The target string for the dot products of AArch64. g++ needs the architecture where the unit is
/// below Armv8.2, and refuses it where the unit is above.
#if defined(__ARM_FEATURE_DOTPROD)
#  define TERN_TARGET_DOTPROD "+dotprod"
#else
#  define TERN_TARGET_DOTPROD "arch=armv8.2-a+dotprod"
#endif

/// For functions that must be inlined at every optimisation level. A function of a region may be
/// inlined into a region that has all of its instructions.
#define TERN_INLINE [[gnu::always_inline]] inline
