#!/usr/bin/env bash
# clang-tidy over include/, by way of a unit of all headers and of some that instantiate ops, models and
# kernels. Arguments: other units.
set -euo pipefail
# shellcheck source=scripts/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

setup_packages clang-16 clang-tidy-16
cmake --preset dev-clang >/dev/null  # writes the first of them, too
units=("$@")
(($#)) || units=(build/dev-clang/tests/headers/all.cpp examples/{tape,quantize}.cpp)
status=0
for unit in "${units[@]}"; do
  echo "$unit"
  clang-tidy-16 -p build/dev-clang --quiet "$unit" || status=1
done
exit "$status"
