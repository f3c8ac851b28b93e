"""Writes the golden files of this folder with Pillow: pictures in every encoding that is read, and how Pillow decodes
and torchvision's Resize and CenterCrop (re-stated below; checked against torchvision when it is installed) prepare them.

    python make.py          # needs numpy and pillow; made with pillow 13.0
"""

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

HERE = Path(__file__).parent
WHITE = (255, 255, 255)


def scene(width, height):
    """Coloured patches on a gradient: no two sides alike, so that a wrong orientation shows."""
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([x * 255 // width, y * 255 // height, 128 + 0 * x], -1).astype(np.uint8)
    pixels[: height // 3, : width // 3] = (220, 30, 40)
    pixels[: height // 3, -(width // 3) :] = (30, 60, 200)
    pixels[-(height // 3) :, : width // 4] = (20, 160, 60)
    return Image.fromarray(pixels)


def harsh(width, height):
    """Noise of black and white and fine stripes: what overshoots most under a cubic filter."""
    pixels = np.random.default_rng(7).integers(0, 2, (height, width, 3)).astype(np.uint8) * 255
    pixels[:, : width // 2] = (np.arange(height)[:, None, None] // 2 % 2) * 255
    return Image.fromarray(pixels)


def over_white(picture):
    rgba = (picture.convert("RGB") if picture.mode == "CMYK" else picture).convert("RGBA")
    ground = Image.new("RGBA", rgba.size, WHITE + (255,))
    return Image.alpha_composite(ground, rgba).convert("RGB")


def save(name, picture, **options):
    picture.save(HERE / name, **options)
    expected = over_white(ImageOps.exif_transpose(Image.open(HERE / name)))
    expected.save(HERE / f"{name}.expected.png", optimize=True)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, colour, data):
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b"")


def encodings():
    small = scene(40, 24)
    for name, options in {"baseline": {}, "progressive": {"progressive": True}, "420": {"subsampling": 2}}.items():
        save(f"{name}.jpg", small, quality=92, **({"subsampling": 0} | options))
    save("grey.jpg", small.convert("L"), quality=92)
    # Pillow writes CMYK as Adobe does: inverted. Its own way back is (255 - c)(255 - k) / 255, as everywhere.
    save("cmyk.jpg", small.convert("CMYK"), quality=92)
    ycck()
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        back = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
        stored = small if back is None else small.transpose(Image.Transpose(back))
        save(f"orientation{orientation}.jpg", stored, quality=95, subsampling=0, exif=exif)
    save("palette.png", small.quantize(16), optimize=True)
    save("palette-transparent.png", small.quantize(16), transparency=0)
    save("grey.png", small.convert("L"), optimize=True)
    save("bits1.png", small.convert("1"), optimize=True)
    rgba = small.copy()
    rgba.putalpha(Image.linear_gradient("L").resize(small.size))
    save("alpha.png", rgba, optimize=True)
    save("alpha.webp", rgba, lossless=True, exact=True)
    save("lossless.webp", small, lossless=True)
    save("lossy.webp", small, quality=90)
    deep(small)
    (HERE / "huge.png").write_bytes(png(30_000, 30_000, 8, 0, bytes(1000)))


def ycck():
    """Turns cmyk.jpg into YCCK: the same samples marked as transformed, so the expected colours are recomputed."""
    data = (HERE / "cmyk.jpg").read_bytes()
    at = data.index(b"Adobe") + 11
    assert data[at] == 0
    (HERE / "ycck.jpg").write_bytes(data[:at] + b"\x02" + data[at + 1 :])
    Image.open(HERE / "ycck.jpg").convert("RGB").save(HERE / "ycck.jpg.expected.png", optimize=True)


def deep(picture):
    """16-bit RGB, which Pillow cannot write: the low byte repeats the high one, so 8-bit values come back exactly."""
    pixels = np.asarray(picture)
    rows = b"".join(b"\0" + np.repeat(row.reshape(-1), 2).tobytes() for row in pixels)
    (HERE / "deep.png").write_bytes(png(picture.width, picture.height, 16, 2, rows))
    picture.save(HERE / "deep.png.expected.png", optimize=True)


def prepare(picture, shorter_side, crop, resample):
    width, height = picture.size
    short = min(width, height)
    size = [shorter_side * side // short for side in (width, height)]
    left, top = (int(round((side - crop) / 2.0)) for side in size)
    box = (left, top, left + crop, top + crop)
    result = picture.resize(size, resample).crop(box)
    try:
        from torchvision import transforms as T
    except ImportError:
        return result
    peer = T.CenterCrop(crop)(T.Resize(shorter_side, T.InterpolationMode(resample.name.lower()))(picture))
    assert np.array_equal(np.asarray(peer), np.asarray(result))
    return result


def resizes():
    for picture, width, height in [(scene, 97, 61), (harsh, 75, 131), (harsh, 41, 39), (scene, 1, 300), (scene, 500, 2)]:
        source = picture(width, height)
        source.save(HERE / f"{picture.__name__}-{width}x{height}.png", optimize=True)
        for resample in (Image.Resampling.BICUBIC, Image.Resampling.BILINEAR):
            for shorter_side, crop in [(32, 28), (33, 28), (64, 63)]:
                name = f"{picture.__name__}-{width}x{height}.{shorter_side}.{crop}.{resample.name.lower()}.png"
                prepare(source, shorter_side, crop, resample).save(HERE / name, optimize=True)


encodings()
resizes()
