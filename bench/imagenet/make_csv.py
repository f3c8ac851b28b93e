"""Writes a CSV with the columns image and label for a folder of pictures that are named after their class:

    python3 make_csv.py FOLDER OUT.csv

Names begin with the index of the class (0005_ray.jpg or 5_ray.jpg), which becomes the label, as a plain number. Paths are relative to the
CSV's folder if the pictures lie below it, absolute otherwise.
"""

import csv
import re
import sys
from pathlib import Path

PICTURES = {".jpg", ".jpeg", ".png", ".webp"}


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: make_csv.py FOLDER OUT.csv")
    folder, out = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    if not folder.is_dir():
        sys.exit(f"{folder} is not a folder")
    rows = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in PICTURES:
            continue
        index = re.match(r"([0-9]+)(_|\.)", path.name)
        if index is None:
            sys.exit(f"{path}: the name does not begin with the index of a class and an underscore")
        image = path.relative_to(out.parent) if path.is_relative_to(out.parent) else path
        rows.append((image.as_posix(), int(index[1])))
    if not rows:
        sys.exit(f"{folder} has no pictures ({', '.join(sorted(PICTURES))})")
    if not out.parent.is_dir():
        sys.exit(f"{out.parent} is not a folder")
    with out.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([("image", "label"), *rows])
    print(f"{len(rows)} pictures of {len({label for _, label in rows})} classes")


if __name__ == "__main__":
    main()
