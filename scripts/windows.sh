#!/usr/bin/env bash
# Cross-compiles the library, the program and tests of both for Windows with MinGW-w64, and runs them
# in wine. Arguments are passed to ctest.
set -euo pipefail
# shellcheck source=scripts/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

setup_packages g++-mingw-w64-x86-64-posix libz-mingw-w64-dev wine64
at=$PWD/build/windows

# Debian has PCRE2 and utf8proc for Windows only as sources.
if [[ ! -d "$at/sources" ]]; then
  rm -rf "$at/apt"
  if ! (own_apt "$at/apt" "$(. /etc/os-release && echo "$VERSION_CODENAME")" deb-src &&
    cd "$at/apt" && apt-get -c apt.conf -qq source --download-only pcre2 utf8proc); then
    echo 'skipped: the sources of PCRE2 and utf8proc are not available'
    exit 0
  fi
  mkdir -p "$at/unpacked"/{pcre2,utf8proc}
  for name in pcre2 utf8proc; do
    tar -xf "$at/apt/$name"_*.orig.tar.* --strip-components=1 -C "$at/unpacked/$name"
  done
  mv "$at/unpacked" "$at/sources"
  rm -rf "$at/apt"
fi

export WINEPREFIX=$at/wine WINEDEBUG=-all WINEDLLOVERRIDES=mscoree=,mshtml=
cmake -S tests/windows -B "$at/build" -G Ninja --toolchain "$PWD/tests/windows/toolchain.cmake" \
  "-DPCRE2=$at/sources/pcre2" "-DUTF8PROC=$at/sources/utf8proc" \
  -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-O1
cmake --build "$at/build" -j "$(build_jobs)"
ctest --test-dir "$at/build" --output-on-failure "$@"
