"""What a mouth shows in a photo: teeth, or a dark inside; and between lips that hardly part, a dark line or none.

Lips that stand equally far apart show teeth in a smile and none in speech or surprise, and landmarks may be the same. So two numbers are
taken from the photo: how light the inside of the mouth is beside the skin, where upper teeth would be, and beside the lips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .alignment import crop_image
from .color import luma_of
from .cover_shape import head_outline, outline_mask
from .face_mesh import LIP_LOWER, LIP_UPPER, MOUTH_CORNERS, MOUTH_START, RIGHT_EYE_START
from .faces import Crop, Face, box_of_points
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
# Around other heads, in pixels of the photo or of the crop, whichever are larger.
_MARGIN = 3
# Range of luma in a face below which it is no photo of one.
_PLAIN = 2.0
# Side of the crop, at most, that is looked at; pixels that the inside needs; and the opening below which no teeth are looked for.
_SIDE, _MIN_PIXELS, _LEAST_OPENING = 256, 8, 0.02
# Opening of a synthetic mouth up to which what is between the lips is compared with them, and from which on not; that of the original's,
# which is not quite the same; and how far lips reach, as a share of the crop's side.
SLIT, _WIDEST_SLIT, _LIPS = (0.05, 0.09), 0.12, 0.024


@dataclass(frozen=True)
class MouthLight:
    """How light the inside of a mouth is.

    Attributes:
        teeth: 1 where it looks like teeth, 0 where it is dark; 1 for a mouth that is shut.
        slit: luma of what is between the lips over that of the lips; None where it cannot be read, or the mouth is opened too far.
    """

    teeth: float = 1.0
    slit: float | None = None


def read_mouth(photo: np.ndarray, crop: Crop, points: np.ndarray, others: Sequence[Face] = ()) -> MouthLight:
    """How light the inside of a mouth is.

    Args:
        photo: (height, width, 3) uint8 RGB.
        crop: the face's square.
        points: (478, 3) crop pixels of the face in the photo.
        others: further faces. They may have to be covered, and nothing must depend on what a cover hides: they are not looked at.
    """
    opening, width = mouth_shape(points).tolist()
    factor = min(_SIDE / crop.size, 1.0)
    crop, points = Crop(crop.matrix * factor, round(crop.size * factor)), points * factor
    index = triangle_map(points, crop.size)
    inside, skin = (index >= MOUTH_START) & (index < RIGHT_EYE_START), (index >= 0) & (index < MOUTH_START)
    hidden = _heads(others, crop)
    skin &= ~hidden
    if np.count_nonzero(inside) < _MIN_PIXELS or (inside & hidden).any() or not skin.any():
        return MouthLight()
    luma = luma_of(crop_image(photo, crop).astype(np.float32))
    if np.ptp(luma[inside | skin]) < _PLAIN:
        return MouthLight()
    slit = None
    if opening < _WIDEST_SLIT:
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


def _heads(faces: Sequence[Face], crop: Crop) -> np.ndarray:
    """(S, S) bool, the pixels of a crop that show heads, and those beside them, which resampling mixes with them."""
    heads = np.zeros((crop.size, crop.size), bool)
    margin = _MARGIN * max(1.0, float(abs(np.linalg.det(crop.matrix[:, :2]))) ** 0.5)
    for face in faces:
        outlines = [crop.to_crop(outline) for outline in head_outline(face)]
        x_min, y_min, x_max, y_max = box_of_points(np.concatenate(outlines))
        if x_max > 0 and y_max > 0 and x_min < crop.size and y_min < crop.size:
            heads |= outline_mask(outlines, (0, 0, crop.size, crop.size))
    return cv2.dilate(heads.view(np.uint8), np.ones((2 * round(margin) + 1,) * 2, np.uint8)) > 0 if heads.any() else heads


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
