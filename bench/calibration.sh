#!/usr/bin/env bash
# Measures the room calibrate, and writes bench/results/calibration.md: speed beside PyTorch where it is there (Debian:
# python3-torch), guarantees by simulation.
#
#   calibration.sh [--small] [SECTION...]      sections (default: all): speed guarantees
#
# A section that is named is measured anew, the other stays in the file as it is. Builds what it needs in build/release.
# Speed needs a quiet machine. PYTHON names the interpreter that has PyTorch.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."

small=()
if [ "${1:-}" = --small ]; then small=(--small); shift; fi
sections=("$@")
[ ${#sections[@]} != 0 ] || sections=(speed guarantees)
build=build/release result=bench/results/calibration.md parts=build/calibration
mkdir -p "$parts"
[ -f $build/CMakeCache.txt ] || cmake --preset release -DBUILD_SHARED_LIBS=ON >"$parts/build.log"

build() { # build TARGET...
  cmake --build $build -j "$(nproc)" --target "$@" >"$parts/build.log" 2>&1 || { tail -n 40 "$parts/build.log" >&2; return 1; }
}

section_speed() {
  build bench_calibration_speed
  echo "## Speed"
  echo
  echo "Processor: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1). Logits: 2 N(0, 1), the true class + 6, then times 2."
  echo "Ratios are medians over neighbouring runs. Own metrics: NLL, Brier, accuracy, ECE by width and mass, MCE, ACE, debiased, sweep,"
  echo "KS, decomposition, and in the first line the error of each of the classes."
  echo
  local status=0
  "${PYTHON:-/usr/bin/python3}" bench/calibrate/calibration_peer.py $build/bench/bench_calibration_speed || status=$?
  [ $status = 0 ] || [ $status = 77 ] || return $status
}

section_guarantees() {
  build bench_calibration_coverage
  echo "## Guarantees"
  echo
  $build/bench/bench_calibration_coverage "${small[@]}"
}

section_of_result() { # section_of_result TITLE: as it stands in the file
  [ ! -f $result ] || awk -v title="## $1" '/^## /{inside = ($0 == title)} inside' $result
}

for section in "${sections[@]}"; do
  case $section in
  speed | guarantees) "section_$section" >"$parts/$section.md" ;;
  *) echo "calibration.sh: no section $section" >&2; exit 2 ;;
  esac
done
[[ " ${sections[*]} " = *" speed "* ]] || section_of_result Speed >"$parts/speed.md"
[[ " ${sections[*]} " = *" guarantees "* ]] || section_of_result Guarantees >"$parts/guarantees.md"
{
  echo "# Confidence calibration, measured"
  echo
  echo "Written by bench/calibration.sh."
  for section in speed guarantees; do
    echo
    cat "$parts/$section.md"
  done
} | cat -s >"$parts/all.md"
mv "$parts/all.md" $result
