#!/usr/bin/env python3
"""A generator in ONNX Runtime, on noise made here as Percept makes it, beside what `percept gan sample` writes.

    pip install numpy onnxruntime pillow
    python3 bench/gan/runtime.py RUN [--percept target/release/percept]

Fails where a pixel differs by more than one level of 255.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime
from PIL import Image

WORD = (1 << 64) - 1


def mixed(a, b):
    z = (a + 0x9E3779B97F4A7C15 & WORD) ^ b
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & WORD
    z = (z ^ z >> 27) * 0x94D049BB133111EB & WORD
    return z ^ z >> 31


def noise(seed, count, width, name=b"samples"):
    key = mixed(seed, len(name))
    for byte in name:
        key = mixed(key, byte)
    normal = statistics.NormalDist()
    numbers = [normal.inv_cdf(((mixed(key, i) >> 12) + 0.5) / 2**52) for i in range(count * width)]
    return np.array(numbers, "f4").reshape(count, width, 1, 1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("--percept", default="target/release/percept")
    parser.add_argument("-n", type=int, default=100)
    args = parser.parse_args()
    session = onnxruntime.InferenceSession(args.run / "generator.onnx")
    labels = json.loads(session.get_modelmeta().custom_metadata_map.get("percept.labels", "[]"))
    feed = {"noise": noise(3, args.n, session.get_inputs()[0].shape[1])}
    if labels:
        feed["class"] = np.arange(args.n) % len(labels)
    pictures = session.run(None, feed)[0]
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        drawn = pathlib.Path(folder) / "drawn"
        subprocess.run([args.percept, "gan", "sample", args.run, "-n", str(args.n), "--seed", "3", "-o", drawn], check=True)
        for i, picture in enumerate(pictures):
            path = (drawn / labels[i % len(labels)] if labels else drawn) / f"{i:05}.png"
            ours = np.asarray(Image.open(path).convert("RGB"), "f4")
            worst = max(worst, np.abs(ours - np.broadcast_to(255 * picture.transpose(1, 2, 0), ours.shape)).max())
    print(f"{args.n} pictures, largest difference {worst:.3f} of 255 levels (0.5 is rounding)")
    sys.exit(int(worst > 1))


if __name__ == "__main__":
    main()
