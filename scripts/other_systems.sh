#!/usr/bin/env bash
# Cross-compiles the library, the program and tests of both for other systems, and runs them where this
# machine can: for Windows with MinGW-w64, in wine; for Linux with musl by zig, directly; for macOS by
# zig, only linked. The arguments are windows, musl or macos; without one, all of them.
set -euo pipefail
# shellcheck source=scripts/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

(($#)) || set -- windows musl macos
at=$PWD/build/other_systems
setup_packages
[[ " $* " != *" windows "* ]] || setup_packages g++-mingw-w64-x86-64-posix wine64
[[ " $* " == windows || -x build/zig/ziglang/zig ]] || scripts/zig.sh

# Debian has libraries for its own systems only, and the sources of them for all.
if [[ ! -d "$at/sources" ]]; then
  rm -rf "$at/apt" "$at/unpacked"
  if ! (own_apt "$at/apt" "$(. /etc/os-release && echo "$VERSION_CODENAME")" deb-src &&
    cd "$at/apt" && apt-get -c apt.conf -qq source --download-only zlib pcre2 utf8proc); then
    echo 'skipped: the sources of zlib, PCRE2 and utf8proc are not available'
    exit 0
  fi
  for name in zlib pcre2 utf8proc; do
    mkdir -p "$at/unpacked/$name"
    tar -xf "$at/apt/$name"_*.orig.tar.* --strip-components=1 -C "$at/unpacked/$name"
  done
  mv "$at/unpacked" "$at/sources"
  rm -rf "$at/apt"
fi

export WINEPREFIX=$at/wine WINEDEBUG=-all WINEDLLOVERRIDES=mscoree=,mshtml=
for system; do
  toolchain=("$PWD/tests/other_systems/zig.cmake" "-DTERN_ZIG=$PWD/build/zig/ziglang/zig")
  flags=-O0
  case $system in
    windows) toolchain=("$PWD/tests/other_systems/windows.cmake") flags=-O1 ;;
    musl) toolchain+=(-DTERN_ZIG_TARGET=x86_64-linux-musl) ;;
    macos) toolchain+=(-DTERN_ZIG_TARGET=aarch64-macos) ;;
    *) die "'$system' is none of windows, musl, macos" ;;
  esac
  echo "== $system"
  cmake -S tests/other_systems -B "$at/$system" -G Ninja --toolchain "${toolchain[@]}" \
    "-DSOURCES=$at/sources" -DCMAKE_BUILD_TYPE=Debug "-DCMAKE_CXX_FLAGS_DEBUG=$flags"
  cmake --build "$at/$system" -j "$(build_jobs)"
  [[ $system == macos ]] || ctest --test-dir "$at/$system" -j 2 --output-on-failure
done
