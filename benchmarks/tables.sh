#!/bin/sh
# The tables of docs/performance.md, as Markdown: benchmarks/tables.sh BUILD-DIRECTORY [SECONDS-EACH]
set -eu
build=${1:?build directory} seconds=${2:-0.1}
results=$(mktemp)
trap 'rm -f "$results"' EXIT
"$build/bin/bench_kernel" --benchmark_min_time="$seconds" >"$results" 2>/dev/null

awk '
  function value(text,  unit) {  # 1.2k, 34m
    unit = substr(text, length(text))
    return text * (unit == "k" ? 1e3 : unit == "M" ? 1e6 : unit == "m" ? 1e-3 : 1)
  }
  /^(limit|matmul|eigen_fp32)\// {
    sub("/iterations:1$", "", $1)
    for (i = 2; i <= NF; ++i) if (split($i, c, "=") == 2) found[$1, c[1]] = value(c[2])
    if (split($1, part, "/") == 7) {
      kernel = part[2] "/" part[3]  # format and level
      if (!(kernel in kernel_seen)) { kernel_seen[kernel] = 1; kernels[++n_kernels] = kernel }
      if (!(part[4] in shape_seen)) { shape_seen[part[4]] = 1; shapes[++n_shapes] = part[4] }
    }
    if (part[1] == "limit" && part[3] == "threads:1") limits[++n_limits] = part[2]
  }
  function cell(name) {
    if (!((name, "gops") in found)) return "|"
    if ((name, "of_limit") in found)
      return sprintf(" %.0f (%.0f %%) |", found[name, "gops"], 100 * found[name, "of_limit"])
    return sprintf(" %.0f |", found[name, "gops"])
  }
  END {
    print "| Limit | 1 thread | 2 threads |\n|---|---|---|"
    for (i = 1; i <= n_limits; ++i) {
      l = "limit/" limits[i] "/threads:"
      what = (l "1", "gops") in found ? "gops" : "gbytes"
      printf "| `%s`, %s | %.0f | %.0f |\n", limits[i], what == "gops" ? "Gop/s" : "GB/s",
             found[l "1", what], found[l "2", what]
    }
    count = split("1 2 4 8 16 32 128 512", n, " ")
    for (s = 1; s <= n_shapes; ++s)
      for (where = 1; where <= 2; ++where) {
        place = where == 1 ? "cache" : "dram"
        printf "\n%s from %s: Gop/s (of the limit)\n\n| format/level, threads |", shapes[s], place
        for (i = 1; i <= count; ++i) printf " N = %d |", n[i]
        printf "\n|---|"
        for (i = 1; i <= count; ++i) printf "---|"
        print ""
        for (l = 1; l <= n_kernels; ++l)
          for (t = 1; t <= 2; ++t) {
            printf "| `%s`, %d |", kernels[l], t
            for (i = 1; i <= count; ++i)
              printf "%s", cell("matmul/" kernels[l] "/" shapes[s] "/N:" n[i] "/threads:" t "/" place)
            print ""
          }
        if (place == "cache") {
          printf "| Eigen fp32, 1 |"
          for (i = 1; i <= count; ++i) printf "%s", cell("eigen_fp32/" shapes[s] "/N:" n[i] "/threads:1")
          print ""
        }
      }
  }' "$results"
