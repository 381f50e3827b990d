"""Smooth outlines of irises and of the inside of the mouth.

By its center, a pixel there is of one side or of the other, and in large eyes and in front of teeth that shows as steps.
"""

from __future__ import annotations

import numpy as np

from .face_mesh import IRIS_REACH, MOUTH_START
from .landmarks import EYE_SPANS, eyes_shut, in_iris_radii, iris_frames, lids_over_eyes, triangle_map
from .opencv import cv2
from .skin_level import between

# Standard deviation of the blur across the outline, in pixels: steps are a pixel high.
_BLUR = 0.8
_MARGIN = 4  # pixels around them that the blur reaches
# Height of the inside of the mouth in pixels from which on its outline is smoothed at all, and in full: the line of one that is hardly open
# would become pale.
_OPEN = 3.0, 8.0


def smooth_outlines(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """A synthetic face with smooth outlines of its irises, towards the white and the lids, and of the inside of its mouth.

    Args:
        image: (S, S, 3) float32 0..255, from the generator.
        points: (478, 3) crop pixels that it was generated for.

    Returns:
        the same kind of array; ``image`` itself where neither is seen.
    """
    size, index = image.shape[0], triangle_map(points, image.shape[0])
    _, reach = lids_over_eyes(eyes_shut(points))
    masks = []
    for eye, (center, axes) in enumerate(iris_frames(points)):
        half = np.abs(axes).sum(axis=1) * IRIS_REACH + _MARGIN
        first, last = (np.clip(np.round(center + sign * half), 0, size).astype(int) for sign in (-1, 1))
        here = slice(first[1], last[1]), slice(first[0], last[0])
        owner = index[here]
        iris = (owner >= EYE_SPANS[eye][0]) & (owner < EYE_SPANS[eye][1])
        places = np.dstack(np.broadcast_arrays(np.arange(first[0], last[0]) + 0.5, (np.arange(first[1], last[1]) + 0.5)[:, None]))
        local = in_iris_radii(places, center, axes)
        if local is not None:
            masks.append((here, iris & ((local**2).sum(axis=-1) < reach[eye] ** 2), 1.0))
    inside = (index >= MOUTH_START) & (index < EYE_SPANS[0][0])
    x, y, width, height = cv2.boundingRect(inside.view(np.uint8))
    here = slice(max(y - _MARGIN, 0), y + height + _MARGIN), slice(max(x - _MARGIN, 0), x + width + _MARGIN)
    masks.append((here, inside[here], between(float(inside.sum(axis=0).max()), *_OPEN)))
    masks = [(here, mask, amount) for here, mask, amount in masks if amount and mask.any()]
    result = image.copy() if masks else image
    for here, mask, amount in masks:
        share = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), _BLUR)
        weight = np.float32(4 * amount) * share * (1 - share)  # 1 on the outline, 0 away from it
        result[here] += weight[..., None] * (cv2.GaussianBlur(result[here], (0, 0), _BLUR) - result[here])
    return result
