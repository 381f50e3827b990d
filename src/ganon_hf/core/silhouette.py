"""The silhouette of a mesh: the outline of a turned head, with the nose that stands out from it.

The convex hull of a face seen from the front is its silhouette. Of a turned head it is not: between brow, nose and chin the silhouette runs
inside the hull, and where a synthetic nose is flatter the original one would stand out beside it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .faces import box_of_points
from .keypoints import NOSE_TIP
from .landmarks import mesh_mask
from .opencv import cv2

# Side of the raster that a silhouette is traced on, and the standard deviation of the smoothing along it that takes its steps away.
_RASTER, _SMOOTHING = 192, 2.0
# Points along a silhouette.
_SAMPLES = 72
# Distance of the tip of the nose from the hull, in sizes of the face, up to which a head counts as turned: 0.4 seen from the front.
_NOSE_NEAR_HULL = 0.2
# The mesh of a turned head ends inside its nose and lips. So far beyond the silhouette they are taken to reach, and so far from these
# points this has faded by a factor of e, in sizes of the face.
_BEYOND, _BEYOND_REACH = 0.03, 0.2
_PROFILE_POINTS = (NOSE_TIP, 0, 17)  # and the middles of the lips
# How far a detector's nose and mouth may lie outside of a silhouette, in sizes of the face. Of 371 faces with meshes two have more, with
# a mesh in another pose or place than the face; the others have less than 0.085.
_MOST_OPEN = 0.1
# Silhouettes that are no further apart than this, in sizes of the face, are one.
_SAME = 0.005


def silhouette(points: np.ndarray) -> np.ndarray:
    """(478, 2 or 3) -> (72, 2) points along the mesh's silhouette, in the same unit."""
    x_min, y_min, x_max, y_max = box_of_points(points)
    scale, origin = (_RASTER - 8) / max(x_max - x_min, y_max - y_min), np.array([x_min, y_min])
    mask = mesh_mask((points[:, :2] - origin) * scale + 4, _RASTER)
    contours, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    contour = max(contours, key=len)[:, 0].astype(np.float64)
    kernel = np.exp(-0.5 * (np.arange(-6, 7) / _SMOOTHING) ** 2)
    padded = np.concatenate([contour[-6:], contour, contour[:6]]) if len(contour) > 6 else np.repeat(contour[:1], 13, axis=0)
    smooth = np.stack([np.convolve(axis, kernel / kernel.sum(), mode="valid") for axis in padded.T], axis=1)
    samples = smooth[np.linspace(0, len(smooth), _SAMPLES, endpoint=False).astype(int)]
    return (samples + 0.5 - 4) / scale + origin


def is_turned(points: np.ndarray, hull: np.ndarray, size: float) -> bool:
    """Whether the nose of a mesh, (478, 2 or 3), lies near its convex hull, (n, 2)."""
    tip = (float(points[NOSE_TIP, 0] - hull[0, 0]), float(points[NOSE_TIP, 1] - hull[0, 1]))
    return bool(cv2.pointPolygonTest((hull - hull[0]).astype(np.float32)[:, None], tip, True) < _NOSE_NEAR_HULL * size)


def leaves_open(points: np.ndarray, keypoints: np.ndarray) -> bool:
    """Whether a mesh ends inside the face that a detector sees: on some profiles it is guessed too far from the front.

    Args:
        points: (478, 2 or 3) photo pixels.
        keypoints: (5, 2) the detector's, of which nose and mouth count: an eye of a profile is a guess, too.
    """
    x_min, y_min, x_max, y_max = box_of_points(points)
    most, seen = _MOST_OPEN * ((x_max - x_min) * (y_max - y_min)) ** 0.5, keypoints[2:] - points[NOSE_TIP, :2]

    def reach(outline: np.ndarray) -> float:
        shape = (outline - points[NOSE_TIP, :2]).astype(np.float32)[:, None]
        return -min(cv2.pointPolygonTest(shape, (float(x), float(y)), True) for x, y in seen)

    # the silhouette lies inside the hull, and is only traced where that may matter
    hull = cv2.convexHull(np.ascontiguousarray(points[:, :2], np.float32))[:, 0]
    return reach(hull) > most or (reach(hull) > -most and reach(silhouette(points)) > most)


def silhouette_shifts(
    before: np.ndarray, after: np.ndarray, move: Callable[[np.ndarray], np.ndarray], size: float
) -> tuple[np.ndarray, np.ndarray]:
    """Where the silhouette of one mesh has to go so that it becomes that of another.

    Args:
        before, after: (478, 2 or 3) photo pixels.
        move: a warp of (n, 2) points that is applied anyway; only what it leaves is paired.
        size: of the face in pixels.

    Returns:
        (n, 2) places on the second silhouette and the shifts that lead there, in photo pixels.
    """
    first, second = _with_whole_profile(silhouette(before), before[list(_PROFILE_POINTS), :2], size), silhouette(after)
    moved = move(first)
    distance = np.linalg.norm(moved[:, None] - second, axis=2)
    # in both directions: a nose that is flattened is nobody's nearest point, and one that grows has none of its own
    pairs = np.concatenate(
        [
            np.stack([np.arange(len(first)), distance.argmin(axis=1)], axis=1),
            np.stack([distance.argmin(axis=0), np.arange(len(second))], axis=1),
        ]
    )
    pairs = np.unique(pairs[distance[pairs[:, 0], pairs[:, 1]] > _SAME * size], axis=0)
    return second[pairs[:, 1]], second[pairs[:, 1]] - first[pairs[:, 0]]


def _with_whole_profile(outline: np.ndarray, points: np.ndarray, size: float) -> np.ndarray:
    """A silhouette, (n, 2), that reaches a little further out near nose and lips, (m, 2)."""
    along = np.roll(outline, -1, axis=0) - np.roll(outline, 1, axis=0)
    outwards = np.stack([along[:, 1], -along[:, 0]], axis=1) / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    if ((outline - outline.mean(axis=0)) * outwards).sum() < 0:
        outwards = -outwards
    distance = np.linalg.norm(outline[:, None] - points, axis=2).min(axis=1)
    near = np.exp(-((distance / (_BEYOND_REACH * size)) ** 2))
    return outline + _BEYOND * size * near[:, None] * outwards
