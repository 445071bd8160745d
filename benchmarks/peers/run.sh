#!/bin/sh
# A training step of tern beside the same step in PyTorch eager, taking turns: medians and ratio.
#   benchmarks/peers/run.sh PYTHON-WITH-TORCH BUILD-DIRECTORY [ROUNDS] [MODEL...]     models: base demo
set -eu
python=${1:?python with torch} build=${2:?build directory} rounds=${3:-3}
[ $# -gt 3 ] && shift 3 || set -- base demo
here=$(cd "$(dirname "$0")" && pwd)
times=$(mktemp)
trap 'rm -f "$times"' EXIT

for round in $(seq "$rounds"); do
  for model in "$@"; do for kind in full_precision ternary; do for threads in 1 2; do
    ours=$("$build/bin/bench_training_step" --benchmark_format=csv --benchmark_min_time=0.5 \
      --benchmark_filter="^$model/$kind/threads:$threads/" 2>/dev/null | tail -n 1 | cut -d, -f3)
    echo "$model $kind $threads tern $ours" >>"$times"
    "$python" "$here/bitlinear_step.py" --model "$model" --kind "$kind" --threads "$threads" |
      while read -r m k t each; do
        for ms in $each; do echo "$m $k $t torch $ms"; done
      done >>"$times"
  done; done; done
done

sort -k1,4 -k5,5n "$times" | awk '
  function close_group() { if (key != "") median[key] = n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2 }
  { k = $1 " " $2 " " $3 " " $4; if (k != key) { close_group(); key = k; n = 0; rows[$1 " " $2 " " $3] } v[++n] = $5 }
  END {
    close_group()
    printf "%-5s %-15s %7s %10s %10s %7s\n", "model", "kind", "threads", "tern ms", "torch ms", "ratio"
    for (r in rows) {
      split(r, f, " ")
      printf "%-5s %-15s %7d %10.1f %10.1f %7.2f\n", f[1], f[2], f[3], median[r " tern"], median[r " torch"],
             median[r " torch"] / median[r " tern"] | "sort"
    }
  }'
