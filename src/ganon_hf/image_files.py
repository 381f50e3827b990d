"""Pictures on disk: reading untrusted files safely, writing results atomically, and what metadata survives.

Reading: :mod:`~ganon_hf.core.picture_reading` decides what is a picture; errors name the file and the reason.

Writing: a picture appears under its final name complete or not at all. Nothing but pixels and a rebuilt ICC profile is written, plus the
EXIF fields that the caller names; GPS, thumbnails, serial numbers, the photo's XMP and comments never. On request the result says, in an
XMP packet of its own, that a part of it was generated.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from PIL import ExifTags, Image, PngImagePlugin, TiffImagePlugin

from ._atomic import atomic_file, write_atomically, write_new
from .color_profiles import convert_to_srgb, rebuild_profile
from .core.picture_reading import MAX_FILE_BYTES as MAX_FILE_BYTES
from .core.picture_reading import bits_per_channel, decode, open_file, open_picture, printable, unusable

FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".gif": "GIF",
}
READ_ONLY = (".avif", ".heic", ".heif", ".hif")  # what phones write; results are JPEG files
PICTURE_SUFFIXES = (*FORMATS, *READ_ONLY)
METADATA_GROUPS = ("date", "camera")

# EXIF fields behind each name of --keep-metadata. Not here on purpose: serial numbers, owner, artist, maker notes, user comment, GPS.
_MAIN_IFD = {
    "date": (ExifTags.Base.DateTime,),
    "camera": (ExifTags.Base.Make, ExifTags.Base.Model),
}
_EXIF_IFD = {
    "date": (
        ExifTags.Base.DateTimeOriginal,
        ExifTags.Base.DateTimeDigitized,
        ExifTags.Base.OffsetTime,
        ExifTags.Base.OffsetTimeOriginal,
        ExifTags.Base.OffsetTimeDigitized,
    ),
    "camera": (
        ExifTags.Base.LensMake,
        ExifTags.Base.LensModel,
        ExifTags.Base.ExposureTime,
        ExifTags.Base.FNumber,
        ExifTags.Base.ISOSpeedRatings,
        ExifTags.Base.FocalLength,
        ExifTags.Base.FocalLengthIn35mmFilm,
    ),
}
# What IPTC calls a photo of which a part was generated: https://cv.iptc.org/newscodes/digitalsourcetype
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
MARKABLE = ("JPEG", "PNG", "WEBP", "TIFF")  # formats that are written with XMP
_MARK = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
    f"<Iptc4xmpExt:DigitalSourceType>{SOURCE_TYPE}</Iptc4xmpExt:DigitalSourceType>"
    "</rdf:Description></rdf:RDF></x:xmpmeta>"
    '<?xpacket end="r"?>'
)
_XMP_TAG = 700  # of TIFF
_MAX_TEXT = 64  # characters; longer "camera models" carry something else


@dataclass(frozen=True, eq=False)
class Picture:
    """A photo as it was read.

    Attributes:
        image: RGB, upright (EXIF orientation applied), transparency flattened over white, without any metadata.
        icc_profile: color profile that fits the RGB pixels, from :func:`~ganon_hf.color_profiles.rebuild_profile`, or None (sRGB).
        exif: the kept EXIF fields, encoded; empty when there are none.
        lossless: whether a WebP file was stored losslessly.
        format: Pillow's name of the format it was read from; empty where it was not read from a file.
        marked: it is written with IPTC's digital source type "composite with trained algorithmic media".
        notes: what was changed on the way in, in words ("transparency was flattened over white").
    """

    image: Image.Image
    icc_profile: bytes | None = None
    exif: bytes = b""
    lossless: bool = False
    notes: tuple[str, ...] = ()
    format: str = ""
    marked: bool = False


def read_image(
    path: str | os.PathLike[str], *, root: Path | None = None, keep_metadata: Iterable[str] = (), check: Callable[[str], None] | None = None
) -> Picture:
    """Read a photo from an untrusted file.

    Args:
        path: JPEG (of an MPO file the first picture), PNG, WebP, BMP, TIFF, GIF, AVIF or HEIC with one frame, within the limits of
            :mod:`~ganon_hf.core.picture_reading`. HEIC needs the extra ``heif``.
        root: where given, the file must lie below this folder once links are resolved.
        keep_metadata: names from ``METADATA_GROUPS``.
        check: called with the SHA-256 of the very file that is read, in hexadecimal digits; raises where it is another than was meant.

    Raises:
        UnusableImageError: everything that makes the file unusable, with its name and the reason.
    """
    keep = tuple(keep_metadata)
    with unusable(printable(path)), open_file(Path(path), root) as file:
        if check is not None:
            check(hashlib.file_digest(file, "sha256").hexdigest())  # type: ignore[arg-type]  # a file opened for reading bytes
            file.seek(0)
        return _read(file, keep)


def picture_pixels(source: str | os.PathLike[str] | bytes, *, root: Path | None = None) -> int:
    """How many pixels a file, or the bytes of one, has by its header: what it will take. Errors as in :func:`read_image`."""
    name = "" if isinstance(source, bytes) else printable(source)
    with unusable(name), io.BytesIO(source) if isinstance(source, bytes) else open_file(Path(source), root) as file:
        image = open_picture(file)
        return image.width * image.height


def decode_image(content: bytes, *, keep_metadata: Iterable[str] = ()) -> Picture:
    """Read a photo from untrusted bytes, for instance of a table; everything else as in :func:`read_image`."""
    with unusable(""):
        return _read(io.BytesIO(content), tuple(keep_metadata))


def _read(file: IO[bytes], keep: tuple[str, ...]) -> Picture:
    """Check, decode, convert."""
    # here, because it brings transformers: seconds that a run with nothing to read need not wait
    from .core.image_loading import exif_transpose, read_exif, to_rgb

    image = decode(file)
    notes = ["only the first picture of an MPO file was used"] if image.format == "MPO" else []
    if (bits := bits_per_channel(image, file)) > 8:
        notes.append(f"{bits} bits per channel became 8")
    exif = read_exif(image)
    file.seek(0)
    lossless = file.read(16)[8:16] == b"WEBPVP8L"
    rgb, changes = to_rgb(exif_transpose(image))
    rgb.info = {}
    rgb, profile = _with_profile(rgb, image, notes)
    return Picture(rgb, profile, _kept_fields(exif, keep), lossless, (*notes, *changes), str(image.format))


def _with_profile(rgb: Image.Image, image: Any, notes: list[str]) -> tuple[Image.Image, bytes | None]:
    """The pixels, and a rebuilt profile that says what they mean; where there cannot be one, they are converted to sRGB."""
    profile = image.info.get("icc_profile")
    if not profile:
        return rgb, None
    try:
        if not isinstance(profile, bytes):
            raise ValueError("is malformed")
        if image.mode in ("CMYK", "L", "LA", "1", "I;16"):
            raise ValueError("is not for RGB")
        rebuilt = rebuild_profile(profile)
        if rebuilt is None:
            rgb = convert_to_srgb(rgb, profile)
            notes.append("the colors were converted to sRGB, because their profile holds tables, in which anything can hide")
        return rgb, rebuilt
    except ValueError as error:
        notes.append(f"the color profile {error} and was dropped")
        return rgb, None


def _kept_fields(exif: Image.Exif, keep: tuple[str, ...]) -> bytes:
    """A new EXIF block with the fields of the allow-list; numbers and short plain text only."""
    for name in keep:
        if name not in METADATA_GROUPS:
            raise ValueError(f"keep_metadata takes {', '.join(METADATA_GROUPS)}, but got {name!r}.")
    kept, details = Image.Exif(), exif.get_ifd(ExifTags.IFD.Exif)
    found: dict[int, Any] = {tag: value for name in keep for tag in _MAIN_IFD[name] if (value := _plain(exif.get(tag))) is not None}
    found_details: dict[int, Any] = {
        tag: value for name in keep for tag in _EXIF_IFD[name] if (value := _plain(details.get(tag))) is not None
    }
    kept.update(found)
    if found_details:
        kept.get_ifd(ExifTags.IFD.Exif).update(found_details)
    return kept.tobytes() if found or found_details else b""


def _plain(value: object) -> Any:
    """A number, or printable ASCII text up to 64 characters; None for everything that could carry more."""
    if isinstance(value, int | float | TiffImagePlugin.IFDRational):
        return value
    if isinstance(value, str) and value.isascii() and len(text := value.strip("\0 ")) <= _MAX_TEXT and text.isprintable() and text:
        return text
    return None


def format_of(path: str | os.PathLike[str]) -> str | None:
    """Pillow's name of the format that a file name's suffix stands for, or None."""
    return FORMATS.get(Path(path).suffix.lower())


def is_picture_name(path: str | os.PathLike[str]) -> bool:
    """Whether a file name's suffix is that of a picture that can be read."""
    return Path(path).suffix.lower() in PICTURE_SUFFIXES


def result_name(path: Path) -> Path:
    """The name of a photo's result: the same, or with ``.jpg`` behind it where its own format is only read."""
    return path if format_of(path) else path.with_name(f"{path.name}.jpg")


def write_image(picture: Picture, path: str | os.PathLike[str], *, quality: int = 95) -> None:
    """Write a picture so that it appears under its name complete or not at all; an existing file is replaced.

    Args:
        picture: pixels, color profile, kept EXIF fields and the mark; nothing else is written.
        path: the suffix decides the format. The folder must exist.
        quality: 1 to 100 for JPEG (always 4:4:4) and lossy WebP.

    Raises:
        ValueError: the suffix is not one of ``FORMATS``, or the picture is marked and its format not one of ``MARKABLE``.
        OSError: the file cannot be written; nothing is left behind.
    """
    with atomic_file(path) as temporary:
        write_temporary(picture, Path(path), temporary, quality=quality)


def write_temporary(picture: Picture, path: Path, temporary: Path, *, quality: int = 95) -> os.stat_result:
    """Write a picture under a temporary name, for whoever renames it later. The caller removes what an error leaves behind.

    Args:
        picture, quality: as in :func:`write_image`.
        path: the final name; its suffix decides the format.
        temporary: from :func:`~ganon_hf._atomic.temporary_name`; must not exist.

    Returns:
        the status of the finished temporary file, safely on disk.
    """
    name = format_of(path)
    if name is None:
        raise ValueError(f"{printable(path)}: the name must end in one of {', '.join(FORMATS)}.")
    content = io.BytesIO()  # not the file itself: Pillow's encoders take a write for done of which the disk took a part
    encode_image(picture, content, name, quality=quality)
    return write_new(temporary, content.getbuffer())


def save_image(image: Image.Image, path: str | os.PathLike[str], **options: Any) -> None:
    """Like ``image.save``, for pictures that this program has drawn; complete or not at all. The suffix decides the format."""
    content = io.BytesIO()
    image.save(content, format=format_of(path), **options)
    write_atomically(path, content.getvalue())


def encode_image(picture: Picture, file: IO[bytes], name: str, *, quality: int = 95) -> None:
    """Write pixels, color profile, kept EXIF fields and the mark, and nothing else, in one of the formats of ``FORMATS``.

    Raises:
        ValueError: the picture is marked and its format not one of ``MARKABLE``.
    """
    options: dict[str, Any] = {
        "JPEG": {"quality": quality, "subsampling": 0},
        "WEBP": {"lossless": True} if picture.lossless else {"quality": quality},
        "TIFF": {} if picture.exif else {"compression": "tiff_adobe_deflate"},  # libtiff refuses the EXIF block
    }.get(name, {})
    if name in ("JPEG", "PNG", "WEBP", "TIFF"):  # the others hold neither
        options |= {"icc_profile": picture.icc_profile} if picture.icc_profile else {}
        options |= {"exif": picture.exif} if picture.exif else {}
    if picture.marked:
        options |= _mark(name, picture.exif)
    image = picture.image
    if name != "JPEG" or image.mode != "RGB" or image.info:
        image = image.convert("RGB")  # a copy
        image.info = {}  # Pillow writes comments and profiles it finds here
    image.save(file, format=name, **options)


def _mark(name: str, kept: bytes) -> dict[str, Any]:
    """What Pillow takes to write the XMP packet beside the ``kept`` EXIF fields."""
    if name not in MARKABLE:
        raise ValueError(f"{name} files cannot carry the mark, but {', '.join(MARKABLE)} files can.")
    packet = _MARK.encode()
    if name == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", _MARK)
        return {"pnginfo": text}
    if name == "TIFF":
        fields = Image.Exif()
        fields.load(kept)
        fields[_XMP_TAG] = packet
        return {"exif": fields}
    return {"xmp": packet}
