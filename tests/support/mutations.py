"""Files damaged the way a fuzzer damages them, the same ones from the same generator."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from standins import square_photo

Mutation = Callable[[bytes, np.random.Generator], bytes]


def _position(data: bytes, rng: np.random.Generator) -> int:
    """Half of the time in the header, since most of what a parser believes stands there."""
    return int(rng.integers(min(256, len(data)) if rng.random() < 0.5 else len(data)))


def flip(data: bytes, rng: np.random.Generator) -> bytes:
    """Some bits."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 33))):
        changed[_position(data, rng)] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def extreme(data: bytes, rng: np.random.Generator) -> bytes:
    """Numbers of 1, 2 or 4 bytes become the smallest or largest ones."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        start, size = _position(data, rng), int(rng.choice([1, 2, 4]))
        values = (b"\0" * size, b"\xff" * size, b"\x7f" + b"\xff" * (size - 1), b"\x80" + b"\0" * (size - 1))
        changed[start : start + size] = values[int(rng.integers(len(values)))]
    return bytes(changed)


def cut(data: bytes, rng: np.random.Generator) -> bytes:
    """The end is missing."""
    return data[: int(rng.integers(len(data)))]


def drop(data: bytes, rng: np.random.Generator) -> bytes:
    """A part in the middle is missing."""
    start = _position(data, rng)
    return data[:start] + data[start + int(rng.integers(1, 64)) :]


def repeat(data: bytes, rng: np.random.Generator) -> bytes:
    """A part comes many times."""
    start = _position(data, rng)
    size = int(rng.integers(1, 256))
    return data[: start + size] + data[start : start + size] * int(rng.integers(1, 50)) + data[start + size :]


def splice(data: bytes, rng: np.random.Generator) -> bytes:
    """A part comes from elsewhere in the file."""
    source, target, size = (int(rng.integers(len(data))) for _ in range(3))
    return data[:target] + data[source : source + size] + data[target + size :]


def noise(data: bytes, rng: np.random.Generator) -> bytes:
    """A part is noise."""
    start, size = _position(data, rng), int(rng.integers(1, 128))
    return data[:start] + rng.bytes(size) + data[start + size :]


MUTATIONS: tuple[Mutation, ...] = (flip, extreme, cut, drop, repeat, splice, noise)


def picture_files() -> dict[str, bytes]:
    """Whole files of every kind that is read, with a magenta "face" in noise, so that little can be lost unnoticed."""
    pixels = np.asarray(square_photo()).astype(int) - np.random.default_rng(1).integers(0, 40, (64, 96, 3))
    photo = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 1, "Maker"
    kinds: list[tuple[str, Image.Image, dict[str, object]]] = [
        ("baseline.jpg", photo, {"exif": exif, "icc_profile": b"\0" * 200}),
        ("progressive.jpg", photo, {"progressive": True, "comment": b"c" * 50}),
        ("print.jpg", photo.convert("CMYK"), {}),
        ("plain.png", photo, {}),
        ("palette.png", photo.quantize(32), {"transparency": 0}),
        ("transparent.png", photo.convert("RGBA"), {"exif": exif}),
        ("lossy.webp", photo, {"exif": exif}),
        ("lossless.webp", photo, {"lossless": True}),
        ("plain.bmp", photo, {}),
        ("plain.tif", photo, {}),
        ("packed.tif", photo, {"compression": "tiff_lzw"}),
        ("deflated.tif", photo, {"compression": "tiff_adobe_deflate"}),
        ("plain.gif", photo, {}),
    ]
    files = {}
    for name, image, options in kinds:
        content = io.BytesIO()
        image.save(
            content,
            {".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".bmp": "BMP", ".tif": "TIFF", ".gif": "GIF"}[Path(name).suffix],
            **options,
        )
        files[name] = content.getvalue()
    return files


def mutated(data: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """(name of what was done, damaged file)."""
    change = MUTATIONS[int(rng.integers(len(MUTATIONS)))]
    return change.__name__, change(data, rng)
