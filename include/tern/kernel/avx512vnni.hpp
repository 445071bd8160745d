// AVX-512 VNNI: 16 rows in a register, four bytes of each row a step.
//
//   vpdpbusd zmm   64 multiply-adds   latency 5   1/cycle (Zen 4, one p0 core) or 2/cycle (p05)
//   vpandd / vpsubb zmm               latency 1   2/cycle
//   vpsrlw / vpminub zmm              latency 1   1/cycle (p0)
//   vpshufb / vpcmpeqb zmm            latency 1 and 3   1/cycle (p5)
//   vpbroadcastd zmm, m32             a load, no vector port
//
// matmul: 24 dot products, 2 loads and 12 broadcasts for 32 rows x 12 tokens x 4 columns.
// matvec, two_bit: 4 masks and 4 dot products for 16 rows x 16 columns: 4 cycles of p05.
// matvec, base3: 19 operations to decode and 5 dot products for 16 rows x 20 columns: 12 cycles.
#pragma once

#include "tern/isa/target.hpp"
#include "tern/kernel/base3_tables.hpp"
#include "tern/kernel/problem.hpp"
#include "tern/pack/base3.hpp"
#include "tern/pack/eight_bit.hpp"
#include "tern/pack/four_bit.hpp"
#include "tern/pack/two_bit.hpp"

#if TERN_X86
#  include <immintrin.h>

#  include <cstring>
#  include <limits>
#  include <utility>

TERN_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
namespace tern::inline TERN_ABI::kernel::avx512vnni {

#  include "tern/kernel/generic/zmm_vnni.inl"

#  include "tern/kernel/generic/two_bit.inl"

#  include "tern/kernel/generic/base3.inl"

#  include "tern/kernel/generic/wide.inl"

#  include "tern/kernel/generic/matvec.inl"

#  include "tern/kernel/generic/matmul.inl"

}  // namespace tern::inline TERN_ABI::kernel::avx512vnni
TERN_TARGET_END
#endif
