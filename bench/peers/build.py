"""Builds what the contenders need: Percept, the peers in Rust, and the networks' files."""

import os
import subprocess
import sys
from pathlib import Path

from peers import CACHE, ROOT, TARGET

HERE = Path(__file__).parent
RUST_PEERS = ["tract", "candle", "burn"]


def cargo(*options, cwd=ROOT, target=TARGET):
    command = ["cargo", "build", "--release", "--quiet", "--locked", *options]
    return subprocess.run(command, cwd=cwd, env=os.environ | {"CARGO_TARGET_DIR": str(target)}).returncode == 0


def python(module, *options, executable=sys.executable):
    return subprocess.run([executable, "-m", module, *map(str, options)], cwd=HERE).returncode == 0


def litert(networks, batches):
    """Converts the networks in a venv of the converter's own; `LITERT_VENV` names one that is there already."""
    models = CACHE / "models"
    if all((models / f"{name}-{batch}.tflite").exists() for name in networks for batch in batches):
        return
    venv = Path(os.environ.get("LITERT_VENV", CACHE / "litert-venv"))
    program = venv / "bin" / "python"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", venv])
    if "LITERT_VENV" not in os.environ:
        subprocess.run([program, "-m", "pip", "install", "--quiet", "-r", HERE / "requirements-litert.txt"])
    python("convert_litert", models, ",".join(map(str, batches)), *networks, executable=program)


def everything(networks, batches, peers, modes):
    """Builds; gives back the peers that could be built, and ends the program without Percept or the files."""
    if not (cargo("-p", "percept") and cargo("-p", "percept-engine", "--example", "run") and cargo("-p", "percept-learn", "--example", "steps")):
        sys.exit("Percept could not be built")
    if not python("models", CACHE / "models", TARGET / "release" / "percept", *networks):
        sys.exit("the networks' files could not be made")
    if "litert" in peers and False in modes:
        litert(networks, batches)
    failed = set()
    for peer in set(peers) & set(RUST_PEERS):
        # In its folder, whose .cargo/config.toml lets the peers use all of the processor.
        if not cargo("-p", f"peer-{peer}", cwd=HERE / "rust", target=CACHE / "cargo"):
            failed.add(peer)
    for peer in failed:
        print(f"{peer} could not be built", file=sys.stderr)
    return [peer for peer in peers if peer not in failed]
