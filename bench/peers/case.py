"""One case: all contenders started, their outputs compared, then timed in rounds in which everyone has a burst.

Of a peer's variants, those that one burst shows to be far from the best are ended before the rounds; all but the best if memory is short.
"""

import statistics
from dataclasses import dataclass, field

import numpy as np

from process import Contender, Failed, Process

# Largest difference of an output relative to the spread of the reference's; for training, of a loss relative to its size.
LIMIT = 1e-3
# A variant this many times slower than its peer's best, or a contender that has had this many seconds in rounds, is timed no further.
HOPELESS, ENOUGH = 1.3, 40
# Share of the memory that must be free to keep several variants of a peer.
SPARE = 0.3


@dataclass
class Result:
    """What became of a contender: pictures a second in each round, or an error."""

    contender: Contender
    process: Process | None = None
    output: np.ndarray | None = None
    rates: list = field(default_factory=list)
    difference: float | None = None
    error: str | None = None
    seconds: float = 0.0

    @property
    def rate(self):
        return statistics.median(self.rates) if self.rates else 0.0

    def ratios(self, percept):
        """Percept's rate over this one's, round by round."""
        return [ours / theirs for ours, theirs in zip(percept.rates, self.rates)]

    def end(self):
        if self.process:
            self.process.end()
            self.process = None

    def burst(self, batch, seconds):
        """Notes a burst's rate, or the error that ended the process."""
        try:
            milliseconds = self.process.burst(seconds)
        except Failed as error:
            self.error = str(error)
            return self.end()
        self.rates.append(1e3 * batch / milliseconds)
        self.seconds += max(seconds, 2 * milliseconds / 1e3)


def write_input(case):
    random = np.random.default_rng(case.batch)
    shape = case.network.shape(case.batch)
    if case.network.takes_bytes:
        pictures = random.integers(0, 256, shape, np.uint8)
    else:
        pictures = random.standard_normal(shape, np.float32)
    pictures.tofile(case.work / "input")
    random.integers(0, case.network.classes, case.batch, np.uint32).tofile(case.work / "labels")


def start(case, contender, number):
    """Starts a contender and reads its output."""
    result = Result(contender)
    output = case.work / "output"
    output.unlink(missing_ok=True)
    try:
        result.process = Process(contender, case.work / f"{number}.log")
        result.output = np.fromfile(output, "<f4")
    except (Failed, OSError) as error:
        result.error = str(error)
        result.end()
    return result


def memory_is_short():
    numbers = dict(line.split(":") for line in open("/proc/meminfo"))
    total, available = (int(numbers[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    return available < SPARE * total


def end_hopeless(results, peer):
    running = [result for result in results if result.contender.peer == peer and result.process]
    best = max((result.rate for result in running), default=0.0)
    limit = 1.0 if memory_is_short() else HOPELESS
    for result in running:
        if result.rate * limit < best:
            result.end()


def compare(case, results):
    """Notes each one's difference from the first peer, and ends those that do not agree."""
    done = [result for result in results if result.output is not None]
    peers = [result.output for result in done if result.contender.peer != "Percept"]
    reference = peers[0] if peers else None
    for result in done if peers else []:
        if result.output.size != reference.size:
            result.error = f"{result.output.size} outputs instead of {reference.size}"
        else:
            scale = np.abs(reference) if case.training else np.ptp(reference)
            result.difference = float((np.abs(result.output - reference) / scale).max())
            if not result.difference <= LIMIT:  # true for NaN too
                result.error = f"the output differs by {result.difference:.1e}"
        if result.error:
            result.rates.clear()
            result.end()


def rounds(case, racing, number, seconds):
    for result in racing:
        result.rates.clear()
        result.seconds = 0.0
    for turn in range(number):
        order = racing[turn % len(racing) :] + racing[: turn % len(racing)]
        for result in reversed(order) if turn % 2 else order:
            tired = result.seconds > ENOUGH and len(result.rates) > 1 and result.contender.peer != "Percept"
            if result.process and not tired:
                result.burst(case.batch, seconds)


def measure(case, contenders, number, seconds):
    """Results of all contenders, Percept's first."""
    write_input(case)
    results = []
    try:
        for contender in contenders:
            result = start(case, contender, len(results))
            results.append(result)
            if result.process:
                result.burst(case.batch, seconds)
            end_hopeless(results, contender.peer)
        compare(case, results)
        racing = [result for result in results if result.process]
        if racing:
            rounds(case, racing, number, seconds)
    finally:
        for result in results:
            result.end()
    return results
