"""Common obfuscations of faces: blur, mosaic, solid cover. And controls: the original encoded again, which shows the noise of the
measures, and a result of which only those pixels are left that are still the photo's.

Photos are RGB uint8 (height, width, 3), boxes (x_min, y_min, x_max, y_max) in photo pixels; nothing is changed in place.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageFilter

from ...core.color import luma_of
from ...core.faces import Box, clip_box, scale_box
from ...core.opencv import cv2

# The mesh's box ends at the hair line and at the ears; face blurring usually covers a little more.
REACH = 1.2
BLUR_SIGMA = 1 / 8
MOSAIC_CELLS = 8
# Inside what was changed, gaps up to this share of the face's height are pixels that came out the same by chance.
_GAPS = 1 / 20


def _region(photo: np.ndarray, box: Box) -> tuple[int, int, int, int] | None:
    return clip_box(scale_box(box, REACH), height=photo.shape[0], width=photo.shape[1])


def blur(photo: np.ndarray, box: Box) -> np.ndarray:
    """Gaussian blur with sigma = 1/8 of the face's height."""
    region = _region(photo, box)
    if region is None:
        return photo.copy()
    x_min, y_min, x_max, y_max = region
    blurred = Image.fromarray(photo).filter(ImageFilter.GaussianBlur(BLUR_SIGMA * (box[3] - box[1])))
    result = photo.copy()
    result[y_min:y_max, x_min:x_max] = np.asarray(blurred)[y_min:y_max, x_min:x_max]
    return result


def mosaic(photo: np.ndarray, box: Box) -> np.ndarray:
    """Squares of one color, 8 along the face's height."""
    region = _region(photo, box)
    if region is None:
        return photo.copy()
    x_min, y_min, x_max, y_max = region
    cell = max((box[3] - box[1]) / MOSAIC_CELLS, 1.0)
    patch = Image.fromarray(photo[y_min:y_max, x_min:x_max])
    small = patch.resize((max(1, round(patch.width / cell)), max(1, round(patch.height / cell))), Image.Resampling.BOX)
    result = photo.copy()
    result[y_min:y_max, x_min:x_max] = np.asarray(small.resize(patch.size, Image.Resampling.NEAREST))
    return result


def solid(photo: np.ndarray, box: Box) -> np.ndarray:
    """Black."""
    region = _region(photo, box)
    result = photo.copy()
    if region is not None:
        x_min, y_min, x_max, y_max = region
        result[y_min:y_max, x_min:x_max] = 0
    return result


def reencode(photo: np.ndarray, box: Box) -> np.ndarray:
    """The photo scaled to 96 % and back and stored as JPEG: whatever a measure shows here is its noise."""
    picture = Image.fromarray(photo)
    small = picture.resize((max(1, round(picture.width * 0.96)), max(1, round(picture.height * 0.96))), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    small.resize(picture.size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    with Image.open(buffer) as stored:
        return np.array(stored.convert("RGB"))


def unchanged_alone(photo: np.ndarray, result: np.ndarray, box: Box) -> np.ndarray:
    """What a result left of its photo; everything that differs is of the mean gray of the rest.

    Args:
        photo: RGB uint8 (height, width, 3).
        result: likewise, with another face.
        box: of the face.

    Raises:
        ValueError: the two pictures differ in size.
    """
    if photo.shape != result.shape:
        raise ValueError(f"photo and result must be of one size, but are of {photo.shape} and {result.shape}.")
    side = max(3, round(_GAPS * (box[3] - box[1]))) | 1
    differing = (photo != result).any(axis=2).astype(np.uint8)
    changed = cv2.morphologyEx(differing, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))) > 0
    rest = photo if changed.all() else photo[~changed][None]
    shown = photo.copy()
    shown[changed] = np.round(luma_of(rest.astype(np.float32)).mean())
    return shown


BASELINES = {"blur": blur, "mosaic": mosaic, "solid cover": solid}
