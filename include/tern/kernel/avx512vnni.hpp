// AVX-512 VNNI: 16 rows in a register, four bytes of each row a step.
//
//   vpdpbusd zmm   64 multiply-adds   latency 5   1/cycle (Zen 4, one p0 core) or 2/cycle (p05)
//   vpandd / vpsrlw zmm                latency 1   2/cycle
//   vpbroadcastd zmm, m32             a load, no vector port
//
// matmul: 24 dot products, 2 loads and 12 broadcasts for 32 rows x 12 tokens x 4 columns.
// matvec: 4 masks and 4 dot products for 16 rows x 16 columns.
#pragma once

#include "tern/isa/target.hpp"
#include "tern/kernel/base3_tables.hpp"
#include "tern/kernel/problem.hpp"
#include "tern/pack/base3.hpp"
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

#  include "tern/kernel/generic/matvec.inl"

#  include "tern/kernel/generic/matmul.inl"

}  // namespace tern::inline TERN_ABI::kernel::avx512vnni
TERN_TARGET_END
#endif
