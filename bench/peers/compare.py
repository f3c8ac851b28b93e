"""Percept beside its peers; see run.sh."""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import build
import machine
from case import measure
from networks import NETWORKS
from peers import CACHE, PEERS, Case, contenders
from table import block, record, table


def several(choices):
    def parse(text):
        names = text.split(",")
        for name in names:
            if name not in choices:
                raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(choices)}")
        return names

    return parse


def arguments():
    parser = argparse.ArgumentParser(prog="bench/peers/run.sh", description=__doc__)
    parser.add_argument("--networks", type=several(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--batches", type=lambda text: [int(part) for part in text.split(",")], default=[1, 8, 32])
    parser.add_argument("--peers", type=several(PEERS), default=list(PEERS))
    parser.add_argument("--forward", action="store_true", help="only the forward pass")
    parser.add_argument("--training", action="store_true", help="only training")
    parser.add_argument("--avx2", action="store_true", help="hold Percept, and the peers that can be held, to AVX2")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="of a burst")
    parser.add_argument("--json", type=Path, help="write everything that was measured here, after each case")
    return parser.parse_args()


def main():
    options = arguments()
    modes = [False] * (options.forward or not options.training) + [True] * (options.training or not options.forward)
    peers = build.everything(options.networks, options.batches, options.peers, modes)
    described = json.loads(subprocess.run([sys.executable, "-m", "machine"], cwd=build.HERE, stdout=subprocess.PIPE, check=True).stdout)
    print(machine.text(described))
    print(f"pictures a second, and Percept's over the peer's: median (lowest to highest) of {options.rounds} rounds\n", flush=True)
    measured = []
    for name in options.networks:
        for training in modes:
            for batch in options.batches:
                with tempfile.TemporaryDirectory() as work:
                    case = Case(NETWORKS[name], training, batch, CACHE / "models", Path(work))
                    results = measure(case, contenders(case, peers, options.avx2), options.rounds, options.seconds)
                measured.append((case, results))
                print(block(case, results) + "\n", flush=True)
                if options.json:
                    cases = [record(*entry) for entry in measured]
                    options.json.write_text(json.dumps({"machine": described, "cases": cases}, indent=1))
    print(table(measured, [PEERS[peer][0] for peer in peers]))
    sys.exit(any(result.error for _, results in measured for result in results))


if __name__ == "__main__":
    main()
