"""Writes torchvision.json of this folder, by hand, with torch and torchvision installed: python3 torchvision_names.py

For each network the names and shapes of its parameters ("64x3x7x7"), and the logits of one picture for each size. Weights and picture
follow from formulas which the test has as well, so no weights have to be stored. The MLP, LeNet, AlexNet as it is here and
ResNet-20 are not torchvision's; they are written down here, ResNet-20 with torchvision's blocks.
"""

import json
import pathlib

import numpy
import torch
import torchvision
from torch import nn

CLASSES = 5
IMAGENET = torchvision.transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def grey(pixels):
    return (pixels.mean(1, keepdim=True) / 255 - 0.1307) / 0.3081


def mlp(size):
    net = nn.ModuleDict(dict(fc1=nn.Linear(size * size, 256), fc2=nn.Linear(256, 128), fc3=nn.Linear(128, CLASSES)))
    return net, lambda pixels: net.fc3(net.fc2(net.fc1(grey(pixels).flatten(1)).relu()).relu())


def lenet(size):
    left = (size // 2 - 4) // 2
    layers = dict(conv1=nn.Conv2d(1, 32, 5, padding=2), conv2=nn.Conv2d(32, 64, 5))
    layers.update(fc1=nn.Linear(64 * left * left, 120), fc2=nn.Linear(120, 84), fc3=nn.Linear(84, CLASSES))
    net = nn.ModuleDict(layers)

    def forward(pixels):
        x = grey(pixels)
        for conv in (net.conv1, net.conv2):
            x = nn.functional.max_pool2d(conv(x).relu(), 2)
        return net.fc3(net.fc2(net.fc1(x.flatten(1)).relu()).relu())

    return net, forward


def alexnet(size):
    first = nn.Conv2d(3, 96, 5, padding=2) if size <= 64 else nn.Conv2d(3, 96, 11, stride=4, padding=2)
    units = 1024 if size <= 64 else 4096
    convs = [first, nn.Conv2d(96, 256, 5, padding=2)]
    convs += [nn.Conv2d(a, b, 3, padding=1) for a, b in [(256, 384), (384, 384), (384, 256)]]
    net = nn.ModuleDict({f"conv{i + 1}": conv for i, conv in enumerate(convs)})

    def features(pixels):
        x = IMAGENET(pixels / 255)
        for i, conv in enumerate(convs):
            x = conv(x).relu()
            if i in (0, 1, 4):
                x = nn.functional.max_pool2d(x, 3, stride=2)
        return x.flatten(1)

    net.update(dict(fc6=nn.Linear(features(picture(size)).shape[1], units), fc7=nn.Linear(units, units), fc8=nn.Linear(units, CLASSES)))
    return net, lambda pixels: net.fc8(net.fc7(net.fc6(features(pixels)).relu()).relu())


def resnet20(size):
    """Of torchvision's ResNet-18 the classes and names; stages of its blocks as He et al. (2016), section 4.2, has them."""
    net = torchvision.models.ResNet(torchvision.models.resnet.BasicBlock, [3, 3, 3, 1], num_classes=CLASSES)
    net.inplanes = 16
    net.conv1, net.bn1 = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
    net.maxpool = net.layer4 = nn.Identity()
    for stage, channels in enumerate([16, 32, 64]):
        layer = net._make_layer(torchvision.models.resnet.BasicBlock, channels, 3, stride=1 if stage == 0 else 2)
        setattr(net, f"layer{stage + 1}", layer)
    net.fc = nn.Linear(64, CLASSES)
    return net, lambda pixels: net(IMAGENET(pixels / 255))


def for_imagenet(name, small):
    net = getattr(torchvision.models, name)(num_classes=CLASSES)
    if small and name.startswith("resnet"):
        net.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        net.maxpool = nn.Identity()
    elif small:
        for conv in (net.features[0][0], net.features[2].conv[1][0]):
            conv.stride = (1, 1)
    return net, lambda pixels: net(IMAGENET(pixels / 255))


def fill(name, tensor):
    """Numbers from -1 to 1 that look random, scaled to what the parameter is."""
    z = numpy.arange(tensor.numel(), dtype=numpy.uint32) * numpy.uint32(2654435761) + numpy.uint32(sum(name.encode()))
    z = (z ^ (z >> 15)) * numpy.uint32(2246822519)
    noise = torch.from_numpy(((z ^ (z >> 13)) >> 8).astype(numpy.float64) / 2**23 - 1).reshape(tensor.shape)
    if tensor.dim() > 1:
        noise *= (6 / tensor[0].numel()) ** 0.5
    elif name.endswith(("running_var", "weight")):
        noise = 1 + 0.5 * noise
    else:
        noise *= 0.1
    tensor.copy_(noise)


def picture(size):
    y, x, c = torch.meshgrid(torch.arange(size), torch.arange(size), torch.arange(3), indexing="ij")
    return ((x * (c + 1) + y * 3 + (x * y) // 64 + c * 85) % 256).permute(2, 0, 1)[None].float()


def parameters(net):
    return {name: value for name, value in net.state_dict().items() if not name.endswith("num_batches_tracked")}


def shapes(net):
    return {key: "x".join(map(str, value.shape)) for key, value in parameters(net).items()}


@torch.no_grad()
def logits(net, forward, size):
    net.double().eval()
    for name, value in parameters(net).items():
        fill(name, value)
    return [round(float(v), 5) for v in forward(picture(size).double())[0]]


golden = {}
for build, sizes in ((mlp, [28, 33]), (lenet, [28]), (alexnet, [32, 97]), (resnet20, [32, 97])):
    golden[build.__name__] = {"logits": {size: logits(*build(size), size) for size in sizes}}
golden["resnet20"]["parameters"] = shapes(resnet20(32)[0])
for name in ("resnet18", "resnet34", "mobilenet_v2"):
    found = {size: logits(*for_imagenet(name, size <= 64), size) for size in (33, 97)}
    golden[name.replace("_", "")] = {"logits": found, "parameters": shapes(getattr(torchvision.models, name)())}
lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(rest, separators=(',', ':'))}" for name, rest in golden.items())
(pathlib.Path(__file__).parent / "torchvision.json").write_text("{\n" + lines + "\n}\n")
