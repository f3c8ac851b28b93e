"""Writes the golden files of this folder, by hand, with torch and efficientnet-lite-pytorch installed.

small.pth, evil.pth: legacy PyTorch files, one of tensors, one that would run a command.
logits.json: logits of the published networks in PyTorch for a picture that a formula draws.
Usage: python3 make.py FOLDER-WITH-THE-THREE-PTH-FILES
"""

import collections
import json
import os
import pathlib
import sys

import torch
from efficientnet_lite_pytorch import EfficientNet

here = pathlib.Path(__file__).parent


class Evil:
    def __reduce__(self):
        return (os.system, ("echo run",))


small = collections.OrderedDict()
base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
small["plain"] = torch.tensor([[1.5, -2.0], [3.25, 0.0]])
small["view"] = base[1:3, ::2]
small["transposed"] = base.t()
small["count"] = torch.tensor(7)
small["double"] = torch.tensor([0.1], dtype=torch.float64)
torch.save(small, here / "small.pth", _use_new_zipfile_serialization=False)
torch.save({"x": Evil()}, here / "evil.pth", _use_new_zipfile_serialization=False)

golden = {}
for i, size in enumerate((224, 240, 260)):
    name = f"efficientnet-lite{i}"
    file = next(pathlib.Path(sys.argv[1]).glob(f"{name}-*.pth"))
    net = EfficientNet.from_name(name)
    net.load_state_dict(torch.load(file, weights_only=True))
    net.eval()
    y, x, c = torch.meshgrid(torch.arange(size), torch.arange(size), torch.arange(3), indexing="ij")
    picture = (x * (c + 1) + y * 3 + (x * y) // 64 + c * 85) % 256
    with torch.no_grad():
        logits = net(((picture.permute(2, 0, 1)[None].float() - 127) / 128))[0]
    golden[name] = [round(float(v), 5) for v in logits[::25]]
(here / "logits.json").write_text(json.dumps(golden) + "\n")
