#!/usr/bin/env bash
# Builds the program in a fresh clone, pretrains a small model on the embedded language, then
# compares FP-SFT, BitNet-SFT and BitDistill in a table. Arguments are passed to `bitdistill demo`;
# the results are in runs/demo.
set -euo pipefail
# shellcheck source=scripts/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

setup_packages
cmake --preset release
cmake --build --preset release -j "$(build_jobs)" --target bitdistill
exec build/release/bin/bitdistill demo --out runs/demo "$@"
