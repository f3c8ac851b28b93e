"""Views a second of Percept and of Albumentations, interleaved, on the same decoded pictures; see run.sh.

Albumentations gets Percept's settings, as Percept prints them, for the same list of operations. Where it offers several operations for
one of ours, the fastest was taken (RandomResizedCrop before the warps, so that these work on the small picture; Rotate not Affine;
ColorJitter for brightness, contrast and saturation at once; gains per channel for white balance). It runs with two worker processes
(as a data loader would), two threads, and one thread with OpenCV's own threads; the best of these is compared with.
"""

import json
import math
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import albumentations as A
import cv2
import numpy as np
from PIL import Image

THREADS, VIEWS, PICTURES, SIDE = 2, 20, 96, 256
MIRROR = cv2.BORDER_REFLECT_101
MANIFEST = Path(__file__).parents[2] / "Cargo.toml"
PERCEPT = ["cargo", "run", "--quiet", "--release", "--manifest-path", MANIFEST, "-p", "percept-photos"]
PERCEPT += ["--example", "augment_bench", "--"]


def pipeline(s):
    """The operations of percept_photos::augment with its settings `s`, in its order."""
    turn, bend = s["rotation"], s["perspective"]
    around_one = lambda name: (1 - s[name], 1 + s[name])
    radius, length, noise = (s[name]["range"] for name in ("defocus", "motion", "noise"))
    hole = tuple(math.sqrt(area) for area in s["occlusion"]["range"])
    size = (s["size"], s["size"])
    return A.Compose(
        [
            A.RandomResizedCrop(size, scale=s["area"], ratio=(1 / s["aspect"], s["aspect"]), p=1),
            A.Rotate(limit=turn, border_mode=MIRROR, p=1),
            # Normal where ours is uniform: the same standard deviation.
            A.Perspective(scale=(bend / math.sqrt(3),) * 2, border_mode=MIRROR, p=1),
            A.HorizontalFlip(p=0.5 if s["flip"] else 0),
            A.MultiplicativeNoise(multiplier=around_one("white_balance"), per_channel=True, elementwise=False, p=1),
            A.ColorJitter(
                around_one("brightness"), around_one("contrast"), around_one("saturation"), hue=(0, 0), p=1
            ),
            A.CoarseDropout(
                (1, 1), hole, hole, fill="random_uniform", p=s["occlusion"]["probability"]
            ),
            A.Defocus((1, round(radius[1])), (0.1, 0.1), p=s["defocus"]["probability"]),
            A.MotionBlur((3, round(length[1]) + 1), p=s["motion"]["probability"]),
            A.GaussNoise(tuple(sigma / 255 for sigma in noise), p=s["noise"]["probability"]),
            A.ImageCompression("jpeg", tuple(map(int, s["jpeg"]["range"])), p=s["jpeg"]["probability"]),
        ]
    )


def work(share, settings, start, end):
    """Makes all views of a share of the pictures whenever told to; `None` ends it."""
    cv2.setNumThreads(0)
    augment = pipeline(settings)
    while start.get() is not None:
        for picture in share:
            for _ in range(VIEWS):
                augment(image=picture)
        end.put(True)


def main():
    folder, rounds = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 7
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"})
    paths = paths[:: max(1, len(paths) // PICTURES)][:PICTURES]
    with tempfile.TemporaryDirectory() as decoded:
        pictures = []
        for number, path in enumerate(paths):
            picture = Image.open(path).convert("RGB")
            scale = SIDE / min(picture.size)
            picture = picture.resize([round(side * scale) for side in picture.size], Image.Resampling.BICUBIC)
            picture.save(f"{decoded}/{number:04}.png")
            pictures.append(np.array(picture))
        ours = subprocess.Popen(
            [*PERCEPT, decoded, str(VIEWS), str(THREADS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        settings = json.loads(ours.stdout.readline())
        measure(ours, settings, pictures, rounds)


def measure(ours, settings, pictures, rounds):
    count = len(pictures) * VIEWS
    augment = pipeline(settings)
    end = multiprocessing.Queue()
    starts = [multiprocessing.Queue() for _ in range(THREADS)]
    workers = [
        multiprocessing.Process(target=work, args=(pictures[i::THREADS], settings, start, end), daemon=True)
        for i, start in enumerate(starts)
    ]
    for worker in workers:
        worker.start()

    def percept():
        ours.stdin.write("\n")
        ours.stdin.flush()
        result = json.loads(ours.stdout.readline())
        return result["views"] / result["seconds"]

    def timed(run):
        begin = time.perf_counter()
        run()
        return count / (time.perf_counter() - begin)

    def processes():
        for start in starts:
            start.put(True)
        for _ in starts:
            end.get()

    def threads():
        cv2.setNumThreads(0)
        augments = [pipeline(settings) for _ in range(THREADS)]

        def share(i):
            for picture in pictures[i::THREADS]:
                for _ in range(VIEWS):
                    augments[i](image=picture)

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(share, range(THREADS)))

    def own_threads():
        cv2.setNumThreads(THREADS)
        for picture in pictures:
            for _ in range(VIEWS):
                augment(image=picture)

    contenders = {
        "percept": percept,
        f"albumentations, {THREADS} processes": lambda: timed(processes),
        f"albumentations, {THREADS} Python threads": lambda: timed(threads),
        f"albumentations, {THREADS} OpenCV threads": lambda: timed(own_threads),
    }
    figures = {name: [] for name in contenders}
    for round_number in range(rounds + 1):
        for name, contender in contenders.items():
            figure = contender()
            if round_number > 0:  # the first warms up
                figures[name].append(figure)
    for start in starts:
        start.put(None)
    ours.stdin.close()
    ours.wait()

    medians = {name: statistics.median(values) for name, values in figures.items()}
    print(f"{len(pictures)} pictures, shorter side {SIDE}, {VIEWS} views of {settings['size']}² each, {THREADS} threads,")
    print(f"medians of {rounds} interleaved rounds; Albumentations {A.__version__}, OpenCV {cv2.__version__}")
    for name, median in medians.items():
        low, high = min(figures[name]), max(figures[name])
        print(f"{median:8.0f} views/s ({low:.0f} to {high:.0f})  {name}")
    best = max(median for name, median in medians.items() if name != "percept")
    print(f"ratio to the best: {medians['percept'] / best:.2f}")


if __name__ == "__main__":
    main()
