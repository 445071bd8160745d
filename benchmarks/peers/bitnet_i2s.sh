#!/bin/sh
# The AVX2 level beside bitnet.cpp's I2_S kernel: benchmarks/peers/bitnet_i2s.sh CHECKOUT-OF-BITNET
# Only the file of its dot products is compiled, with stand-ins for the headers of its llama.cpp.
set -eu
bitnet=${1:?checkout of microsoft/BitNet}
here=$(cd "$(dirname "$0")" && pwd)
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT

for header in ggml-quants.h ggml-cpu-impl.h; do : >"$build/$header"; done
cat >"$build/ggml-bitnet.h" <<'HEADER'
#include <cstdint>
#include <cstdlib>
#define GGML_TYPE_I2_S 36
inline std::size_t ggml_row_size(int, std::int64_t n) { return static_cast<std::size_t>(n); }
HEADER
flags="-O3 -march=x86-64-v3"
g++ $flags -w -I"$build" -I"$bitnet/include" -c "$bitnet/src/ggml-bitnet-mad.cpp" -o "$build/i2s.o"
g++ -std=c++20 $flags -I"$here/../../include" "$here/bitnet_i2s.cpp" "$build/i2s.o" -o "$build/compare"
"$build/compare"
