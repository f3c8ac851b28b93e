"""Measures `percept add`: products are left out of a training, then each is added from a few of its pictures.

    python3 measure.py GROCERIES [--percept PROGRAM] [--products 8] [--pictures 5] [--time-limit 45s] [--together]

GROCERIES holds the folders train and val, with a folder for each product in both. For each product: the share of its other pictures (of
train and val) that the new model names right, the share of the pictures of all old products in val whose answer changed, how many of
these had been at least 90 % sure, and the time. Each product is left out of a training of its own; with --together all are left out of
one training, and each is added to that model, which spares time where the network is retrained (--time-limit 5m). With --model RUN/model.onnx
nothing is trained: the products that this model lacks are added to it.
"""

import argparse
import json
import pathlib
import random
import statistics
import subprocess
import tempfile
import time


def percept(program, *args):
    return json.loads(subprocess.run([program, "-q", *map(str, args)], stdout=subprocess.PIPE, check=True).stdout)


def pictures(root):
    return sorted(path for path in root.rglob("*") if path.is_file())


def link(folder, sources):
    folder.mkdir(parents=True)
    for i, path in enumerate(sources):
        (folder / f"{i:04}-{path.name}").symlink_to(path.resolve())


def answers(args, model, folder):
    said = percept(args.percept, "predict", model, folder, "--top", 1, "--format", "json")
    return {one["picture"]: (one["classes"][0]["label"], one["classes"][0]["probability"], one.get("known")) for one in said}


def train(args, left, folder):
    for path in sorted((args.groceries / "train").iterdir()):
        if path.is_dir() and path.name not in left:
            link(folder / "photos" / path.name, pictures(path))
            link(folder / "val" / path.name, pictures(args.groceries / "val" / path.name))
    model = folder / "run" / "model.onnx"
    percept(args.percept, "train", folder / "photos", "--out", model.parent, "--time-limit", args.time_limit, "--format", "json")
    return model, folder / "val"


def opened(args, classes, folder):
    model = args.model.resolve()
    labels = (model.parent / "labels.txt").read_text().splitlines()
    for name in labels:
        link(folder / "val" / name, pictures(args.groceries / "val" / name))
    return [name for name in classes if name not in labels], (model, folder / "val")


def measure(args, product, model, val, folder):
    before = answers(args, model, val)
    mine = pictures(args.groceries / "train" / product)
    few = random.Random(product).sample(mine, args.pictures)
    others = [path for path in mine + pictures(args.groceries / "val" / product) if path not in few]
    link(folder / "others" / product, others)
    new = folder / f"{product}.onnx"
    start = time.time()
    added = percept(args.percept, "add", model, product, *few, "-o", new, "--format", "json")
    seconds = time.time() - start
    after = answers(args, new, val)
    changed = [picture for picture in before if before[picture][0] != after[picture][0]]
    wrong = [picture for picture in changed if after[picture][0] != product]
    confident = sum(before[picture][1] >= 0.9 for picture in changed)
    named = answers(args, new, folder / "others")
    recall = sum(label == product for label, _, _ in named.values()) / len(named)
    known = sum(known is not False for _, _, known in named.values()) / len(named)
    flipped = sum(before[picture][2] != after[picture][2] for picture in before)
    print(
        f"{product}: recall {recall:.3f} of {len(named)}, known {known:.3f}; changed {len(changed)} of {len(before)}, {confident} confident, "
        f"{len(wrong)} to another old class, {flipped} known before or after only; in training photos {len(added['changed'])} of {added['old_photos']}; left one out {added['left_one_out']}; {seconds:.1f} s",
        flush=True,
    )
    assert not wrong, wrong
    return recall, len(changed) / len(before), confident, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groceries", type=pathlib.Path)
    parser.add_argument("--percept", default="percept")
    parser.add_argument("--products", type=int, default=8)
    parser.add_argument("--pictures", type=int, default=5)
    parser.add_argument("--time-limit", default="45s")
    parser.add_argument("--together", action="store_true")
    parser.add_argument("--model", type=pathlib.Path)
    parser.add_argument("--keep", type=pathlib.Path, help="a folder to keep photos and models in")
    args = parser.parse_args()
    classes = sorted(path.name for path in (args.groceries / "train").iterdir() if path.is_dir())
    products = random.Random(0).sample(classes, args.products)
    with tempfile.TemporaryDirectory() as folder:
        root = args.keep or pathlib.Path(folder)
        rows, made = [], train(args, products, root / "together") if args.together else None
        if args.model:
            products, made = opened(args, classes, root)
            products = products[: args.products]
        for product in products:
            model, val = made or train(args, [product], root / product / "without")
            rows.append(measure(args, product, model, val, root / product))
    recall, changed, confident, seconds = zip(*rows)
    print(
        f"{len(rows)} products from {args.pictures} pictures each: mean recall {statistics.mean(recall):.3f} (least {min(recall):.3f}), "
        f"changed answers {statistics.mean(changed):.4f} (most {max(changed):.4f}), {sum(confident)} confident; "
        f"{statistics.median(seconds):.1f} s (the first time with a model {max(seconds):.1f} s)"
    )


main()
