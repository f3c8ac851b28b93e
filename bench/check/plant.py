"""Plants near duplicates and wrong labels in a folder of class folders and scores what `percept check` says about it.

    python3 plant.py FOLDER [--percept PROGRAM] [--seeds 5] [--near-classes] [--sheets FOLDER]

For each seed, in a copy of FOLDER (links to its pictures):

- 40 pictures get a near duplicate: a fourth is recompressed (JPEG quality 40 to 75), a fourth resized (half to nine tenths of the side),
  a fourth cropped (up to 5 % at each of the four edges, so up to 10 % along an axis), a fourth all three. 20 go to the picture's own class,
  20 to another.
- 60 other pictures are moved to another class. Another class is drawn evenly; with --near-classes, among those whose name begins with
  the same word where there are any, which is harder.

What `percept check` reports on FOLDER as it is counts as there before: it is listed and drawn on a sheet, for a person to judge, and
neither planted upon nor counted as false. A group of n copies reports n - 1 duplicates. Those that join pictures which neither the
planting nor the folder as it is joins are false. Needs Pillow.
"""

import argparse
import json
import pathlib
import random
import subprocess
import tempfile

from PIL import Image, ImageDraw

COPIES, WRONG_COPIES, WRONG, FIRST = 40, 20, 60, 120


def check(program, folder, out):
    run = subprocess.run([program, "-q", "check", folder, "--out", out, "--format", "json"], stdout=subprocess.PIPE, check=True)
    return json.loads(run.stdout)


def relative(groups, folder):
    return [[str(pathlib.Path(path).relative_to(folder)) for path in group] for group in groups]


def near_duplicate(source, target, kind, rng):
    picture = Image.open(source).convert("RGB")
    quality = rng.randint(80, 95)
    if kind in ("cropped", "all"):
        width, height = picture.size
        left, right = (rng.uniform(0, 0.05) * width for _ in range(2))
        top, bottom = (rng.uniform(0, 0.05) * height for _ in range(2))
        picture = picture.crop((round(left), round(top), round(width - right), round(height - bottom)))
    if kind in ("resized", "all"):
        scale = rng.uniform(0.5, 0.9)
        picture = picture.resize([max(round(side * scale), 1) for side in picture.size], Image.LANCZOS)
    if kind in ("recompressed", "all"):
        quality = rng.randint(40, 75)
    picture.save(target, quality=quality)


def plant(pictures, folder, seed, spared, near_classes):
    """Makes the copy; gives back copy → (source, kind), and wrongly filed picture → true class."""
    rng = random.Random(seed)
    classes = sorted({path.parent.name for path in pictures})

    def other(label):
        near = [c for c in classes if c != label and c.split("-")[0] == label.split("-")[0]]
        return rng.choice(near if near_classes and near else [c for c in classes if c != label])

    free = [path for path in pictures if f"{path.parent.name}/{path.name}" not in spared]
    chosen = rng.sample(free, COPIES + WRONG)
    sources, moved = chosen[:COPIES], set(chosen[COPIES:])
    for label in classes:
        (folder / label).mkdir(parents=True)
    wrong = {}
    for path in pictures:
        label = path.parent.name
        if path in moved:
            target = other(label)
            wrong[f"{target}/moved-{path.name}"] = label
            (folder / target / f"moved-{path.name}").symlink_to(path)
        else:
            (folder / label / path.name).symlink_to(path)
    copies = {}
    for i, path in enumerate(sources):
        label = path.parent.name
        target = other(label) if i < WRONG_COPIES else label
        kind = ("recompressed", "resized", "cropped", "all")[i % 4]
        name = f"{target}/copied-{i:02}.jpg"
        near_duplicate(path, folder / name, kind, rng)
        copies[name] = (f"{label}/{path.name}", kind)
    return copies, wrong


def joins(groups, links):
    """How many duplicates groups report, and those that no link stands behind."""
    false = []
    for group in groups:
        parts = [{picture} for picture in group]
        for link in links:
            both = [part for part in parts if part & set(link)]
            if len(both) > 1:
                parts = [part for part in parts if part not in both] + [set().union(*both)]
        representatives = [sorted(part)[0] for part in parts]
        false += [(representatives[0], picture) for picture in representatives[1:]]
    return sum(len(group) - 1 for group in groups), false


def sheet(rows, folder, path):
    """Draws a row of pictures for each group."""
    side = 180
    if not rows:
        return
    image = Image.new("RGB", (side * max(len(row[:6]) for row in rows), (side + 14) * len(rows)), "white")
    draw = ImageDraw.Draw(image)
    for y, row in enumerate(rows):
        for x, name in enumerate(row[:6]):
            picture = Image.open(folder / name).convert("RGB")
            picture.thumbnail((side - 4, side - 4))
            image.paste(picture, (x * side, y * (side + 14) + 14))
            draw.text((x * side, y * (side + 14)), name[-28:], fill="black")
    image.save(path)


def share(part, whole):
    return f"{part} of {whole} ({100 * part / max(whole, 1):.1f} %)"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--percept", default="percept")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--near-classes", action="store_true")
    parser.add_argument("--sheets", type=pathlib.Path, help="where to draw what was there before and what is false")
    args = parser.parse_args()
    root = args.folder.resolve()
    pictures = sorted(path for path in root.glob("*/*") if path.is_file())
    total = {"found": 0, "reported": 0, "false": 0, "hits": 0, "believed": 0}
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        before = check(args.percept, root, scratch / "before")
        known = relative(before["duplicates"], root)
        print(f"as it is: {len(known)} groups of copies, {len(before['suspects'])} suspects, {len(before['alike'])} pairs alike")
        for group in known:
            print("  there before:", " = ".join(group))
        if args.sheets:
            args.sheets.mkdir(parents=True, exist_ok=True)
            sheet(known, root, args.sheets / "before.png")
            suspects = [str(pathlib.Path(s["picture"]).relative_to(root)) for s in before["suspects"][:48]]
            sheet([suspects[i : i + 6] for i in range(0, len(suspects), 6)], root, args.sheets / "suspects.png")
        spared = {picture for group in known for picture in group}
        for seed in range(args.seeds):
            folder = scratch / f"planted-{seed}"
            copies, wrong = plant(pictures, folder, seed, spared, args.near_classes)
            found = check(args.percept, folder, scratch / f"found-{seed}")
            groups = relative(found["duplicates"], folder)
            together = {(a, b) for group in groups for a in group for b in group}
            missed = [(copy, source, kind) for copy, (source, kind) in copies.items() if (copy, source) not in together]
            reported, false = joins(groups, known + [(copy, source) for copy, (source, _) in copies.items()])
            first = [str(pathlib.Path(s["picture"]).relative_to(folder)) for s in found["suspects"][:FIRST]]
            hits = sum(picture in wrong for picture in first)
            truth = {copy: source.split("/")[0] for copy, (source, _) in copies.items()}
            believed = 0
            for contradiction in found["contradictions"]:
                names = [str(pathlib.Path(p["picture"]).relative_to(folder)) for p in contradiction["pictures"]]
                believed += any(contradiction["believed"] == truth.get(name) for name in names)
            print(
                f"seed {seed}: duplicates found {share(COPIES - len(missed), COPIES)}, false {share(len(false), reported)}; wrong labels among "
                f"the first {len(first)} suspects {share(hits, WRONG)}, of all {len(found['suspects'])} suspects "
                f"{sum(str(pathlib.Path(s['picture']).relative_to(folder)) in wrong for s in found['suspects'])}; "
                f"contradictions believed right {share(believed, WRONG_COPIES)}",
                flush=True,
            )
            for line in missed:
                print("  missed:", *line)
            for pair in false:
                print("  false:", *pair)
            if args.sheets:
                sheet(false, folder, args.sheets / f"false-{seed}.png")
            counts = (COPIES - len(missed), reported, len(false), hits, believed)
            total = {name: total[name] + count for name, count in zip(total, counts)}
    seeds = args.seeds
    print(
        f"all seeds: duplicates found {share(total['found'], COPIES * seeds)}, false {share(total['false'], total['reported'])}; "
        f"wrong labels among the first {FIRST} suspects {share(total['hits'], WRONG * seeds)}; "
        f"contradictions believed right {share(total['believed'], WRONG_COPIES * seeds)}"
    )


if __name__ == "__main__":
    main()
