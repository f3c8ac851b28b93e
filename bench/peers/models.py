"""Writes what the contenders read: NAME.onnx, NAME.training.onnx (batch normalisation kept), NAME.pt and NAME.safetensors (the weights).

`python -m models FOLDER PERCEPT NAME…`. EfficientNet-Lite comes from `percept backbone export`, whose one file serves both; PyTorch gets the weights
that are in it. The others are exported by PyTorch with random weights and batch statistics far from their defaults.
"""

import subprocess
import sys
import warnings
from pathlib import Path

import onnx
import safetensors.torch
import torch

from networks import NETWORKS


def randomised(network):
    """The module with random weights; running statistics come from random pictures, so that no layer dies or explodes."""
    torch.manual_seed(7)
    model = network.build()
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
        torch.nn.init.normal_(norm.bias, 0, 0.3)
        norm.momentum = 1.0  # the statistics of the last batch
    with torch.no_grad():
        model.train()(torch.randn(network.shape(8)))
        for norm in norms:
            deviation = norm.running_var.sqrt()
            norm.running_mean += 0.2 * deviation * torch.randn_like(deviation)
            norm.running_var *= torch.empty_like(deviation).uniform_(0.7, 1.4)
    return model.eval()


def export(model, network, path, training):
    options = {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False} if training else {}
    axes = {"image": {0: "N"}, "logits": {0: "N"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this exporter is deprecated; the newer one cannot keep batch normalisation
        torch.onnx.export(
            model, (torch.zeros(network.shape(1)),), path, input_names=["image"], output_names=["logits"],
            dynamic_axes=axes, dynamo=False, **options,
        )
    nodes = onnx.load(path).graph.node
    kept = sum(node.op_type == "BatchNormalization" for node in nodes)
    wanted = sum(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules()) if training else 0
    if kept != wanted:
        raise RuntimeError(f"{path}: {kept} batch normalisations, not {wanted}")


def export_backbone(network, path, percept):
    path.unlink(missing_ok=True)
    command = [percept, "--quiet", "backbone", "export", network.name, "-o", path]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    initialisers = {entry.name: entry for entry in onnx.load(path).graph.initializer}
    model = network.build()
    state = model.state_dict()
    for name in state:
        if not name.endswith("num_batches_tracked"):
            state[name] = torch.from_numpy(onnx.numpy_helper.to_array(initialisers[name]).copy())
    return state


def make(network, folder, percept):
    path, training, weights = (folder / f"{network.name}{end}" for end in (".onnx", ".training.onnx", ".pt"))
    if weights.exists():
        return
    if network.takes_bytes:
        state = export_backbone(network, path, percept)
        training.unlink(missing_ok=True)
        training.symlink_to(path.name)
    else:
        model = randomised(network)
        export(model, network, path, training=False)
        export(model, network, training, training=True)
        state = model.state_dict()
    safetensors.torch.save_file(state, weights.with_suffix(".safetensors"))
    torch.save(state, weights)  # last: the mark of a whole set


def main():
    folder, percept, *names = sys.argv[1:]
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name in names:
        make(NETWORKS[name], Path(folder), percept)


if __name__ == "__main__":
    main()
