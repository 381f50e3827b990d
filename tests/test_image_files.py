from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from standins import square_photo

from ganon_hf import image_files as files
from ganon_hf.core import picture_reading
from ganon_hf.core.faces import UnusableImageError
from ganon_hf.image_files import decode_image, picture_pixels, printable, read_image, write_image

SUFFIXES = (".jpg", ".png", ".webp", ".bmp", ".tif", ".gif")


def save(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds a few pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(b"\0" * 64)) + png_chunk(b"IEND", b"")


def png_16_bit(values: np.ndarray) -> bytes:
    """(height, width, 3) uint16 -> a 48-bit PNG, which Pillow can read but not write."""
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, 2, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")


def jpeg_of_size(path: Path, width: int, height: int) -> bytes:
    """A JPEG whose frame header claims another size."""
    data = bytearray(save(square_photo(), path, quality=90).read_bytes())
    start = data.index(b"\xff\xc0")
    data[start + 5 : start + 9] = struct.pack(">HH", height, width)
    return bytes(data)


# ---- what is refused -------------------------------------------------------------------------------------------------------------


def _text(path: Path) -> None:
    path.write_text("this is no picture")


def _animated(path: Path) -> None:
    square_photo().save(path, save_all=True, append_images=[square_photo(seed=5)])


BAD = {
    "not an image": ("a.jpg", _text, "is not a picture"),
    "empty": ("a.jpg", Path.touch, "is empty"),
    "a format that is not on the list": ("a.jpg", lambda p: square_photo().save(p, format="PPM"), "is not a picture"),
    "vector graphics named like a photo": (
        "a.png",
        lambda p: p.write_text("<svg/>"),
        "is not a picture",
    ),
    "only a signature": ("a.png", lambda p: p.write_bytes(b"\x89PNG\r\n\x1a\n"), "damaged header"),
    "0x0 png": ("a.png", lambda p: p.write_bytes(png_of_size(0, 0)), "no pixels"),
    "0 wide png": ("a.png", lambda p: p.write_bytes(png_of_size(0, 9)), "no pixels"),
    "0 high jpeg": ("a.jpg", lambda p: p.write_bytes(jpeg_of_size(p, 64, 0)), "no pixels"),
    "400 megapixels, checked before decoding (png)": (
        "a.png",
        lambda p: p.write_bytes(png_of_size(20_000, 20_000)),
        "more than 200 megapixels",
    ),
    "400 megapixels, checked before decoding (jpeg)": (
        "a.jpg",
        lambda p: p.write_bytes(jpeg_of_size(p, 20_000, 20_000)),
        "more than 200 megapixels",
    ),
    "a size that overflows": ("a.png", lambda p: p.write_bytes(png_of_size(2**31 - 1, 2**31 - 1)), "megapixels"),
    "animated gif": ("a.gif", _animated, "animated"),
    "animated webp": ("a.webp", _animated, "animated"),
    "animated png": ("a.png", _animated, "animated"),
    "several pages": ("a.tif", _animated, "several pages"),
    "floating point": ("a.tif", lambda p: Image.fromarray(np.ones((9, 9), np.float32)).save(p), "floating-point"),
    "32-bit integers": ("a.tif", lambda p: Image.fromarray(np.full((9, 9), 1 << 20, np.int32)).save(p), "range is not known"),
    "folder": ("a.jpg", Path.mkdir, "is a folder"),
    "missing": ("a.jpg", lambda p: None, "does not exist"),
    "link to nowhere": ("a.jpg", lambda p: p.symlink_to("nowhere"), "does not exist"),
    "link to itself": ("a.jpg", lambda p: p.symlink_to(p), "is a link that leads nowhere"),
    "named pipe, which would block for ever": ("a.jpg", os.mkfifo, "not a regular file"),
    "device": ("a.jpg", lambda p: p.symlink_to("/dev/zero"), "not a regular file"),
    "text chunk that unpacks to 100 MB": (
        "a.png",
        lambda p: p.write_bytes(
            png_of_size(4, 4).replace(png_chunk(b"IEND", b""), b"")[:33] + png_chunk(b"zTXt", b"k\0\0" + zlib.compress(b"x" * 100_000_000))
        ),
        "cannot be decoded",
    ),
}


@pytest.mark.parametrize("row", BAD)
def test_bad_input_is_one_clear_error_with_the_name(row: str, tmp_path: Path) -> None:
    name, make, reason = BAD[row]
    path = tmp_path / name
    make(path)
    with pytest.raises(UnusableImageError, match=reason) as caught:
        read_image(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message and len(message) < len(str(path)) + 250


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_file_is_refused(suffix: str, share: float, tmp_path: Path) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    data = save(noise, tmp_path / f"whole{suffix}").read_bytes()
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(UnusableImageError, match="cut"):
        read_image(path)


def test_png_with_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    data = bytearray(save(square_photo(), tmp_path / "a.png").read_bytes())
    data[data.index(b"IDAT") + 20] ^= 1
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(UnusableImageError):
        read_image(tmp_path / "a.png")


def test_the_limit_is_200_megapixels_not_the_lower_one_of_pillow(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_of_size(14_000, 14_000) + bytes(400_000))  # as many bytes as flat pixels would have
    with pytest.raises(UnusableImageError, match="cannot be decoded|truncated"):  # the size passed, the pixels are missing
        read_image(tmp_path / "a.png")


def test_the_command_line_and_the_library_have_the_same_limit() -> None:
    from ganon_hf.core import image_loading as photos

    assert files.decode is photos.decode and files.open_file is photos.open_file


def test_large_files_are_refused_before_they_are_read(tmp_path: Path) -> None:
    with open(tmp_path / "a.webp", "wb") as file:
        file.write(b"RIFF\0\0\0\0WEBPVP8 ")
        file.truncate(files.MAX_FILE_BYTES + 1)  # sparse
    with pytest.raises(UnusableImageError, match="larger than 1024 MiB"):
        read_image(tmp_path / "a.webp")


def test_unreadable_file_is_refused(tmp_path: Path) -> None:
    path = save(square_photo(), tmp_path / "a.png")
    path.chmod(0)
    if os.geteuid() != 0:
        with pytest.raises(UnusableImageError, match="permission denied"):
            read_image(path)
        return
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(0o755)
    os.seteuid(65534)  # root reads everything
    try:
        with pytest.raises(UnusableImageError, match="permission denied"):
            read_image(path)
    finally:
        os.seteuid(0)


def test_link_out_of_the_folder_is_refused_and_one_inside_is_not(tmp_path: Path) -> None:
    root = tmp_path / "in"
    root.mkdir()
    secret = save(square_photo(), tmp_path / "secret.png")
    inside = save(square_photo(), root / "inside.png")
    (root / "out.png").symlink_to(secret)
    (root / "in.png").symlink_to(inside)
    with pytest.raises(UnusableImageError, match="leaves the input folder"):
        read_image(root / "out.png", root=root)
    assert read_image(root / "in.png", root=root).image.size == (96, 64)
    assert read_image(root / "out.png").image.size == (96, 64)  # named by the user, not found in a folder


@pytest.mark.parametrize(
    "error", [MemoryError(), OverflowError("x"), struct.error("x"), SyntaxError("x"), RecursionError(), KeyError(1), EOFError()]
)
def test_whatever_a_decoder_raises_becomes_one_type(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*args: object) -> None:
        raise error

    path = save(square_photo(), tmp_path / "a.jpg")
    monkeypatch.setattr(picture_reading, "open_picture", explode)
    with pytest.raises(UnusableImageError, match="a.jpg"):
        read_image(path)


def test_names_with_control_characters_stay_on_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a\n\x1b[31m\u202eb.jpg"
    path.write_text("no picture")
    with pytest.raises(UnusableImageError) as caught:
        read_image(path)
    assert str(caught.value).isprintable() and r"a\n\x1b[31m\u202eb.jpg" in str(caught.value)
    assert printable(os.fsdecode(b"caf\xe9")) == r"caf\udce9"


def test_memory_stays_bounded_by_the_header_not_by_the_claim(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_of_size(20_000, 20_000))
    code = (
        "import sys\nfrom peak_memory import peak_bytes\nfrom ganon_hf.core import image_loading as photos\n"
        "from ganon_hf.image_files import read_image\nbefore = peak_bytes()\n"
        "try:\n    read_image(sys.argv[1])\nexcept ValueError:\n    pass\n"
        "print(peak_bytes() - before)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, str(tmp_path / "a.png")]
    grown = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert int(grown.stdout) < 50_000_000  # bytes; the pixels would be 1.2 GB


# ---- what is converted -----------------------------------------------------------------------------------------------------------


def test_sixteen_bit_gray_is_scaled_not_cut_off(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    for name in ("a.png", "a.tif"):
        image = read_image(save(Image.fromarray(ramp), tmp_path / name)).image
        assert image.mode == "RGB"
        assert np.array_equal(np.asarray(image)[..., 0].ravel(), np.arange(256))


def test_forty_eight_bit_png_is_scaled(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (8, 8, 3)).astype(np.uint16)
    (tmp_path / "a.png").write_bytes(png_16_bit(values))
    got = np.asarray(read_image(tmp_path / "a.png").image).astype(int)
    assert np.abs(got - values / 257.0).max() <= 1.0


MODES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "L": lambda image: image.convert("L"),
    "1": lambda image: image.convert("1"),
    "P": lambda image: image.quantize(64),
    "CMYK": lambda image: image.convert("CMYK"),
    "YCbCr": lambda image: image.convert("YCbCr"),
    "RGBA": lambda image: image.convert("RGBA"),
    "LA": lambda image: image.convert("LA"),
}


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        ("L", ".jpg"),
        ("1", ".png"),
        ("P", ".png"),
        ("P", ".gif"),
        ("CMYK", ".jpg"),
        ("CMYK", ".tif"),
        ("YCbCr", ".jpg"),
        ("RGBA", ".webp"),
        ("LA", ".png"),
    ],
)
def test_every_mode_becomes_rgb_that_looks_the_same(mode: str, suffix: str, tmp_path: Path) -> None:
    photo = MODES[mode](square_photo())
    picture = read_image(save(photo, tmp_path / f"a{suffix}"))
    assert picture.image.mode == "RGB" and picture.image.size == photo.size and picture.image.info == {}
    difference = np.abs(np.asarray(picture.image).astype(int) - np.asarray(photo.convert("RGB")).astype(int))
    assert difference.mean() < 4


@pytest.mark.parametrize("kind", ["RGBA", "LA", "P with transparency", "RGB with a transparent color"])
def test_pixels_hidden_under_transparency_do_not_survive(kind: str, tmp_path: Path) -> None:
    secret, path = (200, 30, 90), tmp_path / "a.png"
    if kind == "RGB with a transparent color":
        Image.new("RGB", (8, 8), secret).save(path, transparency=secret)
    elif kind == "P with transparency":
        Image.new("RGB", (8, 8), secret).quantize(2).save(path, transparency=0)
    else:
        image = Image.new("RGBA", (8, 8), (*secret, 0)).convert(kind)
        image.save(path)
    picture = read_image(path)
    assert picture.image.getcolors() == [(64, (255, 255, 255))]
    assert "transparency" in picture.notes[0]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_orientation_is_applied_once_and_not_written(orientation: int, suffix: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = square_photo((40, 24), (4, 4, 12, 10))
    undo = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_90", 7: "TRANSVERSE", 8: "ROTATE_270"}
    stored = upright.transpose(Image.Transpose[undo[orientation]]) if orientation > 1 else upright
    options = {"quality": 100} if suffix == ".jpg" else {"lossless": True} if suffix == ".webp" else {}
    picture = read_image(save(stored, tmp_path / f"a{suffix}", exif=exif, **options), keep_metadata=("date", "camera"))
    assert picture.image.size == upright.size
    assert np.abs(np.asarray(picture.image).astype(int) - np.asarray(upright).astype(int)).mean() < 3
    write_image(picture, tmp_path / f"b{suffix}")
    with Image.open(tmp_path / f"b{suffix}") as written:
        assert 0x0112 not in written.getexif() and written.size == upright.size


def test_malformed_exif_does_not_cost_the_picture(tmp_path: Path) -> None:
    path = save(square_photo(), tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff garbage")
    assert read_image(path, keep_metadata=("camera",)).image.size == (96, 64)


def test_the_first_picture_of_an_mpo_file_is_used_and_a_plain_jpeg_written(tmp_path: Path) -> None:
    square_photo().save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[Image.new("RGB", (96, 64), "red")])
    picture = read_image(tmp_path / "a.jpg")
    assert "MPO" in picture.notes[0]
    write_image(picture, tmp_path / "b.jpg")
    with Image.open(tmp_path / "b.jpg") as written:
        assert written.format == "JPEG" and getattr(written, "n_frames", 1) == 1


def test_the_content_decides_not_the_name(tmp_path: Path) -> None:
    square_photo().save(tmp_path / "a.jpg", format="PNG")
    assert np.array_equal(np.asarray(read_image(tmp_path / "a.jpg").image), np.asarray(square_photo()))


# ---- the header alone, and bytes instead of a file --------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_pixels_are_known_from_the_header(suffix: str, tmp_path: Path) -> None:
    path = save(square_photo((70, 30)), tmp_path / f"a{suffix}")
    assert picture_pixels(path) == picture_pixels(path.read_bytes()) == 2100
    if suffix == ".jpg":
        path.write_bytes(path.read_bytes()[:-20])
        assert picture_pixels(path) == 2100, "what is behind the header is not looked at"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty|is not a picture"),
        (b"this is no picture", "is not a picture"),
        (png_of_size(20_000, 20_000), "more than 200 megapixels"),  # before anything is decoded
        (png_of_size(40, 40), "cannot be decoded"),  # too few pixels for its header
    ],
)
def test_bytes_are_refused_for_the_same_reasons_as_files(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(content)
    for read in (lambda: decode_image(content), lambda: read_image(tmp_path / "a.png")):
        with pytest.raises(UnusableImageError, match=message):
            read()


def test_photos_from_bytes_are_those_from_files(tmp_path: Path) -> None:
    path = save(square_photo(), tmp_path / "a.jpg")
    assert np.array_equal(decode_image(path.read_bytes()).image, read_image(path).image)
    assert decode_image(path.read_bytes()).format == "JPEG"
