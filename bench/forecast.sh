#!/usr/bin/env bash
# Forecasts what ResNet-56 executed in int8 (W8A8) saves against fp32, from service times measured on this machine, a
# recorded service and published prices, and writes bench/results/forecast.md.
#
#   forecast.sh [ROUNDS]     rounds of the measurement at batch 1 (default 2000; an eighth of it at batch 32)
#
# Builds what it needs in build/release. Test data: $MCOMP_TEST_DATA_DIR, else that of the build. Measure while the machine
# has nothing else to do: the table says how busy it was. Some minutes of one core.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."
build=build/release out=build/forecast-bench result=bench/results/forecast.md rounds=${1:-2000}
mkdir -p "$out"
[ -f $build/CMakeCache.txt ] || cmake --preset release -DBUILD_SHARED_LIBS=ON >"$out/build.log"
data=${MCOMP_TEST_DATA_DIR:-$(sed -n 's/^MCOMP_TEST_DATA_DIR:[A-Z]*=//p' $build/CMakeCache.txt)}
[ -d "$data" ] || { echo "forecast.sh: no test data in '$data'; set MCOMP_TEST_DATA_DIR" >&2; exit 1; }
cmake --build $build -j "$(nproc)" --target forecast bench_classifier_latency >"$out/build.log" 2>&1 ||
  { tail -n 40 "$out/build.log" >&2; exit 1; }
program=$build/examples/forecast/forecast trace=$data/traffic/twitter_requests_per_minute.csv prices=$data/prices

load=$(cut -d' ' -f1 /proc/loadavg)
$build/bench/bench_classifier_latency "$data" "$out" 56 "$rounds" >"$out/latency.md"

# A reactive policy must leave room for what this service does several times a day: 4.5 times the load within a minute.
common=(--trace "$trace" --peak-instances 50 --objective-ms 100 --quantile 0.95 --compress-cost 200
  --evaluate-cost 300 --baseline-label fp32 --candidate-label int8 --recipe w8a8 --threads "$(nproc)")
single=(--baseline-latency "$out/fp32_1.csv" --candidate-latency "$out/int8_1.csv")
on_demand=(--prices "$prices/aws_us-east-1_ondemand_2026-07-20.csv" --instance c7i.large)
run() { # run NAME ARGUMENT...
  echo "== $1" >&2
  "$program" "${@:2}" --out "$out/$1" >"$out/$1.log" 2>&1 || { tail -n 8 "$out/$1.log" >&2; return 1; }
}
run single "${common[@]}" --target 0.2 "${single[@]}" "${on_demand[@]}"
run batch "${common[@]}" --target 0.2 --baseline-latency "$out/fp32_32.csv" --candidate-latency "$out/int8_32.csv" \
  --baseline-batch 32 --candidate-batch 32 --batch-wait-ms 20 "${on_demand[@]}"
# The two lists without a date are taken to be of the same day as the first.
run reserved "${common[@]}" --target 0.2 "${single[@]}" --prices "$prices/ec2_ondemand_reserved_monthly.csv" --price-date 2026-07-20 \
  --instance c5.large --commitments --expiring 20 --adoption-probability 0.8 --months-until-adoption 2
run terms "${common[@]}" --target 0.2 "${single[@]}" --prices "$prices/x2iedn.32xlarge_all_terms.json" --price-date 2026-07-20 \
  --baseline-servers 64 --candidate-servers 64 --commitments
run tight "${common[@]}" --target 0.6 "${single[@]}" "${on_demand[@]}"

processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
version=$(git describe --always 2>/dev/null || echo of a source archive)
python3 - "$out" "$result" "${processor:-an unknown processor}" "$version" "$load" "$(nproc)" <<'PYTHON'
import json, os, sys
out, result, processor, version, load, cores = sys.argv[1:]
text = f"""# What ResNet-56 in int8 is worth on recorded traffic

Written by `bench/forecast.sh`; do not edit. ResNet-56 on CIFAR-10 images, fp32 with batch normalization folded against executed
W8A8 (int8 weights per channel, uint8 activations, ranges by mean squared error on the calibration images), on the recorded
minutes of `twitter_requests_per_minute.csv`, scaled until the baseline has 50 instances at its peak. One worker an instance,
one thread a worker, taken to run on the instance as fast as here. The costs of compressing (200) and evaluating (300) are
assumptions. By `examples/forecast`: each number names the inputs that it was found from, and those their file and its
SHA-256.

## Service times

{open(os.path.join(out, 'latency.md')).read()}
Measured on {processor}, {cores} processors, load average {load} at the start, by `bench_classifier_latency` of mcomp {version}.
Forecasts are made from processor times: for every input the least of the three passes, which leaves out what a shared machine adds.
"""
titles = {
    "single": "One request at a time, on-demand prices",
    "batch": "Batches of up to 32, on-demand prices",
    "reserved": "One request at a time, with reservations",
    "terms": "One request at a time, 64 workers on a large machine, every term",
    "tight": "The same service at a usual target of 60%",
}
remarks = {
    "single": "The service multiplies its load by 4.5 within a minute several times a day, and a machine takes two minutes to boot: a "
              "target of 20% is what keeps the 95th percentile.",
    "batch": "A batch that is not full is charged the time of a full one; a request waits 20 ms at most for its batch.",
    "reserved": "The list has no date and does not say the term of its reserved prices; both are assumed: the day of the other list, one year "
                "without upfront payment. 20 reservations run out; the candidate comes in two months with probability 0.8.",
    "terms": "The list has no date; that of the other list is assumed. That 64 workers are as fast as one alone was not measured.",
    "tight": "Neither side keeps the objective: what a forecast of cost alone would not show.",
}
for name, title in titles.items():
    r = json.load(open(os.path.join(out, name, "report.json")))
    f = r["forecast"]
    text += f"\n## {title}\n\n{remarks[name]}\n\n| | input | value | from |\n| --- | --- | --- | --- |\n"
    for row in r["inputs"]:
        text += f"| {row['key']} | {row['what']} | {row['value']} | {row['from']} |\n"
    text += "\n| | fp32 | int8 | from |\n| --- | --- | --- | --- |\n"
    for row in r["results"]:
        text += f"| {row['name']} | {row['baseline']} | {row['candidate']} | {row['from']} |\n"
    for side in ("baseline", "candidate"):
        plan = f[side]["commitment"]
        if plan:
            shares = ", ".join(f"{s['count']} of {s['name']}" for s in plan["shares"] if s["count"])
            text += f"\nBest mix for {f[side]['label']}: {shares}.\n"
    if f["reservations"]:
        a = f["reservations"]
        text += f"\nOf the reservations that run out: renew {a['renew']}, let {a['let_expire']} expire; knowing of the candidate is worth {a['at_stake']:.2f} {f['currency']} over the term.\n"
    covers = "The interval covers" if f["saving"]["per_month_interval"] else "No interval:"
    text += f"\n{covers} {f['saving']['interval_covers']}.\n\n"
    text += "| what moves the saving per month most | as it is | moved to | saving then |\n| --- | --- | --- | --- |\n"
    for s in f["sensitivity"][:5]:
        text += f"| {s['input']} | {s['value']:.4g} | {s['low']:.4g} or {s['high']:.4g} | {s['saving_at_low']:.2f} or {s['saving_at_high']:.2f} |\n"
    for concern in f["concerns"]:
        text += f"\n- {concern}"
    for note in f["notes"]:
        text += f"\n- {note}"
    if f["concerns"] or f["notes"]:
        text += "\n"
    text += f"\n{f['advice']}\n"
with open(result + ".part", "w") as file:
    file.write(text)
os.replace(result + ".part", result)
PYTHON
echo "$result"
