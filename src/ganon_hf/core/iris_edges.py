"""Smooth outlines of irises: a pixel there is of the iris or of what is beside it, by its center, and in large eyes that shows as steps."""

from __future__ import annotations

import numpy as np

from .face_mesh import IRIS_REACH
from .landmarks import EYE_SPANS, eyes_shut, in_iris_radii, iris_frames, lids_over_eyes, triangle_map
from .opencv import cv2

# Standard deviation of the blur across the outline, in pixels: steps are a pixel high.
_BLUR = 0.8
_MARGIN = 4  # pixels around an iris that the blur reaches


def smooth_iris_edges(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """A synthetic face whose irises have smooth outlines, towards the white and towards the lids.

    Args:
        image: (S, S, 3) float32 0..255, from the generator.
        points: (478, 3) crop pixels that it was generated for.

    Returns:
        the same kind of array; ``image`` itself where no iris is seen.
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
        share = cv2.GaussianBlur(iris.astype(np.float32), (0, 0), _BLUR)
        weight = 4 * share * (1 - share)  # 1 on the outline, 0 away from it
        part = image[here]
        if result is image:
            result = image.copy()
        result[here] = part + weight[..., None] * (cv2.GaussianBlur(part, (0, 0), _BLUR) - part)
    return result
