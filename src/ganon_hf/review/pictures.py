"""Pictures for a page: small ones, made in memory when they are asked for. Nothing of a picture is ever written to disk here."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import ExifTags, Image

from ..core.picture_reading import open_file, open_picture, printable, unusable
from ..image_files import Picture, encode_image, read_image

THUMBNAIL_SIDE, VIEW_SIDE, LARGE_SIDE = 240, 1600, 8192
QUALITY = 88
_CACHE_BYTES = 24 << 20
# Pictures that are decoded at a time: of 200 megapixels each may take some gigabytes.
_THREADS = 2
_TURNED = (5, 6, 7, 8)  # EXIF orientations in which width and height change places


def shrink_result(path: Path, root: Path, side: int, *, quality: int = QUALITY) -> bytes:
    """An anonymized picture as a JPEG file of at most ``side`` pixels in width and height, with its color profile and nothing else.

    Args:
        path: as this program wrote it: upright and RGB.
        root: the folder that it must not leave through links.
        side: in pixels; a smaller picture keeps its size.
        quality: of the JPEG, 1 to 100.

    Raises:
        UnusableImageError: it cannot be read.
    """
    with unusable(printable(path)), open_file(path, root) as file:
        image = open_picture(file)
        profile = image.info.get("icc_profile")
        image.draft("RGB", (side, side))  # a JPEG is decoded at a fraction of its size
        image.thumbnail((side, side), reducing_gap=2.0)
        return _encoded(image.convert("RGB"), profile, quality)


def shrink_original(path: Path, root: Path | None, side: int) -> bytes:
    """The same of an original, upright, read as a photo that is anonymized is read."""
    picture = read_image(path, root=root)
    picture.image.thumbnail((side, side), reducing_gap=2.0)
    return _encoded(picture.image, picture.icc_profile, QUALITY)


def upright_size(path: Path, root: Path | None) -> tuple[int, int]:
    """(height, width) in pixels of a picture as viewers show it, by its header.

    Raises:
        UnusableImageError: it cannot be read.
    """
    with unusable(printable(path)), open_file(path, root) as file:
        image = open_picture(file)
        turned = image.getexif().get(ExifTags.Base.Orientation) in _TURNED
        return (image.width, image.height) if turned else (image.height, image.width)


def _encoded(image: Image.Image, profile: bytes | None, quality: int) -> bytes:
    file = io.BytesIO()
    encode_image(Picture(image, profile), file, "JPEG", quality=quality)
    return file.getvalue()


class PictureCache:
    """Makes pictures in a few threads of its own and remembers the latest up to a number of bytes; originals are never remembered."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Path, int, int, int], bytes] = OrderedDict()
        self._bytes, self._lock = 0, threading.Lock()
        self._pool = ThreadPoolExecutor(_THREADS, "ganon-pictures")

    def result(self, path: Path, root: Path, side: int) -> bytes:
        """:func:`shrink_result` of the file as it is now; errors as there."""
        with unusable(printable(path)):
            status = path.stat()
        key = (path, status.st_mtime_ns, status.st_size, side)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        content = self._pool.submit(shrink_result, path, root, side).result()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = content
                self._bytes += len(content)
            while self._bytes > _CACHE_BYTES:
                self._bytes -= len(self._kept.popitem(last=False)[1])
        return content

    def original(self, path: Path, root: Path | None, side: int) -> bytes:
        """:func:`shrink_original`; errors as there."""
        return self._pool.submit(shrink_original, path, root, side).result()

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)
