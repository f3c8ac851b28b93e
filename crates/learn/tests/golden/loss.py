"""Writes loss.json, the reference values of tests/loss.rs: python loss.py (torch).

Losses and their gradients with respect to the first input, in f64; null stands for NaN, "inf" for infinity.
"""

import json
import math
import pathlib

import torch
import torch.nn.functional as F

torch.manual_seed(3)
torch.set_default_dtype(torch.float64)
cases = []


def numbers(*shape, scale=2.0):
    return (torch.randn(*shape) * scale).round(decimals=2).float().double()


def show(x):
    x = float(x)
    return None if math.isnan(x) else ("inf" if math.isinf(x) else float(f"{x:.12g}"))


def case(name, loss, function, x, *others, **settings):
    x = x.clone().requires_grad_()
    value = function(x)
    (slope,) = torch.autograd.grad(value, x)
    inputs = []
    for tensor in (x, *others):
        kind = "f32" if tensor.is_floating_point() else "i64"
        inputs.append({"shape": list(tensor.shape), "kind": kind, "data": tensor.detach().flatten().tolist()})
    # What is put last by name are weights.
    for key in ("weight", "pos_weight"):
        if isinstance(settings.get(key), torch.Tensor):
            tensor = settings[key]
            settings[key] = len(inputs)
            inputs.append({"shape": list(tensor.shape), "kind": "f32", "data": tensor.flatten().tolist()})
    cases.append({
        "name": name, "loss": loss, "settings": settings, "inputs": inputs,
        "value": show(value.detach()), "slope": [show(v) for v in slope.flatten()],
    })


def cross_entropy(name, x, targets, **settings):
    function = lambda x: F.cross_entropy(x, targets, **settings)
    case(name, "cross_entropy", function, x, targets, **settings)


weight = torch.tensor([0.5, 2.0, 1.0, 0.25, 3.0])
x, labels = numbers(4, 5), torch.tensor([3, 0, -100, 4])
cross_entropy("labels", x, labels)
cross_entropy("sum", x, labels, reduction="sum")
cross_entropy("weights", x, labels, weight=weight)
cross_entropy("smoothing", x, labels, label_smoothing=0.125)
cross_entropy("smoothing and weights", x, labels, label_smoothing=0.25, weight=weight)
cross_entropy("ignored", x, torch.tensor([1, 1, 0, 4]), ignore_index=1)
cross_entropy("all ignored", x, torch.full((4,), -100))
cross_entropy("all ignored, sum", x, torch.full((4,), -100), reduction="sum", label_smoothing=0.125)
cross_entropy("one class", numbers(3, 1), torch.zeros(3, dtype=torch.int64))
cross_entropy("one row", numbers(1, 5), torch.tensor([2]), label_smoothing=0.125)
cross_entropy("pixels", numbers(2, 3, 2, 3), torch.randint(0, 3, (2, 2, 3)), weight=weight[:3])
huge = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 9999.0], [1e4, 1e4, 1e4]])
cross_entropy("huge", huge, torch.tensor([1, 2, 0]))
cross_entropy("huge and smooth", huge, torch.tensor([0, 1, 2]), label_smoothing=0.125)
soft = torch.softmax(numbers(4, 5), 1).float().double()
cross_entropy("probabilities", x, soft)
cross_entropy("probabilities, smooth and weighted", x, soft, label_smoothing=0.25, weight=weight)
cross_entropy("probabilities of pixels", numbers(2, 3, 3), torch.softmax(numbers(2, 3, 3), 1).float().double())

for squared in (False, True):
    for settings in (dict(), dict(margin=0.5, weight=weight), dict(reduction="sum")):
        y = torch.tensor([3, 0, 2, 4])
        function = lambda x: F.multi_margin_loss(x, y, p=2 if squared else 1, **settings)
        case(f"multi-margin {squared} {list(settings)}", "multi_margin_loss", function, x, y, squared=squared, **settings)
one = torch.zeros(2, dtype=torch.int64)
case("multi-margin, one class", "multi_margin_loss", lambda x: F.multi_margin_loss(x, one), numbers(2, 1), one, squared=False)

x, t = numbers(3, 5), numbers(3, 5)
t[0, 0] = x[0, 0]
full = torch.rand(3, 5).float().double() + 0.1
for reduction in ("mean", "sum"):
    for w in (None, full):
        settings = dict(reduction=reduction, **({} if w is None else dict(weight=w)))
        tag = f"{reduction}{'' if w is None else ', weighted'}"
        case(f"mse {tag}", "mse_loss", lambda x: F.mse_loss(x, t, **settings), x, t, **settings)
        case(f"l1 {tag}", "l1_loss", lambda x: F.l1_loss(x, t, **settings), x, t, **settings)
        case(f"huber {tag}", "huber_loss", lambda x: F.huber_loss(x, t, delta=1.5, **settings), x, t, delta=1.5, **settings)
    case(f"smooth l1 {reduction}", "smooth_l1_loss", lambda x: F.smooth_l1_loss(x, t, beta=0.75, reduction=reduction), x, t,
         delta=0.75, reduction=reduction)

sign = torch.where(t > 0, 1.0, -1.0)
case("hinge", "hinge_loss", lambda x: F.relu(1 - sign * x).mean(), x, sign)

yes = torch.tensor([[0.0, 1.0, 1.0, 0.0, 0.25]]).repeat(3, 1)
far = torch.tensor([[1e4, -1e4, 1e4, -1e4, 0.0]])
row = torch.tensor([[1.0], [0.0], [2.0]])
for name, x, t, settings in (
    ("plain", x, yes, dict()),
    ("sum", x, yes, dict(reduction="sum")),
    ("weighted", x, yes, dict(weight=row)),
    ("positives", x, yes, dict(pos_weight=weight)),
    ("both", x, yes, dict(weight=full, pos_weight=weight)),
    ("huge", far, yes[:1], dict(pos_weight=weight)),
):
    function = lambda x: F.binary_cross_entropy_with_logits(x, t, **settings)
    case(f"binary {name}", "binary_cross_entropy_with_logits", function, x, t, **settings)


def ctc(name, x, targets, times, lengths, logits=True, **settings):
    times, lengths, targets = torch.tensor(times), torch.tensor(lengths), torch.tensor(targets)
    logs = lambda x: x.log_softmax(2) if logits else x
    function = lambda x: F.ctc_loss(logs(x), targets, times, lengths, **settings)
    case(f"ctc {name}", "ctc_loss", function, x, targets, times, lengths, **settings)


x = numbers(6, 3, 4)
targets = [[1, 2, 0], [3, 3, 0], [2, 1, 3]]
ctc("mean", x, targets, [6, 5, 6], [2, 2, 3])
ctc("sum", x, targets, [6, 3, 4], [2, 2, 3], reduction="sum")
ctc("of log-probabilities", x.log_softmax(2).float().double().log_softmax(2), targets, [6, 6, 6], [2, 2, 3], logits=False)
ctc("another blank", x, [[1, 0, 0], [3, 3, 0], [0, 1, 3]], [6, 5, 6], [2, 2, 3], blank=2)
ctc("empty", x, targets, [6, 5, 0], [0, 1, 0])
ctc("impossible", x, targets, [6, 2, 6], [2, 2, 3])
ctc("impossible, counts nothing", x, targets, [1, 2, 6], [2, 2, 3], zero_infinity=True)
ctc("huge", 1e4 * torch.sign(numbers(4, 1, 3)), [[1, 2]], [4], [2], reduction="sum")

path = pathlib.Path(__file__).with_suffix(".json")
path.write_text(json.dumps(cases) + "\n")
