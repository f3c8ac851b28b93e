"""Measures how well a model knows what it does not know: some products are left out of the training, and their pictures must score lower
than pictures of the others that the model never saw.

    python3 leave_out.py GROCERIES [--percept PROGRAM] [--choices 3] [--left 20] [--time-limit 5m] [--unknown PICTURES]

GROCERIES holds the folders train and val, with a folder for each product in both. Known are the pictures in val of the products that were
learned; unknown are all pictures, of train and val, of those left out. Prints for each random choice of products the area under the ROC
curve, how many unknown pictures are taken for a product and how many known ones are not, and what the training itself had estimated by
leaving out classes. A time limit of 45s gives the classifier on top of the frozen network, 5m a retrained one.
"""

import argparse
import json
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile


def percept(program, *args):
    return json.loads(subprocess.run([program, "-q", *map(str, args)], stdout=subprocess.PIPE, check=True).stdout)


def link(folder, sources):
    folder.mkdir(parents=True)
    for i, path in enumerate(sources):
        (folder / f"{i:04}-{path.name}").symlink_to(path.resolve())


def choice(args, seed, folder):
    train, val = args.groceries / "train", args.groceries / "val"
    pictures = lambda root: sorted(path for path in root.rglob("*") if path.is_file())
    classes = sorted(path.name for path in train.iterdir() if path.is_dir())
    left = random.Random(seed).sample(classes, args.left)
    for name in classes:
        if name in left:
            link(folder / "others" / name, pictures(train / name) + pictures(val / name))
        else:
            link(folder / "photos" / name, pictures(train / name))
            if pictures(val / name):
                link(folder / "others" / name, pictures(val / name))
    given = ["--unknown", args.unknown] if args.unknown else []
    run = folder / "run"
    trained = percept(args.percept, "train", folder / "photos", "--out", run, "--seed", seed, "--time-limit", args.time_limit, "--format", "json", *given)
    found = percept(args.percept, "evaluate", run / "model.onnx", folder / "others", "--format", "json")
    known, estimate = found["known"], (trained["known"].get("left_out") or {})
    stages = "retrained" if "[[stages]]" in (run / "config.toml").read_text() else "classifier on top"
    print(
        f"choice {seed}, {stages}: accuracy {found['accuracy']:.3f}; AUROC {known['auroc']:.3f} ({known['known']} known, {known['unknown']} unknown); "
        f"unknown accepted {known['unknown_accepted']:.3f}, known rejected {known['known_rejected']:.3f}; "
        f"the training's own estimate {estimate.get('auroc', float('nan')):.3f}",
        flush=True,
    )
    return known["auroc"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groceries", type=pathlib.Path)
    parser.add_argument("--percept", default="percept")
    parser.add_argument("--choices", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="the first choice's number")
    parser.add_argument("--left", type=int, default=20)
    parser.add_argument("--time-limit", default="5m")
    parser.add_argument("--unknown", type=pathlib.Path, help="pictures of anything else to train with")
    parser.add_argument("--keep", type=pathlib.Path, help="a folder to keep photos and models in")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = args.keep or pathlib.Path(folder)
        areas = [choice(args, seed, root / str(seed)) for seed in range(args.first, args.first + args.choices)]
    print(f"mean AUROC {statistics.mean(areas):.3f}, least {min(areas):.3f}")
    sys.exit(int(min(areas) < 0.90))


main()
