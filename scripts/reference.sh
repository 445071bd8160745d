#!/usr/bin/env bash
# Writes the API reference as HTML to build/reference. Fails if a public name has no documentation.
set -euo pipefail
# shellcheck source=scripts/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

packages=(doxygen python3)
setup_packages
rm -rf build/reference
mkdir -p build
python3 docs/doxygen_filter.py include/tern/version.hpp >/dev/null  # Doxygen would ignore its failure
doxygen docs/Doxyfile
echo "build/reference/index.html"
