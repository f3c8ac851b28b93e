"""The contender's side of the protocol: what it is asked to run, and bursts of runs on request."""

import argparse
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

THREADS = len(os.sched_getaffinity(0))


@dataclass
class Task:
    """What to run: input and model by file, and how."""

    network: str
    folder: Path
    batch: int
    shape: tuple
    input: Path
    labels: Path
    output: Path
    variant: str

    def model(self, ending):
        return self.folder / f"{self.network}{ending}"

    def pictures(self):
        takes_bytes = self.shape[-1] == 3
        return np.fromfile(self.input, np.uint8 if takes_bytes else np.float32).reshape(self.shape)


def task():
    parser = argparse.ArgumentParser()
    parser.add_argument("--network", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--shape", type=lambda text: tuple(int(part) for part in text.split(",")), required=True)
    parser.add_argument("--input", type=Path, required=True)
    parser.add_argument("--labels", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--variant", default="")
    arguments = vars(parser.parse_args())
    return Task(batch=arguments["shape"][0], **arguments)


def serve(task, output, run):
    """Writes the output, says so, and then runs for as many seconds as each line of standard input says, twice at least."""
    np.asarray(output, np.float32).tofile(task.output)
    print("ready", flush=True)
    for line in sys.stdin:
        times, begin = [], time.perf_counter()
        end = begin + float(line)
        while len(times) < 2 or begin < end:
            run()
            now = time.perf_counter()
            times.append((now - begin) * 1e3)
            begin = now
        print(json.dumps(times), flush=True)
