#!/usr/bin/env bash
# Builds everything and runs every test. Arguments are passed to ctest, as in scripts/test.sh -R nn/
set -euo pipefail
# shellcheck source=scripts/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

# These are for ranks, emulated processors, the other compiler and the adapters. libtorch needs 150
# packages, clang 19 doubles what clang compiles, and few people have use for the rarer machines, so
# only continuous integration installs them; they are used wherever they are installed.
rare=(g++-{riscv64,powerpc64le,i686,s390x}-linux-gnu g++-arm-linux-gnueabihf)
setup_packages libopenmpi-dev openmpi-bin python3 iproute2 qemu-user g++-aarch64-linux-gnu clang-16 libc++-16-dev libtbb-dev libxtensor-dev libarmadillo-dev \
  ${CI:+libtorch-dev clang-19 "${rare[@]}"}
cmake --preset release
cmake --build --preset release -j "$(build_jobs)"
status=0
ctest --preset release -j 2 "$@" || status=$?

# Tests that lack data or tools pass with a message. These messages are repeated once below ctest's
# summary.
log=build/release/Testing/Temporary/LastTest.log
if skipped=$(grep -ho 'skipped: .*' "$log" | sort -u); then
  printf '\nThese tests lacked data or tools:\n%s\n' "$skipped"
fi
exit "$status"
