#!/usr/bin/env bash
# Seconds of compile time that including each header costs and how many times that is what <Eigen/Core>
# costs, the heaviest dependency of the core: the best of three measurements, front end only, without -m flags
# and with -march=x86-64-v3. Arguments: headers (default: the ones a user includes first).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

compiler=${CXX:-g++}
headers=("$@")
(($#)) || headers=(immintrin.h xsimd/xsimd.hpp tern/core/tensor.hpp tern/quant/absmean.hpp
                   tern/{kernel/matmul,nn/bit_linear,distill/relation,model/decoder,tern}.hpp)

TIMEFORMAT=%U
exec 3>&2

# seconds(header flags...)
seconds() {
  for _ in 1 2 3; do
    { time "$compiler" -std=c++20 -Iinclude -isystem /usr/include/eigen3 -fsyntax-only "${@:2}" -x c++ - \
           <<<"#include <$1>" 2>&3; } 2>&1
  done | sort -n | head -1
}

declare -A eigen
echo "Compile time of one include ($compiler): seconds and times <Eigen/Core>, without flags and with"
for header in Eigen/Core "${headers[@]}"; do
  printf '  %-32s' "$header"
  for flags in -DNONE -march=x86-64-v3; do
    own=$(seconds "$header" "$flags")
    : "${eigen[$flags]:=$own}"
    awk -v own="$own" -v eigen="${eigen[$flags]}" 'BEGIN { printf "%8.3f %5.2f", own, own / eigen }'
  done
  echo
done
