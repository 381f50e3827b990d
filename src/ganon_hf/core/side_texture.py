"""The sides of a turned face, of which a portrait from the front shows next to nothing.

Textures come from portraits. Where their surface was seen at a grazing angle a few pixels of the portrait, often of hair, are drawn over a
wide stretch of a turned head: bands and streaks on cheek and temple. There the skin beside them is continued instead.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .face_mesh import MEAN_LANDMARKS, MOUTH_START, TRIANGLES
from .landmarks import facing, frontal_facing, triangle_map
from .opencv import cv2

# How much more of a triangle is seen than in a portrait from the front: below the first all of the texture is used, above the second none.
_STRETCH = (1.3, 2.2)
# Only the sides of the head are meant, not those of the nose: |x| of the mean face, which is 1.14 wide to either side.
_SIDE = (0.65, 0.9)
# Least cosine between the surface and a portrait's line of sight; beyond it the portrait shows nothing.
_LEAST_COSINE = 0.08
# Standard deviations, as shares of the crop's side: of the edge of what is continued, and of the color that continues there.
_EDGE, _REACH = 0.015, 0.06
# Fraction of the pixels, along a side, on which both are computed.
_COARSER = 4
_EPSILON = 1e-3


def continue_sides(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """A synthetic face without the stretched texture of its sides.

    Args:
        image: (S, S, 3) float32 0..255, from the generator.
        points: (478, 3) crop pixels that it was generated for.

    Returns:
        the same kind of array; ``image`` itself where no side is seen that much better than from the front.
    """
    size = image.shape[0]
    stretch = facing(points) / np.maximum(frontal_facing(), _LEAST_COSINE)
    amount = np.clip((stretch - _STRETCH[0]) / (_STRETCH[1] - _STRETCH[0]), 0, 1) * _sides()
    amount[MOUTH_START:] = 0
    index = triangle_map(points, size)
    inside = (index >= 0).astype(np.float32)
    stretched = (amount[np.maximum(index, 0)] * inside).astype(np.float32)
    if stretched.max() < 0.01:
        return image
    x, y, width, height = cv2.boundingRect((stretched > 0).view(np.uint8))
    margin = round(3 * _REACH * size)  # what continues there comes from as far
    here = slice(max(0, y - margin), y + height + margin), slice(max(0, x - margin), x + width + margin)
    part, inside = image[here], inside[here]
    # all of it is smooth: a fraction of the pixels will do
    small = (max(1, part.shape[1] // _COARSER), max(1, part.shape[0] // _COARSER))
    stretched, covered = (cv2.resize(values, small, interpolation=cv2.INTER_AREA) for values in (stretched[here], inside))
    edge, reach = (deviation * size / _COARSER for deviation in (_EDGE, _REACH))
    share = np.minimum(1, cv2.GaussianBlur(stretched, (0, 0), edge) / np.maximum(cv2.GaussianBlur(covered, (0, 0), edge), _EPSILON))
    trusted = (1 - share) ** 2 + _EPSILON
    # premultiplied: beyond the mesh there is no color
    colors = cv2.resize(part * inside[..., None], small, interpolation=cv2.INTER_AREA)
    weighted = cv2.GaussianBlur(cv2.merge([*(channel * trusted for channel in cv2.split(colors)), covered * trusted]), (0, 0), reach)
    continued = weighted[..., :3] / np.maximum(weighted[..., 3:], 1e-9)
    both = cv2.resize(np.dstack([continued, share]), part.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    result = image.copy()
    result[here] += (both[..., 3] * inside)[..., None] * (both[..., :3] - part)
    return result


@lru_cache(maxsize=1)
def _sides() -> np.ndarray:
    """(n_triangles,) 0 in the middle of the face to 1 at the sides of the head."""
    across = np.abs(MEAN_LANDMARKS[TRIANGLES, 0].mean(axis=1))
    return np.clip((across - _SIDE[0]) / (_SIDE[1] - _SIDE[0]), 0, 1)
