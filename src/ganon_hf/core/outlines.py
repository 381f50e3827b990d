"""Smooth outlines of irises and of the inside of the mouth.

By its center, a pixel there is of one side or of the other, and in large eyes and in front of teeth that shows as steps.
"""

from __future__ import annotations

import numpy as np

from .face_mesh import IRIS_REACH, MOUTH_START
from .landmarks import EYE_SPANS, eyes_shut, in_iris_radii, iris_frames, lids_over_eyes, triangle_map
from .opencv import cv2

# Standard deviation of the blur across the outline, in pixels: steps are a pixel high.
_BLUR = 0.8
_MARGIN = 4  # pixels around them that the blur reaches


def smooth_outlines(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """A synthetic face whose irises have smooth outlines, towards the white and towards the lids, as the inside of its mouth has.

    Args:
        image: (S, S, 3) float32 0..255, from the generator.
        points: (478, 3) crop pixels that it was generated for.

    Returns:
        the same kind of array; ``image`` itself where neither is seen.
    """
    size, index = image.shape[0], triangle_map(points, image.shape[0])
    _, reach = lids_over_eyes(eyes_shut(points))
    result = image
    for eye, (center, axes) in enumerate(iris_frames(points)):
        half = np.abs(axes).sum(axis=1) * IRIS_REACH + _MARGIN
        first, last = (np.clip(np.round(center + sign * half), 0, size).astype(int) for sign in (-1, 1))
        here = slice(first[1], last[1]), slice(first[0], last[0])
        owner = index[here]
        iris = (owner >= EYE_SPANS[eye][0]) & (owner < EYE_SPANS[eye][1])
        places = np.dstack(np.broadcast_arrays(np.arange(first[0], last[0]) + 0.5, (np.arange(first[1], last[1]) + 0.5)[:, None]))
        local = in_iris_radii(places, center, axes)
        if local is None:
            continue
        iris &= (local**2).sum(axis=-1) < reach[eye] ** 2
        if not iris.any():
            continue
        result = _smooth(image, result, here, iris)
    inside = (index >= MOUTH_START) & (index < EYE_SPANS[0][0])
    if inside.any():
        x, y, width, height = cv2.boundingRect(inside.view(np.uint8))
        here = slice(max(y - _MARGIN, 0), y + height + _MARGIN), slice(max(x - _MARGIN, 0), x + width + _MARGIN)
        result = _smooth(image, result, here, inside[here])
    return result


def _smooth(image: np.ndarray, result: np.ndarray, here: tuple[slice, slice], mask: np.ndarray) -> np.ndarray:
    """``result``, a copy of ``image`` if it is not one yet, with the outline of a mask smoothed in a part of it."""
    share = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), _BLUR)
    weight = 4 * share * (1 - share)  # 1 on the outline, 0 away from it
    part = image[here]
    if result is image:
        result = image.copy()
    result[here] = part + weight[..., None] * (cv2.GaussianBlur(part, (0, 0), _BLUR) - part)
    return result
