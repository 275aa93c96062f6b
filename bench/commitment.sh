#!/usr/bin/env bash
# Checks the rules of commitment of the room `cost` on random and adversarial traces, and writes bench/results/commitment.md.
#
#   commitment.sh [TRACES]      100000 is the default; another number is a look, and is not written
#
# Fixed seeds: the table depends on the code alone. Builds what it needs in build/release. Exit status 1 where a promise is
# not kept.
set -euo pipefail
cd "$(dirname "$0")/.."
build=build/release out=build/commitment result=bench/results/commitment.md traces=${1:-100000}
mkdir -p "$out"
[ -f $build/CMakeCache.txt ] || cmake --preset release -DBUILD_SHARED_LIBS=ON >"$out/build.log"
cmake --build $build -j "$(nproc)" --target bench_commitment >"$out/build.log" 2>&1 || { tail -n 40 "$out/build.log" >&2; exit 1; }
status=0
$build/bench/bench_commitment "$traces" >"$out/table.md" || status=$?
[ $status -le 1 ] || exit $status
if [ "$traces" = 100000 ]; then
  { printf '# What the rules of commitment promise, and what traces find\n\nWritten by `bench/commitment.sh`; do not edit.\n\n'
    cat "$out/table.md"; } >"$result.part"
  mv "$result.part" "$result"
  echo "$result"
else
  cat "$out/table.md"
fi
exit $status
