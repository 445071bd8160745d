#!/usr/bin/env bash
# Builds the fuzzing programs and runs each of them for a minute, or for the number of seconds that
# the argument gives.
set -euo pipefail
# shellcheck source=scripts/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

setup_packages clang-16 libclang-rt-16-dev
cmake --preset fuzz "-DTERN_FUZZ_SECONDS=${1:-60}"
cmake --build --preset fuzz -j "$(build_jobs)"
ctest --preset fuzz
