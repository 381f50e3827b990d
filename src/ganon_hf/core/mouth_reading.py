"""What an open mouth shows in a photo: teeth, or a dark inside.

Lips that stand equally far apart show teeth in a smile and none in speech or surprise, and landmarks may be the same. So one number is
taken from the photo: how light the inside of the mouth is, beside the skin, where upper teeth would be.
"""

from __future__ import annotations

import numpy as np

from .alignment import crop_image
from .color import luma_of
from .face_mesh import LIP_LOWER, LIP_UPPER, MOUTH_CORNERS, MOUTH_START, RIGHT_EYE_START
from .faces import Crop
from .landmarks import triangle_map
from .open_mouths import TEETH_ACROSS, TEETH_DOWN, mouth_shape, within
from .robust_statistics import quantile
from .skin_level import between

# Luma of the inside beside the skin's, up to which it is taken for dark, and from which on for teeth. In wide open and in narrow mouths a
# tongue is seen: between these openings, and these widths, both grow by up to the last number.
_TEETH, _OPEN, _NARROW, _TONGUE = (0.46, 0.58), (0.1, 0.25), (0.66, 0.56), 0.25
# The quantile of the luma of a face that is that of its skin.
_SKIN = 0.6
# Opening below which the inside is not looked at, and pixels that it needs.
_LEAST_OPENING, _MIN_PIXELS = 0.03, 4


def read_teeth(photo: np.ndarray, crop: Crop, points: np.ndarray) -> float:
    """How much the inside of a mouth looks like teeth rather than dark.

    Args:
        photo: (height, width, 3) uint8 RGB.
        crop: the face's square.
        points: (478, 3) crop pixels of the face in the photo.

    Returns:
        0 to 1; 1 for a mouth that is hardly open.
    """
    opening, width = mouth_shape(points).tolist()
    if opening < _LEAST_OPENING:
        return 1.0
    index = triangle_map(points, crop.size)
    rows, columns = np.nonzero((index >= MOUTH_START) & (index < RIGHT_EYE_START))
    places = np.stack([columns, rows], axis=1) + 0.5
    down, across = (_along(places, points[first, :2], points[second, :2]) for first, second in ((LIP_UPPER, LIP_LOWER), MOUTH_CORNERS))
    here = within(down, TEETH_DOWN) & within(across, TEETH_ACROSS)
    if np.count_nonzero(here) < _MIN_PIXELS:
        return 1.0
    luma = luma_of(crop_image(photo, crop).astype(np.float32))
    level = quantile(luma[(index >= 0) & (index < MOUTH_START)], _SKIN)
    light = float(luma[rows[here], columns[here]].mean()) / max(level, 1.0)
    return between(light - _TONGUE * max(between(opening, *_OPEN), between(width, *_NARROW)), *_TEETH)


def _along(places: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """How far (n, 2) places lie on the way from one point to another, as a share."""
    way = end - start
    share: np.ndarray = (places - start) @ way / max(float(way @ way), 1e-6)
    return share
