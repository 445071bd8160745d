#!/usr/bin/env bash
# Runs clang-tidy on include/: on a translation unit that includes all headers, and on some that
# instantiate ops, models and kernels. Arguments are other translation units.
set -euo pipefail
# shellcheck source=scripts/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

setup_packages clang-16 clang-tidy-16
cmake --preset dev-clang >/dev/null  # also writes the first unit
units=("$@")
(($#)) || units=(build/dev-clang/tests/headers/all.cpp examples/{tape,quantize}.cpp)
status=0
for unit in "${units[@]}"; do
  echo "$unit"
  clang-tidy-16 -p build/dev-clang --quiet "$unit" || status=1
done
exit "$status"
