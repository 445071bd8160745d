#!/usr/bin/env bash
# Prints where a model spends its time: shares of the samples of a profile (Linux perf), by part.
# Arguments: BITDISTILL MODEL-FOLDER THREADS prefill|decode
set -euo pipefail
if (($# != 4)); then
  echo "usage: $0 BITDISTILL MODEL-FOLDER THREADS prefill|decode" >&2
  exit 2
fi
case $4 in
  prefill) tokens=(--prompt-tokens 512 --new-tokens 1) ;;
  decode) tokens=(--prompt-tokens 1 --new-tokens 128) ;;
  *) echo "$0: expected prefill or decode, got $4" >&2; exit 2 ;;
esac
samples=$(mktemp)
trap 'rm -f "$samples"' EXIT
perf record --quiet --freq 2000 --output "$samples" \
  "$1" bench --model "$2" --threads "$3" "${tokens[@]}" > /dev/null
perf report --input "$samples" --stdio --sort symbol --percent-limit 0 2> /dev/null |
  awk '
    function part(s) {
      if (s ~ /bench::/) return ""  # the limits that bench measures first
      if (s ~ /rescale/ && s !~ /ternary_matmul/) return "scaling of sums"
      if (s ~ /kernel::.*(four_bit|eight_bit)/) return "product of the head"
      if (s ~ /kernel::|ternary_matmul/) return "products of ternary weights"
      if (s ~ /norm::|rms_norm|absmax|quantize/) return "norms and quantization"
      if (s ~ /attention|softmax|exponentials|cache_products|f16|gemm|detail::|rope|simd::/)
        return "attention, RoPE and cache"
      if (s ~ /gated_activation|accumulate/) return "activations and residuals"
      if (s ~ /thread_pool|clock_gettime|steady_clock|vdso/) return "threads waiting"
      if (s ~ /\[k\]/) return "operating system"
      return "the rest"
    }
    $1 ~ /%$/ {
      share = $1 + 0
      name = part($0)
      if (name == "") next
      sum[name] += share
      all += share
    }
    END { for (name in sum) printf "%5.1f %%  %s\n", 100 * sum[name] / all, name }' |
  sort --numeric-sort --reverse
