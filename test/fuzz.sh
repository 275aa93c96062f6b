#!/usr/bin/env bash
# Builds the libFuzzer programs (Clang, address and undefined-behaviour sanitizers) and runs each from fresh seeds. A
# finding, a hang of 20 s, and a program that stops before its last execution count as failed. Last line: "N passed, M
# failed".
#
#   fuzz.sh [--built] [--long | --executions N] [BUILD_DIR [READER...]]
#
# --built: BUILD_DIR was configured with MCOMP_BUILD_FUZZERS and built by somebody else.
# Short, for CI: as many executions of each reader as take it some ten seconds of one core. --long: a million each. Findings are
# kept in BUILD_DIR/findings; run fuzz_READER FILE to see one again. Two runs with the same seed do the same.
set -euo pipefail
cd "$(dirname "$0")/.."

executions='' built=false
if [ "${1:-}" = --built ]; then built=true; shift; fi
case ${1:-} in
--long) executions=1000000; shift ;;
--executions) executions=$2; shift 2 ;;
-*) echo "usage: fuzz.sh [--built] [--long | --executions N] [BUILD_DIR [READER...]]" >&2; exit 2 ;;
esac
build=${1:-build/fuzz}
[ $# = 0 ] || shift
readers=("$@")
if [ ${#readers[@]} = 0 ]; then
  for source in test/fuzz/*_fuzz.cpp; do readers+=("$(basename "$source" _fuzz.cpp)"); done
fi

short_executions() { # of a reader
  case $1 in
  safetensors | token_list | prices | trace | recipe | plan | checkpoint | approval | canonical_json | catalog_manifest) echo 200000 ;;
  artifact | compressed_tensors | archive) echo 60000 ;;
  workflow_json) echo 15000 ;;
  *) echo 100000 ;;
  esac
}

if ! $built; then
  launcher=()
  if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
  cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_COMPILER=clang++-14 \
    '-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O1 -g1 -fno-omit-frame-pointer' -DCMAKE_CXX_FLAGS=-Wno-pass-failed \
    -DMCOMP_BUILD_FUZZERS=ON -DMCOMP_BUILD_TESTS=ON -DMCOMP_BUILD_EXAMPLES=OFF -DMCOMP_BUILD_BENCH=OFF \
    -DBUILD_SHARED_LIBS=OFF -DMCOMP_WARNINGS_AS_ERRORS=ON "${launcher[@]}"
  cmake --build "$build" -j "$(nproc)" --target fuzzers
fi
programs=$build/test/fuzz
rm -rf "$build/seeds"
mkdir -p "$build/findings" "$build/logs"
"$programs/fuzz_seeds" "$build/seeds"

fuzz() { # READER EXECUTIONS: prints one line, fails where something was found or too little was run
  local reader=$1 wanted=$2 log=$build/logs/$1.log status=0 done_ coverage
  UBSAN_OPTIONS=print_stacktrace=1 "$programs/fuzz_$reader" -runs="$wanted" -seed=1 -timeout=20 -rss_limit_mb=2048 \
    -max_len=16384 -print_final_stats=1 -artifact_prefix="$build/findings/$reader-" "$build/seeds/$reader" \
    >"$log" 2>&1 || status=$?
  done_=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  coverage=$(grep -oE 'cov: [0-9]+' "$log" | tail -n 1)
  if [ $status = 0 ] && [ "${done_:-0}" -ge "$wanted" ]; then
    echo "$reader: $done_ executions, nothing found, ${coverage:-no coverage}"
  else
    tail -n 60 "$log"
    echo "$reader: FAILED after ${done_:-?} executions (exit code $status)"
    return 1
  fi
}
export -f fuzz
export build programs
set +e
for reader in "${readers[@]}"; do echo "$reader ${executions:-$(short_executions "$reader")}"; done |
  xargs -P "$(nproc)" -L 1 bash -c 'fuzz "$@" && touch "$build/logs/$1.passed" || rm -f "$build/logs/$1.passed"' _
set -e
passed=0 failed=0
for reader in "${readers[@]}"; do
  if [ -f "$build/logs/$reader.passed" ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
  rm -f "$build/logs/$reader.passed"
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
