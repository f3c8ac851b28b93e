"""Compares the two kinds of heat maps over many photos, and checks that they depend on what the model has learned.

    python3 bench/explain/compare.py MODEL.onnx PHOTOS [--labels FILE] [--count N] [--sheet SHEET.png] [--percept PATH]

For each photo, `percept explain` makes both maps of its answer. They are compared on occlusion's grid: the rank correlation (Spearman), the
intersection over union of the hottest fifths, and whether the hottest cell of one lies in the other's hottest fifth. By chance these
are 0, 0.11 and 0.20. As in "Sanity Checks for Saliency Maps" (Adebayo et al., NeurIPS 2018) the maps are made again, of the same class,
after the weights of the last layer were drawn anew with the same standard deviation: the correlation with the maps before says how little they depend on
it. The sheet shows ten of the photos, evenly chosen: photo, Grad-CAM, occlusion. Needs numpy, onnx and pillow.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from PIL import Image, ImageDraw

PICTURES = {".jpg", ".jpeg", ".png", ".webp"}
SHOWN = 10


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--labels", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--percept", default="target/release/percept")
    args = parser.parse_args()
    photos = sorted(path for path in args.photos.rglob("*") if path.suffix.lower() in PICTURES)
    photos = photos[:: max(1, len(photos) // args.count)][: args.count]
    if not photos:
        sys.exit(f"{args.photos} has no pictures")
    with tempfile.TemporaryDirectory() as folder:
        changed = Path(folder) / "changed.onnx"
        randomise(args.model, changed)
        rows = [measure(args, photo, changed) for photo in photos]
        if args.sheet:
            sheet(args, photos, Path(folder))
    print(f"{len(rows)} photos, median [quartiles]")
    for name in rows[0]:
        values = np.array([row[name] for row in rows if row[name] is not None])
        low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
        share = f", mean {values.mean():.2f}" if name.startswith("hottest") else ""
        print(f"  {name:<58} {middle:5.2f} [{low:.2f} to {high:.2f}]{share} (n = {len(values)})")


def measure(args, photo, changed):
    found = explain(args, args.model, photo)
    number = str(found["number"])
    cam, covered = maps(found)
    random_cam, random_covered = maps(explain(args, changed, photo, "--class", number))
    hot = [values >= np.quantile(values, 0.8) for values in (cam, covered)]
    return {
        "rank correlation of Grad-CAM and occlusion": correlation(cam, covered),
        "hottest fifths, intersection over union": (hot[0] & hot[1]).sum() / (hot[0] | hot[1]).sum(),
        "hottest cell of Grad-CAM in the hottest fifth of occlusion": float(hot[1].flat[cam.argmax()]),
        "hottest cell of occlusion in the hottest fifth of Grad-CAM": float(hot[0].flat[covered.argmax()]),
        "Grad-CAM before and after the last layer is random": correlation(cam, random_cam),
        "occlusion before and after the last layer is random": correlation(covered, random_covered),
        "seconds": found["seconds"],
    }


def explain(args, model, photo, *more):
    command = [args.percept, "explain", model, photo, *more]
    if args.labels:
        command += ["--labels", args.labels]
    if "-o" in more:
        return subprocess.run(command, check=True, capture_output=True)
    start = time.perf_counter()
    done = subprocess.run([*command, "--format", "json"], check=True, capture_output=True)
    found = json.loads(done.stdout)
    found["seconds"] = time.perf_counter() - start
    labels = args.labels.read_text().splitlines() if args.labels else []
    label = found["explained"]["label"]
    found["number"] = labels.index(label) if label in labels else label
    return found


def maps(found):
    """Grad-CAM and occlusion, both on the grid of the latter."""
    both = (found["grad_cam"], found["occlusion"])
    grids = [np.array(m["values"], float).reshape(m["rows"], m["columns"]) for m in both]
    return resized(grids[0], grids[1].shape), grids[1]


def resized(grid, shape):
    """Bilinear, between the middles of the cells."""
    for axis, size in enumerate(shape):
        place = np.clip((np.arange(size) + 0.5) * grid.shape[axis] / size - 0.5, 0, grid.shape[axis] - 1)
        first = place.astype(int)
        last = np.minimum(first + 1, grid.shape[axis] - 1)
        part = np.expand_dims(place - first, 1 - axis)
        grid = grid.take(first, axis) * (1 - part) + grid.take(last, axis) * part
    return grid


def correlation(a, b):
    """Spearman's; none where a map is the same everywhere."""
    a, b = (ranks(values.ravel()) for values in (a, b))
    return None if a.std() == 0 or b.std() == 0 else float(np.corrcoef(a, b)[0, 1])


def ranks(values):
    """Ranks, equal for equal values."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[which]


def randomise(model, out):
    """The model with new weights in its last layer with weights."""
    model = onnx.load(model)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in reversed(model.graph.node):
        named = [weights[name] for name in node.input if name in weights and len(weights[name].dims) >= 2]
        if node.op_type in ("Gemm", "MatMul", "Conv") and named:
            old = numpy_helper.to_array(named[0])
            new = np.random.default_rng(0).normal(0, old.std(), old.shape).astype(old.dtype)
            named[0].CopyFrom(numpy_helper.from_array(new, named[0].name))
            onnx.save(model, out)
            return
    sys.exit("the model has no layer with weights")


def sheet(args, photos, folder):
    rows = []
    for i, photo in enumerate(photos[:: max(1, len(photos) // SHOWN)][:SHOWN]):
        heat = folder / f"{i}.png"
        said = explain(args, args.model, photo, "-o", heat).stderr.decode().splitlines()
        picture = Image.open(heat)
        row = Image.new("RGB", (960, round(picture.height * 960 / picture.width) + 18), "white")
        row.paste(picture.resize((960, row.height - 18)), (0, 18))
        ImageDraw.Draw(row).text((6, 3), said[0].removeprefix(f"{photo.parent}/"), "black")
        rows.append(row)
    whole = Image.new("RGB", (960, sum(row.height for row in rows)), "white")
    top = 0
    for row in rows:
        whole.paste(row, (0, top))
        top += row.height
    whole.save(args.sheet)


if __name__ == "__main__":
    main()
