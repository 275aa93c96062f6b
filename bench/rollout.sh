#!/usr/bin/env bash
# Simulates releases under guardrails, measures decisions and the way back, and writes bench/results/rollout.md.
#
#   rollout.sh [ROLLOUTS]     10,000 of each kind (the default) take about twenty minutes of one core; another number is a
#                             look, and is not written
#
# The simulation has fixed seeds: its table depends on the code alone. The times are this machine's. Builds what it needs
# in build/release.
set -euo pipefail
cd "$(dirname "$0")/.."
build=build/release out=build/rollout result=bench/results/rollout.md rollouts=${1:-10000}
mkdir -p "$out"
[ -f $build/CMakeCache.txt ] || cmake --preset release -DBUILD_SHARED_LIBS=ON >"$out/build.log"
cmake --build $build -j "$(nproc)" --target bench_guardrail_simulation bench_decision >"$out/build.log" 2>&1 ||
  { tail -n 40 "$out/build.log" >&2; exit 1; }
load=$(cut -d' ' -f1 /proc/loadavg)
$build/bench/bench_decision --benchmark_repetitions=5 --benchmark_report_aggregates_only=true \
  --benchmark_out="$out/decision.json" --benchmark_out_format=json >"$out/decision.log" 2>&1
$build/bench/bench_guardrail_simulation "$rollouts" >"$out/simulation.md"
if [ "$rollouts" != 10000 ]; then
  cat "$out/simulation.md"
  exit
fi
OUT=$out LOAD=$load python3 - >"$result.part" <<'PYTHON'
import json, os
out = os.environ['OUT']
report = json.load(open(os.path.join(out, 'decision.json')))
runs = {b['run_name']: b for b in report['benchmarks'] if b.get('aggregate_name') == 'median'}
processor = next((line.split(':')[1].strip() for line in open('/proc/cpuinfo') if line.startswith('model name')), 'unknown')
print(f"""# Releases under guardrails

Written by `bench/rollout.sh`; do not edit. Times: {processor}, load average {os.environ['LOAD']} at the start, medians of
five runs; elapsed time grows with what else the machine does.

## Simulated releases

2,000 requests a minute; 10 % labelled, after an exponential delay of 30 minutes on average; stages of 1, 5 and 25 % for 4
hours each, then 100 % to 3 x 10^6 requests (minute 1,500). Baseline accuracy 90 %, log-normal latencies with sigma .5;
margins half of the harm. In time: before the 25 % stage ends (minute 720), or within the 3 x 10^6 requests where the table
says 1 point, satisfaction, or at 5 minutes of silence. Alpha .008 for all tests of a release together. Pairs: shadow traffic
on every labelled request. Groups: no input is answered twice. Every release has the rule of latency beside the one named.
""")
print(open(os.path.join(out, 'simulation.md')).read())
print("""## A decision, and the way back

| | processor time | elapsed |
| --- | --- | --- |""")
for name, run in runs.items():
    what, _, rules = name.partition('/')
    unit = run['time_unit']
    label = {'decide_pinned': 'decision from a pinned snapshot', 'decide_from_store': 'decision with the pin',
             'decide_by_name': 'decision with the pin, by name', 'hash': "hash of a unit",
             'breach_to_swapped_pointer': 'from the look that breaches to the swapped pointer, 100 flags'}[what]
    print(f"| {label}{rules and f', {rules} rules'} | {run['cpu_time']:.1f} {unit} | {run['real_time']:.1f} {unit} |")
PYTHON
mv "$result.part" "$result"
echo "$result"
