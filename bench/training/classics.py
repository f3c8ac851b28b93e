#!/usr/bin/env python3
"""Classic networks trained by Percept and by PyTorch: loss curves beside each other, and the ratio of speed, in one run.

    pip install torch numpy safetensors
    cargo build --release -p percept-learn --example classics
    python3 bench/training/classics.py [NETWORK …] [--rounds 10] [--seconds 1]

Same architecture, first weights, batches, precision (f32) and threads. Data are random pictures, and characters that follow from the one
before, so that there is something to learn. PyTorch runs eager and compiled, in both layouts where there are pictures; the fastest of these
counts, by its median over all bursts, which take turns. Fails where one of the first 20 losses differs by more than 1e-4 of its size.
"""
import argparse
import pathlib
import statistics
import sys
import tempfile

import numpy as np
import torch
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench/peers"), str(ROOT / "bench/training")]
from process import Contender, Failed, Process  # noqa: E402
from torch_classics import NETWORKS  # noqa: E402

STEPS = 20
# Samples of a step, and how often multiplied and added for each of them, forward: for GFLOP/s, at three times forward.
SAMPLES = {"lenet": 64, "mlp": 64, "resnet20": 128, "lstm": 32 * 64, "dcgan": 64}
LAYOUTS = ["channels_last", "contiguous_format"]


def batches(network):
    size = SAMPLES[network]
    if network == "lstm":
        follows = torch.randint(65, (65,))
        text = torch.randint(65, (1, 32)).repeat(STEPS * 64 + 1, 1)
        for i in range(1, len(text)):
            noise = torch.rand(32) < 0.2
            text[i] = torch.where(noise, torch.randint(65, (32,)), follows[text[i - 1]])
        states = {f"{what}.{layer}": torch.zeros(STEPS, 1, 32, 256) for what in ("hidden", "cell") for layer in (0, 1)}
        return {"characters": text[:-1].view(STEPS, 64, 32), "labels": text[1:].view(STEPS, 64, 32), **states}
    if network == "dcgan":
        pictures = torch.randint(256, (STEPS, size, 3, 32, 32), dtype=torch.uint8)
        return {"pictures": pictures, "noise": torch.randn(STEPS, size, 100, 1, 1)}
    shape = {"lenet": (1, 28, 28), "mlp": (784,), "resnet20": (3, 32, 32)}[network]
    labels = torch.randint(10, (STEPS, size))
    pictures = torch.randn(STEPS, size, *shape) + 0.5 * torch.randn(10, *shape)[labels]
    if network == "resnet20":
        pictures = (pictures * 50 + 128).clamp(0, 255).permute(0, 1, 3, 4, 2).to(torch.uint8)
        return {"image": pictures, "labels": labels}
    return {"pictures": pictures, "labels": labels}


def our_name(network, name):
    """Ours for a parameter of PyTorch's modules here: a stack of LSTMs, and the blocks of a ResNet in one list, have others."""
    if network == "lstm" and name.startswith("net."):
        part, _, layer = name.removeprefix("net.").rpartition("_l")
        return f"lstm{layer}.{part}_l0"
    if network == "resnet20" and name.startswith("blocks."):
        _, block, rest = name.split(".", 2)
        return f"layer{int(block) // 3 + 1}.{int(block) % 3}.{rest.replace('shortcut', 'downsample')}"
    return name


def prepare(network, folder):
    torch.manual_seed(0)
    model = NETWORKS[network]()
    if network == "dcgan":
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, 0, 0.02)
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    save_file(state, folder / "torch.safetensors")
    ours = {our_name(network, name): value for name, value in state.items() if value.dtype == torch.float32}
    save_file(ours, folder / "weights.safetensors")
    save_file({key: value.clone(memory_format=torch.contiguous_format) for key, value in batches(network).items()}, folder / "batches.safetensors")


def contenders(network, folder):
    yield "Percept", [ROOT / "target/release/examples/classics", network, folder, folder / "Percept"]
    script = ROOT / "bench/training/torch_classics.py"
    for mode in ("eager", "compile"):
        for layout in LAYOUTS if network in ("lenet", "resnet20", "dcgan") else LAYOUTS[1:]:
            label = f"PyTorch {mode} {layout}"
            yield label, [sys.executable, script, network, folder, folder / label, mode, layout]


def compare(network, rounds, seconds):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        prepare(network, folder)
        peers = {}
        for label, command in contenders(network, folder):
            try:
                peers[label] = Process(Contender(label, "", command), folder / f"{label}.log")
            except Failed as error:
                print(f"{network}: {label} does not run: {error}")
                if label == "Percept":
                    return False
        curves = {label: np.fromfile(folder / label, np.float32) for label in peers}
        print(f"{network}: losses of the first {STEPS} steps" + " (discriminator, generator)" * (network == "dcgan"))
        for label, curve in curves.items():
            print(f"  {label:34}" + " ".join(f"{loss:.5f}" for loss in curve))
        worst = {}
        for label in list(peers)[1:]:
            worst[label] = float((abs(curves["Percept"] - curves[label]) / abs(curves[label])).max())
        times = [{label: peer.burst(seconds) for label, peer in peers.items()} for _ in range(rounds)]
        for peer in peers.values():
            peer.end()
    median = {label: statistics.median(row[label] for row in times) for label in peers}
    for label, time in median.items():
        differs = f", losses differ by {worst[label]:.1e}" if label in worst else ""
        print(f"  {label:34}{time:9.3f} ms a step, {SAMPLES[network] / time * 1e3:9.0f} samples/s{differs}")
    best = min(worst, key=median.get)
    ratios = sorted(row[best] / row["Percept"] for row in times)
    print(f"  {network}: {statistics.median(ratios):.2f} times as fast as {best} ({ratios[0]:.2f} to {ratios[-1]:.2f} in {rounds} rounds)\n")
    return min(worst.values()) < 1e-4


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=f"of {', '.join(SAMPLES)} [default: all]")
    parser.add_argument("--keep", type=pathlib.Path, help="leave weights and batches in this folder, and measure nothing")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=1.0, help="of a burst")
    arguments = parser.parse_args()
    names = arguments.networks or list(SAMPLES)
    if unknown := set(names) - set(SAMPLES):
        parser.error(f"there is no network {', '.join(sorted(unknown))}")
    if arguments.keep:
        for name in names:
            (arguments.keep / name).mkdir(parents=True, exist_ok=True)
            prepare(name, arguments.keep / name)
        return
    sys.exit(0 if all([compare(name, arguments.rounds, arguments.seconds) for name in names]) else 1)


if __name__ == "__main__":
    main()
