"""The driver's side of a contender's process.

The protocol, the same in Python (`contenders/serve.py`) and Rust (`rust/bursts.rs`): the contender loads everything, writes its output to a
file and says `ready`. For each number of seconds on a line of standard input it then runs that long, twice at least, and answers with
a list of milliseconds. Between bursts the process is stopped by a signal, so that threads which wait by spinning disturb nobody.
"""

import ctypes
import json
import os
import signal
import statistics
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
START_LIMIT, BURST_LIMIT = 1800, 300


def die_with_parent():
    """Runs in the child: a stopped process would else outlive a driver that is killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Failed(Exception):
    """A contender that ended, or did not answer in time."""


@dataclass(frozen=True)
class Contender:
    """A peer with certain settings, and how it is started."""

    peer: str
    variant: str
    command: list
    environment: dict = field(default_factory=dict)

    @property
    def label(self):
        return f"{self.peer} {self.variant}".strip()


class Process:
    """A contender that is ready, and stopped except during a burst."""

    def __init__(self, contender, log):
        self.log = log
        with open(log, "wb") as errors:
            self.process = subprocess.Popen(
                [str(part) for part in contender.command], cwd=HERE, env=os.environ | contender.environment,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True,
                preexec_fn=die_with_parent,
            )
        try:
            self.answer(lambda line: line.strip() == "ready", START_LIMIT)
        except Failed:
            self.end()
            raise
        self.signal(signal.SIGSTOP)

    def signal(self, number):
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass

    def answer(self, wanted, limit):
        timer = threading.Timer(limit, self.signal, [signal.SIGKILL])
        timer.start()
        try:
            for line in self.process.stdout:
                if wanted(line):
                    return line
        finally:
            timer.cancel()
        lines = Path(self.log).read_text(errors="replace").strip().splitlines()
        raise Failed(f"ended with {self.process.wait()}: {lines[-1] if lines else 'no message'}")

    def burst(self, seconds):
        """The median time of a run in milliseconds, without the first, which warms up."""
        self.signal(signal.SIGCONT)
        try:
            self.process.stdin.write(f"{seconds}\n")
            self.process.stdin.flush()
            times = json.loads(self.answer(lambda line: line.startswith("["), BURST_LIMIT))
        except BrokenPipeError as error:
            raise Failed("ended between bursts") from error
        self.signal(signal.SIGSTOP)
        return statistics.median(times[1:])

    def end(self):
        self.signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
