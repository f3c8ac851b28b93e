"""PyTorch's training step: batch normalisation with the batch's statistics, cross entropy, backward, gradient descent with momentum.

Variants as in `torch_forward.py`; `compile` compiles forward and backward as one function and the optimiser's step as another.
"""

import numpy as np
import torch
import torch._inductor.config as inductor

from contenders.serve import THREADS, serve, task
from networks import NETWORKS

RATE, MOMENTUM, LOSSES = 1e-4, 0.9, 3


def main():
    work = task()
    torch.set_flush_denormal(True)  # before the other threads start, which inherit it
    torch.set_num_threads(THREADS)
    mode, _, layout = work.variant.partition(":")
    layout = getattr(torch, layout)
    network = NETWORKS[work.network]
    model = network.load(work.model(".pt")).train().to(memory_format=layout)
    pictures = torch.from_numpy(work.pictures())
    if not network.takes_bytes:
        pictures = pictures.contiguous(memory_format=layout)
    labels = torch.from_numpy(np.fromfile(work.labels, np.uint32).astype(np.int64))
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM)

    def loss_of(x):
        return torch.nn.functional.cross_entropy(model(x), labels)

    update = optimizer.step
    if mode == "compile":
        inductor.max_autotune = True
        loss_of = torch.compile(loss_of, dynamic=False)
        update = torch.compile(optimizer.step)

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(pictures)
        loss.backward()
        update()
        return loss.item()

    serve(work, [step() for _ in range(LOSSES)], step)


main()
