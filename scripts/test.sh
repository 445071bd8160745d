#!/usr/bin/env bash
# Builds everything and runs every test. Arguments go to ctest: scripts/test.sh -R nn/
set -euo pipefail
# shellcheck source=scripts/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

# Emulated processors, the other compiler, adapters. libtorch brings 150 packages, clang 19 as much to
# compile again: tested where they are installed, and by continuous integration.
setup_packages qemu-user g++-aarch64-linux-gnu clang-16 libtbb-dev libxtensor-dev libarmadillo-dev \
  ${CI:+libtorch-dev clang-19}
cmake --preset release
cmake --build --preset release -j "$(build_jobs)"
status=0
ctest --preset release -j 2 "$@" || status=$?

# Tests of data or tools that are not here pass with a message; say so once, below the suite's own
# closing lines.
log=build/release/Testing/Temporary/LastTest.log
if skipped=$(grep -ho 'skipped: .*' "$log" | sort -u); then
  printf '\nNot run for lack of data or tools:\n%s\n' "$skipped"
fi
exit "$status"
