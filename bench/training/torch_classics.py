"""PyTorch's side of `classics.py`: `torch_classics.py NETWORK FOLDER OUTPUT eager|compile channels_last|contiguous_format`.

Arguments and protocol as in `crates/learn/examples/classics.rs`. `compile` compiles losses with their gradients, and the optimisers' steps.
"""

import json
import os
import sys
import time
from collections import OrderedDict
from pathlib import Path

import torch
import torch._inductor.config as inductor
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


class LeNet(nn.Module):
    """LeNet-5 with the channels of its paper."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2).flatten(1)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(784, 256), nn.Linear(256, 128), nn.Linear(128, 10)

    def forward(self, x):
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


class Language(nn.Module):
    """Two layers of LSTM over embedded characters; `net` is one stack, which is the fastest way here."""

    def __init__(self):
        super().__init__()
        self.embed, self.net, self.fc = nn.Embedding(65, 64), nn.LSTM(64, 256, 2), nn.Linear(256, 65)

    def forward(self, x, states=None):
        x, states = self.net(self.embed(x), states)
        return self.fc(x.flatten(0, 1)), tuple(state.detach() for state in states)


def generator():
    up = dict(kernel_size=4, stride=2, padding=1)
    return nn.Sequential(OrderedDict({
        "project": nn.ConvTranspose2d(100, 256, 4, bias=False), "bn3": nn.BatchNorm2d(256), "relu3": nn.ReLU(),
        "up3": nn.ConvTranspose2d(256, 128, **up, bias=False), "bn2": nn.BatchNorm2d(128), "relu2": nn.ReLU(),
        "up2": nn.ConvTranspose2d(128, 64, **up, bias=False), "bn1": nn.BatchNorm2d(64), "relu1": nn.ReLU(),
        "up1": nn.ConvTranspose2d(64, 3, **up), "tanh": nn.Tanh(),
    }))


def discriminator():
    down = dict(kernel_size=4, stride=2, padding=1)
    return nn.Sequential(OrderedDict({
        "down1": nn.Conv2d(3, 64, **down), "leaky1": nn.LeakyReLU(0.2),
        "down2": nn.Conv2d(64, 128, **down, bias=False), "bn2": nn.BatchNorm2d(128), "leaky2": nn.LeakyReLU(0.2),
        "down3": nn.Conv2d(128, 256, **down, bias=False), "bn3": nn.BatchNorm2d(256), "leaky3": nn.LeakyReLU(0.2),
        "verdict": nn.Conv2d(256, 1, 4), "flatten": nn.Flatten(),
    }))


def resnet20():
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "peers"))
    from networks import ResNet20

    return ResNet20()


def dcgan():
    return nn.ModuleDict({"generator": generator(), "discriminator": discriminator()})


NETWORKS = {"lenet": LeNet, "mlp": Mlp, "resnet20": resnet20, "lstm": Language, "dcgan": dcgan}


def classifier_step(model, batches, layout, compiled):
    x = batches.get("pictures")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001 if x is None else 0.01, momentum=0.9)
    if x is None:  # Bytes, which ours normalises in each step.
        x = ((batches["image"] / 255 - torch.tensor(MEAN)) / torch.tensor(STD)).permute(0, 1, 4, 2, 3)
    pictures = [row.contiguous(memory_format=layout) if row.dim() == 4 else row for row in x]
    labels = batches["labels"]
    loss_of = compiled(lambda x, labels: F.cross_entropy(model(x), labels))
    update = compiled(optimizer.step)

    def step(i):
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(pictures[i], labels[i])
        loss.backward()
        update()
        return [loss.item()]

    return step


def language_step(model, batches, _layout, compiled):
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    states = None

    def loss_of(x, labels, states):
        logits, states = model(x, states)
        return F.cross_entropy(logits, labels), states

    loss_of, update = compiled(loss_of), compiled(optimizer.step)

    def step(i):
        nonlocal states
        optimizer.zero_grad(set_to_none=True)
        loss, states = loss_of(batches["characters"][i], batches["labels"][i].flatten(), states)
        loss.backward()
        update()
        return [loss.item()]

    return step


def gan_step(model, batches, layout, compiled):
    """Pictures are drawn once for both players, as ours are."""
    draw, judge = model["generator"], model["discriminator"]
    optimizers = [torch.optim.Adam(player.parameters(), lr=1e-5, betas=(0.5, 0.999)) for player in (judge, draw)]
    real = [(row / 127.5 - 1).contiguous(memory_format=layout) for row in batches["pictures"]]

    def judged(real, drawn):
        return F.softplus(-judge(real)).mean() + F.softplus(judge(drawn)).mean()

    draws, judged = compiled(lambda noise: draw(noise)), compiled(judged)
    convinced = compiled(lambda drawn: F.softplus(-judge(drawn)).mean())
    updates = [compiled(optimizer.step) for optimizer in optimizers]

    def step(i):
        optimizers[0].zero_grad(set_to_none=True)
        drawn = draws(batches["noise"][i].contiguous(memory_format=layout))
        loss = judged(real[i], drawn.detach())
        loss.backward()
        updates[0]()
        optimizers[1].zero_grad(set_to_none=True)
        judge.requires_grad_(False)
        other = convinced(drawn)
        other.backward()
        judge.requires_grad_(True)
        updates[1]()
        return [loss.item(), other.item()]

    return step


STEPS = {"lstm": language_step, "dcgan": gan_step}


def main():
    network, folder, output, mode, layout = sys.argv[1:6]
    folder, layout = Path(folder), getattr(torch, layout)
    torch.set_flush_denormal(True)  # before the other threads start, which inherit it
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    model = NETWORKS[network]().train()
    model.load_state_dict(load_file(folder / "torch.safetensors"))
    model = model.to(memory_format=layout)
    inductor.max_autotune = True
    compiled = torch.compile(dynamic=False) if mode == "compile" else lambda function: function
    batches = load_file(folder / "batches.safetensors")
    step = STEPS.get(network, classifier_step)(model, batches, layout, compiled)
    count = len(batches["labels"]) if "labels" in batches else len(batches["noise"])
    losses = [loss for i in range(count) for loss in step(i)]
    torch.tensor(losses).numpy().tofile(output)
    print("ready", flush=True)
    taken = 0
    for line in sys.stdin:
        times, begin = [], time.perf_counter()
        end = begin + float(line)
        while len(times) < 2 or begin < end:
            step(taken % count)
            taken += 1
            now = time.perf_counter()
            times.append((now - begin) * 1e3)
            begin = now
        print(json.dumps(times), flush=True)


if __name__ == "__main__":
    main()
