#!/usr/bin/env python3
"""How many samples each digit gets, and how sure a classifier that was trained apart is of them, beside real digits.

    python3 bench/gan/digits.py TRAIN-IMAGES TEST-IMAGES [--steps 4000 | --time-limit 5m] [--seeds 3] --percept target/release/percept

TRAIN-IMAGES and TEST-IMAGES are MNIST's files of images, beside which those of labels lie. LeNet learns the training digits; generators without and with
classes learn the same ones, with a few seeds each, and draw; LeNet says what it takes the samples for. A row is what it takes for this digit, whatever was
asked for; the last column is how much of what was asked for is recognised as it. --keep FOLDER keeps the runs.
"""
import argparse
import collections
import json
import pathlib
import statistics
import subprocess
import tempfile


def percept(args, *words):
    result = subprocess.run([args.percept, "-q", *map(str, words)], check=True, capture_output=True)
    return result.stdout


def recognised(args, classifier, pictures):
    """Of each picture: the folder that it lies in, the answer, and how sure it is."""
    answers = json.loads(percept(args, "predict", classifier, pictures, "--top", 1, "--format", "json"))
    for answer in answers:
        best = answer["classes"][0]
        yield pathlib.Path(answer["picture"]).parent.name, best["label"], best["probability"]


def table(title, runs, asked):
    """The mean over runs of what is counted, and the range of counts."""
    print(f"\n{title}\n\n| digit | samples | mean sureness | median | above 90 % |" + (" as asked for |" if asked else ""))
    print("|---|---|---|---|---|" + ("---|" if asked else ""))
    labels = sorted({label for run in runs for _, label, _ in run})
    mean = lambda numbers: statistics.mean(numbers) if numbers else float("nan")
    percent = lambda share: f"{100 * share:.1f} %"
    for label in [*labels, "all"]:
        fits = lambda one: label in (one, "all")
        counts = [sum(fits(answer) for _, answer, _ in run) for run in runs]
        sure = [[p for _, answer, p in run if fits(answer)] for run in runs]
        sure = [one for one in sure if one]
        row = [label, f"{mean(counts):.0f}" + (f" ({min(counts)}–{max(counts)})" if len(runs) > 1 else "")]
        row += [percent(mean([mean(one) for one in sure])), percent(mean([statistics.median(one) for one in sure]))]
        row += [percent(mean([mean([p > 0.9 for p in one]) for one in sure]))]
        if asked:
            hits = [[answer == wanted for wanted, answer, _ in run if fits(wanted)] for run in runs]
            row.append(percent(mean([mean(one) for one in hits])))
        print("| " + " | ".join(row) + " |", flush=True)
    for run in runs:
        counts = collections.Counter(answer for _, answer, _ in run)
        even = len(run) / len(labels)
        spread = sum(abs(counts[label] - even) for label in labels) / (2 * len(run))
        print(f"{percent(spread)} of the samples would have to be of another digit for even counts")


def measure(args, folder):
    classifier = folder / "lenet" / "model.onnx"
    if not classifier.exists():
        train = ["--network", "lenet", "--from-scratch", "--no-flip", "--time-limit", "3m"]
        percept(args, "train", args.train, *train, "-o", folder / "lenet")
    table("Real test digits", [list(recognised(args, classifier, args.test))], True)
    how = ["--steps", args.steps] if args.steps else ["--time-limit", args.time_limit]
    for kind, flags in [("Without classes", ["--no-classes"]), ("With classes", [])]:
        runs = []
        for seed in range(args.seeds):
            run = folder / f"{kind.split()[0].lower()}-{seed}"
            drawn = folder / f"{run.name}-drawn"
            if not run.exists():
                percept(args, "gan", "train", args.train, "--size", 28, "--seed", seed, *how, *flags, "-o", run)
            if not drawn.exists():
                percept(args, "gan", "sample", run, "-n", args.samples, "--seed", 1000 + seed, "-o", drawn)
            runs.append(list(recognised(args, classifier, drawn)))
        steps = json.loads((run / "metrics.json").read_text())["steps"]
        table(f"{kind}: {args.samples} samples of each of {args.seeds} seeds, {steps} steps", runs, not flags)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--time-limit", default="5m")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--keep", type=pathlib.Path)
    parser.add_argument("--percept", default="target/release/percept")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = args.keep or pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        measure(args, folder)


if __name__ == "__main__":
    main()
