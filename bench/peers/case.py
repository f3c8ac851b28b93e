"""One case: all contenders started, their outputs compared, then timed in rounds in which everyone has a burst."""

import statistics
from dataclasses import dataclass, field

import numpy as np

from process import Contender, Failed, Process

# Largest difference of an output relative to the spread of the reference's; for training, of a loss relative to its size.
LIMIT = 1e-3
# A variant this many times slower than its peer's best, or a contender that has had this many seconds, is timed no further.
HOPELESS, ENOUGH = 1.5, 40


@dataclass
class Result:
    """What became of a contender: pictures a second in each round, or an error."""

    contender: Contender
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


def write_input(case):
    random = np.random.default_rng(case.batch)
    shape = case.network.shape(case.batch)
    if case.network.takes_bytes:
        pictures = random.integers(0, 256, shape, np.uint8)
    else:
        pictures = random.standard_normal(shape, np.float32)
    pictures.tofile(case.work / "input")
    random.integers(0, case.network.classes, case.batch, np.uint32).tofile(case.work / "labels")


def start(case, contenders):
    """The processes that came to life with their outputs, and results for all."""
    running, results = [], []
    for contender in contenders:
        result = Result(contender)
        results.append(result)
        (case.work / "output").unlink(missing_ok=True)
        try:
            process = Process(contender, case.work / f"{len(results)}.log")
            running.append((result, process, np.fromfile(case.work / "output", "<f4")))
        except (Failed, OSError) as error:
            result.error = str(error)
    return running, results


def compare(case, running):
    """Notes each one's difference from the first peer; gives back those that agree."""
    peers = [output for result, _, output in running if result.contender.peer != "Percept"]
    reference = peers[0] if peers else running[0][2]
    agreeing = []
    for result, process, output in running:
        if output.size != reference.size:
            result.error = f"{output.size} outputs instead of {reference.size}"
        else:
            scale = np.abs(reference) if case.training else np.ptp(reference)
            result.difference = float((np.abs(output - reference) / scale).max())
            if not result.difference <= LIMIT:  # true for NaN too
                result.error = f"the output differs by {result.difference:.1e}"
        if result.error:
            process.end()
        else:
            agreeing.append((result, process))
    return agreeing


def goes_on(result, results):
    if len(result.rates) < 2 or result.contender.peer == "Percept":
        return True
    best = max(other.rate for other in results if other.contender.peer == result.contender.peer)
    return result.seconds < ENOUGH and result.rate * HOPELESS >= best


def rounds(case, racing, results, number, seconds):
    for turn in range(number):
        order = racing[turn % len(racing) :] + racing[: turn % len(racing)]
        for result, process in reversed(order) if turn % 2 else order:
            if result.error or not goes_on(result, results):
                continue
            try:
                milliseconds = process.burst(seconds)
            except Failed as error:
                result.error = str(error)
                continue
            result.rates.append(1e3 * case.batch / milliseconds)
            result.seconds += max(seconds, 2 * milliseconds / 1e3)


def measure(case, contenders, number, seconds):
    """Results of all contenders, Percept's first."""
    write_input(case)
    running, results = start(case, contenders)
    try:
        racing = compare(case, running) if running else []
        if racing:
            rounds(case, racing, results, number, seconds)
    finally:
        for _, process, _ in running:
            process.end()
    return results
