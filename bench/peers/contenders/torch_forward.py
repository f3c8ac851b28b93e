"""PyTorch's forward pass: batch normalisation folded into convolutions, no autograd, denormals as zero.

Variants: `eager:LAYOUT` and `compile:LAYOUT`, where LAYOUT is `channels_last` or `contiguous_format`. `compile` freezes the weights
and tunes the choice of kernels.
"""

import torch
import torch._inductor.config as inductor
from torch.fx.experimental.optimization import fuse

from contenders.serve import THREADS, serve, task
from networks import NETWORKS


def main():
    work = task()
    torch.set_flush_denormal(True)  # before the other threads start, which inherit it
    torch.set_num_threads(THREADS)
    mode, _, layout = work.variant.partition(":")
    layout = getattr(torch, layout)
    network = NETWORKS[work.network]
    model = fuse(network.load(work.model(".pt")).eval()).to(memory_format=layout)
    pictures = torch.from_numpy(work.pictures())
    if not network.takes_bytes:
        pictures = pictures.contiguous(memory_format=layout)
    if mode == "compile":
        inductor.freezing = True
        inductor.max_autotune = True
        inductor.cpp.weight_prepack = True
        model = torch.compile(model, dynamic=False)
    with torch.no_grad():
        output = model(pictures)
        serve(work, output.contiguous().numpy(), lambda: model(pictures))


main()
