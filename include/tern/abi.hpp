// The name of the inline namespace that all names of the library live in. It tells apart the
// instructions and the rules of floating-point arithmetic that a translation unit is compiled for.
// So the linker never replaces an inline function of one unit by that of another unit which has
// other instructions or arithmetic.
#pragma once

// TERN_ABI_TAG_(macro, tag) gives `tag` where the compiler defines `macro` as 1, and nothing
// otherwise: TERN_ABI_SHIFT_1 puts a comma before `tag`, so that it becomes the second argument.
#define TERN_ABI_SHIFT_1 ,
#define TERN_ABI_TAG_(macro, tag) TERN_ABI_SHIFT_(macro, tag)
#define TERN_ABI_SHIFT_(value, tag) TERN_ABI_CHOOSE_(TERN_ABI_SHIFT_##value tag, , )
#define TERN_ABI_CHOOSE_(...) TERN_ABI_SECOND_(__VA_ARGS__)
#define TERN_ABI_SECOND_(first, second, ...) second

#define TERN_ABI_JOIN_(a, b, c, d, e, f, g, h) TERN_ABI_PASTE_(a, b, c, d, e, f, g, h)
#define TERN_ABI_PASTE_(a, b, c, d, e, f, g, h) a##b##c##d##e##f##g##h

// The widest registers.
#if defined(__AVX512F__)
#  define TERN_ABI_REGISTERS_ v0_avx512
#elif defined(__AVX2__)
#  define TERN_ABI_REGISTERS_ v0_avx2
#elif defined(__AVX__)
#  define TERN_ABI_REGISTERS_ v0_avx
#elif defined(__SSE4_2__)
#  define TERN_ABI_REGISTERS_ v0_sse42
#elif defined(__SSE4_1__)
#  define TERN_ABI_REGISTERS_ v0_sse41
#elif defined(__SSSE3__)
#  define TERN_ABI_REGISTERS_ v0_ssse3
#elif defined(__SSE3__)
#  define TERN_ABI_REGISTERS_ v0_sse3
#elif defined(__ARM_FEATURE_SVE2)
#  define TERN_ABI_REGISTERS_ v0_sve2
#elif defined(__ARM_FEATURE_SVE)
#  define TERN_ABI_REGISTERS_ v0_sve
#else
#  define TERN_ABI_REGISTERS_ v0
#endif

// Instructions that compilers choose by themselves. Within an architecture each has a letter or a
// digit of its own.
#define TERN_ABI_SCALAR_                                                                           \
  TERN_ABI_JOIN_(TERN_ABI_TAG_(__FMA__, f), TERN_ABI_TAG_(__F16C__, h), TERN_ABI_TAG_(__BMI__, b), \
                 TERN_ABI_TAG_(__BMI2__, c), TERN_ABI_TAG_(__LZCNT__, l),                          \
                 TERN_ABI_TAG_(__POPCNT__, p), TERN_ABI_TAG_(__MOVBE__, m),                        \
                 TERN_ABI_TAG_(__GFNI__, g))
#define TERN_ABI_AMD_                                                          \
  TERN_ABI_JOIN_(TERN_ABI_TAG_(__SSE4A__, a), TERN_ABI_TAG_(__FMA4__, k),      \
                 TERN_ABI_TAG_(__XOP__, x), TERN_ABI_TAG_(__TBM__, t),         \
                 TERN_ABI_TAG_(__AVXVNNI__, v), TERN_ABI_TAG_(__AVXIFMA__, i), \
                 TERN_ABI_TAG_(__AVXVNNIINT8__, u), TERN_ABI_TAG_(__APX_F__, z))
#define TERN_ABI_AVX512_                                                             \
  TERN_ABI_JOIN_(TERN_ABI_TAG_(__AVX512CD__, 0), TERN_ABI_TAG_(__AVX512BW__, 1),     \
                 TERN_ABI_TAG_(__AVX512DQ__, 2), TERN_ABI_TAG_(__AVX512VL__, 3),     \
                 TERN_ABI_TAG_(__AVX512IFMA__, 4), TERN_ABI_TAG_(__AVX512VBMI__, 5), \
                 TERN_ABI_TAG_(__AVX512VBMI2__, 6), TERN_ABI_TAG_(__AVX512VNNI__, 7))
#define TERN_ABI_AVX512_LATER_                                                              \
  TERN_ABI_JOIN_(TERN_ABI_TAG_(__AVX512BITALG__, 8), TERN_ABI_TAG_(__AVX512VPOPCNTDQ__, 9), \
                 TERN_ABI_TAG_(__AVX512BF16__, d), TERN_ABI_TAG_(__AVX512FP16__, e),        \
                 TERN_ABI_TAG_(__AVX512VP2INTERSECT__, j), TERN_ABI_TAG_(__AVX512ER__, n),  \
                 TERN_ABI_TAG_(__AVX10_1__, o), TERN_ABI_TAG_(__AVX10_2__, q))
#define TERN_ABI_ARM_                                                                              \
  TERN_ABI_JOIN_(TERN_ABI_TAG_(__ARM_FEATURE_DOTPROD, d), TERN_ABI_TAG_(__ARM_FEATURE_ATOMICS, a), \
                 TERN_ABI_TAG_(__ARM_FEATURE_FP16_VECTOR_ARITHMETIC, h),                           \
                 TERN_ABI_TAG_(__ARM_FEATURE_BF16, b),                                             \
                 TERN_ABI_TAG_(__ARM_FEATURE_MATMUL_INT8, i),                                      \
                 TERN_ABI_TAG_(__ARM_FEATURE_QRDMX, q), TERN_ABI_TAG_(__ARM_FEATURE_FMA, f),       \
                 TERN_ABI_TAG_(__ARM_FEATURE_UNALIGNED, u))

// Parts of -ffast-math. g++ names each of them, clang only the whole.
#define TERN_ABI_ARITHMETIC_                                                                    \
  TERN_ABI_JOIN_(TERN_ABI_TAG_(__ASSOCIATIVE_MATH__, A), TERN_ABI_TAG_(__RECIPROCAL_MATH__, R), \
                 TERN_ABI_TAG_(__NO_SIGNED_ZEROS__, Z), TERN_ABI_TAG_(__ROUNDING_MATH__, N),    \
                 TERN_ABI_TAG_(__FAST_MATH__, M), TERN_ABI_TAG_(__FINITE_MATH_ONLY__, F), , )

/// The inline namespace of every name of the library.
#define TERN_ABI                                                                            \
  TERN_ABI_JOIN_(TERN_ABI_REGISTERS_, _, TERN_ABI_SCALAR_, TERN_ABI_AMD_, TERN_ABI_AVX512_, \
                 TERN_ABI_AVX512_LATER_, TERN_ABI_ARM_, TERN_ABI_ARITHMETIC_)
