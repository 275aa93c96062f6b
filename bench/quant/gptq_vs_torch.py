#!/usr/bin/env python3
"""GPTQ, 4 bits, groups of 128, of one layer: mcomp beside the published algorithm in Python on torch.

    gptq_vs_torch.py BENCH_GPTQ_LAYER [--size 4096] [--rounds 3] [--threads 2]

BENCH_GPTQ_LAYER is the program of bench/quant/gptq_layer.cpp. Both sides get the same weights and samples, the same
threads, and take turns; Hessians are accumulated before the clock runs. Prints the ratio of the medians, the squared output
errors, and the memory that mcomp takes. "same": the same scales and order of columns as the published algorithm; "defaults":
mcomp's own, which searches scales and orders columns.

Needs python3-torch and libopenblas0 of Debian (its own BLAS is about thirty times slower); without them it says so and
ends well.
"""

import argparse
import json
import math
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("program")
parser.add_argument("--size", type=int, default=4096)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--threads", type=int, default=2)
arguments = parser.parse_args()
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = str(arguments.threads)

try:
    import torch
except ImportError:
    sys.exit(print("skipped: there is no torch for this Python (Debian: apt-get install python3-torch libopenblas0)"))
torch.set_num_threads(arguments.threads)
torch.ones(64, 64) @ torch.ones(64, 64)  # loads the BLAS
if "openblas" not in open("/proc/self/maps").read():
    sys.exit(print("skipped: torch does not use OpenBLAS here (Debian: apt-get install libopenblas0)"))

GROUP, BLOCK, HIGHEST, DAMPING = 128, 128, 7, 0.01


def gptq(weight, hessian):
    """Frantar et al. 2022, algorithm 1, with a symmetric scale for each group, set when its turn comes."""
    w, h = weight.clone(), hessian.clone()
    columns = w.shape[1]
    dead = torch.diag(h) == 0
    h[dead, dead] = 1
    w[:, dead] = 0
    diagonal = torch.arange(columns)
    h[diagonal, diagonal] += DAMPING * torch.mean(torch.diag(h))
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(h))
    inverse = torch.linalg.cholesky(inverse, upper=True)
    q = torch.zeros_like(w)
    for begin in range(0, columns, BLOCK):
        end = min(begin + BLOCK, columns)
        w1, q1 = w[:, begin:end].clone(), torch.zeros(w.shape[0], end - begin)
        errors, inverse1 = torch.zeros_like(q1), inverse[begin:end, begin:end]
        for i in range(end - begin):
            if (begin + i) % GROUP == 0:
                group = w1[:, i : i + GROUP] if i + GROUP <= end - begin else w[:, begin + i : begin + i + GROUP]
                scale = group.abs().amax(dim=1) / HIGHEST
                scale[scale == 0] = 1
            column = w1[:, i]
            q1[:, i] = torch.clamp(torch.round(column / scale), -HIGHEST, HIGHEST) * scale
            error = (column - q1[:, i]) / inverse1[i, i]
            w1[:, i:] -= error.unsqueeze(1) @ inverse1[i, i:].unsqueeze(0)
            errors[:, i] = error
        q[:, begin:end] = q1
        w[:, end:] -= errors @ inverse[begin:end, end:]
    return q


def output_error(weight, q, hessian):
    e = weight - q
    return (torch.sum((e @ hessian) * e) / torch.sum((weight @ hessian) * weight)).item()


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, tensor in tensors.items():
        raw = tensor.contiguous().numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


torch.manual_seed(1)
n, samples = arguments.size, arguments.size * 3 // 2
weight = torch.randn(n, n) / math.sqrt(n)
# Inputs whose directions fall off as a power law and whose channels differ in size, as those of trained networks do.
x = torch.randn(samples, n) * torch.arange(1, n + 1).float().pow(-0.5)
x = x @ (torch.randn(n, n) / math.sqrt(n)) * torch.exp(0.5 * torch.randn(n))
hessian = x.T @ x / samples
with tempfile.TemporaryDirectory() as folder:
    layer = os.path.join(folder, "layer.safetensors")
    write_safetensors(layer, {"weight": weight, "x": x})
    del x
    python, mcomp = [], {"same": [], "defaults": []}
    for _ in range(arguments.rounds):
        begin = time.perf_counter()
        q = gptq(weight, hessian)
        python.append(time.perf_counter() - begin)
        result = json.loads(subprocess.check_output([arguments.program, layer, str(arguments.threads)]))
        for key, runs in mcomp.items():
            runs.append(result[key])
print(f"GPTQ, 4 bits, groups of {GROUP}, layer {n} x {n}, {arguments.threads} threads, {arguments.rounds} rounds")
print(f"torch {torch.__version__} on OpenBLAS: output error {output_error(weight, q, hessian):.3e}")
for key, runs in mcomp.items():
    ratio = statistics.median(python) / statistics.median(r["seconds"] for r in runs)
    print(f"mcomp, {key}: {ratio:.2f}x as fast, output error {runs[-1]['output_error']:.3e}, "
          f"{max(r['copies'] for r in runs):.2f} copies of the layer beside weight and Gram matrix")
