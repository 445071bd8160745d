// How precisely a product of floats is computed: a policy that training chooses.
#pragma once

#include "tern/core/enum_names.hpp"

namespace tern::inline TERN_ABI {

/// The precision of products of floats. Sums are always fp32.
enum class precision {
  exact,  ///< operands count with all their bits
  /// Operands are rounded once to bfloat16, to the nearest even number, where the CPU multiplies
  /// such numbers faster than floats (AMX tiles, AVX512-BF16). Any other CPU computes `exact`.
  bf16,
  /// As `bf16`, but the gradient of a ternary linear's input is an integer product: each token of
  /// dy is rounded to 8 bits, as in SwitchBack (arXiv 2304.13013).
  int8,
};

/// The names of precisions in recipes.
inline constexpr enum_names<precision> precision_names{
    {"exact", precision::exact}, {"bf16", precision::bf16}, {"int8", precision::int8}};

}  // namespace tern::inline TERN_ABI
