#!/usr/bin/env bash
# Builds the test programs with counters, runs them, and prints the line coverage of each header of
# include/, the least covered one last. Fails if the total is below 95 %.
set -euo pipefail
# shellcheck source=scripts/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

setup_packages gcovr libtbb-dev
mapfile -t folders < <(cd tests && printf '%s\n' */*.cpp | cut -d/ -f1 | sort -u | grep -vx -e odr -e fuzz -e consume -e compile -e other_systems)
cmake --preset coverage
cmake --build --preset coverage -j "$(build_jobs)" --target "${folders[@]/#/test_}"
find build/coverage -name '*.gcda' -delete
# The tests that kill and resume the program many times, or load it, are left out, since they reach few other
# lines.
ctest --preset coverage -j 2 -R "^($(IFS='|' && echo "${folders[*]}"))/" -E '^(bitdistill/(resume|output)|serve/(load|status))'

# Kernels of other architectures are not compiled, and this machine may lack instructions of the
# rest.
absent=(neon)
while read -r header flag; do
  grep -qw "$flag" /proc/cpuinfo || absent+=("$header")
done <<END
amx amx_tile
avxvnni avx_vnni
avx512 avx512bw
avx512vnni avx512_vnni
avx512vbmi avx512_vbmi
avx512bf16 avx512_bf16
END
gcovr --root . --filter include/tern/ --exclude ".*/($(IFS='|' && echo "${absent[*]}"))" \
      --exclude-throw-branches --sort-percentage --txt --fail-under-line 95 build/coverage
