#!/usr/bin/env bash
# Builds the examples (Release, build/release) and runs the main one: compresses a classifier on Fashion-MNIST, and writes
# the artifact and the report to build/fashion_mnist. Arguments, where there are any, go to the program instead.
set -euo pipefail
cd "$(dirname "$0")/.."

program=compress_classifier
test/install_dependencies.sh examples

arguments=()
if [ ! -f build/release/CMakeCache.txt ]; then arguments+=(-DMCOMP_BUILD_TESTS=OFF -DMCOMP_BUILD_BENCH=OFF); fi
cmake --preset release "${arguments[@]}"
if ! ninja -C build/release -t query "$program" >/dev/null 2>&1; then
  echo "examples/run.sh: the build has no program $program; examples/CMakeLists.txt must add it." >&2
  exit 1
fi
cmake --build build/release --target "$program" -j "$(nproc)"
[ $# -gt 0 ] || set -- --out build/fashion_mnist
"$(find build/release/examples -type f -name "$program" -perm -u+x | head -n 1)" "$@"
