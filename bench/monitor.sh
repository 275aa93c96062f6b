#!/usr/bin/env bash
# Measures the room monitor: the cost of instruments (bench/results/monitor.md), and how well drift is seen and accuracy
# told without labels (bench/results/drift.md).
#
#   monitor.sh [--small] [SECTION...]      sections (default: both): instruments drift; --small is a look, and is not written
#
# Builds what it needs in build/release. Instruments need a quiet machine; drift takes minutes of one core, and depends on
# the code alone. Test data: $MCOMP_TEST_DATA_DIR, else that of the build.
set -euo pipefail
cd "$(dirname "$0")/.."
small=()
if [ "${1:-}" = --small ]; then small=(--small); shift; fi
sections=("$@")
[ ${#sections[@]} != 0 ] || sections=(instruments drift)
build=build/release out=build/monitor
mkdir -p "$out"
[ -f $build/CMakeCache.txt ] || cmake --preset release -DBUILD_SHARED_LIBS=ON >"$out/build.log"

measure() { # measure TARGET RESULT TITLE SENTENCE PROGRAM_ARGUMENT...
  local target=$1 result=$2 title=$3 sentence=$4
  shift 4
  cmake --build $build -j "$(nproc)" --target "$target" >"$out/build.log" 2>&1 || { tail -n 40 "$out/build.log" >&2; return 1; }
  "$build/bench/$target" "$@" "${small[@]}" >"$out/$target.md"
  if [ ${#small[@]} = 0 ]; then
    { printf '# %s\n\nWritten by `bench/monitor.sh`; do not edit. %s\n\n' "$title" "$sentence"
      cat "$out/$target.md"; } >"$result.part"
    mv "$result.part" "$result"
    echo "$result"
  else
    cat "$out/$target.md"
  fi
}

for section in "${sections[@]}"; do
  case $section in
  instruments)
    measure bench_instruments bench/results/monitor.md "Instruments, measured" \
      "Wanted: one event with six dimensions within 200 ns. Processor: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1); load when it began: $(cut -d " " -f 1 /proc/loadavg)." ;;
  drift)
    data=${MCOMP_TEST_DATA_DIR:-$(sed -n 's/^MCOMP_TEST_DATA_DIR:[A-Z]*=//p' $build/CMakeCache.txt)}
    [ -d "$data" ] || { echo "monitor.sh: no test data in '$data'; set MCOMP_TEST_DATA_DIR" >&2; exit 1; }
    measure bench_drift bench/results/drift.md "Drift and accuracy without labels, measured" "Seeds are fixed." \
      examples/compress_classifier/fashion_mnist.safetensors /usr/share/datasets/fashion-mnist "$data" ;;
  *) echo "monitor.sh: no section $section" >&2; exit 2 ;;
  esac
done
