#!/usr/bin/env bash
# Builds everything with counters, runs every test and prints the line coverage of each header of
# include/, the least covered first. Fails below 95 % in all. Arguments go to ctest.
set -euo pipefail
# shellcheck source=scripts/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

setup_packages gcovr libtbb-dev
cmake --preset coverage
cmake --build --preset coverage -j "$(build_jobs)"
find build/coverage -name '*.gcda' -delete
ctest --preset coverage -j 2 "$@"

# Kernels of other architectures are not compiled in.
gcovr --root . --filter include/tern/ --exclude '.*/neon' --exclude-throw-branches --sort-percentage \
      --txt --fail-under-line 95 build/coverage
