"""Measures how well a model knows what it does not know: some products are left out of the training, and their pictures must score lower
than pictures of the others that the model never saw.

    python3 leave_out.py GROCERIES [--percept PROGRAM] [--choices 3] [--left 20] [--time-limit 5m | --config run/config.toml]

GROCERIES holds the folders train and val, with a folder for each product in both. Unknown are all pictures of the products left out. Known
are, first, the scenes of train that the training holds out by itself; second, the pictures in val, which were taken in other shops. The
unknown pictures are given to the training as --unknown, where they set the threshold but take no part in fitting the score, so the areas
are honest and the shares of wrong answers are of a threshold that has seen half of the unknown pictures. FPR95, the share of unknown
pictures that is accepted where 95 % of the known ones are, does not depend on the threshold. A time limit of 45s gives the classifier on
top of the frozen network, 5m a retrained one. With --config, the training repeats what a run has decided, however fast the machine is.
"""

import argparse
import json
import pathlib
import random
import statistics
import subprocess
import tempfile


def percept(program, *args):
    return json.loads(subprocess.run([program, "-q", *map(str, args)], stdout=subprocess.PIPE, check=True).stdout)


def link(folder, sources):
    folder.mkdir(parents=True)
    for i, path in enumerate(sources):
        (folder / f"{i:04}-{path.name}").symlink_to(path.resolve())


def repeated(config, seed, folder):
    """A copy of a run's settings for other photos: what its keys at the top say, but for these."""
    own = {"photos": folder / "photos", "unknown": folder / "unknown"}
    lines = [f"{key} = {json.dumps(str(path))}" for key, path in own.items()] + [f"seed = {seed}"]
    kept = [line for line in config.read_text().splitlines() if line.split(" = ")[0] not in [*own, "seed"]]
    copy = folder / "config.toml"
    copy.write_text("\n".join(lines + kept) + "\n")
    return copy


def choice(args, seed, folder):
    train, val = args.groceries / "train", args.groceries / "val"
    pictures = lambda root: sorted(path for path in root.rglob("*") if path.is_file())
    classes = sorted(path.name for path in train.iterdir() if path.is_dir())
    left = random.Random(seed).sample(classes, args.left)
    for name in classes:
        if name in left:
            link(folder / "unknown" / name, pictures(train / name) + pictures(val / name))
        else:
            link(folder / "photos" / name, pictures(train / name))
            if pictures(val / name):
                link(folder / "val" / name, pictures(val / name))
    run = folder / "run"
    unknown = ["--unknown", folder / "unknown"]
    what = [folder / "photos", "--seed", seed, "--time-limit", args.time_limit, *unknown]
    if args.config:
        what = ["--config", repeated(args.config, seed, folder)]
    trained = percept(args.percept, "train", *what, "--out", run, "--format", "json")
    found = percept(args.percept, "evaluate", run / "model.onnx", folder / "val", *unknown, "--format", "json")
    stages = "retrained" if "[[stages]]" in (run / "config.toml").read_text() else "classifier on top"
    print(f"choice {seed}, {stages}")
    for name, measured in [("scenes held out", trained), ("other shops", found)]:
        known = measured["known"]
        print(
            f"  {name}: accuracy {measured['accuracy']:.3f}; AUROC {known['auroc']:.3f}, FPR95 {known['fpr95']:.3f} ({known['known']} known, "
            f"{known['unknown']} unknown); known rejected {known['known_rejected']:.3f}, unknown accepted {known['unknown_accepted']:.3f}"
        )
    estimate = trained["known"]["left_out"]
    print(f"  the training's own estimate: AUROC {estimate['auroc']:.3f}, FPR95 {estimate['fpr95']:.3f}", flush=True)
    return trained["known"]["auroc"], found["known"]["auroc"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groceries", type=pathlib.Path)
    parser.add_argument("--percept", default="percept")
    parser.add_argument("--choices", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="the first choice's number")
    parser.add_argument("--left", type=int, default=20)
    parser.add_argument("--time-limit", default="5m")
    parser.add_argument("--config", type=pathlib.Path, help="a run's config.toml, to be repeated in place of a time limit")
    parser.add_argument("--keep", type=pathlib.Path, help="a folder to keep photos and models in")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = args.keep or pathlib.Path(folder)
        areas = [choice(args, seed, root / str(seed)) for seed in range(args.first, args.first + args.choices)]
    for name, column in zip(("scenes held out", "other shops"), zip(*areas)):
        print(f"{name}: mean AUROC {statistics.mean(column):.3f}, least {min(column):.3f}")


main()
