#!/bin/sh
# tables.sh DOCUMENT RESULTS.json...: writes tables of the results of bench_kernel between the lines
# `<!-- tables -->` and `<!-- /tables -->` of the document. Where several files have a benchmark, the
# last file counts.
set -eu
document=${1:?document} && shift
[ $# -gt 0 ] || { echo "usage: benchmarks/tables.sh DOCUMENT RESULTS.json..." >&2; exit 2; }
tables=$(mktemp)
trap 'rm -f "$tables"' EXIT

# Google Benchmark writes a line `"key": value` for each value, beginning with the name.
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
  }' "$@" >"$tables"

awk -v tables="$tables" '
  /^<!-- tables -->$/ { print; print ""; while ((getline line < tables) > 0) print line; print ""; inside = 1; seen = 1 }
  /^<!-- \/tables -->$/ { inside = 0 }
  !inside { print }
  END { if (!seen) { print "tables.sh: no line <!-- tables -->" >"/dev/stderr"; exit 1 } }
  ' "$document" >"$tables.new" && mv "$tables.new" "$document"
