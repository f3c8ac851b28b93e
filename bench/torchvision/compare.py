"""Reads torchvision's networks as both exporters of PyTorch write them, and compares the logits with ONNX Runtime's; see run.sh.

The weights are random. Batch normalisation gets factors, shifts and statistics far from its defaults, so that folding it is tested too;
the statistics come from random pictures first, so that no layer dies or explodes. Each exporter writes the batch as a number and as a
symbol. Both fold batch normalisation themselves, so the older one also writes it unfolded (the newer one then spells it with operators that
no finished file has). Ends with 1 if a difference exceeds LIMIT or if Percept fails.
"""

import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
import torchvision

NETWORKS = ["resnet18", "mobilenet_v2", "mobilenet_v3_small", "squeezenet1_1"]
BATCH, SIDE, LIMIT = 2, 224, 1e-4
# Exporter, whether the batch is a symbol, whether batch normalisation stays.
VARIANTS = {
    "dynamo, fixed batch": (True, False, False),
    "dynamo, symbolic batch": (True, True, False),
    "TorchScript, fixed batch": (False, False, False),
    "TorchScript, symbolic batch": (False, True, False),
    "TorchScript, unfolded": (False, True, True),
}
MANIFEST = Path(__file__).parents[2] / "Cargo.toml"
PERCEPT = ["cargo", "run", "--quiet", "--release", "--manifest-path", MANIFEST, "-p", "percept-engine"]
PERCEPT += ["--example", "run", "--"]


def network(name):
    """The network with random weights, and batch normalisation that does something."""
    torch.manual_seed(7)
    model = torchvision.models.get_model(name, weights=None)
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
        torch.nn.init.normal_(norm.bias, 0, 0.3)
        norm.momentum = 1.0  # the statistics of the last batch
    with torch.no_grad():
        model.train()(torch.randn(8, 3, SIDE, SIDE))
        for norm in norms:
            deviation = norm.running_var.sqrt()
            norm.running_mean += 0.2 * deviation * torch.randn_like(deviation)
            norm.running_var *= torch.empty_like(deviation).uniform_(0.7, 1.4)
    return model.eval()


def export(model, pictures, path, dynamo, symbolic, unfolded):
    options = {"input_names": ["x"], "output_names": ["logits"], "dynamo": dynamo, "verbose": False}
    if dynamo:
        options |= {"external_data": False, "dynamic_shapes": ({0: torch.export.Dim("N")},) if symbolic else None}
    elif symbolic:
        options |= {"dynamic_axes": {"x": {0: "N"}, "logits": {0: "N"}}}
    if unfolded:
        options |= {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the older exporter is deprecated
        torch.onnx.export(model, (pictures,), path, **options)


def percept(path, pictures, folder):
    pictures.tofile(folder / "input")
    run = subprocess.run([*PERCEPT, path, folder / "input", folder / "output"], capture_output=True, text=True)
    if run.returncode != 0:
        raise RuntimeError(run.stderr.strip())
    return np.fromfile(folder / "output", dtype="<f4")


def compare(model, pictures, folder, variant):
    """What to print about one file, and whether it is well."""
    path = folder / "model.onnx"
    export(model, pictures, path, *variant)
    proto = onnx.load(path, load_external_data=False)
    opset = next(entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx"))
    norms = sum(node.op_type == "BatchNormalization" for node in proto.graph.node)
    about = f"opset {opset}, {len(proto.graph.node):3} nodes, {norms:2} batch norms"
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"x": pictures.numpy()})
    try:
        ours = percept(path, pictures.numpy(), folder)
    except RuntimeError as error:
        return f"{about}  {error}", False
    if ours.size != expected.size:
        return f"{about}  {ours.size} logits instead of {expected.size}", False
    difference = np.abs(ours - expected.ravel()).max() / np.ptp(expected)
    return f"{about}  {difference:.1e}", bool(difference <= LIMIT)  # false for NaN too


def main():
    pictures = torch.randn(BATCH, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    print(f"largest difference of a logit / spread of the logits; batch {BATCH}, {SIDE} px")
    print(f"torch {torch.__version__}, torchvision {torchvision.__version__}, ONNX Runtime {onnxruntime.__version__}")
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in NETWORKS:
            model = network(name)
            for label, variant in VARIANTS.items():
                line, well = compare(model, pictures, Path(folder), variant)
                print(f"{name:<20} {label:<28} {line}{'' if well else '  FAILED'}", flush=True)
                failures += not well
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
