#!/usr/bin/env bash
# Downloads the Python package ziglang into build/zig, where tests/cmake/machines.cmake looks for the
# compiler in it, which has the headers and libraries of musl and macOS. It installs nothing, but for
# pip where that is missing.
set -euo pipefail
# shellcheck source=scripts/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

python3 -m pip --version >/dev/null 2>&1 || setup_packages python3-pip
rm -rf build/zig
mkdir -p build/zig
python3 -m pip download --quiet --no-deps --only-binary :all: --dest build/zig ziglang==0.17.1
python3 -m zipfile -e build/zig/ziglang-*.whl build/zig
rm build/zig/ziglang-*.whl
chmod +x build/zig/ziglang/zig
build/zig/ziglang/zig version
