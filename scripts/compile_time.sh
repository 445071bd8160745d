#!/usr/bin/env bash
# Seconds of compile time that including each header costs, beside its dependencies: the best of
# three runs, front end only. Arguments: headers (default: the ones a user includes first).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

compiler=${CXX:-g++}
if (($#)); then
  headers=("$@")
else
  headers=(Eigen/Core xsimd/xsimd.hpp nlohmann/json.hpp)
  for header in core/tensor core/simd quant/absmean kernel/matmul linalg/gemm nn/bit_linear \
                distill/relation distill/objective text/bpe_tokenizer io/safetensors \
                model/decoder train/pipeline infer/generate; do
    [[ -f include/tern/$header.hpp ]] && headers+=("tern/$header.hpp")
  done
  [[ -f include/tern/tern.hpp ]] && headers+=(tern/tern.hpp)
fi

TIMEFORMAT=%U
exec 3>&2
echo "Compile time of one include, seconds ($compiler)"
for header in "${headers[@]}"; do
  best=$(for _ in 1 2 3; do
    { time "$compiler" -std=c++20 -fsyntax-only -Iinclude -isystem /usr/include/eigen3 -x c++ - \
        <<<"#include <$header>" 2>&3; } 2>&1
  done | sort -n | head -1)
  printf '  %-32s %s\n' "$header" "$best"
done
