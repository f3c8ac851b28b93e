"""PyTorch's step: forward and the gradients of all parameters. Arguments and protocol as in `crates/learn/examples/recurrent.rs`."""

import json
import os
import sys
import time

import numpy as np
import torch

kind, (layers, features, hidden, batch, steps), (source, target) = sys.argv[1], map(int, sys.argv[2:7]), sys.argv[7:9]
torch.set_flush_denormal(True)
torch.set_num_threads(len(os.sched_getaffinity(0)))
model = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[kind](features, hidden, layers)
numbers = torch.from_numpy(np.fromfile(source, np.float32))
with torch.no_grad():
    for parameter in model.parameters():
        parameter.copy_(numbers[: parameter.numel()].view_as(parameter))
        numbers = numbers[parameter.numel() :]
x = numbers[: steps * batch * features].view(steps, batch, features)
weights = numbers[x.numel() :].view(steps, batch, hidden)


def step():
    model.zero_grad(set_to_none=True)
    loss = (model(x)[0] * weights).mean()
    loss.backward()
    return loss


results = [step().detach().reshape(1)] + [parameter.grad.flatten() for parameter in model.parameters()]
torch.cat(results).numpy().tofile(target)
print("ready", flush=True)
for line in sys.stdin:
    times, begin = [], time.perf_counter()
    end = begin + float(line)
    while len(times) < 2 or begin < end:
        step()
        now = time.perf_counter()
        times.append((now - begin) * 1e3)
        begin = now
    print(json.dumps(times), flush=True)
