"""Writes picture.png and what libjpeg makes of it at some qualities, for the tests of src/augment/jpeg.rs.

The pictures of half the size show the decoded colours, which libjpeg otherwise interpolates.

    pip install numpy pillow && python make.py
"""

import io
from pathlib import Path

import numpy as np
from PIL import Image

here = Path(__file__).parent
y, x = np.mgrid[0:48, 0:48].astype(float)
disc = 1 / (1 + np.exp(np.hypot(x - 20, y - 24) - 13))
wave = 0.5 + 0.5 * np.sin((x + 2 * y) / 5)
channels = [40 + 150 * disc + 40 * wave, 70 + 3 * x + 40 * wave, 60 + 2 * y + 40 * wave]
picture = Image.fromarray(np.stack(channels, -1).clip(0, 255).astype(np.uint8))
picture.save(here / "picture.png", optimize=True)
for quality in (20, 50, 80):
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality, subsampling="4:2:0")
    Image.open(file).save(here / f"quality{quality}.png", optimize=True)
    half = Image.open(file)
    half.draft("RGB", (24, 24))
    half.save(here / f"quality{quality}-half.png", optimize=True)
