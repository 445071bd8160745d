# The other scripts source this file. It goes to the root of the repository and defines functions,
# of which setup_packages installs the Debian or Ubuntu packages that are missing. shellcheck
# shell=bash

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

packages=(g++ cmake ninja-build libeigen3-dev libxsimd-dev xtl-dev nlohmann-json3-dev libpcre2-dev
          libutf8proc-dev zlib1g-dev libfmt-dev libcli11-dev libcpp-httplib-dev catch2 libbenchmark-dev)

die() {
  printf 'error: %s\n' "$1" >&2
  exit 2
}

# setup_packages [PACKAGE...] installs what every build needs and these packages.
setup_packages() {
  local missing=() name as_root=()
  packages+=("$@")
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "There is no apt here, so nothing is installed. These packages are needed: ${packages[*]}"
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
  "${as_root[@]}" apt-get update -qq || echo "warning: apt-get update failed; the old package lists are used" >&2
  for name in "${missing[@]}"; do
    # grep -q in a pipe would close it early, which pipefail treats as a failure.
    [[ "$(apt-cache policy "$name")" =~ Candidate:\ [^\(] ]] ||
      die "apt knows no package '$name' (on Ubuntu, enable 'universe'; tern needs Debian 12, Ubuntu 24.04 or newer)"
  done
  "${as_root[@]}" apt-get install -qq -y --no-install-recommends "${missing[@]}" ||
    die "apt could not install: ${missing[*]}"
}

# build_jobs prints the number of compilation jobs: one per processor, but each with at least 2.5 GB
# of memory.
build_jobs() {
  local processors memory
  processors=$(nproc)
  memory=$(awk '/MemAvailable/ { print int($2 / 2500000) }' /proc/meminfo)
  echo $((memory < 1 ? 1 : memory < processors ? memory : processors))
}

# own_apt FOLDER SUITE KIND... makes FOLDER/apt.conf for an apt that knows only the Debian archive of
# this machine, in that suite and with these kinds (deb, deb-src), and that installs nothing.
own_apt() {
  local folder=$1 suite=$2 kind archive keys=/usr/share/keyrings/debian-archive-keyring.gpg
  shift 2
  archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    grep '/debian/\?$' | head -1) || true
  [[ -n "$archive" && -f "$keys" ]] || die "apt on this machine has no Debian archive"
  mkdir -p "$folder"/{lists,cache}/partial "$folder/archives/partial"
  chmod -R a+rwX "$folder"
  folder=$(realpath "$folder")
  for kind in "$@"; do
    echo "$kind [signed-by=$keys] $archive $suite main"
  done >"$folder/sources.list"
  : >"$folder/status"
  cat >"$folder/apt.conf" <<END
Dir::Etc::sourcelist "$folder/sources.list";
Dir::Etc::sourceparts "-";
Dir::State::lists "$folder/lists";
Dir::State::status "$folder/status";
Dir::Cache "$folder/cache";
APT::Sandbox::User "root";
END
  apt-get -c "$folder/apt.conf" -qq update
}
