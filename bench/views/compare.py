"""Measures what augmented views are worth: trains with and without them for several seeds and compares on other photos.

    python3 compare.py TRAIN TEST [--percept PROGRAM] [--seeds 3]

The difference is paired: each test photo counts with its share of right answers over the seeds, with views minus without. Its 95 %
interval is over test photos (normal approximation), so it says how the gain would vary with other photos of the same kind.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile


def percept(program, *args):
    out = subprocess.run([program, "-q", *map(str, args)], stdout=subprocess.PIPE, check=True)
    return json.loads(out.stdout)


def hits(program, train, test, seed, views, folder):
    run = folder / f"{views}-{seed}"
    percept(program, "train", train, "--out", run, "--seed", seed, "--views", views, "--format", "json")
    model = run / "model.onnx"
    measured = percept(program, "evaluate", model, test, "--format", "json")
    named = percept(program, "predict", model, test, "--top", 1, "--format", "json")
    right = {p["picture"]: p["classes"][0]["label"] == pathlib.Path(p["picture"]).parent.name for p in named}
    print(f"seed {seed}, views {views}: accuracy {measured['accuracy']:.4f}, {measured['accuracy_ci95']}", flush=True)
    return right


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train")
    parser.add_argument("test", help="a folder with a sub-folder for each class")
    parser.add_argument("--percept", default="percept")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    shares = {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(args.seeds):
            for views in ("auto", "0"):
                for picture, right in hits(args.percept, args.train, args.test, seed, views, pathlib.Path(folder)).items():
                    shares.setdefault(picture, {"auto": 0.0, "0": 0.0})[views] += right / args.seeds
    gains = [share["auto"] - share["0"] for share in shares.values()]
    mean, error = statistics.mean(gains), statistics.stdev(gains) / len(gains) ** 0.5
    for views in ("auto", "0"):
        print(f"views {views}: mean accuracy {statistics.mean(share[views] for share in shares.values()):.4f}")
    low, high = mean - 1.96 * error, mean + 1.96 * error
    print(f"gain {mean:+.4f}, 95 % interval {low:+.4f} to {high:+.4f}, {len(gains)} photos, {args.seeds} seeds")


main()
