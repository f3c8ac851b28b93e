"""Writes NAME-BATCH.tflite for LiteRT: `python -m convert_litert FOLDER BATCHES NAME…`, in a venv with requirements-litert.txt.

The converter takes no batch that is a symbol. Pictures have their channels last, as LiteRT wants them, so that nothing is transposed.
"""

import sys
from pathlib import Path

import litert_torch
import torch

from networks import NETWORKS


def convert(network, folder, batch):
    path = folder / f"{network.name}-{batch}.tflite"
    if path.exists():
        return
    model = network.load(folder / f"{network.name}.pt").eval()
    if network.takes_bytes:
        sample = torch.zeros(network.shape(batch), dtype=torch.uint8)
    else:
        sample = torch.zeros(network.shape(batch)).permute(0, 2, 3, 1).contiguous()
        model = litert_torch.to_channel_last_io(model, args=[0]).eval()
    litert_torch.convert(model, (sample,)).export(str(path))


def main():
    folder, batches, *names = sys.argv[1:]
    failures = 0
    for name in names:
        for batch in map(int, batches.split(",")):
            try:
                convert(NETWORKS[name], Path(folder), batch)
            except Exception as error:  # whatever the converter throws: the other files are still wanted
                print(f"no {name}-{batch}.tflite: {type(error).__name__}: {error}", file=sys.stderr)
                failures += 1
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
