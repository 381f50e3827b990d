"""Whatever a user hands over -> an upright RGB photo in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image
from transformers.image_utils import load_image

from .faces import MAX_PIXELS, UnusableImageError

_TRANSPOSITIONS = {  # by the value of EXIF's Orientation; 1 is upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_HOLD_ORIENTATION = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")  # entries of Image.info

# What an unusable item of a list or stream raises; the others go on.
ITEM_ERRORS = (OSError, ValueError, TypeError)


def read_exif(image: Image.Image) -> Image.Exif:
    """The EXIF fields, or none where they are malformed: viewers ignore those too, and the pixels are still good."""
    try:
        exif = image.getexif()
        exif.get_ifd(ExifTags.IFD.Exif)
        return exif
    except Exception as error:
        del error  # whatever a hostile block provokes means the same: there is nothing to go by
        return Image.Exif()


def exif_transpose(image: Image.Image) -> Image.Image:
    """The picture as viewers show it, like ``PIL.ImageOps.exif_transpose``, except that malformed EXIF counts as none.

    Returns:
        the same picture where it is upright, else a turned one without EXIF and XMP, which therefore is never turned twice.

    Raises:
        OSError: the pixels cannot be decoded (or whatever else Pillow's decoders raise).
    """
    image.load()  # TIFF files are turned by their reader here, which also removes the tag
    orientation = read_exif(image).get(ExifTags.Base.Orientation, 1)
    method = _TRANSPOSITIONS.get(orientation) if isinstance(orientation, int) else None
    if method is None:
        return image
    turned = image.transpose(method)
    for name in _HOLD_ORIENTATION:
        turned.info.pop(name, None)
    return turned


def to_rgb(image: Image.Image) -> tuple[Image.Image, tuple[str, ...]]:
    """Any mode -> a detached RGB picture, and in words what that changed. 16-bit values are scaled, transparency meets white.

    Raises:
        UnusableImageError: pixels whose range is not known.
    """
    if image.mode.startswith("I;16") or image.mode == "I":
        values = np.asarray(image).astype(np.int64, copy=False)
        if values.min() < 0 or values.max() > 65535:
            raise UnusableImageError("has 32-bit pixels whose range is not known")
        return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8)).convert("RGB"), ()
    if image.mode == "F":
        raise UnusableImageError("has floating-point pixels whose range is not known")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGB", rgba.size, "white")
        white.paste(rgba, mask=rgba.getchannel("A"))  # what hides under alpha 0 does not survive
        opaque = np.asarray(rgba.getchannel("A")).min() == 255
        return white, () if opaque else ("transparency was flattened over white",)
    return image.convert("RGB"), ()  # a copy even where the mode is the same: nothing of the file hangs on it


def load_photo(source: Any) -> np.ndarray:
    """Read one photo.

    Args:
        source: a path (str or ``Path``), a URL or base64 string, a PIL picture, or a uint8 array of shape (height, width, 3), RGB,
            or (height, width), gray. EXIF orientation is applied.

    Returns:
        (height, width, 3) uint8 RGB, C-contiguous; a copy, unless the array is read-only: nobody will change it then.

    Raises:
        UnusableImageError: no picture, no pixels, or more than 200 megapixels.
        TypeError: something that is no photo at all.
    """
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim not in (2, 3) or (source.ndim == 3 and source.shape[2] != 3):
            raise UnusableImageError(
                f"an array must be uint8 of shape (height, width, 3) RGB or (height, width) gray, but got {source.dtype} {source.shape}."
            )
        _require_pixels(height=source.shape[0], width=source.shape[1])  # before anything is copied
        colored = source if source.ndim == 3 else np.repeat(source[..., None], 3, axis=2)
        photo = np.array(colored, order="C", copy=colored.flags.writeable)
    elif isinstance(source, str | Path | Image.Image):
        photo = np.array(_open(source))
    else:
        raise TypeError(f"a photo must be a path, a URL, a PIL image or a uint8 array, but got {type(source).__name__}.")
    _require_pixels(height=photo.shape[0], width=photo.shape[1])
    return photo


def _require_pixels(*, height: int, width: int) -> None:
    if height == 0 or width == 0 or height * width > MAX_PIXELS:
        raise UnusableImageError(f"a photo needs 1 to {MAX_PIXELS} pixels, but got {width} x {height}.")


def _open(source: str | Path | Image.Image) -> Image.Image:
    is_file = isinstance(source, Path) or (isinstance(source, str) and os.path.isfile(source))
    name = f"{source}: " if is_file else ""
    try:
        if isinstance(source, Image.Image):
            picture = source
        else:
            picture = Image.open(source) if is_file else load_image(str(source))  # the latter takes URLs and base64
    except Exception as error:  # decoders meet hostile bytes, and connections fail in many ways
        shown = name or f"{str(source)[:100]!r}: "
        raise UnusableImageError(f"{shown}cannot be read as a picture ({str(error)[:300]})") from error
    if picture.width * picture.height > MAX_PIXELS:
        raise UnusableImageError(f"{name}has {picture.width} x {picture.height} pixels, more than {MAX_PIXELS // 1_000_000} megapixels")
    try:
        upright = exif_transpose(picture)
        is_plain = upright.mode == "RGB" and "transparency" not in upright.info  # the caller copies the pixels: no copy here
        return upright if is_plain else to_rgb(upright)[0]
    except Exception as error:  # likewise
        raise UnusableImageError(f"{name}cannot be decoded ({error})") from error


def is_single(inputs: Any) -> bool:
    """Whether this is one photo rather than many; what is neither counts as one, and :func:`load_photo` says what is expected."""
    if isinstance(inputs, str | bytes | os.PathLike | Image.Image | np.ndarray | Mapping) or hasattr(inputs, "numpy"):
        return True
    return not (hasattr(inputs, "__iter__") or (hasattr(inputs, "__getitem__") and hasattr(inputs, "__len__")))


def each_item(inputs: Any) -> Iterator[Any]:
    """The items of a collection or stream; where they have numbers, one that cannot be decoded is replaced by its error."""
    if not (hasattr(inputs, "__getitem__") and hasattr(inputs, "__len__")):
        yield from inputs
        return
    for index in range(len(inputs)):
        try:
            item = inputs[index]
        except ITEM_ERRORS as error:
            item = error
        yield item


def photo_of_item(item: Any) -> Any:
    """What :func:`load_photo` takes: the item itself, or the column ``"image"`` of a dataset's row; an error is raised."""
    if isinstance(item, Exception):
        raise item
    if isinstance(item, Mapping):
        if "image" not in item:
            raise ValueError(f"a row must have the column 'image', but has {', '.join(map(repr, item))}. Pick it with KeyDataset.")
        return item["image"]
    return item
