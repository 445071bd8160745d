// The whole algorithm of a level: included in the level's region, behind its `struct ops`.
//
// ops has the operations of isa/registers/, and
//   reg, bytes       the register and its size
//   dot, dot_wide    sums of products of digits and activations; dot_wide only where max_digit is
//                    less than that of a format
//   widen            what `dot` adds up in, as int32
//   columns          optional: the operand of `dot` for a plane of a token's columns
//   max_digit        the largest digit that `dot` is exact for
//   max_dots         the number of dot products that may be added before `widen`
//   tile_tokens      tokens of a tile; their sums stay in registers
//   register_totals  groups of up to this number of columns keep their totals in registers; tiles
//                    have half as many tokens then
//   matvec_tokens    up to this number of tokens each has a matvec of its own
//   matvec_sums      accumulators that a matvec needs to hide how long a dot product takes

#include "tern/kernel/generic/two_bit.inl"

#include "tern/kernel/generic/base3.inl"

#include "tern/kernel/generic/wide.inl"

#include "tern/kernel/generic/matvec.inl"

#include "tern/kernel/generic/matmul.inl"
