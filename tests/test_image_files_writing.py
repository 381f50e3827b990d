from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin
from standins import square_photo

from ganon_hf.color_profiles import rebuild_profile
from ganon_hf.core.faces import UnusableImageError
from ganon_hf.image_files import FORMATS, Picture, read_image, write_image

SUFFIXES = (".jpg", ".png", ".webp", ".bmp", ".tif", ".gif")
EXACT = (".png", ".bmp", ".tif")


def save(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_written_pixels_come_back(suffix: str, tmp_path: Path) -> None:
    photo = square_photo((97, 61))
    write_image(Picture(photo), tmp_path / f"a{suffix}")
    again = np.asarray(read_image(tmp_path / f"a{suffix}").image).astype(int)
    difference = np.abs(again - np.asarray(photo).astype(int))
    assert difference.max() == 0 if suffix in EXACT else difference.mean() < 3
    with Image.open(tmp_path / f"a{suffix}") as written:
        assert written.format == FORMATS[suffix]


def test_lossless_webp_stays_lossless(tmp_path: Path) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8))
    picture = read_image(save(noise, tmp_path / "a.webp", lossless=True))
    assert picture.lossless and not read_image(save(noise, tmp_path / "lossy.webp")).lossless
    write_image(picture, tmp_path / "b.webp")
    assert np.array_equal(np.asarray(read_image(tmp_path / "b.webp").image), np.asarray(noise))


def secret_exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0132] = "Canon", "EOS R5", "2021:02:03 04:05:06"
    exif[0x010E], exif[0x013B], exif[0x9C9E] = "SECRET description", "SECRET artist", "SECRET".encode("utf-16le")
    details = exif.get_ifd(0x8769)
    details[0x9003], details[0x829A] = "2021:02:03 04:05:06", 0.005
    details[0xA431], details[0xA430], details[0x927C], details[0x9286] = (
        "SECRET serial",
        "SECRET owner",
        b"SECRET notes",
        b"ASCII\0\0\0SECRET",
    )
    gps = exif.get_ifd(0x8825)
    gps[1], gps[2], gps[29] = "N", (51.0, 12.0, 34.0), "SECRET gps"
    return exif


def with_secrets(path: Path) -> Path:
    """A photo with personal data in every place the format has for it."""
    options: dict[str, object] = {"exif": secret_exif(), "xmp": b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>SECRET xmp</x:xmpmeta>"}
    if path.suffix == ".jpg":
        options |= {"comment": b"SECRET comment"}
    if path.suffix == ".png":
        text = PngImagePlugin.PngInfo()
        text.add_text("Author", "SECRET author")
        text.add_text("Comment", "SECRET packed", zip=True)
        text.add_itxt("Title", "SECRET title")
        options = {"exif": options["exif"], "pnginfo": text}
    if path.suffix == ".tif":
        options = {"tiffinfo": {270: "SECRET description", 315: "SECRET artist", 700: b"SECRET xmp"}}
    if path.suffix == ".gif":
        options = {"comment": b"SECRET comment"}
    return save(square_photo(), path, **options)


@pytest.mark.parametrize("keep", [(), ("date", "camera")])
@pytest.mark.parametrize("target", SUFFIXES)
@pytest.mark.parametrize("source", [".jpg", ".png", ".webp", ".tif", ".gif"])
def test_nothing_personal_survives(source: str, target: str, keep: tuple[str, ...], tmp_path: Path) -> None:
    path = with_secrets(tmp_path / f"a{source}")
    assert b"SECRET" in path.read_bytes()
    write_image(read_image(path, keep_metadata=keep), tmp_path / f"b{target}")
    data = (tmp_path / f"b{target}").read_bytes()
    assert b"SECRET" not in data and "SECRET".encode("utf-16le") not in data
    with Image.open(tmp_path / f"b{target}") as written:
        exif = written.getexif()
        assert not exif.get_ifd(0x8825)
        assert not {"xmp", "comment", "XML:com.adobe.xmp", "photoshop"} & set(written.info)
        if not keep and target != ".tif":  # a TIFF keeps its own structure in such tags
            assert not dict(exif)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_the_allow_list_keeps_what_it_names(suffix: str, tmp_path: Path) -> None:
    path = with_secrets(tmp_path / "a.jpg")
    for keep, present, absent in ((("camera",), 0x010F, 0x0132), (("date",), 0x0132, 0x010F)):
        write_image(read_image(path, keep_metadata=keep), tmp_path / f"b{suffix}")
        with Image.open(tmp_path / f"b{suffix}") as written:
            exif = written.getexif()
            assert present in exif and absent not in exif
            assert (0x829A in exif.get_ifd(0x8769)) == (keep == ("camera",))


def test_thumbnail_is_never_written(tmp_path: Path) -> None:
    exif = secret_exif()
    block = exif.tobytes() + b"\xff\xd8\xff\xe0THUMBNAIL\xff\xd9"
    path = save(square_photo(), tmp_path / "a.jpg", exif=block)
    assert b"THUMBNAIL" in path.read_bytes()
    write_image(read_image(path, keep_metadata=("date", "camera")), tmp_path / "b.jpg")
    assert b"THUMBNAIL" not in (tmp_path / "b.jpg").read_bytes()


def test_a_kept_field_cannot_smuggle(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "x" * 5000, "line\nbreak"
    assert read_image(save(square_photo(), tmp_path / "a.jpg", exif=exif), keep_metadata=("camera",)).exif == b""


def test_unknown_metadata_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises((ValueError, UnusableImageError), match="gps"):
        read_image(save(square_photo(), tmp_path / "a.jpg"), keep_metadata=("gps",))


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_color_profile_survives(suffix: str, tmp_path: Path) -> None:
    picture = read_image(save(square_photo(), tmp_path / f"a{suffix}", icc_profile=SRGB))
    assert picture.icc_profile == rebuild_profile(SRGB)
    write_image(picture, tmp_path / f"b{suffix}")
    with Image.open(tmp_path / f"b{suffix}") as written:
        assert written.info["icc_profile"] == rebuild_profile(SRGB)


BAD_PROFILES = {
    "garbage": (b"garbage" * 50, "malformed"),
    "too short": (b"x", "malformed"),
    "for CMYK": (SRGB[:16] + b"CMYK" + SRGB[20:], "not for RGB"),
    "for gray": (SRGB[:16] + b"GRAY" + SRGB[20:], "not for RGB"),
    "5 MB": (SRGB + b"\0" * (5 << 20), "larger than 4 MiB"),
}


@pytest.mark.parametrize("row", BAD_PROFILES)
def test_unfit_color_profile_is_dropped_with_a_note(row: str, tmp_path: Path) -> None:
    profile, reason = BAD_PROFILES[row]
    picture = read_image(save(square_photo(), tmp_path / "a.tif", icc_profile=profile))
    assert picture.icc_profile is None and reason in picture.notes[0]


def test_result_of_an_engine_cannot_carry_metadata(tmp_path: Path) -> None:
    image = square_photo()
    image.info = {"comment": b"SECRET", "icc_profile": b"SECRET" * 40, "exif": b"SECRET"}
    for suffix in SUFFIXES:
        write_image(Picture(image), tmp_path / f"a{suffix}")
        assert b"SECRET" not in (tmp_path / f"a{suffix}").read_bytes()


def test_unknown_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.heic.*\.jpg"):
        write_image(Picture(square_photo()), tmp_path / "a.heic")


# ---- complete or not at all ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), MemoryError()])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    write_image(Picture(square_photo()), path)
    before = path.read_bytes()

    def half(self: Image.Image, file: object, **options: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise error

    monkeypatch.setattr(Image.Image, "save", half)
    with pytest.raises(type(error)):
        write_image(Picture(square_photo(seed=3)), path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["a.png"]


def test_a_link_in_the_way_is_replaced_not_followed(tmp_path: Path) -> None:
    original = save(square_photo(), tmp_path / "original.png")
    before = original.read_bytes()
    (tmp_path / "a.png").symlink_to(original)
    write_image(Picture(square_photo(seed=3)), tmp_path / "a.png")
    assert original.read_bytes() == before and not (tmp_path / "a.png").is_symlink()


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_image(Picture(square_photo()), tmp_path / "a.png")
    finally:
        os.umask(before)
    assert (tmp_path / "a.png").stat().st_mode & 0o777 == 0o640
