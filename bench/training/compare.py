#!/usr/bin/env python3
"""The same first losses as PyTorch: EfficientNet-Lite0 fine-tuned and a ResNet-18 from zero, on the same batches.

    pip install torch torchvision onnx numpy pillow && pip install --no-deps efficientnet-lite-pytorch==0.1.0
    cargo build --release && cargo build --release -p percept-learn --example losses
    target/release/percept backbone export efficientnet-lite0 -o lite0.onnx
    python3 bench/training/compare.py lite0.onnx LITE0.pth PHOTOS [--batch 32] [--steps 20]

Plain gradient descent, batch statistics, dropout off, no augmentation, label smoothing 0.1. Fails where a loss differs by more than
1e-4 of its size. Running statistics do not enter the losses.
"""
import argparse
import pathlib
import random
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
import torchvision
from PIL import Image

# Small, so that rounding does not grow faster than the network learns: see README.md.
RATE = 1e-4
ROOT = pathlib.Path(__file__).resolve().parents[2]


def batches(photos, size, batch, steps, classes):
    """(pictures u8 NHWC, targets) for each step: photos in an order drawn with a fixed seed."""
    files = sorted(path for path in photos.glob("*/*") if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    names = sorted({path.parent.name for path in files})
    random.Random(0).shuffle(files)
    for step in range(steps):
        chosen = [files[(step * batch + i) % len(files)] for i in range(batch)]
        pictures = [np.asarray(Image.open(path).convert("RGB").resize((size, size), Image.BICUBIC)) for path in chosen]
        targets = np.full((batch, classes), 0.1 / classes, np.float32)
        for row, path in enumerate(chosen):
            targets[row, names.index(path.parent.name)] += 0.9
        yield np.stack(pictures), targets


def torch_losses(model, data, rate):
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    losses = []
    for pictures, targets in data:
        start = time.perf_counter()
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(torch.from_numpy(pictures)), torch.from_numpy(targets))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        print(f"  PyTorch {time.perf_counter() - start:.3f} s", file=sys.stderr)
    return losses


def ours(model, data, rate, size, batch):
    with tempfile.NamedTemporaryFile() as file:
        for pictures, targets in data:
            file.write(pictures.tobytes() + targets.tobytes())
        file.flush()
        command = [ROOT / "target/release/examples/losses", model, file.name, rate, len(data), size, batch]
        printed = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True).stdout
    return [float(line) for line in printed.split()]


def compare(name, expected, found):
    worst = max(abs(a - b) / abs(a) for a, b in zip(expected, found, strict=True))
    for step, (a, b) in enumerate(zip(expected, found), 1):
        print(f"{name} step {step:2}: PyTorch {a:.6f}  Percept {b:.6f}  {abs(a - b) / abs(a):.1e}")
    print(f"{name}: largest relative difference {worst:.1e}")
    return worst <= 1e-4


def lite0(arguments):
    from efficientnet_lite_pytorch import EfficientNet

    model = EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(torch.load(arguments.weights, map_location="cpu", weights_only=True))
    model._dropout.p = 0.0
    model._global_params = model._global_params._replace(drop_connect_rate=0.0)
    data = list(batches(arguments.photos, 224, arguments.batch, arguments.steps, 1000))
    floats = [((x.astype(np.float32) - 127) / 128).transpose(0, 3, 1, 2).copy() for x, _ in data]
    expected = torch_losses(model, [(x, targets) for x, (_, targets) in zip(floats, data)], RATE)
    return compare("Lite0", expected, ours(arguments.model, data, RATE, 224, arguments.batch))


def resnet18(arguments):
    torch.manual_seed(0)
    model = torchvision.models.resnet18(num_classes=100)
    size = 128
    mean, std = (np.array(x, np.float32) for x in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    data = [
        (((x.astype(np.float32) / 255 - mean) / std).transpose(0, 3, 1, 2).copy(), targets)
        for x, targets in batches(arguments.photos, size, arguments.batch, arguments.steps, 100)
    ]
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        model.eval()  # so that the exporter writes normalisations in inference form
        torch.onnx.export(
            model, torch.from_numpy(data[0][0]), file.name, dynamo=False, do_constant_folding=False,
            training=torch.onnx.TrainingMode.PRESERVE, input_names=["image"], dynamic_axes={"image": {0: "N"}},
        )
        expected = torch_losses(model, data, RATE)
        return compare("ResNet-18", expected, ours(file.name, data, RATE, size, arguments.batch))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="Lite0 as exported by percept")
    parser.add_argument("weights", help="the same weights, PyTorch's file")
    parser.add_argument("photos", type=pathlib.Path)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    sys.exit(0 if all([lite0(arguments), resnet18(arguments)]) else 1)


if __name__ == "__main__":
    main()
