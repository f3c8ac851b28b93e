#!/usr/bin/env python3
"""Whether tensors go from PyTorch's safetensors through Percept and back to the bit (floats of other widths as f32).

    pip install torch safetensors && python3 bench/weights/compare.py
"""
import pathlib
import subprocess
import tempfile

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

SHAPES = [(), (0,), (1,), (3, 0, 2), (64, 32, 3, 3), (1000, 1280)]
FLOATS = [torch.float32, torch.float16, torch.bfloat16, torch.float64]
OTHERS = [torch.int64, torch.int32, torch.int8, torch.uint8, torch.bool]

root = pathlib.Path(__file__).resolve().parents[2]
command = ["cargo", "run", "--quiet", "--release", "-p", "percept-learn", "--example", "weights", "--"]
torch.manual_seed(0)
tensors = {}
for i, shape in enumerate(SHAPES):
    for dtype in FLOATS:
        tensors[f"layer.{i}.{dtype}"] = (torch.randn(shape) * 10.0 ** torch.randint(-8, 5, shape)).to(dtype)
    for dtype in OTHERS:
        tensors[f"layer.{i}.{dtype}"] = torch.randint(0, 2 if dtype == torch.bool else 120, shape).to(dtype)
with tempfile.TemporaryDirectory() as folder:
    ours, theirs = f"{folder}/ours.safetensors", f"{folder}/theirs.safetensors"
    save_file(tensors, theirs, metadata={"format": "pt", "note": "ä\n\""})
    subprocess.run(command + [theirs, ours], cwd=root, check=True)
    found = load_file(ours)
    with safe_open(ours, "pt") as file:
        assert file.metadata() == {"format": "pt", "note": "ä\n\""}, file.metadata()
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        expected = tensor.float() if tensor.is_floating_point() else tensor
        assert found[name].dtype == expected.dtype and torch.equal(found[name], expected), name
    save_file({"w": torch.zeros(2, dtype=torch.complex64)}, theirs)
    refused = subprocess.run(command + [theirs, ours], cwd=root, capture_output=True, text=True)
    assert refused.returncode != 0 and "type C64" in refused.stderr, refused.stderr
print(f"{len(tensors)} tensors came back to the bit; one of complex numbers was refused")
