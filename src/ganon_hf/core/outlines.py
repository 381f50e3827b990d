"""Smooth outlines of irises and of the inside of the mouth.

By its center, a pixel there is of one side or of the other. In large eyes and in front of teeth that shows as steps, and where lips nearly
meet as a row of dashes. What is between lips that hardly part lies in their shade, which textures of open mouths do not know.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .color import luma_of
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
    TRIANGLES,
)
from .landmarks import EYE_SPANS, eyes_shut, in_iris_radii, iris_frames, lids_over_eyes, triangle_map
from .mouth_reading import SLIT, lips_around
from .opencv import cv2
from .robust_statistics import quantile
from .skin_level import between

# Standard deviation of the blur across the outline of an iris, in pixels: steps are a pixel high.
_BLUR = 0.8
_MARGIN = 4  # pixels around them that the blur reaches
# The inside of the mouth is drawn so many times as large, with so many binary places. OpenCV draws it half a pixel wider, so that between
# lips that touch, a faint line stays.
_FINER, _SUBPIXEL_BITS = 8, 4
# The color of the inside is taken from where it is seen. What is seen of a narrow mouth comes and goes as a face moves: where it is less
# than the second number as a share, in a Gaussian window whose standard deviation is the first number times the crop's side, the color
# comes close to that of the lips times the third number.
_AROUND, _LITTLE, _DARK = 0.008, 0.1, 0.85
# So close to the border of the lips, as a share of the crop's side, textures mix the colors of both sides. Colors from further away take
# their place: in full where these are at least the third number as a share of a Gaussian window, whose standard deviation is the second
# number times the crop's side, and the less the fewer there are.
_MIXED, _WINDOW, _NEAR = 0.004, 0.008, 0.2
# What is seen of the inside this share of the crop's side away from lips is no matter of its outline.
_DEEP = 0.006
# Distance of the lips over that of the outer corners of the eyes up to which the inside of the mouth is dark, and from which on it is not;
# and by what share. In 312 training photos with a distance of up to 0.04, its median luma was 0.86 of what it was in synthetic faces, where
# pixels at its edge show lips, too.
_SHADED, _SHADE = (0.03, 0.07), 0.25
# Where the photo says how light it is: limits of its factor, and of that of the color of lips which takes its place where the photo's is
# lighter, in full from that quotient on. And the quotient from which on there are teeth, and surely.
_DARKER, _LIGHTER, _CLOSED, _TEETH = 0.5, 1.6, 1.3, (1.0, 1.15)
_EPSILON = 1e-3  # against division by zero


def smooth_outlines(image: np.ndarray, points: np.ndarray, slit: float | None = None) -> np.ndarray:
    """A synthetic face with smooth outlines of its irises, towards the white and the lids, and of the inside of its mouth.

    Args:
        image: (S, S, 3) float32 0..255, from the generator.
        points: (478, 3) crop pixels that it was generated for.
        slit: luma of what is between lips that hardly part, over that of the lips; None is what it is on average.

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
        if local is not None and (mask := iris & ((local**2).sum(axis=-1) < reach[eye] ** 2)).any():
            masks.append((here, mask))
    result = image.copy()
    for here, mask in masks:
        share = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), _BLUR)
        weight = 4 * share * (1 - share)  # 1 on the outline, 0 away from it
        result[here] += weight[..., None] * (cv2.GaussianBlur(result[here], (0, 0), _BLUR) - result[here])
    _smooth_mouth(result, points, index, slit)
    return result


def _smooth_mouth(image: np.ndarray, points: np.ndarray, index: np.ndarray, slit: float | None) -> None:
    """Give each pixel (in place) as much of the inside of the mouth as the lips leave open there, in their shade.

    Args:
        image, points, slit: see :func:`smooth_outlines`.
        index: (S, S) triangle of each pixel.
    """
    size, (outline, gap) = len(index), _mouth_outline(points)
    margin = _MARGIN + round(2 * _MIXED * size)
    low, high = np.floor(outline.min(axis=0)) - margin, np.ceil(outline.max(axis=0)) + margin
    (x_min, y_min), (x_max, y_max) = (np.clip(side, 0, size).astype(int) for side in (low, high))
    here = slice(y_min, y_max), slice(x_min, x_max)
    owner, part = index[here], image[here]
    inside, lips = (owner >= MOUTH_START) & (owner < EYE_SPANS[0][0]), (owner >= 0) & _lip_triangles()[owner]
    if not lips.any():
        return
    finer = np.zeros([_FINER * side for side in owner.shape], np.uint8)
    corners = np.round(((outline - (x_min, y_min)) * _FINER - 0.5) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    cv2.fillPoly(finer, [corners], 255, cv2.LINE_8, _SUBPIXEL_BITS)
    share = cv2.resize(finer, owner.shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    reach = 2 * max(1, round(_DEEP * size)) + 1
    deep = cv2.erode(inside.view(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)), borderValue=0) > 0
    share[deep] = 1  # in a turned head, the outline may cross itself
    share[~(inside | lips)] = 0  # a nose lies before it
    mixed = lips & _beside(inside, size)
    lip_colors = _colors(part, lips, (owner >= 0) & ~inside & ~mixed, size)
    behind = _colors(part, inside, inside & ~_beside(~inside, size), size)
    known = np.minimum(cv2.GaussianBlur(inside.astype(np.float32), (0, 0), _AROUND * size) / np.float32(_LITTLE), 1)[..., None]
    behind = known * behind + (1 - known) * (np.float32(_DARK) * lip_colors)
    changed = (share > 0) | inside | mixed
    light = 1 - _SHADE * (1 - between(gap, *_SHADED))
    if (
        slit is not None
        and (seen := share > 0).any()
        and (around := lips_around(inside, size) & (owner >= 0) & (owner < MOUTH_START)).any()
    ):
        narrow = 1 - between(gap, *SLIT)
        own, rim = (quantile(luma_of(colors)[seen], 0.5) for colors in (behind, lip_colors))
        wanted = slit * quantile(luma_of(part)[around], 0.5)
        teeth = between(slit, *_TEETH)  # lighter than lips
        light += narrow * (min(max(wanted / max(own, 1.0), _DARKER), 1 + teeth * (_LIGHTER - 1)) - light)
        # closed lips, of which landmarks say that they part
        closed = lip_colors * np.float32(min(wanted / max(rim, 1.0), _LIGHTER))
        behind += np.float32(narrow * (1 - teeth) * between(wanted, own, _CLOSED * own + 1)) * (closed - behind)
    image[here][changed] = (lip_colors + share[..., None] * (np.float32(light) * behind - lip_colors))[changed]


@lru_cache(maxsize=1)
def _lip_triangles() -> np.ndarray:
    """(n_triangles,) bool, the skin along the inside of the mouth."""
    rim = np.zeros(len(TRIANGLES), bool)
    rim[:MOUTH_START] = np.isin(TRIANGLES[:MOUTH_START], [*MOUTH_UPPER, *MOUTH_LOWER, *MOUTH_CORNERS]).any(axis=1)
    rim.flags.writeable = False
    return rim


def _mouth_outline(points: np.ndarray) -> tuple[np.ndarray, float]:
    """(n, 2) crop pixels, the outline of what is between the lips; and how far they stand apart, in distances of the outer corners of the
    eyes. Where lips overlap, there is nothing between them."""
    first, last = (points[corner, :2] for corner in MOUTH_CORNERS)
    upper, lower = (np.vstack([first, points[list(lip), :2], last]) for lip in (MOUTH_UPPER, MOUTH_LOWER))
    down = np.array([first[1] - last[1], last[0] - first[0]])
    down *= np.sign(down @ (points[CHIN, :2] - points[NASION, :2])) / max(float(np.linalg.norm(down)), _EPSILON)
    heights = (lower - upper) @ down
    overlap = np.minimum(heights, 0)[:, None] * down / 2
    width, gap = (float(np.linalg.norm(points[a] - points[b])) for a, b in ((LEFT_EYE_OUTER, RIGHT_EYE_OUTER), (LIP_UPPER, LIP_LOWER)))
    apart = gap / max(width, _EPSILON) if heights[len(heights) // 2] > 0 else 0.0
    return np.vstack([upper + overlap, (lower - overlap)[::-1]]), apart


def _beside(mask: np.ndarray, size: int) -> np.ndarray:
    """(h, w) bool, the pixels of a mask and those beside it, whose colors are mixed with it."""
    reach = 2 * max(1, round(_MIXED * size)) + 1
    return cv2.dilate(mask.view(np.uint8), np.ones((reach, reach), np.uint8)) > 0


def _colors(part: np.ndarray, mask: np.ndarray, pure: np.ndarray, size: int) -> np.ndarray:
    """(h, w, 3) colors of a mask, each elsewhere that of the nearest pixel of it: those that are not mixed, as far as there are some near.

    Args:
        part: (h, w, 3) float32.
        mask: (h, w) bool; where there is nothing of it, colors are black.
        pure: (h, w) bool, the pixels whose colors are not mixed.
        size: side of the crop.
    """
    if not mask.any():
        return np.zeros_like(part)
    colors = _continued(part, mask)
    if not pure.any():
        return colors
    near = cv2.GaussianBlur(pure.astype(np.float32), (0, 0), _WINDOW * size)
    share = np.minimum(near / np.float32(_NEAR), 1)[..., None]
    return colors + share * (_continued(part, pure) - colors)


def _continued(part: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(h, w, 3) colors of a mask, each elsewhere that of the nearest pixel of it."""
    _, labels = cv2.distanceTransformWithLabels((~mask).view(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    colors = np.empty((labels.max() + 1, part.shape[2]), np.float32)
    colors[labels[mask]] = part[mask]
    return colors[labels]
