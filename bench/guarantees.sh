#!/usr/bin/env bash
# Checks by simulation what the room `stats` promises, and writes bench/results/guarantees.md.
#
#   guarantees.sh [SCALE]      SCALE 1 (the default) takes about ten minutes of one core; less is a look, and is not written
#
# Fixed seeds: the table depends on the code alone, not on the machine or its number of processors. Builds what it needs in
# build/release. Exit status 1 where a promise is not kept.
set -euo pipefail
cd "$(dirname "$0")/.."
build=build/release out=build/guarantees result=bench/results/guarantees.md scale=${1:-1}
mkdir -p "$out"
[ -f $build/CMakeCache.txt ] || cmake --preset release -DBUILD_SHARED_LIBS=ON >"$out/build.log"
cmake --build $build -j "$(nproc)" --target bench_guarantees >"$out/build.log" 2>&1 || { tail -n 40 "$out/build.log" >&2; exit 1; }
status=0
$build/bench/bench_guarantees --scale "$scale" >"$out/table.md" || status=$?
[ $status -le 1 ] || exit $status
if [ "$scale" = 1 ]; then
  { printf '# What the statistics promise, and what simulations find\n\nWritten by `bench/guarantees.sh`; do not edit.\n\n'
    cat "$out/table.md"; } >"$result.part"
  mv "$result.part" "$result"
  echo "$result"
else
  cat "$out/table.md"
fi
exit $status
