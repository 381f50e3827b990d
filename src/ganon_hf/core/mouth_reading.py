"""What a mouth shows in a photo: teeth, or a dark inside; and between lips that hardly part, a dark line or none.

Lips that stand equally far apart show teeth in a smile and none in speech or surprise, and landmarks may be the same. So two numbers are
taken from the photo: how light the inside of the mouth is beside the skin, where upper teeth would be, and beside the lips.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .alignment import crop_image
from .color import luma_of
from .face_mesh import LIP_LOWER, LIP_UPPER, MOUTH_CORNERS, MOUTH_START, RIGHT_EYE_START
from .faces import Crop
from .landmarks import triangle_map
from .open_mouths import TEETH_ACROSS, TEETH_DOWN, mouth_shape, within
from .opencv import cv2
from .robust_statistics import quantile
from .skin_level import between

# Luma of the inside beside the skin's, up to which it is taken for dark, and from which on for teeth. In wide open and in narrow mouths a
# tongue is seen: between these openings, and these widths, both grow by up to the last number.
_TEETH, _OPEN, _NARROW, _TONGUE = (0.46, 0.58), (0.1, 0.25), (0.66, 0.56), 0.25
# The quantile of the luma of a face that is that of its skin.
_SKIN = 0.6
# Range of luma in a face below which it is no photo of one.
_PLAIN = 2.0
# Opening below which no teeth are looked for, and pixels that the inside needs.
_LEAST_OPENING, _MIN_PIXELS = 0.03, 4
# Opening up to which what is between the lips is compared with them, and from which on not; and how far lips reach, as a share of the
# crop's side.
SLIT, _LIPS = (0.05, 0.09), 0.024


@dataclass(frozen=True)
class MouthLight:
    """How light the inside of a mouth is.

    Attributes:
        teeth: 1 where it looks like teeth, 0 where it is dark; 1 for a mouth that is shut.
        slit: luma of what is between the lips over that of the lips; None where it cannot be read, or the mouth is opened too far.
    """

    teeth: float = 1.0
    slit: float | None = None


def read_mouth(photo: np.ndarray, crop: Crop, points: np.ndarray) -> MouthLight:
    """How light the inside of a mouth is.

    Args:
        photo: (height, width, 3) uint8 RGB.
        crop: the face's square.
        points: (478, 3) crop pixels of the face in the photo.
    """
    opening, width = mouth_shape(points).tolist()
    index = triangle_map(points, crop.size)
    inside, skin = (index >= MOUTH_START) & (index < RIGHT_EYE_START), (index >= 0) & (index < MOUTH_START)
    if np.count_nonzero(inside) < _MIN_PIXELS or not skin.any():
        return MouthLight()
    luma = luma_of(crop_image(photo, crop).astype(np.float32))
    if np.ptp(luma[inside | skin]) < _PLAIN:
        return MouthLight()
    slit = None
    if opening < SLIT[1]:
        lips = lips_around(inside, crop.size) & skin
        slit = quantile(luma[inside], 0.5) / max(quantile(luma[lips], 0.5), 1.0) if lips.any() else None
    rows, columns = np.nonzero(inside)
    places = np.stack([columns, rows], axis=1) + 0.5
    down, across = (_along(places, points[first, :2], points[second, :2]) for first, second in ((LIP_UPPER, LIP_LOWER), MOUTH_CORNERS))
    here = within(down, TEETH_DOWN) & within(across, TEETH_ACROSS)
    if opening < _LEAST_OPENING or np.count_nonzero(here) < _MIN_PIXELS:
        return MouthLight(slit=slit)
    light = float(luma[rows[here], columns[here]].mean()) / max(quantile(luma[skin], _SKIN), 1.0)
    return MouthLight(between(light - _TONGUE * max(between(opening, *_OPEN), between(width, *_NARROW)), *_TEETH), slit)


def lips_around(inside: np.ndarray, size: int) -> np.ndarray:
    """The inside of a mouth with the lips around it.

    Args:
        inside: (h, w) bool.
        size: side of the crop, of which it may be a part.
    """
    reach = 2 * max(1, round(_LIPS * size)) + 1
    around: np.ndarray = cv2.dilate(inside.view(np.uint8), np.ones((reach, reach), np.uint8)) > 0
    return around


def _along(places: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """How far (n, 2) places lie on the way from one point to another, as a share."""
    way = end - start
    share: np.ndarray = (places - start) @ way / max(float(way @ way), 1e-6)
    return share
