#!/usr/bin/env python3
"""How many samples each digit gets, and how sure a classifier that was trained apart is of them, beside real digits.

    pip install numpy pillow
    python3 bench/gan/digits.py TRAIN-IMAGES TEST-IMAGES [--steps 4000 | --time-limit 5m] [--seeds 3] --percept target/release/percept

TRAIN-IMAGES and TEST-IMAGES are MNIST's files of images, packed, beside which those of labels lie. LeNet learns the training digits; generators without and
with classes learn the same ones, with a few seeds each, and draw; LeNet says what it takes the samples for. A row is what it takes for this digit, whatever
was asked for; the last column is how much of what was asked for is recognised as it. The spread is how far two samples of a digit are apart, as a root mean
square over pixels and pairs, as a share of how far two real test digits are: sure samples that are all alike would be no good. --keep FOLDER keeps the runs,
and goes on with those that are there.
"""
import argparse
import collections
import gzip
import json
import pathlib
import statistics
import subprocess
import tempfile

import numpy as np
from PIL import Image

Answer = collections.namedtuple("Answer", "path asked said sure")


def percept(args, *words):
    command = [args.percept, "-q", "--threads", str(args.threads), *map(str, words)]
    return subprocess.run(command, check=True, capture_output=True).stdout


def recognised(args, classifier, pictures):
    answers = json.loads(percept(args, "predict", classifier, pictures, "--top", 1, "--format", "json"))
    paths = [pathlib.Path(answer["picture"]) for answer in answers]
    best = [answer["classes"][0] for answer in answers]
    return [Answer(path, path.parent.name, one["label"], one["probability"]) for path, one in zip(paths, best)]


def spread(pictures):
    """The root mean square difference of a pixel in two of these pictures."""
    return np.sqrt(2 * np.asarray(pictures, "f4").var(axis=0).mean()) if len(pictures) > 1 else float("nan")


def real_spreads(images):
    labels = images.replace("images-idx3", "labels-idx1")
    labels = np.frombuffer(gzip.open(labels).read(), np.uint8)[8:]
    pixels = np.frombuffer(gzip.open(images).read(), np.uint8)[16:].reshape(len(labels), -1)
    return {str(digit): spread(pixels[labels == digit]) for digit in range(10)}


def percent(shares):
    return f"{100 * statistics.mean(shares):.1f} %" if len(shares) else "–"


def table(title, runs, spreads, asked):
    """Means over runs, and the range of counts."""
    columns = ["digit", "samples", "mean sureness", "median", "above 90 %", "spread"] + ["as asked for"] * asked
    print(f"\n{title}\n\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    apart = []
    for digit in [*spreads, "all"]:
        of_digit = [[one for one in run if digit in (one.said, "all")] for run in runs]
        counts, sure = [len(run) for run in of_digit], [[one.sure for one in run] for run in of_digit if run]
        row = [digit, f"{statistics.mean(counts):.0f}" + (f" ({min(counts)}–{max(counts)})" if len(runs) > 1 else "")]
        row += [percent([statistics.mean(one) for one in sure]), percent([statistics.median(one) for one in sure])]
        row += [percent([statistics.mean(p > 0.9 for p in one) for one in sure])]
        if digit == "all":
            row.append(percent(apart))
        elif all(one.path.exists() for run in of_digit for one in run):
            pixels = [[np.asarray(Image.open(one.path).convert("L")).ravel() for one in run] for run in of_digit]
            share = [spread(one) / spreads[digit] for one in pixels if len(one) > 1]
            apart += share
            row.append(percent(share))
        else:
            row.append("–")
        if asked:
            row.append(percent([one.said == one.asked for run in runs for one in run if digit in (one.asked, "all")]))
        print("| " + " | ".join(row) + " |", flush=True)
    for run in runs:
        counts, even = collections.Counter(one.said for one in run), len(run) / len(spreads)
        other = sum(abs(counts[digit] - even) for digit in spreads) / (2 * len(run))
        print(f"\nFor even counts {100 * other:.1f} % would have to be of another digit.")


def measure(args, folder):
    classifier = folder / "lenet" / "model.onnx"
    if not classifier.exists():
        train = ["--network", "lenet", "--from-scratch", "--no-flip", "--time-limit", "3m"]
        percept(args, "train", args.train, *train, "-o", folder / "lenet")
    spreads = real_spreads(args.test)
    table("Real test digits", [recognised(args, classifier, args.test)], spreads, True)
    how = ["--steps", args.steps] if args.steps else ["--time-limit", args.time_limit]
    for kind, flags in [("without", ["--no-classes"]), ("with", [])]:
        runs = []
        for seed in range(args.seeds):
            run, drawn = folder / f"{kind}-{seed}", folder / f"{kind}-{seed}-drawn"
            if not run.exists():
                percept(args, "gan", "train", args.train, "--size", 28, "--seed", seed, *how, *flags, "-o", run)
            if not drawn.exists():
                percept(args, "gan", "sample", run, "-n", args.samples, "--seed", 1000 + seed, "-o", drawn)
            runs.append(recognised(args, classifier, drawn))
        steps = json.loads((run / "metrics.json").read_text())["steps"]
        title = f"Generators {kind} classes: {args.samples} samples of each of {args.seeds} seeds, {steps} steps"
        table(title, runs, spreads, not flags)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--time-limit", default="5m")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--keep", type=pathlib.Path)
    parser.add_argument("--percept", default="target/release/percept")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = args.keep or pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        measure(args, folder)


if __name__ == "__main__":
    main()
