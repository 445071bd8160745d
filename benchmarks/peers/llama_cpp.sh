#!/bin/sh
# A model of a Qwen3's shape in tern beside the same shape in llama.cpp, taking turns: medians of
# tokens/s and what tern's are over each of llama.cpp's.
#   benchmarks/peers/llama_cpp.sh PYTHON-WITH-GGUF BITDISTILL [SHAPE] [ROUNDS] [TYPE...]
# scripts/interop.sh fetches the libraries and makes the PYTHON build/interop/python/bin/python. TERN_LLAMA_CPP_DIR names
# other libraries.
# TERN_BENCH_OPTIONS has other options of `bitdistill bench` than --format base3, such as
# "--format two_bit --scale group:64" beside q2_0. Files of the models stay in the directory TERN_PEER_MODELS where that is set. TERN_IK_LLAMA_DIR names
# the bin folder of a build of ik_llama.cpp: its IQ2_BN, repacked at load, takes part then (needs f16).
set -eu
python=${1:?python with gguf} bitdistill=${2:?the program} shape=${3:-qwen3-0.6b} rounds=${4:-3}
[ $# -gt 4 ] && shift 4 || set -- f16 q8_0 q4_0 tq1_0 tq2_0
script=$(dirname "$0")/llama_cpp.py
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
models=${TERN_PEER_MODELS:-$work}

for type in "$@"; do
  file=$models/$shape-$type.gguf
  [ -s "$file" ] || "$python" "$script" make "$shape" "$type" "$file"
done
options=${TERN_BENCH_OPTIONS:---format base3}
ik=${TERN_IK_LLAMA_DIR:-}
if [ -n "$ik" ] && [ ! -s "$models/$shape-iq2_bn.gguf" ]; then
  "$ik/llama-quantize" --token-embedding-type q6_K --output-tensor-type q6_K \
    "$models/$shape-f16.gguf" "$models/$shape-iq2_bn.gguf" IQ2_BN 2 >"$work/quantize.log" 2>&1
fi
# ik_rates THREADS: prefill and decode
ik_rates() {
  "$ik/llama-bench" -m "$models/$shape-iq2_bn.gguf" -t "$1" -p 512 -n 128 -r 3 -rtr 1 -o json 2>/dev/null |
    "$python" -c 'import json, sys
rows = json.load(sys.stdin)
print(*(next(max(r["samples_ts"]) for r in rows if r[n]) for n in ("n_prompt", "n_gen")))'
}

for round in $(seq "$rounds"); do
  for threads in 1 2; do
    "$bitdistill" bench --shape "$shape" $options --threads "$threads" --json |
      "$python" -c 'import json, sys
for case in json.load(sys.stdin):
    print("tern", case["threads"], case["prefill_tokens_per_second"], case["decode_tokens_per_second"])'
    for type in "$@"; do
      echo "$type $threads $("$python" "$script" measure "$models/$shape-$type.gguf" "$threads")"
    done
    [ -z "$ik" ] || echo "iq2_bn $threads $(ik_rates "$threads")"
  done
done >"$work/rates"

"$python" - "$work/rates" <<'EOF'
import collections, statistics, sys
rates = collections.defaultdict(list)
for line in open(sys.argv[1]):
    name, threads, *rate = line.split()
    rates[int(threads), name].append([float(r) for r in rate])
median = {key: [statistics.median(r) for r in zip(*all)] for key, all in rates.items()}
print(f"{'':8}{'threads':>8}{'prefill':>10}{'decode':>10}   tern is faster by")
for (threads, name), (prefill, decode) in sorted(median.items(), key=lambda m: (m[0][0], m[0][1] != "tern")):
    ours = median[threads, "tern"]
    ratio = "" if name == "tern" else f"{ours[0] / prefill:10.2f}{ours[1] / decode:8.2f}"
    print(f"{name:8}{threads:8}{prefill:10.1f}{decode:10.1f}{ratio}")
EOF
