"""The networks that are compared, as PyTorch modules.

Dropout is left out, as it is in the files that the other contenders read, so that losses can be compared. EfficientNet-Lite has pretrained
weights and takes bytes, which it normalises itself; the others have random weights and take normalised pictures.
"""

from dataclasses import dataclass
from typing import Callable

import torch
from torch import nn
from torch.nn import functional as F

# EfficientNet-B0's stages: repeats, kernel, stride, expansion, channels.
STAGES = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
]


def same_conv(inputs, outputs, kernel, stride, size, groups=1):
    """A convolution padded as TensorFlow's "same" for pictures of `size`, where an odd pixel goes right and down; and that pixel's padding."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    low, high = total // 2, total - total // 2
    pad = nn.Identity() if low == high else nn.ZeroPad2d((low, high, low, high))
    return pad, nn.Conv2d(inputs, outputs, kernel, stride, low if low == high else 0, groups=groups, bias=False)


def lite_norm(channels):
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class LiteBlock(nn.Module):
    """Expand, depthwise, project; names are those of the published weights."""

    def __init__(self, inputs, outputs, kernel, stride, expand, size):
        super().__init__()
        wide = inputs * expand
        self.expands, self.adds = expand != 1, stride == 1 and inputs == outputs
        if self.expands:
            self._expand_conv = nn.Conv2d(inputs, wide, 1, bias=False)
            self._bn0 = lite_norm(wide)
        self.pad, self._depthwise_conv = same_conv(wide, wide, kernel, stride, size, groups=wide)
        self._bn1 = lite_norm(wide)
        self._project_conv = nn.Conv2d(wide, outputs, 1, bias=False)
        self._bn2 = lite_norm(outputs)

    def forward(self, x):
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(self.pad(y))))
        y = self._bn2(self._project_conv(y))
        return y + x if self.adds else y


class EfficientNetLite(nn.Module):
    """From bytes [N, side, side, 3] to logits."""

    def __init__(self, width, depth, size):
        super().__init__()
        scaled = [max(8, int(width * stage[-1] + 4) // 8 * 8) for stage in STAGES]
        self.pad, self._conv_stem = same_conv(3, 32, 3, 2, size)
        self._bn0 = lite_norm(32)
        blocks, inputs, size = [], 32, -(-size // 2)
        for i, (repeats, kernel, stride, expand, _) in enumerate(STAGES):
            fixed = i in (0, len(STAGES) - 1)
            for repeat in range(repeats if fixed else -int(-repeats * depth // 1)):
                step = stride if repeat == 0 else 1
                blocks.append(LiteBlock(inputs, scaled[i], kernel, step, expand, size))
                inputs, size = scaled[i], -(-size // step)
        self._blocks = nn.Sequential(*blocks)
        self._conv_head = nn.Conv2d(inputs, 1280, 1, bias=False)
        self._bn1 = lite_norm(1280)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, x):
        x = (x.permute(0, 3, 1, 2).float() - 127.0) / 128.0
        x = F.relu6(self._bn0(self._conv_stem(self.pad(x))))
        x = F.relu6(self._bn1(self._conv_head(self._blocks(x))))
        return self._fc(x.mean((2, 3)))


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut, which is a 1×1 convolution where the size changes."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity()
        if stride != 1:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet20(nn.Module):
    """The ResNet for CIFAR-10 of He et al. (2016): three stages of three blocks with 16, 32 and 64 channels."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        widths = [16, 16, 16, 16, 32, 32, 32, 64, 64, 64]
        pairs = zip(widths, widths[1:])
        self.blocks = nn.Sequential(*(BasicBlock(a, b, 1 if a == b else 2) for a, b in pairs))
        self.fc = nn.Linear(64, 10)

    def forward(self, x):
        x = self.blocks(F.relu(self.bn1(self.conv1(x))))
        return self.fc(x.mean((2, 3)))


def torchvision_model(name):
    def build():
        import torchvision

        model = torchvision.models.get_model(name, weights=None)
        for parent in list(model.modules()):
            for child, module in parent.named_children():
                if isinstance(module, nn.Dropout):
                    setattr(parent, child, nn.Identity())
        return model

    return build


@dataclass(frozen=True)
class Network:
    """A network without weights; `takes_bytes` are u8 [N, side, side, 3], otherwise it takes f32 [N, 3, side, side]."""

    name: str
    side: int
    classes: int
    takes_bytes: bool
    build: Callable[[], nn.Module]

    def shape(self, batch):
        return (batch, self.side, self.side, 3) if self.takes_bytes else (batch, 3, self.side, self.side)

    def load(self, weights):
        """The module with weights of a file that `models.py` wrote."""
        model = self.build()
        model.load_state_dict(torch.load(weights, weights_only=True))
        return model


NETWORKS = {
    network.name: network
    for network in [
        Network("efficientnet-lite0", 224, 1000, True, lambda: EfficientNetLite(1.0, 1.0, 224)),
        Network("efficientnet-lite2", 260, 1000, True, lambda: EfficientNetLite(1.1, 1.2, 260)),
        Network("mobilenet_v2", 224, 1000, False, torchvision_model("mobilenet_v2")),
        Network("resnet18", 224, 1000, False, torchvision_model("resnet18")),
        Network("resnet50", 224, 1000, False, torchvision_model("resnet50")),
        Network("squeezenet1_1", 224, 1000, False, torchvision_model("squeezenet1_1")),
        Network("resnet20", 32, 10, False, ResNet20),
    ]
}
