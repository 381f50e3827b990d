"""Files that ask for far more than they hold: refused from the header, in little memory."""

from __future__ import annotations

import base64
import io
import json
import os
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from standins import square_photo

from ganon_hf.core.faces import UnusableImageError
from ganon_hf.core.image_loading import load_photo
from ganon_hf.core.picture_reading import MAX_SCANS, count_scans
from ganon_hf.image_files import decode_image, picture_pixels, read_image

pytestmark = pytest.mark.attack
REFUSED_MEGABYTES = 300

# Reads a file as the command line does, or as the pipelines do; says what came and how much memory the process took at its peak.
READ = """
import json, sys
from peak_memory import peak_bytes
from ganon_hf.core.faces import UnusableImageError
from ganon_hf.core.image_loading import load_photo
from ganon_hf.image_files import read_image
before = peak_bytes()
how, path = sys.argv[1:]
try:
    picture = read_image(path).image if how == "files" else load_photo(path)
    said = "accepted"
except UnusableImageError as error:
    said = str(error)
print(json.dumps([said, (peak_bytes() - before) / 2**20]))
"""


def read_apart(how: str, path: Path) -> tuple[str, float, float]:
    """(what was said, megabytes, seconds)."""
    started = time.monotonic()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", READ, how, str(path)], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    said, megabytes = json.loads(done.stdout)
    return said, megabytes, time.monotonic() - started


def test_memory_that_is_measured_is_that_of_the_reader_alone(tmp_path: Path) -> None:
    """A program that is started by a large one has its peak as its own, by what ``getrusage`` tells: nothing would seem to be added."""
    large = np.ones(400 << 20, np.uint8)
    path = tmp_path / "a.bmp"
    Image.new("RGB", (4000, 4000)).save(path)
    said, megabytes, _ = read_apart("files", path)
    assert large.all() and said == "accepted" and megabytes > 40


def png(width: int, height: int, *, depth: int = 8, color: int = 0, data: bytes = b"") -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data or zlib.compress(b"\0")) + chunk(b"IEND", b"")


def flat_png(width: int, height: int, depth: int) -> bytes:
    """A whole gray PNG; in one bit there are a thousand times eight pixels in a byte."""
    packer = zlib.compressobj(9)
    row = bytes(1 + -(-width * depth // 8))
    data = b"".join(packer.compress(row * 100) for _ in range(height // 100)) + packer.compress(row * (height % 100)) + packer.flush()
    return png(width, height, depth=depth, data=data)


def saved(size: tuple[int, int], kind: str, **options: object) -> bytes:
    content = io.BytesIO()
    Image.new("L" if kind != "WEBP" else "RGB", size).save(content, kind, **options)
    return content.getvalue()


def slow_jpeg(width: int, height: int, scans: int) -> bytes:
    """A progressive JPEG with one scan repeated."""
    content = io.BytesIO()
    Image.new("L", (width, height), 90).save(content, "JPEG", progressive=True)
    data = content.getvalue()
    start = data.rindex(b"\xff\xda")
    last = data[start:-2]
    return data[:start] + last * scans + b"\xff\xd9"


BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "a row of 200 million": (lambda: png(200_000_000, 1), "neither side may have more than 32768"),
    "a column of 200 million": (lambda: png(1, 200_000_000), "neither side may have more than 32768"),
    "a column of 33 thousand": (lambda: png(1, 32_769), "neither side"),
    "14000 x 14000 in 69 bytes": (lambda: png(14_000, 14_000), "more than 500 per byte"),
    "14000 x 14000 in one bit, whole": (lambda: flat_png(14_000, 14_000, 1), "more than 500 per byte"),
    "14000 x 14000 in gray, whole": (lambda: flat_png(14_000, 14_000, 8), "more than 500 per byte"),
    "a flat WebP": (lambda: saved((16_000, 12_000), "WEBP", lossless=True, quality=0, method=0), "more than 500 per byte"),
    "a flat GIF": (lambda: saved((6000, 6000), "GIF"), "more than 500 per byte"),
    "a packed TIFF": (lambda: saved((14_000, 14_000), "TIFF", compression="tiff_adobe_deflate"), "more than 500 per byte"),
    "a JPEG of 1000 scans": (lambda: slow_jpeg(1000, 1000, 1000), "scans"),
    "a large JPEG of many scans": (lambda: slow_jpeg(9000, 9000, 60), "scans"),
}


@pytest.mark.parametrize("row", BOMBS)
def test_a_bomb_is_refused_in_little_memory_and_time(row: str, tmp_path: Path) -> None:
    make, reason = BOMBS[row]
    path = tmp_path / "bomb"
    path.write_bytes(make())
    for how in ("files", "pipelines"):
        said, megabytes, seconds = read_apart(how, path)
        assert reason in said and megabytes < REFUSED_MEGABYTES and seconds < 60, (said, megabytes, seconds)


@pytest.mark.parametrize("read", [decode_image, picture_pixels, lambda content: load_photo(base64.b64encode(content).decode())])
def test_every_reader_has_the_same_limits(read: Callable[[bytes], object]) -> None:
    for row in ("a row of 200 million", "14000 x 14000 in 69 bytes", "a JPEG of 1000 scans"):
        make, reason = BOMBS[row]
        with pytest.raises(UnusableImageError, match=reason):
            read(make())


@pytest.mark.parametrize("kind", ["ICO", "ICNS", "PPM", "TGA", "PCX", "EPS", "PDF", "JPEG2000"])
def test_every_reader_has_the_same_formats(kind: str, tmp_path: Path) -> None:
    """Pillow would read these with readers that know no limit, EPS with a program of its own."""
    path = tmp_path / "a.png"
    square_photo((256, 256)).save(path, kind)
    for read in (read_image, load_photo, lambda path: load_photo(base64.b64encode(path.read_bytes()).decode())):
        with pytest.raises(UnusableImageError, match="is not a picture"):
            read(path)


def test_scans_are_counted_without_decoding() -> None:
    for progressive, expected in ((False, 1), (True, 10)):
        content = io.BytesIO()
        square_photo().save(content, "JPEG", progressive=progressive, exif=b"Exif\0\0" + b"\xff\xda" * 500, comment=b"\xff\xda" * 500)
        content.seek(3)
        assert count_scans(content) == expected and content.tell() == 3
    assert count_scans(io.BytesIO(slow_jpeg(64, 64, 5000))) == MAX_SCANS + 1
    for data in (b"\xff\xd8", b"\xff\xd8\xff", b"\xff\xd8\xff\xe0\xff", b"\xff\xd8" + b"\0" * (3 << 20) + b"\xff\xda\0"):
        assert count_scans(io.BytesIO(data)) <= 1


def test_a_marker_across_two_blocks_counts() -> None:
    for before in range((1 << 20) - 4, (1 << 20) + 2):
        assert count_scans(io.BytesIO(b"\xff\xd8\xff\xda\0\2" + b"a" * (before - 6) + b"\xff\xda\0\2aa\xff\xd9")) == 2


def test_honest_pictures_are_read(tmp_path: Path) -> None:
    """Flat pictures below four megapixels in any format, a flat photo in RGB, ten scans, a long side."""
    honest = {
        "flat.png": flat_png(2000, 2000, 1),
        "flat.webp": saved((2000, 2000), "WEBP", lossless=True),
        "thin.png": flat_png(32_768, 3, 8),
    }
    for name, content in honest.items():
        (tmp_path / name).write_bytes(content)
        assert load_photo(tmp_path / name).size and read_image(tmp_path / name).image.size
    Image.new("RGB", (4000, 3000), "white").save(tmp_path / "white.png")
    Image.new("RGB", (4000, 3000), "white").save(tmp_path / "white.jpg", progressive=True)
    assert read_image(tmp_path / "white.png").image.size == read_image(tmp_path / "white.jpg").image.size == (4000, 3000)


def test_sixteen_bits_are_scaled_in_strips(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (3000, 3000), dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "a.tif")
    said, megabytes, _ = read_apart("files", tmp_path / "a.tif")
    assert said == "accepted" and megabytes < 9 * 17 + 40
    assert np.array_equal(load_photo(tmp_path / "a.tif")[..., 0], (values.astype(np.int64) * 255 + 32767) // 65535)
