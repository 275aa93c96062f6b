#!/usr/bin/env bash
# Compares the event simulator of the room `cost` with exact results and writes bench/results/simulate.md.
#
#   simulate.sh [SETTINGS]     200 settings (the default) take about a quarter of an hour of one core; another number is a
#                              look, and is not written
#
# Fixed seeds: the table depends on the code alone. Builds what it needs in build/release. Exit status 1 where a setting
# is beyond its bar.
set -euo pipefail
cd "$(dirname "$0")/.."
build=build/release out=build/simulate result=bench/results/simulate.md settings=${1:-200}
mkdir -p "$out"
[ -f $build/CMakeCache.txt ] || cmake --preset release -DBUILD_SHARED_LIBS=ON >"$out/build.log"
cmake --build $build -j "$(nproc)" --target bench_simulate_accuracy >"$out/build.log" 2>&1 || { tail -n 40 "$out/build.log" >&2; exit 1; }
status=0
$build/bench/bench_simulate_accuracy "$settings" >"$out/table.md" || status=$?
[ $status -le 1 ] || exit $status
if [ "$settings" = 200 ]; then
  { printf '# The event simulator against exact results\n\nWritten by `bench/simulate.sh`; do not edit.\n\n'
    printf 'Control variate off. Wanted: mean wait and mean response within 1%%, p99 of the wait within 3%%.\n\n'
    cat "$out/table.md"; } >"$result.part"
  mv "$result.part" "$result"
  echo "$result"
else
  cat "$out/table.md"
fi
exit $status
