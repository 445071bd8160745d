#!/usr/bin/env bash
# Measures with the programs of one build, and writes the tables of docs/performance.md: those of a
# part stand between the lines `<!-- PART -->` and `<!-- /PART -->` of the document, behind a line
# that names machine, compiler, commit and load.
#   benchmarks/tables.sh DOCUMENT BUILD-DIRECTORY [PART...]
# Parts, by default all of them:
#   kernel    products of packed weights beside the limits and other libraries (hours)
#   groups    the rate with scales of groups beside that with one scale
#   gemm      dense products of floats beside other libraries
#   models    whole models: prompts and new tokens
#   contexts  new tokens behind thousands of positions
#   processes how much the speed of a model differs between twenty processes
#   parts     where the time of a model goes (needs perf)
#   llama     beside llama.cpp; needs TERN_PYTHON, a Python with gguf (scripts/interop.sh makes one)
#   pytorch   a training step beside PyTorch; needs TERN_PYTHON, a Python with torch
# A part that needs what is not there is skipped with a message. TERN_FILTER replaces the filter of
# kernel, groups and gemm.
set -euo pipefail
if (($# < 2)); then
  echo "usage: benchmarks/tables.sh DOCUMENT BUILD-DIRECTORY [PART...]" >&2
  exit 2
fi
document=$1 bin=$2/bin here=$(cd "$(dirname "$0")" && pwd)
cache=$2/CMakeCache.txt
shift 2
(($# > 0)) || set -- kernel groups gemm models contexts processes parts llama pytorch
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

commit=$(git -C "$here" describe --always --dirty)
origin() {
  local cpu compiler
  cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1)
  compiler=$(sed -n 's/^CMAKE_CXX_COMPILER:[^=]*=//p' "$cache")
  echo "*${cpu:-$(uname -m)}, $(getconf _NPROCESSORS_ONLN) threads; $("$compiler" --version | head -n 1);" \
    "commit $commit; load $(uptime | sed 's/.*average[s]*: *//')*"
}

skip() { echo "tables.sh: $1 is left out: $2" >&2; }
fenced() {
  echo '```text'
  cat
  echo '```'
}
# google PROGRAM MIN-TIME FILTER: results of a program of Google Benchmark as JSON
google() {
  "$bin/$1" --benchmark_min_time="$2" --benchmark_filter="${TERN_FILTER:-$3}" \
    --benchmark_out="$work/results.json" --benchmark_out_format=json >"$work/log" 2>&1 ||
    { cat "$work/log" >&2; return 1; }
}

# Google Benchmark writes a line `"key": value` for each value, beginning with the name.
kernel() {
  google bench_kernel 0.1 '^(limit|matmul|quantize|peer)/'
  awk -F '": ' '
    / "name": / {
      name = $2
      gsub(/^"|",?\r?$/, "", name)
      sub(/\/iterations:[0-9]+$/, "", name)
      count = split(name, part, "/")
      if (part[1] == "limit" && part[3] == "threads:1") list(limits, part[2])
      if (part[1] == "quantize") { list(quantizers, part[2]); list(widths, part[3]) }
      if (part[1] == "matmul") { list(rows, "matmul/" part[2] "/" part[3]); list(shapes, part[4]) }
      if (part[1] == "peer") { list(rows, "peer/" part[2]); list(shapes, part[3]) }
    }
    / "(gops|gbytes|of_limit|of_matvec)": / {
      key = $1
      gsub(/[ "]/, "", key)
      found[name, key] = $2 + 0
    }
    function list(into, what) {
      if (!(("seen", what) in into)) {
        into["seen", what] = 1
        into[++into[0]] = what
      }
    }
    function row(title, name_before, name_after,   i, name, text, any) {
      text = "| " title " |"
      for (i = 1; i <= batches; ++i) {
        name = name_before batch[i] name_after
        if (!((name, "gops") in found)) { text = text " |"; continue }
        any = 1
        text = text sprintf(" %.0f", found[name, "gops"])
        if ((name, "of_limit") in found) text = text sprintf(" (%.0f %%)", 100 * found[name, "of_limit"])
        text = text " |"
      }
      if (any) print text
    }
    END {
      print "| Limit | 1 thread | 2 threads |\n|---|---|---|"
      for (i = 1; i <= limits[0]; ++i) {
        name = "limit/" limits[i] "/threads:"
        key = (name "1", "gops") in found ? "gops" : "gbytes"
        printf "| `%s`, %s | %.0f | %.0f |\n", limits[i], key == "gops" ? "Gop/s" : "GB/s",
               found[name "1", key], found[name "2", key]
      }
      if (quantizers[0]) {
        printf "\nQuantizing one token: GB/s of floats (of a matvec with 1024 rows)\n\n| level |"
        for (w = 1; w <= widths[0]; ++w) printf " K = %d |", widths[w]
        printf "\n|---|"
        for (w = 1; w <= widths[0]; ++w) printf "---|"
        print ""
        for (q = 1; q <= quantizers[0]; ++q) {
          printf "| `%s` |", quantizers[q]
          for (w = 1; w <= widths[0]; ++w) {
            name = "quantize/" quantizers[q] "/" widths[w] "/N:1"
            printf " %.0f (%.1f %%) |", found[name, "gbytes"], 100 * found[name, "of_matvec"]
          }
          print ""
        }
      }
      batches = split("1 2 4 8 16 32 128 512", batch, " ")
      for (s = 1; s <= shapes[0]; ++s)
        for (where = 1; where <= 2; ++where) {
          place = where == 1 ? "cache" : "dram"
          printf "\n%s from %s: Gop/s (of the limit)\n\n| |", shapes[s], where == 1 ? "cache" : "DRAM"
          for (i = 1; i <= batches; ++i) printf " N = %d |", batch[i]
          printf "\n|---|"
          for (i = 1; i <= batches; ++i) printf "---|"
          print ""
          for (r = 1; r <= rows[0]; ++r)
            for (t = 1; t <= 2; ++t) {
              title = rows[r]
              sub(/^[a-z]+\//, "", title)
              sub(/\//, ", ", title)
              row(title ", " t, rows[r] "/" shapes[s] "/N:", "/threads:" t "/" place)
            }
        }
    }' "$work/results.json"
}

groups() {
  google bench_kernel 0.05 \
    '^groups/two_bit/(avx2|avxvnni|avx512bw|avx512vbmi)/.*/(N:(32|128)/threads:1/cache|N:1/threads:1/dram)'
  awk -F '": ' '
    / "name": / { gsub(/^"|",?\r?$/, "", $2); sub(/\/iterations:.*/, "", $2); split($2, part, "/") }
    / "of_tensor": / {
      row = "`" part[3] "`, " substr(part[5], 3) (part[7] == "dram" ? " from DRAM" : "")
      if (!(row in seen)) { seen[row] = 1; rows[++count] = row }
      found[row, part[8]] = sprintf("%.2f", $2 + 0)
    }
    END {
      print "| Level, tokens | 32 columns | 64 | 128 | 256 |\n|---|---|---|---|---|"
      for (i = 1; i <= count; ++i)
        printf "| %s | %s | %s | %s | %s |\n", rows[i], found[rows[i], 32], found[rows[i], 64],
               found[rows[i], 128], found[rows[i], 256]
    }' "$work/results.json"
}

gemm() {
  OPENBLAS_CORETYPE=${OPENBLAS_CORETYPE:-} google bench_gemm 0.1 .
  awk -F '": ' '
    / "name": / { name = $2; gsub(/^"|",?\r?$/, "", name); sub(/\/iterations:.*/, "", name) }
    / "time_unit": / { counters = 1; next }
    / "name": |}/ { counters = 0 }
    counters {
      key = $1
      gsub(/^ *"/, "", key)
      if (!(key in seen)) { seen[key] = 1; libraries[++n] = key }
      if (!(name in known)) { known[name] = 1; rows[++count] = name }
      found[name, key] = sprintf("%.0f", $2 + 0)
    }
    END {
      printf "| Weights, tokens, threads |"
      for (i = 1; i <= n; ++i) printf " %s |", libraries[i]
      printf "\n|---|"
      for (i = 1; i <= n; ++i) printf "---|"
      print ""
      for (r = 1; r <= count; ++r) {
        title = rows[r]
        sub(/^gemm\//, "", title)
        gsub(/\//, ", ", title)
        printf "| %s |", title
        for (i = 1; i <= n; ++i) printf " %s |", found[rows[r], libraries[i]]
        print ""
      }
    }' "$work/results.json"
}

models() {
  {
    "$bin/bitdistill" bench --shape qwen3-0.6b --format base3,two_bit --head-bits 4 --threads 1,2
    "$bin/bitdistill" bench --shape qwen3-0.6b --format base3 --head-bits 8 --threads 1,2
    "$bin/bitdistill" bench --shape qwen3-1.7b --format base3,two_bit,f32 --new-tokens 32
    "$bin/bitdistill" bench --shape qwen3-4b --format base3,two_bit --new-tokens 32
  } | fenced
}

contexts() {
  for kv in f16 int8; do
    "$bin/bitdistill" bench --shape qwen3-0.6b --head-bits 4 --prompt-tokens 64 --new-tokens 16 \
      --context 4096,16384 --kv $kv --threads 1,2 | sed -n '/^New tokens/,$p'
  done | fenced
}

model() {
  [ -e "$work/model" ] ||
    "$bin/bitdistill" bench --shape qwen3-0.6b --head-bits 4 --threads 1 --prompt-tokens 1 \
      --new-tokens 1 --out "$work/model" >/dev/null
}

processes() {
  model
  for _ in $(seq 20); do
    "$bin/bitdistill" bench --model "$work/model" --threads 1,2 --json
  done | awk -F '[:,]' '
    /"threads"/ { threads = $2 + 0 }
    /_per_second|_of_/ {
      gsub(/[" ]/, "", $1)
      key = threads SUBSEP $1
      value[key, ++n[key]] = $2 + 0
    }
    function row(title, threads, name, digits,   key, i, j, t) {
      key = threads SUBSEP name
      for (i = 2; i <= n[key]; ++i)
        for (j = i; j > 1 && value[key, j] < value[key, j - 1]; --j) {
          t = value[key, j]; value[key, j] = value[key, j - 1]; value[key, j - 1] = t
        }
      t = (value[key, 10] + value[key, 11]) / 2
      printf "| %s | %d | %.*f | %.*f | %.*f | %+.1f to %+.1f %% |\n", title, threads, digits,
        value[key, 1], digits, t, digits, value[key, n[key]], 100 * (value[key, 1] / t - 1),
        100 * (value[key, n[key]] / t - 1)
    }
    END {
      print "| | threads | least | median | most | around the median |\n|---|---|---|---|---|---|"
      for (t = 1; t <= 2; ++t) {
        row("prompt, tokens/s", t, "prefill_tokens_per_second", 0)
        row("prompt, of the peak", t, "prefill_of_peak", 2)
        row("new tokens/s", t, "decode_tokens_per_second", 1)
        row("new tokens, of the bandwidth", t, "decode_of_bandwidth", 2)
      }
    }'
}

parts() {
  model
  for what in prefill decode; do
    for threads in 1 2; do
      "$here/time_parts.sh" "$bin/bitdistill" "$work/model" $threads $what |
        sed "s/^ *\([0-9.]*\) %  \(.*\)/$what, $threads:\2:\1/"
    done
    for level in avx2 avxvnni avx512bw; do
      TERN_ISA=$level "$here/time_parts.sh" "$bin/bitdistill" "$work/model" 1 $what |
        sed "s/^ *\([0-9.]*\) %  \(.*\)/$what, 1, $level:\2:\1/"
    done
  done | awk -F : '
    {
      if (!($1 in column)) { column[$1] = ++columns; titles[columns] = $1 }
      if (!($2 in seen)) { seen[$2] = 1; rows[++count] = $2 }
      found[$2, $1] = $3
    }
    END {
      printf "| |"
      for (c = 1; c <= columns; ++c) printf " %s |", titles[c]
      printf "\n|---|"
      for (c = 1; c <= columns; ++c) printf "---|"
      print ""
      for (r = 1; r <= count; ++r) {
        printf "| %s |", rows[r]
        for (c = 1; c <= columns; ++c) printf " %s %% |", found[rows[r], titles[c]] + 0
        print ""
      }
    }'
}

llama() {
  for shape in qwen3-0.6b qwen3-1.7b; do
    echo "$shape"
    sh "$here/peers/llama_cpp.sh" "$TERN_PYTHON" "$bin/bitdistill" $shape 1 f16 tq2_0
  done | fenced
}

pytorch() { sh "$here/peers/run.sh" "$TERN_PYTHON" "${bin%/bin}" 2 base smollm2 | fenced; }

# Whether this machine has what a part needs.
can() {
  case $1 in
    kernel | groups) program=bench_kernel ;;
    gemm) program=bench_gemm ;;
    pytorch) program=bench_training_step ;;
    models | contexts | processes | parts | llama) program=bitdistill ;;
    *) echo "tables.sh: unknown part '$1'" >&2; exit 2 ;;
  esac
  [ -x "$bin/$program" ] || { skip "$1" "$bin/$program is not built"; return 1; }
  case $1 in
    parts) command -v perf >/dev/null || { skip "$1" "perf is not installed"; return 1; } ;;
    llama) "${TERN_PYTHON:-false}" -c 'import gguf' 2>/dev/null ||
      { skip "$1" "TERN_PYTHON names no Python with gguf"; return 1; } ;;
    pytorch) "${TERN_PYTHON:-false}" -c 'import torch' 2>/dev/null ||
      { skip "$1" "TERN_PYTHON names no Python with torch"; return 1; } ;;
  esac
}

for part in "$@"; do
  can "$part" || continue
  grep -qx "<!-- $part -->" "$document" || { skip "$part" "$document has no line <!-- $part -->"; continue; }
  { origin; echo; "$part"; } >"$work/tables"
  awk -v tables="$work/tables" -v part="$part" '
    $0 == "<!-- " part " -->" {
      print; print ""
      while ((getline line < tables) > 0) print line
      print ""
      inside = 1
    }
    $0 == "<!-- /" part " -->" { inside = 0 }
    !inside { print }' "$document" >"$work/document"
  cat "$work/document" >"$document"
done
