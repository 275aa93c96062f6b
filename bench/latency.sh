#!/usr/bin/env bash
# Measures how well the latency model predicts layers and networks on this machine, and how well a service under load
# follows its forecast, and writes bench/results/latency.md.
#
#   latency.sh
#
# Builds what it needs in build/release. Measure while the machine has nothing else to do: the table says how busy it was.
# Some five minutes. The service needs Fashion-MNIST (Debian: dataset-fashion-mnist).
set -euo pipefail
cd "$(dirname "$0")/.."
build=build/release out=build/latency result=bench/results/latency.md
mkdir -p "$out"
[ -f $build/CMakeCache.txt ] || cmake --preset release -DBUILD_SHARED_LIBS=ON >"$out/build.log"
cmake --build $build -j "$(nproc)" --target profile_device serve_load >"$out/build.log" 2>&1 || { tail -n 40 "$out/build.log" >&2; exit 1; }
load=$(cut -d' ' -f1 /proc/loadavg)
rm -rf "$out/profile" "$out/serve" # a profile of this run, not of an earlier one
$build/examples/profile_device/profile_device --out "$out/profile" --batch 1 --batch 8 --batch 32 >&2
$build/examples/serve_load/serve_load --out "$out/serve" >&2
processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
version=$(git describe --always 2>/dev/null || echo of a source archive)
python3 - "$out" "${processor:-an unknown processor}" "$version" "$load" "$(nproc)" >"$result.part" <<'PYTHON'
import json, os, sys
out, processor, version, load, cores = sys.argv[1:]
profile = json.load(open(os.path.join(out, 'profile', 'report.json')))
serve = json.load(open(os.path.join(out, 'serve', 'report.json')))
print(f"""# Latency: predicted, and what was then measured

Written by `bench/latency.sh`; do not edit. {processor}, {cores} processors, load average {load} at the start; one thread; mcomp
{version}. The profile has the fingerprint {profile['profile_fingerprint'][:12]}.

## Layers

Measured layers of the profile, each predicted from all others; and {profile['checked_layers']} random layers that were not measured
before (a fourth of each family).

| layers | median error | within 20% | within their 95% interval | roofline alone |
| --- | --- | --- | --- | --- |""")
for f in profile['families']:
    print(f"| {f['layers']} {f['kind']}, {f['weights']} weights | {100 * f['median_error_fraction']:.1f}% | "
          f"{100 * f['within_a_fifth_fraction']:.1f}% | | {100 * f['roofline_median_error_fraction']:.1f}% |")
print(f"| {profile['checked_layers']} others | {100 * profile['layer_median_error_fraction']:.1f}% | "
      f"{100 * profile['layer_within_a_fifth_fraction']:.1f}% | {100 * profile['layer_within_interval_fraction']:.1f}% | |")
print("""
## Networks

| network | arithmetic | batch | predicted ms | measured ms | error |
| --- | --- | --- | --- | --- | --- |""")
for n in profile['networks']:
    print(f"| {n['network']} | {n['arithmetic']} | {n['batch']} | {1e3 * n['predicted_seconds']:.3f} "
          f"[{1e3 * n['lower_seconds']:.3f}, {1e3 * n['upper_seconds']:.3f}] | {1e3 * n['measured_seconds']:.3f} | "
          f"{100 * n['error_fraction']:+.1f}% |")
print(f"""
## A service under load

The shipped classifier in int8, one worker, open-loop Poisson arrivals; a request keeps the worker for
{1e6 * serve['service_mean_seconds']:.0f} us on average. Forecast before the first request, medians of {len(serve['loads'][0]['runs_p95_seconds'])} runs beside it, in microseconds.

| utilization | p50 forecast | seen | p95 forecast | seen | seen / forecast | p99 forecast | seen | load generator late: p50 | p99 |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |""")
for l in serve['loads']:
    cells = [f"{100 * l['utilization_fraction']:.0f}%"]
    for p in ('p50', 'p95', 'p99'):
        cells += [f"{1e6 * l[f'forecast_{p}_seconds']:.0f}", f"{1e6 * l[f'{p}_seconds']:.0f}"]
        if p == 'p95': cells.append(f"{l['p95_ratio']:.3f}")
    cells += [f"{1e6 * l['generator_late_p50_seconds']:.2f}", f"{1e6 * l['generator_late_p99_seconds']:.2f}"]
    print("| " + " | ".join(cells) + " |")
PYTHON
mv "$result.part" "$result"
echo "$result"
