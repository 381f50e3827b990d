"""What users hand over. Hostile bytes are in test_image_files.py."""

from __future__ import annotations

import base64
import io
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganon_hf.core.faces import UnusableImageError
from ganon_hf.core.image_loading import each_item, exif_transpose, is_single, load_photo, photo_of_item, to_rgb

RED = np.full((3, 4, 3), (200, 10, 20), np.uint8)


@pytest.mark.parametrize(
    ("image", "expected", "why"),
    [
        (Image.fromarray(np.array([[0, 32768, 65535]], np.uint16)), [0, 128, 255], "16 bits are scaled, not cut off"),
        (Image.fromarray(np.array([[0, 128 * 257, 65535]], np.int32), "I"), [0, 128, 255], "the same in 32-bit integers"),
        (Image.fromarray(np.array([[False, True, True]])), [0, 255, 255], "bilevel"),
        (Image.fromarray(np.array([[3, 99, 255]], np.uint8)), [3, 99, 255], "gray"),
        (Image.fromarray(np.array([[[3, 255], [99, 0], [50, 255]]], np.uint8), "LA"), [3, 255, 50], "transparent meets white"),
    ],
)
def test_modes_without_color(image: Image.Image, expected: list[int], why: str) -> None:
    converted, _ = to_rgb(image)
    assert converted.mode == "RGB" and np.asarray(converted)[0].tolist() == [[level] * 3 for level in expected], why


def test_flattening_is_said_only_where_something_was_transparent() -> None:
    clear, opaque = Image.new("RGBA", (2, 2), (9, 9, 9, 0)), Image.new("RGBA", (2, 2), (9, 9, 9, 255))
    assert to_rgb(clear)[1] and not to_rgb(opaque)[1]
    assert np.asarray(to_rgb(clear)[0]).min() == 255 and np.asarray(to_rgb(opaque)[0]).max() == 9


@pytest.mark.parametrize("values", [np.array([[0, 70000]], np.int32), np.array([[-1, 5]], np.int32), np.array([[0.1, 0.9]], np.float32)])
def test_pixels_of_unknown_range_are_refused(values: np.ndarray) -> None:
    with pytest.raises(UnusableImageError, match="range is not known"):
        load_photo(Image.fromarray(values))


def test_the_photo_owns_its_memory() -> None:
    for source in (RED.copy(), RED[::-1, ::-1], Image.fromarray(RED), np.asfortranarray(RED)):
        photo = load_photo(source)
        assert np.array_equal(photo, np.asarray(source)) and photo.flags.c_contiguous and photo.flags.owndata and photo.flags.writeable
        photo[:] = 0
        assert np.asarray(source).any()


def test_an_rgb_picture_is_detached_from_the_callers() -> None:
    picture = Image.fromarray(RED)
    converted, _ = to_rgb(picture)
    picture.paste((0, 0, 0), (0, 0, 4, 3))
    assert np.array_equal(np.asarray(converted), RED)


def test_base64_text() -> None:
    buffer = io.BytesIO()
    Image.fromarray(RED).save(buffer, "PNG")
    assert np.array_equal(load_photo(base64.b64encode(buffer.getvalue()).decode()), RED)


@pytest.mark.parametrize("shape", [(0, 4, 3), (4, 0)])
def test_no_pixels(shape: tuple[int, ...]) -> None:
    with pytest.raises(UnusableImageError):
        load_photo(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("kind", ["picture", "array"])
def test_more_than_two_hundred_megapixels_are_refused_before_they_are_copied(kind: str) -> None:
    # a picture of one bit per pixel, and an array that repeats one byte
    source = Image.new("1", (20_001, 10_000)) if kind == "picture" else np.broadcast_to(np.zeros((1, 1), np.uint8), (10_000, 20_001))
    tracemalloc.start()
    with pytest.raises(UnusableImageError, match="20001 x 10000"):
        load_photo(source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6


@pytest.mark.parametrize(
    ("inputs", "single"),
    [
        ("photo.jpg", True),
        (Path("photo.jpg"), True),
        (Image.fromarray(RED), True),
        (RED, True),
        ({"image": RED}, True),
        (None, True),
        (7, True),
        ([RED], False),
        ((), False),
        (iter([RED]), False),
        (range(3), False),
    ],
)
def test_one_photo_or_many(inputs: object, single: bool) -> None:
    assert is_single(inputs) is single


class Rows:
    """A dataset whose second row cannot be decoded."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> object:
        if index == 1:
            raise OSError("broken row")
        return {"image": index}


def test_a_broken_row_takes_the_place_of_its_photo() -> None:
    items = list(each_item(Rows()))
    assert items[0] == {"image": 0} and isinstance(items[1], OSError) and items[2] == {"image": 2}
    assert photo_of_item(items[2]) == 2
    with pytest.raises(OSError, match="broken row"):
        photo_of_item(items[1])


def test_streams_are_read_one_by_one() -> None:
    read = []

    def stream() -> Iterator[int]:
        for number in range(3):
            read.append(number)
            yield number

    items = each_item(stream())
    assert next(items) == 0 and read == [0]
    assert photo_of_item("photo.jpg") == "photo.jpg"


def test_rows_without_a_picture_name_their_columns() -> None:
    with pytest.raises(ValueError, match="'image', but has 'label', 'photo'"):
        photo_of_item({"label": 1, "photo": 2})


STORED = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_90", 7: "TRANSVERSE", 8: "ROTATE_270"}


def stored_photo(path: Path, orientation: int) -> np.ndarray:
    """Write a photo turned as a camera stores it; returns it as it is to be shown."""
    shown = Image.fromarray(np.random.default_rng(0).integers(0, 255, (5, 8, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    (shown.transpose(Image.Transpose[STORED[orientation]]) if orientation in STORED else shown).save(path, exif=exif)
    return np.asarray(shown)


@pytest.mark.parametrize("orientation", [1, *STORED])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_photo_is_turned_once(orientation: int, suffix: str, tmp_path: Path) -> None:
    shown = stored_photo(tmp_path / f"a{suffix}", orientation)
    assert np.array_equal(load_photo(tmp_path / f"a{suffix}"), shown)
    with Image.open(tmp_path / f"a{suffix}") as image:
        turned = exif_transpose(image)
    assert np.array_equal(np.asarray(turned), shown)
    assert np.array_equal(load_photo(turned), shown), "what is upright is not turned again on its way through the engine"


def test_orientation_in_xmp_counts_and_counts_once(tmp_path: Path) -> None:
    shown = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    Image.fromarray(np.rot90(shown)).save(
        tmp_path / "a.webp", lossless=True, exact=True, xmp=b"<x tiff:Orientation='1' tiff:Orientation=\"6\"/>"
    )
    with Image.open(tmp_path / "a.webp") as image:
        turned = exif_transpose(image)
    assert np.array_equal(np.asarray(turned), shown) and np.array_equal(load_photo(turned), shown)


@pytest.mark.parametrize(
    "block", [b"Exif\0\0MM\0*\xff\xff\xff\xff garbage", b"Exif\0\0II", b"Exif\0\0 no TIFF header", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"]
)
def test_malformed_exif_does_not_cost_the_photo(block: bytes, tmp_path: Path) -> None:
    Image.fromarray(RED).save(tmp_path / "a.jpg", exif=block, quality=100)
    assert load_photo(tmp_path / "a.jpg").shape == RED.shape


@pytest.mark.parametrize("value", [0, 9, "6", (6, 6)])
def test_an_orientation_that_does_not_exist_turns_nothing(value: object, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    image = Image.fromarray(RED)
    image.getexif().update(exif)
    assert np.array_equal(load_photo(image), RED)


def test_a_read_only_picture_with_padded_rows_is_copied() -> None:
    """As video decoders give them: how far rows are padded depends on the processor."""
    padded = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    source = padded[:, :13]
    source.flags.writeable = False
    photo = load_photo(source)
    assert photo.flags.c_contiguous and np.array_equal(photo, source)
