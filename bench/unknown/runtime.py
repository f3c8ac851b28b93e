"""Checks that another runtime computes the score of known as Percept does.

    python3 runtime.py RUN/model.onnx PHOTOS [--percept PROGRAM] [--count 100]      (onnxruntime, numpy, pillow)

The photos are cut to the model's size and saved as PNG first, so that both sides see the same pixels. Fails if a score differs by more
than 1e-3 of the range of all scores, or if a picture is known to one and not to the other (and is not that close to the threshold).
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

LIMIT = 1e-3
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("model", type=pathlib.Path)
parser.add_argument("photos", type=pathlib.Path)
parser.add_argument("--percept", default="percept")
parser.add_argument("--count", type=int, default=100)
args = parser.parse_args()

session = onnxruntime.InferenceSession(str(args.model), providers=["CPUExecutionProvider"])
about = session.get_modelmeta().custom_metadata_map
threshold = json.loads(about["percept.known"])["threshold"]
preprocess = json.loads(about["percept.preprocess"])
image = session.get_inputs()[0]
size = image.shape[1]
files = sorted(path for path in args.photos.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
files = files[:: max(1, len(files) // args.count)][: args.count]
with tempfile.TemporaryDirectory() as folder:
    # A square whose shorter side is what the model resizes to is not resized; the middle of it is what the model sees.
    side = preprocess["shorter_side"]
    pixels = []
    for i, path in enumerate(files):
        square = ImageOps.fit(ImageOps.exif_transpose(Image.open(path)).convert("RGB"), (side, side), Image.Resampling.BICUBIC)
        square.save(pathlib.Path(folder) / f"{i:05}.png")
        start = (side - size) // 2
        pixels.append(np.asarray(square)[start : start + size, start : start + size])
    said = subprocess.run([args.percept, "-q", "predict", args.model, folder, "--top", "1", "--format", "json"], stdout=subprocess.PIPE, check=True)
ours = np.array([picture["known_score"] for picture in json.loads(said.stdout)])
known = np.array([picture["known"] for picture in json.loads(said.stdout)])
theirs = session.run(["known_score"], {image.name: np.stack(pixels)})[0][:, 0]
worst = np.abs(ours - theirs).max() / (theirs.max() - theirs.min())
close = np.abs(theirs - threshold) <= LIMIT * (theirs.max() - theirs.min())
other = int(((known != (theirs >= threshold)) & ~close).sum())
print(f"{len(files)} pictures, {known.sum()} known: scores from {theirs.min():.3f} to {theirs.max():.3f}, the largest difference is {worst:.1e} of that range, {other} other answers")
sys.exit(int(worst > LIMIT or other > 0))
