#!/usr/bin/env python3
"""A step of training (forward and the gradients of all parameters) of recurrent layers, beside PyTorch's, on the same numbers.

    pip install torch numpy
    cargo build --release -p percept-learn --example recurrent
    python3 bench/recurrent/compare.py [--kind lstm] [--layers 2] [--features 64] [--hidden 256] [--batch 32] [--steps 64] [--rounds 10]

Bursts of both take turns, as in `bench/peers`; prints the medians and the ratio. Fails where loss or gradients differ.
"""
import argparse
import pathlib
import statistics
import sys
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench/peers"))
from process import Contender, Process  # noqa: E402

GATES = {"lstm": 4, "gru": 3, "rnn": 1}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=GATES, default="lstm")
    for name, default in dict(layers=2, features=64, hidden=256, batch=32, steps=64, rounds=10).items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--seconds", type=float, default=1.0, help="of a burst")
    a = parser.parse_args()
    rows, widths = GATES[a.kind] * a.hidden, [a.features] + [a.hidden] * (a.layers - 1)
    count = sum(rows * (width + a.hidden + 2) for width in widths)
    rng = np.random.default_rng(0)
    numbers = [rng.uniform(-1, 1, count) / a.hidden**0.5, rng.normal(size=a.steps * a.batch * (a.features + a.hidden))]
    sizes = [a.kind, a.layers, a.features, a.hidden, a.batch, a.steps]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        np.concatenate(numbers).astype(np.float32).tofile(folder / "input")
        commands = {
            "Percept": [ROOT / "target/release/examples/recurrent"],
            "PyTorch": [sys.executable, ROOT / "bench/recurrent/torch_step.py"],
        }
        peers = {
            name: Process(Contender(name, "", [*command, *sizes, folder / "input", folder / name]), folder / f"{name}.log")
            for name, command in commands.items()
        }
        ours, theirs = (np.fromfile(folder / name, np.float32) for name in commands)
        difference = np.abs(ours - theirs).max() / np.abs(theirs).max()
        print(f"largest difference of a gradient, relative to the largest gradient: {difference:.1e}")
        if not difference < 1e-4:
            sys.exit("the two do not compute the same")
        times = [[peer.burst(a.seconds) for peer in peers.values()] for _ in range(a.rounds)]
        for peer in peers.values():
            peer.end()
    flop = 6 * a.steps * a.batch * sum(rows * (width + a.hidden) for width in widths)
    flop -= 2 * a.steps * a.batch * rows * a.features  # Nobody asks for the gradient of the input.
    for name, column in zip(commands, zip(*times)):
        time = statistics.median(column)
        print(f"{name}: {time:.2f} ms, {flop / time / 1e6:.0f} GFLOP/s")
    ratios = [theirs / ours for ours, theirs in times]
    print(f"Percept is {statistics.median(ratios):.2f} times as fast ({min(ratios):.2f} to {max(ratios):.2f} over {a.rounds} rounds)")


if __name__ == "__main__":
    main()
