#!/usr/bin/env python3
"""Whether ONNX Runtime writes the same as Percept: an encoder–decoder with attention learns to write strings of digits backwards, and its two ONNX
files write for 200 strings, all beside each other and token by token.

    pip install numpy onnxruntime && python3 bench/translation/compare.py

Fails where a token differs, where attention does not add up to one or looks at padding, or where less than 95 % come out backwards.
"""
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMMAND = ["cargo", "run", "--quiet", "--release", "-p", "percept-models", "--example", "reverse", "--"]


def rows(path):
    return [[int(token) for token in line.split()] for line in path.read_text().split("\n")[:-1]]


def write(folder, strings):
    """What is written for each string, token by token."""
    encoder, decoder = (onnxruntime.InferenceSession(str(folder / f"{name}.onnx")) for name in ("encoder", "decoder"))
    lengths = np.array([len(string) for string in strings], np.int32)
    source = np.zeros((lengths.max(), len(strings)), np.int64)
    for i, string in enumerate(strings):
        source[: len(string), i] = string
    memory, mask, hidden = encoder.run(["memory", "mask", "hidden"], {"source": source, "lengths": lengths})
    padding = source.T == 0
    last, ended, written = np.zeros(len(strings), np.int64), np.zeros(len(strings), bool), [[] for _ in strings]
    for _ in range(2 * lengths.max()):
        inputs = {"target": last[None], "memory": memory, "mask": mask, "hidden": hidden}
        logits, hidden, attention = decoder.run(["logits", "next_hidden", "attention"], inputs)
        if not np.allclose(attention.sum(2), 1, atol=1e-5) or attention[:, 0][padding].any():
            sys.exit("attention does not add up to one, or looks at padding")
        last = logits.argmax(1)
        ended |= last == 0
        for row, token, over in zip(written, last, ended):
            row.extend([] if over else [int(token)])
    return written


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    subprocess.run(COMMAND + [folder], cwd=ROOT, check=True)
    strings, ours = rows(folder / "strings.txt"), rows(folder / "written.txt")
    theirs = write(folder, strings)
different = sum(a != b for a, b in zip(ours, theirs))
right = sum(string[::-1] == row for string, row in zip(strings, theirs)) / len(strings)
print(f"ONNX Runtime writes {right:.1%} of {len(strings)} strings backwards, {different} of them unlike Percept")
sys.exit(0 if different == 0 and len(ours) == len(theirs) and right > 0.95 else "the two do not write the same, or not backwards")
