"""Compares a trained model's answers in Percept's engine, ONNX Runtime and OpenVINO on the same pixels of photos.

    python3 compare.py RUN/model.onnx PHOTOS [--count 200]      (onnxruntime, openvino, numpy, pillow)

Photos are decoded and resized once, by Pillow, so that the difference is that of the runtimes. Fails above 1e-3.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime
import openvino
from PIL import Image, ImageOps

LIMIT = 1e-3
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("model", type=os.path.abspath)
parser.add_argument("photos", type=pathlib.Path)
parser.add_argument("--count", type=int, default=200)
args = parser.parse_args()

session = onnxruntime.InferenceSession(args.model, providers=["CPUExecutionProvider"])
image = session.get_inputs()[0]
size = image.shape[1]
files = sorted(path for path in args.photos.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))[: args.count]
open_photo = lambda path: ImageOps.exif_transpose(Image.open(path)).convert("RGB")
pixels = np.stack([np.asarray(ImageOps.fit(open_photo(path), (size, size), Image.Resampling.BICUBIC)) for path in files])

theirs = session.run(None, {image.name: pixels})[0]
f32 = {"INFERENCE_PRECISION_HINT": "f32"}
openvinos = openvino.Core().compile_model(args.model, "CPU", f32)(pixels)[0]
with tempfile.TemporaryDirectory() as folder:
    given, found = pathlib.Path(folder) / "pixels", pathlib.Path(folder) / "probabilities"
    pixels.tofile(given)
    run = ["cargo", "run", "--release", "-q", "-p", "percept-engine", "--example", "run", "--", args.model, given, found]
    subprocess.run(run, check=True, cwd=pathlib.Path(__file__).parent)
    ours = np.fromfile(found, np.float32).reshape(theirs.shape)

worst = np.abs(ours - theirs).max()
same = int((ours.argmax(1) == theirs.argmax(1)).sum())
print(f"{len(files)} photos: largest difference of a probability {worst:.2e}, same answer {same}; OpenVINO {np.abs(openvinos - theirs).max():.2e}")
sys.exit(int(worst > LIMIT))
