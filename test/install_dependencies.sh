#!/usr/bin/env bash
# Installs what the build, the examples or the tests need and this machine lacks (Debian 12, apt-get; as root or by sudo).
#
#   install_dependencies.sh build|examples|test|oracle
set -euo pipefail

build=(cmake g++ ninja-build pkg-config libeigen3-dev libfmt-dev nlohmann-json3-dev libdnnl-dev
  libsqlite3-dev libssl-dev libpq-dev)
examples=("${build[@]}" libcli11-dev zlib1g-dev dataset-fashion-mnist)
tests=("${examples[@]}" catch2 libbenchmark-dev clang-14 libclang-rt-14-dev ccache python3 python3-jsonschema git abigail-tools
  postgresql)
# Of the vcpkg and Conan tools that run the port and the recipe.
tests+=(curl zip unzip patchelf libcurl4 python3-requests python3-urllib3 python3-colorama python3-yaml python3-patch-ng
  python3-fasteners python3-distro python3-jinja2 python3-dateutil)

# A browser that looks at the reports; the test skips without.
tests+=(chromium)
# What scrapes the metrics of an example and checks generated rules; tests of it skip without.
tests+=(prometheus)

case ${1:-} in
build) wanted=("${build[@]}") ;;
examples) wanted=("${examples[@]}") ;;
test) wanted=("${tests[@]}") ;;
oracle) # npm fetches the library that conformance tests compare with; any Node.js will do
  if command -v npm >/dev/null; then exit 0; fi
  wanted=(npm) ;;
*) echo "usage: install_dependencies.sh build|examples|test|oracle" >&2; exit 2 ;;
esac

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  echo "No apt-get here. Going on with what is installed; Debian's names of what is needed: ${wanted[*]}"
  exit 0
fi
missing=()
for package in "${wanted[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} = 0 ]; then
  echo "dependencies: all installed"
  exit 0
fi
echo "dependencies: installing ${missing[*]}"
as_root=()
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || { echo "Not root and no sudo: install ${missing[*]} first." >&2; exit 1; }
  as_root=(sudo -n)
fi
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
