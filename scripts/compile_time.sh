#!/usr/bin/env bash
# Seconds of compile time that including each header costs and how many times that is what the heaviest
# library it includes costs alone: the best of three runs, front end only, without -m flags and with
# -march=x86-64-v3. Arguments: headers (default: the ones a user includes first).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

compiler=${CXX:-g++}
libraries=(immintrin.h Eigen/Core xsimd/xsimd.hpp nlohmann/json.hpp)
headers=("$@")
(($#)) || headers=(tern/{core/tensor,core/simd,quant/absmean,quant/absmax_int8,kernel/matmul,linalg/gemm}.hpp
                   tern/{nn/bit_linear,distill/relation,distill/objective,model/decoder,tern}.hpp
                   tern/{text/bpe_tokenizer,io/safetensors,infer/generate,train/pipeline}.hpp)

TIMEFORMAT=%U
exec 3>&2

# compile(header flags...)
compile() {
  "$compiler" -std=c++20 -Iinclude -isystem /usr/include/eigen3 "${@:2}" -x c++ - <<<"#include <$1>"
}

# seconds(header flags...)
seconds() {
  for _ in 1 2 3; do
    { time compile "$1" -fsyntax-only "${@:2}" 2>&3; } 2>&1
  done | sort -n | head -1
}

declare -A cost
echo "Compile time of one include ($compiler): seconds and times the heaviest library, without flags and with"
for header in "${libraries[@]}" "${headers[@]}"; do
  printf '  %-32s' "$header"
  for flags in -DNONE -march=x86-64-v3; do
    cost[$header$flags]=$(seconds "$header" "$flags")
    included=$(compile "$header" -M "$flags")
    for library in "${libraries[@]}"; do
      [[ "$included" != *"/$library"* ]] || echo "${cost[$library$flags]}"
    done | sort -n | tail -1 | awk -v own="${cost[$header$flags]}" '
      { heaviest = $1 } END { printf "%8.3f %5s", own, heaviest ? sprintf("%.2f", own / heaviest) : "-" }'
  done
  echo
done
