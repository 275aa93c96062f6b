#!/usr/bin/env bash
# Builds the examples (Release, build/release) and runs the main one: compresses a classifier on Fashion-MNIST, and writes
# the artifact and the report to build/fashion_mnist; then forecasts what a compression is worth on a synthetic fortnight of
# traffic, to build/forecast. Arguments, where there are any, go to the main program instead, which then runs alone.
set -euo pipefail
cd "$(dirname "$0")/.."

programs=(compress_classifier)
[ $# -gt 0 ] || programs+=(forecast)
test/install_dependencies.sh examples

arguments=()
if [ ! -f build/release/CMakeCache.txt ]; then arguments+=(-DMCOMP_BUILD_TESTS=OFF -DMCOMP_BUILD_BENCH=OFF); fi
cmake --preset release "${arguments[@]}"
for program in "${programs[@]}"; do
  if ! ninja -C build/release -t query "$program" >/dev/null 2>&1; then
    echo "examples/run.sh: the build has no program $program; examples/CMakeLists.txt must add it." >&2
    exit 1
  fi
done
cmake --build build/release --target "${programs[@]}" -j "$(nproc)"
run() { # run PROGRAM ARGUMENT...
  "$(find build/release/examples -type f -name "$1" -perm -u+x | head -n 1)" "${@:2}"
}
if [ $# -gt 0 ]; then
  run compress_classifier "$@"
else
  run compress_classifier --out build/fashion_mnist
  run forecast --threads "$(nproc)" --out build/forecast
fi
