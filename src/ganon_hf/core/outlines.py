"""Smooth outlines of irises and of the inside of the mouth.

By its center, a pixel there is of one side or of the other. In large eyes and in front of teeth that shows as steps, and where lips nearly
meet as a row of dashes. What is between lips that hardly part lies in their shade, which textures of open mouths do not know.
"""

from __future__ import annotations

import numpy as np

from .face_mesh import (
    CHIN,
    IRIS_REACH,
    LEFT_EYE_OUTER,
    LIP_LOWER,
    LIP_UPPER,
    MOUTH_CORNERS,
    MOUTH_LOWER,
    MOUTH_START,
    MOUTH_UPPER,
    NASION,
    RIGHT_EYE_OUTER,
)
from .landmarks import EYE_SPANS, eyes_shut, in_iris_radii, iris_frames, lids_over_eyes, triangle_map
from .opencv import cv2
from .skin_level import between

# Standard deviation of the blur across the outline of an iris, in pixels: steps are a pixel high.
_BLUR = 0.8
_MARGIN = 4  # pixels around them that the blur reaches
# The inside of the mouth is drawn so many times as large, with so many binary places. OpenCV draws it half a pixel wider, so that between
# lips that touch, a faint line stays.
_FINER, _SUBPIXEL_BITS = 8, 4
# Standard deviations in pixels of the blurs that continue lips over the inside of the mouth, and that along and across lips: it is a line.
_LIPS, _INSIDE = 1.0, (4.0, 1.5)
# Distance of the lips over that of the outer corners of the eyes up to which the inside of the mouth is dark, and from which on it is not;
# and by what share. In 312 training photos with a distance of up to 0.04, its median luma was 0.86 of what it was in synthetic faces, where
# pixels at its edge show lips, too.
_SHADED, _SHADE = (0.03, 0.07), 0.25
_EPSILON = 1e-3  # against division by zero


def smooth_outlines(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """A synthetic face with smooth outlines of its irises, towards the white and the lids, and of the inside of its mouth.

    Args:
        image: (S, S, 3) float32 0..255, from the generator.
        points: (478, 3) crop pixels that it was generated for.

    Returns:
        the same kind of array.
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
            masks.append((here, iris & ((local**2).sum(axis=-1) < reach[eye] ** 2)))
    masks = [(here, mask) for here, mask in masks if mask.any()]
    result = image.copy()
    for here, mask in masks:
        share = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), _BLUR)
        weight = 4 * share * (1 - share)  # 1 on the outline, 0 away from it
        result[here] += weight[..., None] * (cv2.GaussianBlur(result[here], (0, 0), _BLUR) - result[here])
    _smooth_mouth(result, points, index)
    return result


def _smooth_mouth(image: np.ndarray, points: np.ndarray, index: np.ndarray) -> None:
    """Give each pixel (in place) as much of the inside of the mouth as the lips leave open there, in their shade.

    Args:
        image, points: see :func:`smooth_outlines`.
        index: (S, S) triangle of each pixel.
    """
    outline = _mouth_outline(points)
    low, high = np.floor(outline.min(axis=0)) - _MARGIN, np.ceil(outline.max(axis=0)) + _MARGIN
    (x_min, y_min), (x_max, y_max) = (np.clip(side, 0, len(index)).astype(int) for side in (low, high))
    here = slice(y_min, y_max), slice(x_min, x_max)
    inside = (index[here] >= MOUTH_START) & (index[here] < EYE_SPANS[0][0])
    if not inside.any():
        return
    finer = np.zeros([_FINER * side for side in inside.shape], np.uint8)
    corners = np.round(((outline - (x_min, y_min)) * _FINER - 0.5) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    cv2.fillPoly(finer, [corners], 255, cv2.LINE_8, _SUBPIXEL_BITS)
    share = cv2.resize(finer, inside.shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    part = image[here]
    (lips, _), (behind, known) = _continued(part, ~inside, (_LIPS, _LIPS)), _continued(part, inside, _INSIDE)
    share[known < _EPSILON] = 0  # so far away, a lip or a nose hides it
    lips, behind = np.where(inside[..., None], lips, part), np.where(inside[..., None], part, behind)
    width, gap = (np.linalg.norm(points[a, :2] - points[b, :2]) for a, b in ((LEFT_EYE_OUTER, RIGHT_EYE_OUTER), (LIP_UPPER, LIP_LOWER)))
    light = 1 - _SHADE * (1 - between(float(gap / max(width, _EPSILON)), *_SHADED))
    image[here] = lips + share[..., None] * (np.float32(light) * behind - lips)


def _mouth_outline(points: np.ndarray) -> np.ndarray:
    """(n, 2) crop pixels, the outline of what is between the lips; where they overlap it has no height."""
    first, last = (points[corner, :2] for corner in MOUTH_CORNERS)
    upper, lower = (np.vstack([first, points[list(lip), :2], last]) for lip in (MOUTH_UPPER, MOUTH_LOWER))
    down = np.array([first[1] - last[1], last[0] - first[0]])
    down *= np.sign(down @ (points[CHIN, :2] - points[NASION, :2])) / max(float(np.linalg.norm(down)), _EPSILON)
    overlap = np.minimum((lower - upper) @ down, 0)[:, None] * down / 2
    return np.vstack([upper + overlap, (lower - overlap)[::-1]])


def _continued(part: np.ndarray, mask: np.ndarray, blur: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """(h, w, 3) colors of a mask continued beyond it, and (h, w) how much of it is near."""
    weight = mask.astype(np.float32)
    colors, near = (cv2.GaussianBlur(values, (0, 0), blur[0], sigmaY=blur[1]) for values in (part * weight[..., None], weight))
    return colors / np.maximum(near, _EPSILON)[..., None], near
