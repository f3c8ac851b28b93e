"""EfficientNet-Lite0 forward: pictures a second of Percept and of ONNX Runtime, interleaved, from the same ONNX file; see run.sh.

ONNX Runtime gets its best settings: all graph optimisations, sequential execution, as many threads as cores. Each burst is a process of
its own that measures and ends, so that neither runtime's waiting threads disturb the other.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort

NETWORK, SIDE, LIMIT = "efficientnet-lite0", 224, 1e-4
# Batch: runs of one burst.
BURSTS = {1: 200, 32: 6}
MANIFEST = Path(__file__).parents[2] / "Cargo.toml"
CARGO = ["cargo", "run", "--quiet", "--release", "--manifest-path", MANIFEST]
PERCEPT = [*CARGO, "-p", "percept-engine", "--example", "run", "--"]


def onnx_runtime(model, pictures, output, repeat):
    """What Percept's example does, with ONNX Runtime."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    options.add_session_config_entry("session.set_denormal_as_zero", "1")  # as Percept does
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (name,) = (value.name for value in session.get_inputs())
    feed = {name: np.fromfile(pictures, dtype=np.uint8).reshape(-1, SIDE, SIDE, 3)}
    session.run(None, feed)[0].tofile(output)
    times = []
    for _ in range(repeat):
        begin = time.perf_counter()
        session.run(None, feed)
        times.append((time.perf_counter() - begin) * 1e3)
    print(json.dumps({"ms": times}))


def burst(command, model, folder, batch):
    """Pictures a second, from the median of a burst's runs, and the logits."""
    run = subprocess.run(
        [*command, model, folder / f"{batch}", folder / "output", "--repeat", str(BURSTS[batch])],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    rate = 1e3 * batch / statistics.median(json.loads(run.stdout)["ms"])
    return rate, np.fromfile(folder / "output", dtype="<f4")


def summary(values, digits=0):
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def measure(model, folder, batch, rounds):
    peer = [sys.executable, __file__, "--peer"]
    np.random.default_rng(batch).integers(0, 256, batch * SIDE * SIDE * 3, np.uint8).tofile(folder / f"{batch}")
    ours, theirs = [], []
    for number in range(rounds + 1):
        contenders = [(PERCEPT, ours), (peer, theirs)]
        results = [None, None]
        for i in (0, 1) if number % 2 else (1, 0):  # each goes first in half of the rounds
            command, rates = contenders[i]
            rate, results[i] = burst(command, model, folder, batch)
            if number > 0:  # the first warms up
                rates.append(rate)
        difference = np.abs(results[0] - results[1]).max() / np.ptp(results[1])
        if not difference <= LIMIT:
            sys.exit(f"the logits differ by {difference:.1e} of their spread")
    ratios = [a / b for a, b in zip(ours, theirs)]
    print(f"batch {batch:2}: Percept {summary(ours)} images/s, ONNX Runtime {summary(theirs)} images/s,")
    print(f"          Percept / ONNX Runtime {summary(ratios, 2)}", flush=True)


def main():
    if sys.argv[1:2] == ["--peer"]:
        model, pictures, output, _, repeat = sys.argv[2:]
        return onnx_runtime(model, pictures, output, int(repeat))
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path, help="an ONNX file that takes u8 [N, 224, 224, 3], instead of exporting one")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        model = arguments.model
        if model is None:
            model = folder / f"{NETWORK}.onnx"
            if subprocess.run([*CARGO, "--", "backbone", "export", NETWORK, "-o", model]).returncode or not model.exists():
                sys.exit(f"percept could not export {NETWORK}")
        print(f"{model.stem}, {SIDE} px, {len(os.sched_getaffinity(0))} threads, ONNX Runtime {ort.__version__};")
        print(f"median (lowest to highest) of {arguments.rounds} interleaved rounds")
        for batch in BURSTS:
            measure(model, folder, batch, arguments.rounds)


if __name__ == "__main__":
    main()
