#!/usr/bin/env python3
"""Whether weights go between PyTorch and Percept: tensors to the bit, and networks by what they say.

    pip install torch safetensors && python3 bench/weights/compare.py

Tensors: PyTorch's safetensors through Percept and back (floats of other widths as f32). Networks: LeNet, ResNet-18, an LSTM and a GRU of two layers,
the latter in both directions. Percept's random weights are loaded with `load_state_dict(strict=True)`, PyTorch's with `weights::load`, and what
both say to the same input may differ by 1e-5 of the largest number. Fails otherwise.
"""
import pathlib
import subprocess
import sys
import tempfile

import numpy
import torch
from networks import NETWORKS
from safetensors import safe_open
from safetensors.torch import load_file, save_file

SHAPES = [(), (0,), (1,), (3, 0, 2), (64, 32, 3, 3), (1000, 1280)]
FLOATS = [torch.float32, torch.float16, torch.bfloat16, torch.float64]
OTHERS = [torch.int64, torch.int32, torch.int8, torch.uint8, torch.bool]
MOST = 1e-5

root = pathlib.Path(__file__).resolve().parents[2]
command = ["cargo", "run", "--quiet", "--release", "-p", "percept-learn", "--example", "weights", "--"]


def percept(*arguments, **settings):
    return subprocess.run(command + list(arguments), cwd=root, text=True, **settings)


def tensors_come_back(folder):
    tensors = {}
    for i, shape in enumerate(SHAPES):
        for dtype in FLOATS:
            tensors[f"layer.{i}.{dtype}"] = (torch.randn(shape) * 10.0 ** torch.randint(-8, 5, shape)).to(dtype)
        for dtype in OTHERS:
            tensors[f"layer.{i}.{dtype}"] = torch.randint(0, 2 if dtype == torch.bool else 120, shape).to(dtype)
    ours, theirs = f"{folder}/ours.safetensors", f"{folder}/theirs.safetensors"
    save_file(tensors, theirs, metadata={"format": "pt", "note": "ä\n\""})
    percept("copy", theirs, ours, check=True)
    found = load_file(ours)
    with safe_open(ours, "pt") as file:
        assert file.metadata() == {"format": "pt", "note": "ä\n\""}, file.metadata()
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        expected = tensor.float() if tensor.is_floating_point() else tensor
        assert found[name].dtype == expected.dtype and torch.equal(found[name], expected), name
    save_file({"w": torch.zeros(2, dtype=torch.complex64)}, theirs)
    refused = percept("copy", theirs, ours, capture_output=True)
    assert refused.returncode != 0 and "type C64" in refused.stderr, refused.stderr
    print(f"{len(tensors)} tensors came back to the bit; one of complex numbers was refused")


def learned_a_little(module, x):
    """Random weights, and normalisations with statistics of their own."""
    for name, parameter in module.named_parameters():
        if parameter.dim() == 1:
            parameter.add_(torch.rand_like(parameter) - 0.5)
    module.train()
    for _ in range(3):
        module(x)
    return module.eval()


@torch.no_grad()
def differences(name, build, x, folder):
    """Of what both say, relative to the largest number: with Percept's weights, with PyTorch's."""
    weights, source, target = f"{folder}/{name}.safetensors", f"{folder}/input", f"{folder}/output"
    x.numpy().tofile(source)
    found = []
    for how in ("save", "load"):
        module = learned_a_little(build(), x)
        if how == "load":
            save_file(module.state_dict(), weights)
        percept(how, name, weights, source, target, check=True)
        if how == "save":
            module.load_state_dict(load_file(weights), strict=True)
        theirs, ours = module(x).flatten(), torch.from_numpy(numpy.fromfile(target, numpy.float32))
        assert ours.shape == theirs.shape and theirs.std() > 0, (ours.shape, theirs)
        found.append(float((ours - theirs).abs().max() / theirs.abs().max()))
    return found


def main():
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        tensors_come_back(folder)
        print(f"{'largest difference':20}{'Percept → PyTorch':>20}{'PyTorch → Percept':>20}")
        right = True
        for name, (build, x) in NETWORKS.items():
            found = differences(name, build, x, folder)
            right &= max(found) <= MOST
            print(f"{name:20}{found[0]:20.1e}{found[1]:20.1e}")
    sys.exit(0 if right else f"differences may be {MOST} at most")


if __name__ == "__main__":
    main()
