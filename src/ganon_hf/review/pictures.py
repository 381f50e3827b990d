"""Pictures for a page: small ones, made in memory when they are asked for. Nothing of a picture is ever written to disk here."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from ..core.opencv import cv2
from ..core.picture_reading import open_file, open_picture, printable, read_header, unusable
from ..image_files import Picture, encode_image, read_image

THUMBNAIL_SIDE, VIEW_SIDE, LARGE_SIDE = 240, 1600, 8192
QUALITY = 88
_VIEW_BYTES, _THUMBNAIL_BYTES = 24 << 20, 8 << 20  # that are remembered
# Pictures that are decoded at a time: of 200 megapixels each may take some gigabytes.
_THREADS = 2
_TURNED = (5, 6, 7, 8)  # EXIF orientations in which width and height change places
_Key = tuple[Path, int, int]  # of a file: name, time, size


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
    return _shrink(path, root, (side,), quality)[side]


def shrink_shown(path: Path, root: Path) -> dict[int, bytes]:
    """A result in the two sizes in which a page shows it, from one decoding: side -> JPEG file. Errors as of :func:`shrink_result`."""
    return _shrink(path, root, (VIEW_SIDE, THUMBNAIL_SIDE), QUALITY)


def _shrink(path: Path, root: Path, sides: Sequence[int], quality: int) -> dict[int, bytes]:
    """A picture in several sizes, the largest of which comes first."""
    with unusable(printable(path)), open_file(path, root) as file:
        image = open_picture(file)
        profile, whole = image.info.get("icc_profile"), image.size
        image.draft("RGB", _size_within(whole, sides[0]))  # a JPEG is decoded at a fraction of its size
        pixels, files = np.asarray(image if image.mode == "RGB" else image.convert("RGB")), {}
        for side in sides:
            pixels = resized(pixels, _size_within(whole, side))
            files[side] = _encoded(Image.fromarray(pixels), profile, quality)
        return files


def _size_within(size: tuple[int, int], side: int) -> tuple[int, int]:
    """(width, height) that fit into a square; a smaller picture keeps its size."""
    share = min(1.0, side / max(size))
    return max(1, round(size[0] * share)), max(1, round(size[1] * share))


def resized(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture in (width, height); a fifth of Pillow's time, which a person who looks through thousands would wait for."""
    if (pixels.shape[1], pixels.shape[0]) == size:
        return pixels
    near = 2 * size[0] > pixels.shape[1]  # then two pixels each way hold what the result shows
    return cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR if near else cv2.INTER_AREA)  # type: ignore[no-any-return]


def shrink_original(path: Path, root: Path | None, side: int) -> bytes:
    """The same of an original, upright, read as a photo that is anonymized is read."""
    picture = read_image(path, root=root)
    picture.image.thumbnail((side, side), reducing_gap=2.0)
    return _encoded(picture.image, picture.icc_profile, QUALITY)


def to_jpeg(pixels: np.ndarray, side: int | None = None) -> bytes:
    """A picture in memory, (height, width, 3) uint8 RGB, as a JPEG file; with ``side`` at most so many pixels in width and height."""
    size = (pixels.shape[1], pixels.shape[0])
    small = pixels if side is None else resized(pixels, _size_within(size, side))
    return _encoded(Image.fromarray(np.ascontiguousarray(small)), None, QUALITY)


def upright_size(path: Path, root: Path | None) -> tuple[int, int]:
    """(height, width) in pixels of a picture as viewers show it, by its header.

    Raises:
        UnusableImageError: it cannot be read.
    """
    with unusable(printable(path)), open_file(path, root) as file:
        image = read_header(file)
        turned = image.getexif().get(ExifTags.Base.Orientation) in _TURNED
        return (image.width, image.height) if turned else (image.height, image.width)


def _encoded(image: Image.Image, profile: bytes | None, quality: int) -> bytes:
    file = io.BytesIO()
    encode_image(Picture(image, profile), file, "JPEG", quality=quality)
    return file.getvalue()


class PictureCache:
    """Makes pictures in a few threads of its own and remembers the latest up to a number of bytes; originals are never remembered."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept = {THUMBNAIL_SIDE: LatestPictures(_THUMBNAIL_BYTES), VIEW_SIDE: LatestPictures(_VIEW_BYTES)}
        self._making: dict[_Key, Future[dict[int, bytes]]] = {}
        self._pool = ThreadPoolExecutor(_THREADS, "ganon-pictures")
        self._list_pool = ThreadPoolExecutor(1, "ganon-thumbnails")  # the photo that is looked at does not wait for the list

    def result(self, path: Path, root: Path, side: int) -> bytes:
        """A result as it is now, in one of the sizes above; errors as of :func:`shrink_result`."""
        if side not in self._kept:
            return self._pool.submit(shrink_result, path, root, side).result()
        with unusable(printable(path)):
            status = path.stat()
        key = (path, status.st_mtime_ns, status.st_size)
        with self._lock:
            content = self._kept[side].get(key)
            if content is not None:
                return content
            making = self._making.get(key)
            if making is None:
                pool = self._list_pool if side == THUMBNAIL_SIDE else self._pool
                making = self._making[key] = pool.submit(shrink_shown, path, root)
        try:
            pictures = making.result()
        finally:
            with self._lock:
                self._making.pop(key, None)
        with self._lock:
            for size, content in pictures.items():
                self._kept[size].put(key, content)
        return pictures[side]

    def original(self, path: Path, root: Path | None, side: int) -> bytes:
        """:func:`shrink_original`; errors as there."""
        return self._pool.submit(shrink_original, path, root, side).result()

    def close(self) -> None:
        """End the threads."""
        for pool in (self._pool, self._list_pool):
            pool.shutdown(wait=True, cancel_futures=True)


class LatestPictures:
    """The pictures that were used last, up to a number of bytes."""

    def __init__(self, limit: int) -> None:
        self._limit, self._bytes = limit, 0
        self._pictures: OrderedDict[_Key, bytes] = OrderedDict()

    def get(self, key: _Key) -> bytes | None:
        """A picture, or None where it is not remembered."""
        if key in self._pictures:
            self._pictures.move_to_end(key)
        return self._pictures.get(key)

    def put(self, key: _Key, content: bytes) -> None:
        """Remember a picture, and forget those that were not used for longest where they are too many."""
        self._bytes += len(content) - len(self._pictures.pop(key, b""))
        self._pictures[key] = content
        while self._bytes > self._limit:
            self._bytes -= len(self._pictures.popitem(last=False)[1])
