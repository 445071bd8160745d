#!/usr/bin/env bash
# Downloads the newest Eigen, xsimd, fmt and Catch2 that Debian has into build/newer, where the test
# consume/newer looks for them. It installs nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

suite=sid
keys=/usr/share/keyrings/debian-archive-keyring.gpg
archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
  grep '/debian/\?$' | head -1) || true
[[ -n "$archive" && -f "$keys" ]] || {
  echo "error: apt on this machine has no Debian archive" >&2
  exit 2
}

rm -rf build/newer
mkdir -p build/newer/apt/{lists,cache}/partial build/newer/apt/archives/partial
cd build/newer/apt
chmod -R a+rwX .
for kind in deb deb-src; do
  echo "$kind [signed-by=$keys] $archive $suite main"
done >sources.list
: >status
cat >apt.conf <<END
Dir::Etc::sourcelist "$PWD/sources.list";
Dir::Etc::sourceparts "-";
Dir::State::lists "$PWD/lists";
Dir::State::status "$PWD/status";
Dir::Cache "$PWD/cache";
APT::Sandbox::User "root";
END
apt-get -c apt.conf -qq update
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
