#!/usr/bin/env bash
# The anomaly detector in the Numenta benchmark and on simulated series: writes bench/results/anomaly.md.
#
# Builds what it needs in build/release. Test data: $MCOMP_TEST_DATA_DIR, else that of the build. Under a minute.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."
build=build/release result=bench/results/anomaly.md
mkdir -p "$build"
[ -f $build/CMakeCache.txt ] || cmake --preset release -DBUILD_SHARED_LIBS=ON >"$build/anomaly.log"
data=${MCOMP_TEST_DATA_DIR:-$(sed -n 's/^MCOMP_TEST_DATA_DIR:[A-Z]*=//p' $build/CMakeCache.txt)}
[ -d "$data/nab" ] || { echo "anomaly.sh: no nab in '$data'; set MCOMP_TEST_DATA_DIR" >&2; exit 1; }
cmake --build $build -j "$(nproc)" --target bench_anomaly_nab >"$build/anomaly.log" 2>&1 ||
  { tail -n 40 "$build/anomaly.log" >&2; exit 1; }
processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
{
  cat <<TEXT
# Anomaly detection

Written by \`bench/anomaly.sh\`; do not edit. \`monitor::AnomalyDetector\` with its defaults, one pass from a fresh detector, no
labels, on the 41 series of the Numenta anomaly benchmark (NAB 1.1) in the test data; the other detectors are the
benchmark's recorded results, scored here by \`monitor/anomaly_score.hpp\`. The benchmark rewards early detection in broad
windows (see the blind alarms below): an anchor against regressions, no proof of merit. Measured on ${processor:-an unknown processor}.

TEXT
  $build/bench/bench_anomaly_nab "$data"
} >"$result.part"
mv "$result.part" "$result"
echo "$result"
