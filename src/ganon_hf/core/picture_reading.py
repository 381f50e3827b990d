"""The one room in which bytes from elsewhere become a picture: formats, limits, decoding. For files, uploads, rows, downloads.

The content decides what a file is, never its name. Limits are checked before anything is decoded, and whatever goes wrong in a decoder
becomes one :class:`~.faces.UnusableImageError` with the reason.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from PIL import AvifImagePlugin, BmpImagePlugin, GifImagePlugin, Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

from .faces import MAX_PIXELS, UnusableImageError

MAX_FILE_BYTES = 1 << 30  # some decoders read the whole file into memory
MAX_SIDE = 32_768  # a picture of one row of 200 million pixels costs more than its pixels
# A flat PNG in RGB has 344, a photo less than 100. Small pictures may be flat in any format.
MAX_PIXELS_PER_BYTE = 500
ALWAYS_ENOUGH_PIXELS = 4_000_000
# A progressive JPEG is decoded once for each of its scans; real ones have 10, carefully packed ones 20.
MAX_SCANS = 100
MAX_SCANNED_PIXELS = 4_000_000_000  # scans by pixels: twice that of the largest photo with 10
# Readers tried in this order, by the first bytes. Importing the modules above is what registers them.
_READERS = tuple(
    Image.OPEN[plugin.format]
    for plugin in (
        JpegImagePlugin.JpegImageFile,
        PngImagePlugin.PngImageFile,
        WebPImagePlugin.WebPImageFile,
        BmpImagePlugin.BmpImageFile,
        TiffImagePlugin.TiffImageFile,
        GifImagePlugin.GifImageFile,
    )
)
# What phones write comes in boxes, the first of which names brands. AVIF files may call themselves a HEIF of any kind (mif1), too.
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_MAX_BRANDS = 64
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_READ_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # a named pipe must not hang the batch
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
# Inside a scan 0 and restarts are data. It begins with one certain byte, which is found by a fast search, and not by a pattern.
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)
_BLOCK = 1 << 20


def printable(name: object) -> str:
    """A file name or message made safe for one line of a terminal: control, format and undecodable characters are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(name))


@contextmanager
def unusable(name: str) -> Iterator[None]:
    """Whatever goes wrong inside becomes one error with the reason, behind the name where there is one."""
    start = f"{name}: " if name else ""
    try:
        yield
    except UnusableImageError as error:
        raise UnusableImageError(f"{start}{error}") from error.__cause__
    except Exception as error:  # decoders meet hostile bytes: struct.error, SyntaxError, OverflowError, MemoryError, ...
        raise UnusableImageError(f"{start}{_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Why a file could not be read, for a person."""
    if isinstance(error, OSError) and error.errno is not None:
        return {
            errno.EACCES: "permission denied",
            errno.EISDIR: "is a folder",
            errno.ENOENT: "does not exist",
            errno.ELOOP: "is a link that leads nowhere",
        }.get(error.errno, os.strerror(error.errno).lower())
    if isinstance(error, MemoryError):
        return "does not fit into memory"
    if isinstance(error, SyntaxError):  # how Pillow's readers say that the header makes no sense, sizes of 0 included
        return "has a damaged header or no pixels"
    return printable(f"cannot be decoded ({error or type(error).__name__})")[:200]


def open_file(path: Path, root: Path | None = None) -> IO[bytes]:
    """Open a regular file; links are resolved first so that they cannot leave ``root``.

    Raises:
        UnusableImageError, OSError: it is missing, empty, too large, no regular file, or outside ``root``.
    """
    real = Path(os.path.realpath(path, strict=True))
    if root is not None and not real.is_relative_to(os.path.realpath(root, strict=True)):
        raise UnusableImageError("is a link that leaves the input folder")
    descriptor = os.open(real, _READ_FLAGS | _NO_FOLLOW)
    try:
        info = os.fstat(descriptor)
        if stat.S_ISDIR(info.st_mode):
            raise UnusableImageError("is a folder")
        if not stat.S_ISREG(info.st_mode):
            raise UnusableImageError("is not a regular file")
        if info.st_size == 0:
            raise UnusableImageError("is empty")
        if info.st_size > MAX_FILE_BYTES:
            raise UnusableImageError(f"is larger than {MAX_FILE_BYTES >> 20} MiB")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def open_picture(file: IO[bytes]) -> Any:
    """Pillow's reader of a file on the list of formats, within the limits; no pixel is decoded.

    Raises:
        UnusableImageError: another format, too large, or animated; whatever Pillow's readers raise on hostile bytes.
    """
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        raise UnusableImageError("is empty")
    if size > MAX_FILE_BYTES:
        raise UnusableImageError(f"is larger than {MAX_FILE_BYTES >> 20} MiB")
    image = read_header(file)
    width, height = image.size
    check_size(width, height)
    if width * height > max(ALWAYS_ENOUGH_PIXELS, MAX_PIXELS_PER_BYTE * size):
        raise UnusableImageError(
            f"has {width} x {height} pixels in a file of {size} bytes, more than {MAX_PIXELS_PER_BYTE} per byte, which no photo has"
        )
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise UnusableImageError("is animated or has several pages; only single pictures are anonymized")
    if image.format in ("JPEG", "MPO"):
        scans = count_scans(file)
        if scans > MAX_SCANS or scans * width * height > MAX_SCANNED_PIXELS:
            raise UnusableImageError(f"is a JPEG of {scans} scans at {width} x {height} pixels, which would take minutes to decode")
    return image


def decode(file: IO[bytes]) -> Any:
    """The same with its pixels, as stored: neither turned nor converted. Errors as of :func:`open_picture`, and for damaged pixels."""
    image = open_picture(file)
    if image.format == "PNG":  # decoding alone ignores the checksums
        image.verify()
        image = read_header(file)
    image.load()  # raises on truncated data
    check_size(image.width, image.height)  # of a HEIC file, what its header says is not what is decoded
    return image


def bits_per_channel(image: Any, file: IO[bytes]) -> int:
    """Of a picture from :func:`decode` as it is stored in its file; Pillow gives 8 of them wherever there is color."""
    if image.format == "PNG":
        file.seek(24)  # in the first chunk, behind the size
        return int.from_bytes(file.read(1), "big")
    if image.format == "TIFF":
        return max(image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (8,)))
    if image.format == "AVIF":
        file.seek(0)
        head = file.read(_BLOCK)
        start = head.find(b"av1C")  # the configuration of the codec: the third byte says whether there are more than 8
        return 10 if start >= 0 and head[start + 6 : start + 7] > b"\x00" and head[start + 6] & 0x40 else 8
    return int(image.info.get("bit_depth", 8))  # HEIC


def check_size(width: int, height: int) -> None:
    """UnusableImageError unless a picture of this size may be anonymized."""
    if width <= 0 or height <= 0:
        raise UnusableImageError(f"has no pixels ({width} x {height})")
    if width * height > MAX_PIXELS:
        raise UnusableImageError(f"has {width} x {height} pixels, more than {MAX_PIXELS // 1_000_000} megapixels")
    if max(width, height) > MAX_SIDE:
        raise UnusableImageError(f"has {width} x {height} pixels, but neither side may have more than {MAX_SIDE}")


def read_header(file: IO[bytes]) -> Any:
    """The format's own reader, chosen by the first bytes, for who needs no pixel; limits are checked by :func:`open_picture`.

    ``Image.open`` would do the same but refuses above 179 megapixels. Errors as there.
    """
    file.seek(0)
    head = file.read(16)
    for factory, accept in _READERS:
        if accept is None or accept(head) is True:
            file.seek(0)
            return factory(file, "")
    brands = _brands(file)
    file.seek(0)
    if brands & _AVIF_BRANDS:
        if not AvifImagePlugin.SUPPORTED:
            raise UnusableImageError("is an AVIF picture, which this build of Pillow cannot read: pip install --upgrade pillow")
        return AvifImagePlugin.AvifImageFile(file, "")
    if brands & _HEIF_BRANDS:
        return _heif_reader()(file, "")
    raise UnusableImageError("is not a picture (JPEG, PNG, WebP, BMP, TIFF, GIF, AVIF, HEIC)")


def _brands(file: IO[bytes]) -> set[bytes]:
    """What a file that begins with a box of type ``ftyp`` calls itself; empty for others."""
    file.seek(0)
    head = file.read(16)
    if head[4:8] != b"ftyp":
        return set()
    rest = file.read(max(0, min(int.from_bytes(head[:4], "big") - 16, 4 * _MAX_BRANDS)))
    return {head[8:12], *(rest[i : i + 4] for i in range(0, len(rest), 4))}


def _heif_reader() -> Any:
    """The reader of pillow-heif, which is not registered with Pillow: nobody else's ``Image.open`` changes."""
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise UnusableImageError(
            "is a HEIC picture, which pillow-heif reads: pip install pillow-heif (the extra `heif` of ganon-hf)"
        ) from error
    return HeifImageFile


def count_scans(file: IO[bytes]) -> int:
    """Scans of a JPEG's first picture, without decoding; stops counting above ``MAX_SCANS``. Leaves the file where it is."""
    before = file.tell()
    try:
        position, scans = 2, 0
        while scans <= MAX_SCANS:
            found = _next_marker(file, position)
            if found is None or found[0] == _END_OF_IMAGE:
                return scans
            marker, end = found
            scans += marker == _START_OF_SCAN
            file.seek(end)
            position = end + max(2, int.from_bytes(file.read(2), "big"))  # past the segment; a scan's data follows its header
        return scans
    finally:
        file.seek(before)


def _next_marker(file: IO[bytes], position: int) -> tuple[int, int] | None:
    """The next marker from a position on, and where it ends."""
    while True:
        file.seek(position)
        block = file.read(_BLOCK)
        found = _MARKER.search(block)
        if found:
            return found.group(1)[0], position + found.end()
        if len(block) < _BLOCK:
            return None
        position += _BLOCK - 1  # a marker may lie across the end of the block
