// Registers of floating-point numbers, with the instruction set that this translation unit is
// compiled for: those of xsimd on x86 and AArch64, and portable_batch elsewhere. Rounding, exp and
// erf are right under every flag for floating-point arithmetic that version.hpp allows.
#pragma once

#include <cstddef>
#include <limits>

#include "tern/version.hpp"

#if defined(__x86_64__) || defined(__i386__)
#  include <xsimd/xsimd.hpp>
#  define TERN_OWN_ARCH_ 1
#  define TERN_XSIMD_ 1
#elif defined(__aarch64__) && !defined(__AARCH64EB__)
#  include <xsimd/xsimd.hpp>
#  define TERN_OWN_ARCH_ 0  // xsimd 8's functions for AArch64 take no type but their own
#  define TERN_XSIMD_ 1
#  if XSIMD_VERSION_MAJOR < 14 && (defined(__ASSOCIATIVE_MATH__) || defined(__FAST_MATH__))
#    error "before xsimd 14, exp is wrong where sums may be reordered: add -fno-associative-math"
#  endif
#else
#  include "tern/core/portable_batch.hpp"
#  define TERN_OWN_ARCH_ 0
#  define TERN_XSIMD_ 0  // the registers of other machines are known to newer releases only
#endif

#if TERN_OWN_ARCH_
namespace tern::inline TERN_ABI::simd {

/// The instruction set of this translation unit, as a type of its own. xsimd's functions for it
/// are therefore other functions than those that units with other flags use, and their calls of
/// nearbyint() and fnma() find the functions below.
struct arch : xsimd::default_arch {};

}  // namespace tern::inline TERN_ABI::simd

namespace xsimd::types {

XSIMD_DECLARE_SIMD_REGISTER_ALIAS(tern::simd::arch, xsimd::default_arch);

template <class T>
struct get_bool_simd_register<T, tern::simd::arch> : get_bool_simd_register<T, default_arch> {};

}  // namespace xsimd::types
#endif

namespace tern::inline TERN_ABI::simd {

#if TERN_XSIMD_
#  if !TERN_OWN_ARCH_
/// The instruction set of this translation unit.
using arch = xsimd::default_arch;
#  endif

/// Vector of T for the widest instruction set that this translation unit is compiled for.
template <class T>
using batch = xsimd::batch<T, arch>;

using xsimd::abs;
using xsimd::all;
using xsimd::erf;
using xsimd::exp;
using xsimd::fma;
using xsimd::max;
using xsimd::min;
using xsimd::select;
using xsimd::sqrt;
using xsimd::tanh;
using xsimd::zip_hi;
using xsimd::zip_lo;
#else
/// The numbers that are computed with together.
template <class T>
using batch = portable_batch<T>;
#endif

/// Number of elements of a batch.
template <class T>
inline constexpr std::size_t lanes = batch<T>::size;

/// The same numbers, about which the compiler knows nothing. No operation before it is combined
/// with one behind it.
template <class T>
batch<T> opaque(batch<T> x) {
#if defined(__x86_64__) || defined(__i386__)
  __asm__("" : "+v"(x.data));
#elif defined(__aarch64__)
  __asm__("" : "+w"(x.data));
#elif defined(__GNUC__)
  __asm__("" : "+m"(x.data));
#endif
  return x;
}

/// Rounds half to even in the default rounding mode. Where xsimd has no instruction for it
/// (before SSE4.1, and on AArch64), a number of which the last bit counts 1 is added and
/// subtracted; xsimd 8 lets compilers cancel both where sums may be reordered.
template <class T>
batch<T> nearbyint(const batch<T>& x) {
#if !TERN_XSIMD_
  return x.map([](T each) { return std::nearbyint(each); });
#elif (TERN_OWN_ARCH_ && !defined(__SSE4_1__)) || defined(__aarch64__)
  const batch<T> big(1 / std::numeric_limits<T>::epsilon());
  const batch<T> sign = xsimd::bitofsign(x), magnitude = x ^ sign;
  return sign ^ xsimd::select(magnitude < big, opaque<T>(magnitude + big) - big, magnitude);
#else
  return xsimd::nearbyint(x);
#endif
}

/// z - x y. Two such steps subtract the two parts of a constant in exp(); a compiler that may
/// reorder sums would add the parts first.
template <class T>
batch<T> fnma(const batch<T>& x, const batch<T>& y, const batch<T>& z) {
#if TERN_XSIMD_
  return opaque<T>(xsimd::fnma(x, y, z));
#else
  return z - x * y;
#endif
}

/// True for the elements that are not NaN, even where the compiler takes every number for one.
template <class T>
typename batch<T>::batch_bool_type is_number(const batch<T>& x) {
  return opaque<T>(x) == x;
}

}  // namespace tern::inline TERN_ABI::simd
