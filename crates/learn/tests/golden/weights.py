#!/usr/bin/env python3
"""Safetensors files as PyTorch's users write them, beside this script: weights.safetensors has tensors of all types, recurrent.safetensors the
weights of a network, and recurrent.json what it says to an input.

    pip install torch safetensors && python3 weights.py
"""
import json
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
folder = pathlib.Path(__file__).parent
save_file(tensors, folder / "weights.safetensors", metadata={"format": "pt"})


class Recurrent(torch.nn.Module):
    """An LSTM of two layers and a GRU in both directions, side by side, and a linear layer on what they say at each step."""

    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(3, 4, num_layers=2)
        self.gru = torch.nn.GRU(3, 2, bidirectional=True)
        self.fc = torch.nn.Linear(8, 2)

    def forward(self, x):
        return self.fc(torch.cat([self.lstm(x)[0], self.gru(x)[0]], 2))


torch.manual_seed(0)
model, x = Recurrent(), torch.randn(5, 2, 3)
save_file(model.state_dict(), folder / "recurrent.safetensors")
with torch.no_grad():
    y = model.double()(x.double())
golden = {"x": x.flatten().tolist(), "y": [round(v, 7) for v in y.flatten().tolist()]}
(folder / "recurrent.json").write_text(json.dumps(golden) + "\n")
