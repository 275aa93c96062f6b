"""Calibration metrics and temperature scaling beside PyTorch, in turns on the same logits, each on one thread.

    calibration_peer.py PROGRAM [--repeats N]       PROGRAM: bench_calibration_speed

Prints Markdown: the median of each side and of the ratios of neighbouring runs. Status 77 where PyTorch is absent.
"""
import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
try:
    import torch
except ImportError:
    print("PyTorch is absent (Debian: python3-torch): skipped")
    sys.exit(77)

BINS = 15


def ece(logits, labels):
    """Expected calibration error as the authors of temperature scaling compute it."""
    confidence, predicted = torch.softmax(logits, 1).max(1)
    right = predicted.eq(labels)
    borders = torch.linspace(0, 1, BINS + 1)
    total = torch.zeros(1)
    for lower, upper in zip(borders[:-1], borders[1:]):
        inside = confidence.gt(lower) & confidence.le(upper)
        share = inside.float().mean()
        if share > 0:
            total += (confidence[inside].mean() - right[inside].float().mean()).abs() * share
    return total.item()


def temperature(logits, labels):
    T = torch.nn.Parameter(torch.ones(1) * 1.5)
    optimizer = torch.optim.LBFGS([T], lr=1, max_iter=50, line_search_fn="strong_wolfe")
    loss = torch.nn.CrossEntropyLoss()

    def closure():
        optimizer.zero_grad()
        value = loss(logits / T, labels)
        value.backward()
        return value

    optimizer.step(closure)
    return T.item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "logits")
        server = subprocess.Popen([options.program, "--serve", path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  text=True, bufsize=1)
        rows, classes = map(int, server.stdout.readline().split())
        data = open(path, "rb").read()
        cut = 4 * rows * classes
        logits = torch.frombuffer(bytearray(data[:cut]), dtype=torch.float32).reshape(rows, classes)
        labels = torch.frombuffer(bytearray(data[cut:]), dtype=torch.int64)

        def ask(what):
            server.stdin.write(what + "\n")
            seconds, found = server.stdout.readline().split()
            return float(seconds), found

        def timed(work):
            start = time.perf_counter()
            found = work(logits, labels)
            return time.perf_counter() - start, found

        print(f"{rows} x {classes} logits, PyTorch {torch.__version__}, one thread, medians of {options.repeats} "
              "alternating runs\n")
        print("| | mcomp | PyTorch | ratio | found by mcomp | by PyTorch |")
        print("| --- | --- | --- | --- | --- | --- |")
        for what, peer, name in [("metrics", ece, "all metrics, PyTorch ECE alone"),
                                 ("ece", ece, "all but classwise ECE, PyTorch ECE alone"),
                                 ("temperature", temperature, "temperature, PyTorch LBFGS with strong Wolfe")]:
            own, other = [], []
            ask(what), timed(peer)
            for _ in range(options.repeats):
                seconds, found = ask(what)
                own.append(seconds)
                seconds, peer_found = timed(peer)
                other.append(seconds)
            ratio = statistics.median(b / a for a, b in zip(own, other))
            print(f"| {name} | {1e3 * statistics.median(own):.1f} ms | {1e3 * statistics.median(other):.1f} ms | "
                  f"{ratio:.1f} | {found} | {peer_found:.7f} |", flush=True)
        server.stdin.close()
        server.wait()


main()
