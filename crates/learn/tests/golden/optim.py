#!/usr/bin/env python3
"""What PyTorch's optimisers, schedules and clipping do to a few numbers: writes optim.json beside this script.

    pip install torch && python3 optim.py
"""
import json
import pathlib

import torch

STEPS = 20


def rates(make, total):
    """The learning rates of a schedule over so many steps, of which the highest is 1."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = make(optimizer)
    rates = []
    for _ in range(total):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step() if len(rates) < total else None
    return rates


def schedules():
    lr = torch.optim.lr_scheduler

    def warm_up(steps, then):
        """Ours goes up from 1 / (steps + 1)."""
        def make(o):
            up = lr.LinearLR(o, start_factor=1 / (steps + 1), total_iters=steps)
            return lr.SequentialLR(o, [up, then(o)], milestones=[steps])
        return make

    decay, milestones = lambda o: lr.StepLR(o, 5, 0.5), lambda o: lr.MultiStepLR(o, [3, 10, 20], 0.3)
    cosine, cycle = lambda total: lambda o: lr.CosineAnnealingLR(o, total), lambda o: lr.OneCycleLR(o, max_lr=1.0, total_steps=37)
    yield "one_cycle", cycle, 37
    yield "constant", lambda o: lr.ConstantLR(o, factor=1.0), 3
    yield {"step": {"every": 5, "gamma": 0.5}}, decay, 17
    yield {"multi_step": {"at": [3, 10, 20], "gamma": 0.3}}, milestones, 25
    yield {"exponential": {"gamma": 0.9}}, lambda o: lr.ExponentialLR(o, 0.9), 20
    yield "cosine", cosine(20), 20
    yield {"cosine_restarts": {"first": 5, "factor": 1}}, lambda o: lr.CosineAnnealingWarmRestarts(o, 5), 17
    yield {"cosine_restarts": {"first": 3, "factor": 2}}, lambda o: lr.CosineAnnealingWarmRestarts(o, 3, 2), 25
    yield {"warm_up": {"share": 0.25, "then": "cosine"}}, warm_up(8, cosine(24)), 32
    yield {"warm_up": {"share": 0.25, "then": {"step": {"every": 5, "gamma": 0.5}}}}, warm_up(8, decay), 32


def plateau(settings):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    names = {"factor": "factor", "patience": "patience", "threshold": "threshold", "cooldown": "cooldown", "least": "min_lr"}
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **{names[k]: v for k, v in settings.items()})
    generator = torch.Generator().manual_seed(2)
    noise = torch.rand(40, generator=generator, dtype=torch.float64)
    losses, shares = [float(0.8 ** min(i, 12) + 0.1 * noise[i]) for i in range(40)], []
    for loss in losses:
        schedule.step(loss)
        shares.append(optimizer.param_groups[0]["lr"])
    return {"settings": settings, "losses": losses, "shares": shares}


def clipped(values, clip):
    parameter = torch.nn.Parameter(torch.zeros(len(values)))
    parameter.grad = torch.tensor(values)
    norm = clip([parameter])
    return {"gradients": values, "clipped": parameter.grad.tolist(), "norm": float(norm) if norm is not None else None}


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
adam = {"name": "adam", "beta1": 0.8, "beta2": 0.99, "epsilon": 1e-6}
cases.append(run("Adam", adam, lambda p, wd: torch.optim.Adam(p, betas=(0.8, 0.99), eps=1e-6, weight_decay=wd), 0.1))
for momentum, centered, decay in [(0.0, False, 0.0), (0.9, False, 0.1), (0.0, True, 0.0), (0.5, True, 0.01)]:
    settings = {"name": "rmsprop", "alpha": 0.95, "epsilon": 1e-5, "momentum": momentum, "centered": centered}
    make = lambda p, wd: torch.optim.RMSprop(p, alpha=0.95, eps=1e-5, momentum=momentum, centered=centered, weight_decay=wd)
    cases.append(run(f"RMSprop {momentum} {centered}", settings, make, decay))
cases.append(run("Adagrad", {"name": "adagrad", "epsilon": 1e-10}, lambda p, wd: torch.optim.Adagrad(p, weight_decay=wd), 0.1))
values = torch.randn(21, generator=torch.Generator().manual_seed(3)).tolist()
file = {
    "optimizers": cases,
    "schedules": [{"schedule": name, "factors": rates(make, total)} for name, make, total in schedules()],
    "plateaus": [plateau(settings) for settings in [
        {"patience": 3},
        {"factor": 0.5, "patience": 1, "threshold": 0.01, "cooldown": 3, "least": 0.2},
        {"factor": 0.3, "patience": 0, "threshold": 0.0, "least": 1e-3},
    ]],
    "clipped_by_value": clipped(values, lambda p: torch.nn.utils.clip_grad_value_(p, 0.7)),
    "clipped_by_norm": clipped(values, lambda p: torch.nn.utils.clip_grad_norm_(p, 0.7)),
}
text = json.dumps(file, indent=None, separators=(",", ":"))
(pathlib.Path(__file__).parent / "optim.json").write_text(text + "\n")
