#!/usr/bin/env bash
# Measures what quantization costs, method by method, and writes bench/results/quality.md.
#
#   quality.sh [--resume] [SECTION...]      sections (default: all): networks mixed compensation outliers gguf
#
# A section that is named is measured anew, the others stay in the file as they are. Builds what it needs in build/release.
# Test data: $MCOMP_TEST_DATA_DIR, else that of the build. `networks` takes hours of one core, the others minutes: with --resume,
# its runs that an interrupted call has left in build/quality are not repeated; DEPTHS=20 leaves the larger network out.
#
# To add a section: a function section_NAME that prints Markdown, and its name in `all`.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."

all=(networks mixed compensation outliers gguf)
resume=false
if [ "${1:-}" = --resume ]; then resume=true; shift; fi
sections=("$@")
[ ${#sections[@]} != 0 ] || sections=("${all[@]}")
build=build/release out=build/quality result=bench/results/quality.md
jobs=$(nproc) depths=${DEPTHS:-20 56}
mkdir -p "$out"
[ -f $build/CMakeCache.txt ] || cmake --preset release -DBUILD_SHARED_LIBS=ON >"$out/build.log"
data=${MCOMP_TEST_DATA_DIR:-$(sed -n 's/^MCOMP_TEST_DATA_DIR:[A-Z]*=//p' $build/CMakeCache.txt)}
[ -d "$data" ] || { echo "quality.sh: no test data in '$data'; set MCOMP_TEST_DATA_DIR" >&2; exit 1; }

build() { # build TARGET...
  cmake --build $build -j "$jobs" --target "$@" >"$out/build.log" 2>&1 || { tail -n 40 "$out/build.log" >&2; return 1; }
}

# Accuracy of classifiers with eight-bit activations.
section_networks() {
  build quantize_model
  local depth bits method
  for depth in $depths; do
    for method in nearest search gptq gptq-refined; do
      for bits in 4 3; do
        if ! $resume || [ ! -f "$out/resnet$depth-int$bits-$method/report.json" ]; then echo "$depth $bits $method"; fi
      done
    done
  done | data=$data out=$out program=$build/examples/quantize_model/quantize_model xargs -r -P "$jobs" -L 1 bash -c '
    run=$out/resnet$1-int$2-$3
    "$program" --network "resnet-cifar:$1" --model "$data/vision/resnet$1_cifar10.safetensors" \
      --calibration "$data/vision/cifar10_calib.safetensors" --data "$data/vision/cifar10_test_a.safetensors" \
      --format "int$2" --method "$3" --out "$run" >"$run.log" 2>&1 || { tail -n 5 "$run.log" >&2; exit 255; }' _
  cat <<'TEXT'
## Networks: top-1 of classifiers with few-bit weights and eight-bit activations

Batch normalization folded; all convolutions and the linear layer in integers, one scale a channel for weights, one a tensor
for activations (range by mean squared error); 512 calibration images; simulated in exact integer arithmetic. Measured by
`examples/quantize_model` on the 5,000 images of `cifar10_test_a`. Loss in points against fp32; one image is .02 points. Wanted:
W4A8 within .6 (ResNet-20) and .5 points (ResNet-56), W3A8 within 2.5 and 2.

| network | method | W4A8 top-1 | loss | W3A8 top-1 | loss |
| --- | --- | --- | --- | --- | --- |
TEXT
  python3 - "$out" "$depths" <<'PYTHON'
import json, sys
names = {"nearest": "round to nearest", "search": "scales with the least weighted error", "gptq": "GPTQ",
         "gptq-refined": "GPTQ, refined"}
for depth in sys.argv[2].split():
    report = lambda bits, method: json.load(open(f"{sys.argv[1]}/resnet{depth}-int{bits}-{method}/report.json"))
    print(f"| ResNet-{depth} | fp32 | {100 * report(4, 'nearest')['baseline_top1_fraction']:.2f} % | | | |")
    for method, name in names.items():
        cells = [f"{100 * r['top1_fraction']:.2f} % | {100 * r['lost_top1_fraction']:.2f}"
                 for r in (report(4, method), report(3, method))]
        print(f"| ResNet-{depth} | {name} | {' | '.join(cells)} |")
PYTHON
}

# A format for every tensor, within a budget, beside one format for all.
section_mixed() {
  build quantize_model
  local program=$build/examples/quantize_model/quantize_model
  local language=(--network llama --model "$data/language/stories260k.safetensors"
    --calibration "$data/language/tinystories_tokens.safetensors" --data "$data/language/tinystories_tokens.safetensors")
  local vision=(--network resnet-cifar:20 --model "$data/vision/resnet20_cifar10.safetensors"
    --calibration "$data/vision/cifar10_calib.safetensors" --data "$data/vision/cifar10_test_a.safetensors")
  run() { # run NAME ARGUMENT...
    "$program" "${@:2}" --threads "$jobs" --out "$out/mixed-$1" >"$out/mixed-$1.log" 2>&1 || { tail -n 5 "$out/mixed-$1.log" >&2; return 1; }
  }
  run decoder-4.5 "${language[@]}" --budget 4.5
  run decoder-3.5 "${language[@]}" --budget 3.5
  run decoder-int4 "${language[@]}" --format uint4:f16
  run decoder-as-int4 "${language[@]}" --budget "$(bits decoder-int4)" --format uint2:f16,uint3:f16,uint4:f16,uint5:f16,uint6:f16,uint7:f16
  local method
  for method in nearest gptq-refined; do
    run "vision-int4-$method" "${vision[@]}" --format int4 --method $method
    run "vision-as-int4-$method" "${vision[@]}" --method $method --budget "$(bits "vision-int4-$method")" --sensitivity-samples 128
  done
  cat <<'TEXT'
## Mixed precision: one format for all weights, or the best allocation within the same size

GPTQ, refined, every layer fitted to what the original network gives behind it, or the nearest codes where the table says so.
Bits a weight count scales and zero points.
stories260k: every matrix, the tied embedding included; perplexity on `evaluation` of `tinystories_tokens` (wanted: 4 % at 4.5
bits, 20 % at 3.5), formats chosen by the divergence of the output on 32 calibration rows. ResNet-20: eight-bit activations,
top-1 on the 5,000 images of `cifar10_test_a` (the standard error of a difference is about .2 points where both lose little),
formats chosen by the squared error of the output on 128 calibration images. By `examples/quantize_model`.

| network | formats | bits a weight | fp32 | quantized | loss | divergence, nats |
| --- | --- | --- | --- | --- | --- | --- |
TEXT
  python3 - "$out" <<'PYTHON'
import json, sys
read = lambda name: json.load(open(f"{sys.argv[1]}/mixed-{name}/report.json"))
for name, what in (("decoder-int4", "one: 4-bit integers, a scale and zero point a channel"),
                   ("decoder-as-int4", "2- to 7-bit integers, as large"), ("decoder-4.5", "default, 4.5 bits"),
                   ("decoder-3.5", "default, 3.5 bits")):
    r = read(name)
    print(f"| stories260k | {what} | {r['quantized_bits_per_weight']:.3f} | {r['baseline_perplexity']:.4f} | "
          f"{r['perplexity']:.4f} | {100 * (r['perplexity'] / r['baseline_perplexity'] - 1):+.2f} % | {r['mean_kl_nats']:.4f} |")
vision = [(f"{name}-{method}", f"{what}{how}") for method, how in (("nearest", ", nearest"), ("gptq-refined", ""))
          for name, what in (("vision-int4", "one: 4-bit integers, a scale a channel"),
                             ("vision-as-int4", "2- to 8-bit integers, as large"))]
for name, what in vision:
    r = read(name)
    print(f"| ResNet-20 | {what} | {r['quantized_bits_per_weight']:.3f} | {100 * r['baseline_top1_fraction']:.2f} % | "
          f"{100 * r['top1_fraction']:.2f} % | {100 * r['lost_top1_fraction']:.2f} points | |")
PYTHON
}
bits() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["quantized_bits_per_weight"])' "$out/mixed-$1/report.json"; }

# Output error of single layers, by method.
section_compensation() {
  build bench_compensation_quality
  cat <<'TEXT'
## Layers: squared output error by method

Ratio to round-to-nearest in the setting that each table names, on samples not used for fitting; mean over layers. By
`bench/quant/compensation_quality.cpp`, which says what is fitted on what.
TEXT
  $build/bench/bench_compensation_quality "$data"
}

section_outliers() {
  build bench_outlier_quality
  cat <<'TEXT'
## Planted outliers: squared output error of W8A8

1 % of the channels between two layers is 50 times as large, the weights behind it 50 times as small. Squared output error
relative to the squared output; geometric means over layers and four draws of the channels. By
`bench/quant/outlier_quality.cpp`.

TEXT
  $build/bench/bench_outlier_quality "$data"
}

section_gguf() {
  build bench_gguf_quality
  cat <<'TEXT'
## GGUF formats: perplexity and divergence of decoders

Every linear layer but the head quantized, embedding and head in fp32; mean KL divergence to the fp32 outputs in nats a
position on `evaluation` of `tinystories_tokens`. By `bench/quant/gguf_quality.cpp`.
TEXT
  $build/bench/bench_gguf_quality "$data"
}

for section in "${sections[@]}"; do
  declare -F "section_$section" >/dev/null || { echo "quality.sh: no section $section; there are ${all[*]}" >&2; exit 2; }
done
for section in "${sections[@]}"; do
  echo "== $section" >&2
  processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
  text=$(section_"$section")
  printf '%s\n\nMeasured on %s by `bench/quality.sh %s` of mcomp %s.\n' "$text" "${processor:-an unknown processor}" \
    "$section" "$(git describe --always 2>/dev/null || echo of a source archive)" >"$out/$section.md"
done

# The sections that were not measured are taken from the file.
python3 - "$result" "$out" "${all[*]}" "${sections[*]}" <<'PYTHON'
import os, re, sys
result, out, everything, measured = sys.argv[1], sys.argv[2], sys.argv[3].split(), sys.argv[4].split()
old = open(result).read() if os.path.exists(result) else ""
text = "# What quantization costs\n\nWritten by `bench/quality.sh`, or a section by `bench/quality.sh SECTION`; do not edit.\n"
for section in everything:
    begin, end = f"<!-- {section} -->\n", f"<!-- end of {section} -->\n"
    if section in measured:
        body = open(os.path.join(out, section + ".md")).read()
    else:
        found = re.search(re.escape(begin) + "(.*?)" + re.escape(end), old, re.S)
        if not found:
            continue
        body = found.group(1)
    text += f"\n{begin}{body}{end}"
with open(result + ".part", "w") as file:
    file.write(text)
os.replace(result + ".part", result)
PYTHON
echo "$result: ${sections[*]}"
