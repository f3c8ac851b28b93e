#!/usr/bin/env python3
"""Spectral normalisation by PyTorch, and singular values by numpy, for crates/learn/tests/spectral.rs.

    pip install numpy torch
    python3 crates/learn/tests/golden/spectral.py > crates/learn/tests/golden/spectral.json

Of each layer: the weight, the singular vector before the step, the one after it, the output for an input, and the gradient of the sum of the
output times fixed factors with respect to the weight, which takes the singular vectors for constants.
"""
import json

import numpy as np
import torch

torch.manual_seed(1)
torch.set_default_dtype(torch.float64)


def numbers(tensor):
    return [round(x, 9) for x in tensor.detach().flatten().tolist()]


def case(shape, x):
    weight, u = torch.randn(shape), torch.nn.functional.normalize(torch.randn(shape[0]), dim=0)
    layer = torch.nn.Conv2d(shape[1], shape[0], shape[2], stride=2, padding=1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(weight)
    torch.nn.utils.spectral_norm(layer)
    layer.weight_u.copy_(u)
    layer.train()
    y = layer(x)
    factors = torch.randn_like(y)
    (y * factors).sum().backward()
    return {
        "shape": list(shape), "weight": numbers(weight), "before": numbers(u), "after": numbers(layer.weight_u),
        "input": {"shape": list(x.shape), "values": numbers(x)}, "output": numbers(y), "factors": numbers(factors),
        "gradient": numbers(layer.weight_orig.grad),
        "greatest": float(np.linalg.svd(weight.numpy().reshape(shape[0], -1), compute_uv=False)[0]),
    }


cases = [case((5, 2, 4, 4), torch.randn(2, 2, 6, 6)), case((1, 3, 3, 3), torch.randn(2, 3, 5, 5))]
print(json.dumps(cases, separators=(",", ":")))
