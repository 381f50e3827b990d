"""HEIC and AVIF, as phones write them, are read like all other pictures and within the same limits; deep pictures say what they lose."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mutations import mutated
from PIL import Image
from standins import Run, is_anonymized, names, report_of, save, square_photo

from ganon_hf.bulk.rows import RowTask, RowTaskHandler
from ganon_hf.core.faces import UnusableImageError
from ganon_hf.core.image_loading import load_photo
from ganon_hf.core.options import AnonymizeOptions
from ganon_hf.image_files import Picture, decode_image, picture_pixels

SIDEWAYS = 6  # of EXIF's Orientation: the first row of the file is the right side


def avif(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "AVIF", **options)
    return file.getvalue()


def heic(image: Image.Image, **options: Any) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    pillow_heif.from_pillow(image).save(file, **options)
    return file.getvalue()


KINDS = pytest.mark.parametrize("encode", [avif, heic])


@KINDS
def test_the_picture_is_read_upright_and_without_metadata(encode: Any) -> None:
    exif, photo = Image.Exif(), square_photo()
    exif[0x0112], exif[0x0110] = SIDEWAYS, "a phone"
    content = encode(photo.transpose(Image.Transpose.ROTATE_90), exif=exif.tobytes(), quality=90)
    picture = decode_image(content)
    assert picture.image.size == photo.size and picture.image.info == {} and picture.exif == b"" and picture.notes == ()
    assert np.abs(np.asarray(picture.image).astype(int) - np.asarray(photo)).mean() < 4
    assert picture_pixels(content) == 96 * 64


@KINDS
def test_a_file_in_python(encode: Any, tmp_path: Path) -> None:
    path = tmp_path / "photo.bin"  # the content decides
    path.write_bytes(encode(square_photo()))
    assert load_photo(path).shape == (64, 96, 3)


@KINDS
def test_a_folder_of_a_phone(encode: Any, run: Run, tmp_path: Path) -> None:
    suffix = encode.__name__
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / f"IMG_1.{suffix.upper()}").write_bytes(encode(square_photo(), quality=95))
    save(tmp_path / "in" / "IMG_1.jpg")
    result = run(tmp_path / "in", "-o", tmp_path / "out", "--report", tmp_path / "r.jsonl")
    assert result.exit_code == 0, result.output
    assert names(tmp_path / "out") == [f"IMG_1.{suffix.upper()}.jpg", "IMG_1.jpg"], "neither is in the way of the other"
    assert all(is_anonymized(tmp_path / "out" / name) for name in names(tmp_path / "out"))
    assert [line["status"] for line in report_of(tmp_path / "r.jsonl")] == ["ok", "ok"]
    assert "2 finished before" in run(tmp_path / "in", "-o", tmp_path / "out").stdout


@KINDS
def test_a_row_of_a_table_becomes_a_jpeg(encode: Any) -> None:
    from standins import SquareEngine

    (row,) = RowTaskHandler(AnonymizeOptions())(SquareEngine(), [RowTask("a", encode(square_photo(), quality=95))])
    assert row.status == "ok" and row.image is not None and row.image.startswith(b"\xff\xd8")


@KINDS
def test_a_flat_bomb_is_refused_before_it_is_decoded(encode: Any) -> None:
    with pytest.raises(UnusableImageError, match="per byte, which no photo has"):
        decode_image(encode(Image.new("RGB", (4000, 4000)), quality=10))


@KINDS
def test_what_is_damaged_is_refused_or_read(encode: Any) -> None:
    whole, rng, outcomes = encode(square_photo(), quality=90), np.random.default_rng(5), set()
    for _ in range(60):
        how, content = mutated(whole, rng)
        try:
            picture: Picture | None = decode_image(content)
        except UnusableImageError as error:
            assert str(error) and "\n" not in str(error), how
            picture = None
        outcomes.add(picture is None)
    assert outcomes == {True, False}


def test_several_pictures_in_one_file_are_refused() -> None:
    moving = avif(square_photo(), save_all=True, append_images=[square_photo(seed=2)])
    with pytest.raises(UnusableImageError, match="animated or has several pages"):
        decode_image(moving)
    pillow_heif = pytest.importorskip("pillow_heif")
    burst, file = pillow_heif.HeifFile(), io.BytesIO()
    for seed in (1, 2):
        burst.add_from_pillow(square_photo(seed=seed))
    burst.save(file)
    with pytest.raises(UnusableImageError, match="animated or has several pages"):
        decode_image(file.getvalue())


def test_without_pillow_heif_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    for brand in (b"heic", b"mif1"):
        with pytest.raises(UnusableImageError, match=r"is a HEIC picture.*pip install pillow-heif \(the extra `heif`"):
            decode_image(b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + bytes(64))


def test_an_avif_file_may_call_itself_a_heif() -> None:
    content = avif(square_photo())
    assert content[8:12] == b"avif"
    assert decode_image(content[:8] + b"mif1" + content[12:]).format == "AVIF"


def test_reading_heic_changes_nobody_elses_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)  # other libraries of this process may have put it there
    decode_image(heic(square_photo()))
    assert "HEIF" not in Image.OPEN


# ---- more than 8 bits --------------------------------------------------------------------------------------------------------------


def deep(suffix: str, channels: int) -> bytes:
    values = np.asarray(square_photo())[..., :channels].astype(np.uint16) * 257
    return bytes(cv2.imencode(suffix, values[..., ::-1] if channels == 3 else values)[1])


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_say_that_they_become_8(suffix: str, channels: int) -> None:
    picture = decode_image(deep(suffix, channels))
    assert picture.notes == ("16 bits per channel became 8",)
    expected = np.asarray(square_photo())[..., :channels]
    assert np.abs(np.asarray(picture.image)[..., :channels].astype(int) - expected).max() <= 1


def test_10_bits_of_a_phone_say_so_too() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    values, file = np.asarray(square_photo()).astype(np.uint16) * 257, io.BytesIO()
    pillow_heif.from_bytes("RGB;16", (96, 64), values.tobytes()).save(file)
    assert decode_image(file.getvalue()).notes == ("10 bits per channel became 8",)


def test_8_bits_say_nothing() -> None:
    for name in ("PNG", "TIFF", "JPEG", "BMP", "WEBP", "GIF"):
        file = io.BytesIO()
        square_photo().save(file, name)
        assert decode_image(file.getvalue()).notes == (), name


def test_the_command_line_says_it_once(run: Run, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_bytes(deep(".png", 3))
    result = run(tmp_path / "in", "-o", tmp_path / "out", "--report", tmp_path / "r.jsonl")
    assert result.exit_code == 0 and "2 photos: 16 bits per channel became 8" in result.stdout
    assert [line["notes"] for line in report_of(tmp_path / "r.jsonl")] == [["16 bits per channel became 8"]] * 2
