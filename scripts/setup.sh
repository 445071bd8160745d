# Sourced by the other scripts: goes to the repository's root and installs the Debian or Ubuntu
# packages that are missing (nothing to do where all are there).
# shellcheck shell=bash

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

packages=(g++ cmake ninja-build libeigen3-dev libxsimd-dev xtl-dev nlohmann-json3-dev libpcre2-dev
          libutf8proc-dev zlib1g-dev libfmt-dev libcli11-dev catch2 libbenchmark-dev)

die() {
  printf 'error: %s\n' "$1" >&2
  exit 2
}

# Arguments: packages wanted besides those of every build.
setup_packages() {
  local missing=() name as_root=()
  packages+=("$@")
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "No apt here; going on with what is installed. Needed: ${packages[*]}"
    return
  fi
  for name in "${packages[@]}"; do
    [[ "$(dpkg-query -W -f '${Status}' "$name" 2>/dev/null)" == "install ok installed" ]] ||
      missing+=("$name")
  done
  ((${#missing[@]})) || return 0

  echo "Installing: ${missing[*]}"
  if ((EUID != 0)); then
    command -v sudo >/dev/null || die "these packages are missing and sudo is not installed; as root: apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  as_root+=(env DEBIAN_FRONTEND=noninteractive)
  "${as_root[@]}" apt-get update -qq || echo "warning: apt-get update failed; trying with the lists at hand" >&2
  for name in "${missing[@]}"; do
    # Not a pipe into grep -q: it closes the pipe early, and pipefail would call that a failure.
    [[ "$(apt-cache policy "$name")" =~ Candidate:\ [^\(] ]] ||
      die "apt knows no package '$name' (on Ubuntu, enable 'universe'; tern needs Debian 12, Ubuntu 24.04 or newer)"
  done
  "${as_root[@]}" apt-get install -qq -y --no-install-recommends "${missing[@]}" ||
    die "apt could not install: ${missing[*]}"
}

# Compilation jobs: one per processor, but at least 1.5 GB of memory each.
build_jobs() {
  local processors memory
  processors=$(nproc)
  memory=$(awk '/MemAvailable/ { print int($2 / 1500000) }' /proc/meminfo)
  echo $((memory < 1 ? 1 : memory < processors ? memory : processors))
}
