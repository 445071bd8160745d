#!/bin/sh
# A training step of tern beside the same step in PyTorch, eager and compiled, taking turns: medians,
# and the ratio to the faster one of PyTorch's.
#   benchmarks/peers/run.sh PYTHON-WITH-TORCH BUILD-DIRECTORY [ROUNDS] [MODEL...]   models: base demo smollm2
# The variables KINDS, PRECISIONS and THREADS choose a part of the table. PyTorch has bf16 where tern has int8.
set -eu
python=${1:?python with torch} build=${2:?build directory} rounds=${3:-3}
[ $# -gt 3 ] && shift 3 || set -- base demo
here=$(cd "$(dirname "$0")" && pwd)
times=$(mktemp)
trap 'rm -f "$times"' EXIT

for round in $(seq "$rounds"); do
  for model in "$@"; do for kind in ${KINDS:-full_precision ternary}; do
    for precision in ${PRECISIONS:-exact bf16}; do for threads in ${THREADS:-1 2}; do
      key="$model $kind $precision $threads"
      ours=$("$build/bin/bench_training_step" --benchmark_format=csv --benchmark_min_time=0.5 \
        --benchmark_filter="^$model/$kind/$precision/threads:$threads/" 2>/dev/null | tail -n 1 |
        cut -d, -f3)
      echo "$key tern $ours" >>"$times"
      [ "$precision" = exact ] && theirs=exact || theirs=bf16
      for mode in eager compiled; do
        "$python" "$here/bitlinear_step.py" --model "$model" --kind "$kind" --threads "$threads" \
          --precision "$theirs" $([ $mode = eager ] || echo --compile) |
          while read -r _ _ _ _ how each; do
            for ms in $each; do echo "$key $how $ms"; done
          done >>"$times"
      done
    done; done
  done; done
done

sort -k1,5 -k6,6n "$times" | awk '
  function close_group() { if (key != "") median[key] = n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2 }
  {
    row = $1 " " $2 " " $3 " " $4; k = row " " $5
    if (k != key) { close_group(); key = k; n = 0; rows[row] }
    v[++n] = $6
  }
  END {
    close_group()
    printf "%-8s %-15s %-6s %7s %10s %10s %10s %7s\n",
           "model", "kind", "", "threads", "tern ms", "eager ms", "compiled", "ratio"
    for (r in rows) {
      split(r, f, " ")
      eager = median[r " eager"]; compiled = median[r " compiled"]
      printf "%-8s %-15s %-6s %7d %10.1f %10.1f %10.1f %7.2f\n", f[1], f[2], f[3], f[4],
             median[r " tern"], eager, compiled, (compiled < eager ? compiled : eager) / median[r " tern"] | "sort"
    }
  }'
