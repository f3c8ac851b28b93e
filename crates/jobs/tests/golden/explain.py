"""Writes explain.json: small networks as ONNX files, a picture, and the heat maps that PyTorch makes of it.

Run by hand with torch and onnx installed: python3 explain.py

Grad-CAM is written here from the paper (Selvaraju et al., ICCV 2017), with PyTorch's automatic differentiation and a hook on the last
convolution's activations; occlusion patches are cut out with numpy and the log-odds come from log_softmax in f64.
"""

import base64
import io
import json
import pathlib

import numpy as np
import torch
from torch import nn

SIZE, CLASSES, CELLS = 24, 5, 14
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


class Residual(nn.Module):
    """Two convolutions with batch normalisation, the sum, and a pooled head."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.block = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8))
        self.map = nn.ReLU()
        self.fc = nn.Linear(8, CLASSES)

    def forward(self, x):
        x = self.stem(x)
        return self.fc(self.map(x + self.block(x)).mean((2, 3)))


class Dense(nn.Module):
    """Pooled, flattened, and two dense layers with a ReLU between them, like VGG and LeNet."""

    def __init__(self):
        super().__init__()
        self.a = nn.Sequential(nn.Conv2d(3, 6, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2))
        self.conv, self.map = nn.Conv2d(6, 8, 3, 1, 1), nn.ReLU()
        self.head = nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 36, 12), nn.ReLU(), nn.Linear(12, CLASSES))

    def forward(self, x):
        return self.head(self.map(self.conv(self.a(x))))


class Convolutional(nn.Module):
    """The classifier is a convolution in front of the pooling, like SqueezeNet; the file ends with a softmax."""

    def __init__(self):
        super().__init__()
        self.a = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True))
        self.conv, self.map = nn.Conv2d(8, CLASSES, 1), nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)

    def logits(self, x):
        return self.pool(self.map(self.conv(self.a(x)))).flatten(1)

    def forward(self, x):
        return self.logits(x).softmax(1)


def grad_cam(net, x, index):
    kept = {}
    hook = net.map.register_forward_hook(lambda module, args, y: kept.update(map=y))
    logits = getattr(net, "logits", net)(x)
    hook.remove()
    slope = torch.autograd.grad(logits[0, index], kept["map"])[0][0]
    return (slope.mean((1, 2))[:, None, None] * kept["map"][0]).sum(0).relu()


def occlusion(net, pixels, index):
    def odds(pixels):
        logits = getattr(net, "logits", net)(prepare(pixels)).double()
        p = logits.log_softmax(1)[0]
        others = torch.cat([p[:index], p[index + 1:]]).logsumexp(0)
        return float(p[index] - others)

    colour = np.floor(pixels.reshape(-1, 3).mean(0) + 0.5).astype(np.uint8)
    whole = odds(pixels)
    heat = np.zeros((CELLS, CELLS))
    for row in range(CELLS):
        for column in range(CELLS):
            covered = pixels.copy()
            # Two cells from the middle of the cell to either side.
            bounds = [(max(0, int((2 * i - 3) * SIZE / (2 * CELLS))), int((2 * i + 5) * SIZE / (2 * CELLS))) for i in (row, column)]
            (top, bottom), (left, right) = bounds
            covered[top:bottom, left:right] = colour
            heat[row, column] = whole - odds(covered)
    return heat


def prepare(pixels):
    x = torch.tensor(pixels.astype(np.float32) / 255.0)
    return ((x - torch.tensor(MEAN)) / torch.tensor(STD)).permute(2, 0, 1)[None]


def numbers(array):
    return base64.b64encode(np.asarray(array, "<f4").tobytes()).decode()


torch.manual_seed(1)
y, x, c = np.meshgrid(np.arange(SIZE), np.arange(SIZE), np.arange(3), indexing="ij")
pixels = ((x * (7 + 3 * c) + y * (5 + c) + (x - 15) ** 2 * (y - 6) ** 2 // 9) % 256).astype(np.uint8)
cases = []
for make in (Residual, Dense, Convolutional):
    net = make()
    # Statistics of some pictures, so that the normalisation does something.
    net.train()
    for _ in range(20):
        net(torch.randn(8, 3, SIZE, SIZE) * 1.5 + 0.3)
    net.eval()
    file = io.BytesIO()
    options = {"dynamo": False, "input_names": ["x"], "output_names": ["y"], "dynamic_axes": {"x": {0: "N"}, "y": {0: "N"}}}
    torch.onnx.export(net, prepare(pixels), file, **options)
    maps = []
    for index in range(CLASSES):
        cam = grad_cam(net, prepare(pixels), index).detach().numpy()
        with torch.no_grad():
            covered = occlusion(net, pixels, index)
        maps.append({"rows": cam.shape[0], "columns": cam.shape[1], "grad_cam": numbers(cam), "occlusion": numbers(covered)})
    cases.append({"name": make.__name__, "model": base64.b64encode(file.getvalue()).decode(), "maps": maps})

picture = base64.b64encode(pixels.tobytes()).decode()
out = pathlib.Path(__file__).with_name("explain.json")
out.write_text(json.dumps({"torch": torch.__version__, "size": SIZE, "picture": picture, "cases": cases}, indent=1) + "\n")
