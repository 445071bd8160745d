#!/usr/bin/env bash
# Downloads the newest Eigen, xsimd, fmt and Catch2 that Debian has into build/newer, where the test
# consume/newer looks for them. It installs nothing.
set -euo pipefail
# shellcheck source=scripts/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

rm -rf build/newer
own_apt build/newer/apt sid deb deb-src
cd build/newer/apt
apt-get -c apt.conf -qq download libeigen3-dev libxsimd-dev xtl-dev libfmt-dev
for package in *.deb; do
  dpkg -x "$package" ..
done
# Catch2 is built from source, since the library in the package needs a newer C library.
apt-get -c apt.conf -qq source --download-only catch2
mkdir ../catch2
tar -xf catch2_*.orig.tar.* --strip-components=1 -C ../catch2
printf '%s\n' *.deb *.dsc
cd .. && rm -rf apt
