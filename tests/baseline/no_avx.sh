#!/bin/sh
# no_avx.sh OBJDUMP PROGRAM: fails where a function outside of the namespaces of vector kernels has
# an instruction that CPUs without AVX lack.
"$1" -d -C --no-show-raw-insn "$2" | awk -F '\t' '
  /^[0-9a-f]+ <.*>:$/ {
    function_name = $0
    kernel = / <(void )?tern::[a-z0-9_]*::(kernel|quant|detail)::(avx[a-z0-9]*|amx|f16c)::/
  }
  # VEX or EVEX: a mnemonic in v, a wide or mask register, or one of BMI.
  $2 ~ /^v|%[yz]mm|%k[0-7]|^(andn|bextr|bls[ir]|blsmsk|bzhi|mulx|pdep|pext|rorx|s[ah][lr]x)[lq]? / {
    ++found[kernel]
    if (!kernel && function_name != last) print last = function_name, $2
  }
  END {
    printf "%d AVX instructions in kernels, %d outside\n", found[1], found[0]
    exit found[0] > 0 || found[1] == 0
  }'
