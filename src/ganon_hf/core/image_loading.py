"""Whatever a user hands over -> an upright RGB photo in memory."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from .faces import UnusableImageError
from .picture_download import download
from .picture_reading import check_size, decode, open_file, printable, unusable

_TRANSPOSITIONS = {  # by the value of EXIF's Orientation; 1 is upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_STRIP = 64  # rows
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
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise UnusableImageError("has 32-bit pixels whose range is not known")
        gray = np.empty(values.shape, np.uint8)
        for top in range(0, len(values), _STRIP):  # in strips, because the products are eight bytes per pixel
            gray[top : top + _STRIP] = (values[top : top + _STRIP].astype(np.int64) * 255 + 32767) // 65535
        return Image.fromarray(gray).convert("RGB"), ()
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
        source: a path (str or ``Path``), a URL or base64 string, a PIL picture; an array of shape (height, width, 3), RGB, or
            (height, width), gray; or a torch tensor of shape (3 or 1, height, width). Arrays and tensors are uint8, or floats in [0, 1].
            EXIF orientation is applied.

    Returns:
        (height, width, 3) uint8 RGB, C-contiguous; a copy, unless the array is read-only: nobody will change it then.

    Raises:
        UnusableImageError: no picture of the formats and within the limits of :mod:`~.picture_reading`, or a URL that cannot be fetched.
        TypeError: something that is no photo at all.
    """
    if _is_tensor(source):
        source = _channels_last(source)
    if isinstance(source, np.ndarray):
        if source.ndim not in (2, 3) or (source.ndim == 3 and source.shape[2] != 3):
            raise UnusableImageError(f"an array must have the shape (height, width, 3), RGB, or (height, width), but got {source.shape}.")
        check_size(source.shape[1], source.shape[0])  # before anything is copied
        source = _as_uint8(source)
        colored = source if source.ndim == 3 else np.repeat(source[..., None], 3, axis=2)
        photo = colored.copy(order="C") if colored.flags.writeable else np.ascontiguousarray(colored)
    elif isinstance(source, str | Path | Image.Image):
        photo = np.array(_open(source))
    else:
        raise TypeError(f"a photo must be a path, a URL, a PIL image, an array or a tensor, but got {type(source).__name__}.")
    return photo


def _is_tensor(source: Any) -> bool:
    """Of torch, which is not imported for this."""
    return type(source).__module__.partition(".")[0] == "torch" and hasattr(source, "detach")


def _channels_last(tensor: Any) -> np.ndarray:
    """A tensor (3 or 1, height, width) as an array (height, width, 3) or (height, width)."""
    if tensor.ndim != 3 or tensor.shape[0] not in (1, 3):
        shape = tuple(tensor.shape)
        raise UnusableImageError(f"a tensor must have the shape (3, height, width) RGB or (1, height, width) gray, but got {shape}.")
    values = tensor.detach().cpu()
    values = values.float() if values.is_floating_point() else values  # NumPy has no bfloat16
    return values[0].numpy() if len(values) == 1 else np.ascontiguousarray(values.permute(1, 2, 0).numpy())


def _as_uint8(values: np.ndarray) -> np.ndarray:
    """Pixel values 0 to 255; floats are taken for shares of it."""
    if values.dtype == np.uint8:
        return values
    if not np.issubdtype(values.dtype, np.floating):
        raise UnusableImageError(f"arrays and tensors must be uint8, or floats in [0, 1], but got {values.dtype}.")
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= 1):  # also where one is not a number
        raise UnusableImageError(
            f"arrays and tensors of floats must lie in [0, 1], but got {low:g} to {high:g}; (x + 1) / 2 makes that of [-1, 1]."
        )
    return np.round(values * 255).astype(np.uint8)


def _open(source: str | Path | Image.Image) -> Image.Image:
    if isinstance(source, Image.Image):  # opened by the caller
        with unusable(""):
            check_size(source.width, source.height)
            return _upright_rgb(source)
    if isinstance(source, Path) or os.path.isfile(source):
        with unusable(printable(source)), open_file(Path(source)) as file:
            return _upright_rgb(decode(file))
    with unusable(repr(source[:100])), io.BytesIO(_content_of(source)) as content:
        return _upright_rgb(decode(content))


def _content_of(source: str) -> bytes:
    """The bytes behind a URL, or in base64 text."""
    if source.startswith(("http://", "https://")):
        return download(source)
    try:
        return base64.b64decode(source.partition(",")[2] if source.startswith("data:image/") else source, validate=True)
    except ValueError as error:
        raise UnusableImageError("is neither a file, nor a URL (http:// or https://), nor a picture in base64") from error


def _upright_rgb(image: Image.Image) -> Image.Image:
    upright = exif_transpose(image)
    is_plain = upright.mode == "RGB" and "transparency" not in upright.info  # the caller copies the pixels: no copy here
    return upright if is_plain else to_rgb(upright)[0]


def is_single(inputs: Any) -> bool:
    """Whether this is one photo rather than many; what is neither counts as one, and :func:`load_photo` says what is expected.

    An array or tensor of four axes is several photos of one size.
    """
    if isinstance(inputs, np.ndarray) or _is_tensor(inputs):
        return inputs.ndim != 4
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
