"""Which contenders there are for a case, each at its best settings as far as they are known; several variants where it depends."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from networks import Network
from process import Contender

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
CACHE = TARGET / "bench-peers"
THREADS = len(os.sched_getaffinity(0))
# Freed memory stays with the process: glibc else gives large tensors back and pays for the pages again in each layer.
TORCH = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
    "TORCHINDUCTOR_CACHE_DIR": str(CACHE / "inductor"),
}
# What holds a contender to AVX2. The others choose by `cpuid` alone and cannot be held: ONNX Runtime has no switch.
AVX2 = {
    "Percept": {"PERCEPT_ISA": "avx2"},
    "OpenVINO": {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    "PyTorch": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
}
AVX2["torch.compile"] = AVX2["PyTorch"]
CANDLE_NETWORKS = {"resnet18", "resnet50"}
BURN_NETWORKS = {"efficientnet-lite0"}


@dataclass(frozen=True)
class Case:
    """What is timed: a network at a batch size, forward or training, on input in `work`."""

    network: Network
    training: bool
    batch: int
    models: Path
    work: Path

    @property
    def mode(self):
        return "training" if self.training else "forward"

    def model(self):
        return self.models / f"{self.network.name}{'.training' if self.training else ''}.onnx"

    def python(self, module, variant):
        command = [sys.executable, "-m", f"contenders.{module}", "--variant", variant, "--network", self.network.name]
        command += ["--folder", self.models, "--shape", ",".join(map(str, self.network.shape(self.batch)))]
        return [*command, "--input", self.work / "input", "--labels", self.work / "labels", "--output", self.work / "output"]

    def rust(self, program, *options):
        return [program, self.model(), self.work / "input", self.work / "output", *options]


def divisions(batch):
    """Into how many requests a batch is divided: one a core, some a core, and each picture alone."""
    return sorted({n for n in (THREADS, 4 * THREADS, batch) if 1 < n <= batch and batch % n == 0})


def percept(case):
    examples = TARGET / "release" / "examples"
    if case.training:
        yield "", [examples / "steps", case.model(), case.work / "input", case.work / "labels", case.work / "output"], {}
    else:
        yield "", case.rust(examples / "run", "--bursts"), {}


def onnxruntime(case):
    if not case.training:
        for variant in ["cores", *(f"requests:{n}" for n in divisions(case.batch))]:
            yield variant, case.python("onnxruntime", variant), {}


def openvino(case):
    if not case.training:
        for variant in ["latency", *(f"throughput:{n}" for n in divisions(case.batch))]:
            yield variant, case.python("openvino", variant), {}


def pytorch(case, mode="eager", layouts=("channels_last", "contiguous_format")):
    for layout in layouts:
        yield layout, case.python("torch_training" if case.training else "torch_forward", f"{mode}:{layout}"), TORCH


def torch_compile(case):
    # Compiled convolutions have their channels last in training, whatever comes in.
    return pytorch(case, "compile", ["channels_last"]) if case.training else pytorch(case, "compile")


def litert(case):
    if not case.training:
        yield "", case.python("litert", ""), {}


def tract(case):
    if not case.training:
        program = CACHE / "cargo" / "release" / "tract"
        for variant in ["threads", *(["pictures"] if case.batch > 1 else [])]:
            yield variant, case.rust(program, variant), {}


def candle(case):
    if not case.training and case.network.name in CANDLE_NETWORKS:
        program = CACHE / "cargo" / "release" / "candle"
        weights = case.models / f"{case.network.name}.safetensors"
        yield "", [program, weights, case.network.name, case.work / "input", case.work / "output"], {}


def burn(case):
    if case.network.name in BURN_NETWORKS:
        program = CACHE / "cargo" / "release" / "burn"
        weights = case.models / f"{case.network.name}.safetensors"
        files = [case.work / "input", case.work / "labels", case.work / "output"]
        for backend in ["flex", "ndarray"]:
            yield backend, [program, backend, case.mode, weights, *files], {}


# By the name that `--peers` takes: the name in tables, and the contenders of a case.
PEERS = {
    "onnxruntime": ("ONNX Runtime", onnxruntime),
    "openvino": ("OpenVINO", openvino),
    "pytorch": ("PyTorch", pytorch),
    "compile": ("torch.compile", torch_compile),
    "litert": ("LiteRT", litert),
    "tract": ("tract", tract),
    "candle": ("Candle", candle),
    "burn": ("Burn", burn),
}


def contenders(case, names, avx2=False):
    """Percept first, then those of the named peers that can do the case; held to AVX2 where they can be."""
    for label, variants in [("Percept", percept), *(PEERS[name] for name in names)]:
        for variant, command, environment in variants(case):
            if avx2:
                variant = f"{variant} {'AVX2' if label in AVX2 else 'not held to AVX2'}".strip()
                environment = environment | AVX2.get(label, {})
            yield Contender(label, variant, command, environment)
