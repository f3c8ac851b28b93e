"""Describes the machine; `python -m machine` prints it as JSON. Memory is timed with PyTorch's vectorised loops on all cores."""

import json
import os
import platform
import subprocess
import time
from importlib import metadata
from pathlib import Path

ISA = ["avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "asimd", "sve"]
PACKAGES = ["onnxruntime", "openvino", "torch", "torchvision", "ai-edge-litert", "numpy"]


def processor():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    entries = dict(line.replace("\t", "").split(":", 1) for line in reversed(lines) if ":" in line)
    flags = entries.get("flags", entries.get("Features", "")).split()
    return {
        "processor": entries.get("model name", platform.machine()).strip(),
        "family": "family {}, model {}".format(*(entries.get(key, "?").strip() for key in ("cpu family", "model"))),
        "cores": len(os.sched_getaffinity(0)),
        "isa": [flag for flag in ISA if flag in flags],
    }


def caches():
    sizes = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((folder / name).read_text().strip() for name in ("level", "type", "size"))
        sizes[f"L{level}{ {'Data': 'd', 'Instruction': 'i'}.get(kind, '') }"] = size
    return sizes


def bandwidth():
    """Gigabytes a second, best of several passes over more than any cache holds."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    x = torch.ones(1 << 28)
    y = torch.zeros(1 << 28)
    passes = {"read": (1, x.sum), "write": (1, lambda: y.fill_(2.0)), "copy": (2, lambda: y.copy_(x))}
    found = {}
    for name, (count, run) in passes.items():
        seconds = []
        for _ in range(5):
            begin = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - begin)
        found[name] = round(count * x.nbytes / min(seconds) / 1e9, 1)
    return found


def versions():
    found = {"python": platform.python_version(), "kernel": platform.release()}
    found["rustc"] = subprocess.run(["rustc", "--version"], capture_output=True, text=True).stdout.strip()
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    lock = Path(__file__).parent / "rust" / "Cargo.lock"
    if lock.exists():
        import tomllib

        for package in tomllib.loads(lock.read_text())["package"]:
            if package["name"] in {"tract-onnx", "candle-core", "burn", "burn-flex"}:
                found[package["name"]] = package["version"]
    return found


def describe():
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        **processor(),
        "caches": caches(),
        "memory_gb": round(memory / 1e9, 1),
        "bandwidth_gb_per_s": bandwidth(),
        "versions": versions(),
    }


def text(machine):
    caches = ", ".join(f"{name} {size}" for name, size in machine["caches"].items())
    bandwidth = ", ".join(f"{name} {rate}" for name, rate in machine["bandwidth_gb_per_s"].items())
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items() if version)
    return (
        f"{machine['processor']} ({machine['family']}), {machine['cores']} cores, {' '.join(machine['isa'])}\n"
        f"{caches}; {machine['memory_gb']} GB of memory; GB/s on all cores: {bandwidth}\n{versions}"
    )


if __name__ == "__main__":
    print(json.dumps(describe()))
