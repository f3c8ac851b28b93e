#!/usr/bin/env python3
"""What PyTorch's optimisers and its one-cycle schedule do to a few numbers: writes optim.json beside this script.

    pip install torch && python3 optim.py
"""
import json
import pathlib

import torch

STEPS = 20


def one_cycle(total):
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=total)
    rates = []
    for _ in range(total):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step() if len(rates) < total else None
    return rates


def run(name, settings, make, weight_decay):
    generator = torch.Generator().manual_seed(1)
    parameter = torch.nn.Parameter(torch.randn(9, generator=generator))
    optimizer = make([parameter], weight_decay)
    case = {"name": name, "optimizer": settings, "weight_decay": weight_decay, "rates": [], "start": parameter.tolist(), "gradients": [], "parameters": []}
    for step in range(STEPS):
        rate = 0.05 / (1 + step)
        optimizer.param_groups[0]["lr"] = rate
        parameter.grad = torch.randn(9, generator=generator) * 10.0 ** (step % 3 - 2)
        optimizer.step()
        case["rates"].append(rate)
        case["gradients"].append(parameter.grad.tolist())
        case["parameters"].append(parameter.tolist())
    return case


adamw = {"name": "adamw", "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
cases = [run("AdamW", adamw, lambda p, wd: torch.optim.AdamW(p, weight_decay=wd), 0.01)]
for momentum, nesterov, decay in [(0.0, False, 0.0), (0.9, False, 0.01), (0.9, True, 0.001)]:
    settings = {"name": "sgd", "momentum": momentum, "nesterov": nesterov}
    make = lambda p, wd: torch.optim.SGD(p, momentum=momentum, nesterov=nesterov, weight_decay=wd)
    cases.append(run(f"SGD {momentum} {nesterov}", settings, make, decay))
text = json.dumps({"optimizers": cases, "one_cycle": one_cycle(37)}, indent=None, separators=(",", ":"))
(pathlib.Path(__file__).parent / "optim.json").write_text(text + "\n")
