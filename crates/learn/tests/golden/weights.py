#!/usr/bin/env python3
"""A safetensors file as PyTorch's users write it: weights.safetensors beside this script.

    pip install torch safetensors && python3 weights.py
"""
import pathlib

import torch
from safetensors.torch import save_file

tensors = {
    "layer.f32": torch.tensor([[0.1, -1e-40]]),
    "layer.f16": torch.tensor([[1 / 3], [2.0**-24]], dtype=torch.float16),
    "layer.bf16": torch.tensor([1.0, -2.5, float("inf")], dtype=torch.bfloat16),
    "layer.f64": torch.tensor(torch.pi, dtype=torch.float64),
    "num_batches_tracked": torch.tensor(7),
}
save_file(tensors, pathlib.Path(__file__).parent / "weights.safetensors", metadata={"format": "pt"})
