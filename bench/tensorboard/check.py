"""Reads event files back with TensorBoard itself: `check.py FOLDER TAG...`

    python3 -m venv venv && venv/bin/pip install tensorboard
    percept train PHOTOS --tensorboard FOLDER -o RUN
    venv/bin/python bench/tensorboard/check.py FOLDER network/loss network/validation_accuracy

Prints every curve with the number of its points, its first and its last value. Fails if a curve that is asked for is missing or has
a value that is not a number, or if the steps of any curve do not grow.
"""

import math
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0})
    events.Reload()
    tags = events.Tags()["scalars"]
    for tag in tags:
        points = events.Scalars(tag)
        print(f"{tag}: {len(points)} points, {points[0].value:.4f} to {points[-1].value:.4f}")
        if any(b.step <= a.step for a, b in zip(points, points[1:])):
            sys.exit(f"{tag}: the steps do not grow")
        if not all(math.isfinite(point.value) for point in points):
            sys.exit(f"{tag}: a value is not a number")
    missing = set(sys.argv[2:]) - set(tags)
    if missing:
        sys.exit(f"missing: {', '.join(sorted(missing))}")


main()
