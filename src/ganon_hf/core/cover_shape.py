"""The outline of a head that has to be covered, from what is known of it: the detector's box and five points, a mesh, or a box alone.

An outline is the convex hull of ellipses: the head seen from the front, the part behind the face that a turned head shows (ear and temple),
forehead and chin where eyes and mouth say that they are. It is a little larger than the head's front and never rectangular, and holds all
landmarks and points that are known. Where only a box is known, nobody can say how the face in it is tilted: all of the box is covered.
"""

from __future__ import annotations

import math

import numpy as np

from .faces import Box, Face, box_of_points, scale_box
from .keypoints import five_points, roll_of
from .opencv import cv2

# An ellipse in a box touches its sides, where a face's widest parts are; grown by this it hides the ears of a head seen from the front.
# A detector's box without a mesh is grown by the detector already (``detection_search.COVER``).
COVER_GROWTH = 1.25
# The same for the side of a profile to which the nose points.
_PROFILE_GROWTH = 1.15
# A box without points: exponent of a superellipse (Lamé) through its corners. 2 would be an ellipse, which is far larger than the box.
_ROUNDNESS = 5.0
# Height of a face over its width, where a tilted box does not tell them apart.
_HEIGHT_OVER_WIDTH = 1.3
_LEAST_RATIO, _MOST_RATIO = 0.8, 1.8
# Distance of the eyes over that of eyes and mouth: below the first a head is turned, at the second its ear is seen from the side.
_TURN_BEGINS, _PROFILE = 0.95, 0.5
# The back part of a profile: how far behind the face it lies, in half widths of the face, and its height over the face's.
_BEHIND, _BACK_HEIGHT = 0.75, 0.8
# Discs that hold eyes, nose and mouth; top of the forehead above the eyes and end of the chin below the mouth, of the mean face. In units
# of the distance of eyes and mouth.
_DISC, _FOREHEAD, _CHIN = 0.3, 0.8, 0.65
# Distance of eyes and mouth over the longer side of the box from which on the two mean one face: about 0.33 where both are right.
_LEAST_DISTANCE = 0.2
# Nothing of an outline but the back part lies further out than this, in sizes of the box: points may be wrong.
_MOST_GROWTH = 1.3
# OpenCV's coordinates hold no more pixels than a few times this with binary places; what lies further out is cut off first.
_FAR = 30_000
_CIRCLE = np.stack([np.cos(angles := np.arange(48) * 2 * math.pi / 48), np.sin(angles)], axis=1)


def head_outline(face: Face) -> list[np.ndarray]:
    """The outline of a face's head.

    Args:
        face: whose box, landmarks and keypoints are used, where they are known.

    Returns:
        convex polygons, (n, 2) float64 photo pixels each, which may overlap: two where the landmarks and the box do not mean one place.
    """
    outlines = []
    points = None if face.keypoints is None else face.keypoints.astype(np.float64)
    if face.landmarks is not None:
        mesh = face.landmarks[:, :2].astype(np.float64)
        points = five_points(mesh)
        middle = (mesh.min(axis=0) + mesh.max(axis=0)) / 2
        parts = [middle + (mesh - middle) * COVER_GROWTH, *_head_parts(box_of_points(mesh), points)]
        outlines.append(_hull(np.concatenate(parts)))
    if face.landmarks is None or not _holds(outlines[0], _corners(scale_box(face.box, 0.5))):
        known = points is not None and _belong_to(face.box, points)
        outlines.append(_hull(np.concatenate(_head_parts(face.box, points))) if known else _rounded(face.box))  # type: ignore[arg-type]
    return outlines


def outline_mask(outlines: list[np.ndarray], region: tuple[int, int, int, int]) -> np.ndarray:
    """(h, w) bool, every pixel of a region (x_min, y_min, x_max, y_max) of the photo that one of some convex polygons touches."""
    width, height = region[2] - region[0], region[3] - region[1]
    mask = np.zeros((height, width), np.uint8)
    for outline in outlines:
        places = outline - np.array(region[:2]) - 0.5
        if np.abs(places).max() > _FAR:
            places = _clip(places, np.array([-4.0, -4.0]), np.array([width + 4.0, height + 4.0]))
        if len(places) >= 3:
            cv2.fillConvexPoly(mask, np.round(places * 16).astype(np.int32), 1, cv2.LINE_8, 4)
    return mask.view(bool)


def _head_parts(box: Box, points: np.ndarray) -> list[np.ndarray]:
    """Points on the ellipses that make the outline of a head, from its box and (5, 2) points in it."""
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    roll = roll_of(points[1] - points[0], mouth - eyes)
    across = np.array([math.cos(roll), math.sin(roll)])
    down = np.array([-across[1], across[0]])
    middle, sides = np.array([box[0] + box[2], box[1] + box[3]]) / 2, np.array([box[2] - box[0], box[3] - box[1]])
    half_width, half_height = _half_axes(sides / 2, roll)
    distance = max(float((mouth - eyes) @ down), 0.15 * half_height, 1e-6)
    apart, nose = float((points[1] - points[0]) @ across) / distance, float((points[2] - (eyes + mouth) / 2) @ across)
    turned = min(max((apart - _TURN_BEGINS) / (_PROFILE - _TURN_BEGINS), 0.0), 1.0)
    backwards = -math.copysign(turned * half_width, nose) * across  # away from where the nose points
    # a profile's box ends at the nose, before which there is nothing to hide
    front = middle + (COVER_GROWTH - _PROFILE_GROWTH) * backwards
    parts = [
        middle + _CIRCLE * sides / 2,
        _ellipse(front, half_width * across, half_height * down, COVER_GROWTH),
        _ellipse(middle + _BEHIND * backwards, half_width * across, _BACK_HEIGHT * half_height * down, COVER_GROWTH),
    ]
    ends = np.stack([eyes - (_FOREHEAD - _DISC) * distance * down, mouth + (_CHIN - _DISC) * distance * down])
    low, high = np.array(scale_box(box, _MOST_GROWTH)).reshape(2, 2)
    discs = np.concatenate([points, ends])[:, None] + _DISC * distance * _CIRCLE
    return [*parts, np.clip(discs.reshape(-1, 2), low, high)]


def _half_axes(sides: np.ndarray, roll: float) -> tuple[float, float]:
    """Half width and half height of an ellipse that is turned by ``roll`` in a box of (2,) half sides."""
    total, double = float((sides**2).sum()), math.cos(2 * roll)
    # near half a quarter turn a box is square whatever lies in it
    typical = total * (_HEIGHT_OVER_WIDTH**2 - 1) / (_HEIGHT_OVER_WIDTH**2 + 1)
    difference = float(sides[1] ** 2 - sides[0] ** 2) * double + (1 - double**2) * typical
    low, high = (total * (ratio**2 - 1) / (ratio**2 + 1) for ratio in (_LEAST_RATIO, _MOST_RATIO))
    difference = min(max(difference, low), high)
    return math.sqrt((total - difference) / 2), math.sqrt((total + difference) / 2)


def _ellipse(middle: np.ndarray, across: np.ndarray, down: np.ndarray, growth: float) -> np.ndarray:
    return middle + growth * (_CIRCLE[:, :1] * across + _CIRCLE[:, 1:] * down)


def _rounded(box: Box) -> np.ndarray:
    """A rectangle with round corners that holds all of a box."""
    middle, sides = np.array([box[0] + box[2], box[1] + box[3]]) / 2, np.array([box[2] - box[0], box[3] - box[1]])
    curve = np.sign(_CIRCLE) * np.abs(_CIRCLE) ** (2 / _ROUNDNESS)
    return np.concatenate([middle + curve * 2 ** (1 / _ROUNDNESS) * sides / 2])


def _hull(points: np.ndarray) -> np.ndarray:
    """Convex hull of (n, 2) points."""
    origin = points.mean(axis=0)  # numbers around zero, of which float32 holds enough digits
    return cv2.convexHull((points - origin).astype(np.float32))[:, 0].astype(np.float64) + origin


def _corners(box: Box) -> np.ndarray:
    return np.array([[box[0], box[1]], [box[2], box[1]], [box[2], box[3]], [box[0], box[3]]])


def _holds(outline: np.ndarray, points: np.ndarray) -> bool:
    """Whether all of some points lie in a convex polygon, which none do in one without extent."""
    edges = np.roll(outline, -1, axis=0) - outline
    to_points = points[:, None] - outline
    sides = edges[:, 0] * to_points[..., 1] - edges[:, 1] * to_points[..., 0]
    return bool((sides > 0).all() or (sides < 0).all())


def _belong_to(box: Box, points: np.ndarray) -> bool:
    """Whether (5, 2) points may be those of the face that fills a box."""
    low, high = np.array(scale_box(box, _MOST_GROWTH)).reshape(2, 2)
    distance = float(np.linalg.norm(points[3:].mean(axis=0) - points[:2].mean(axis=0)))
    return bool((points >= low).all() and (points <= high).all()) and distance >= _LEAST_DISTANCE * max(box[2] - box[0], box[3] - box[1])


def _clip(polygon: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """A convex polygon cut to a box (Sutherland and Hodgman 1974)."""
    for axis, limit, sign in ((0, low[0], 1.0), (0, high[0], -1.0), (1, low[1], 1.0), (1, high[1], -1.0)):
        inside = sign * (polygon[:, axis] - limit)
        kept = []
        for here in range(len(polygon)):
            before = here - 1
            if (inside[before] >= 0) != (inside[here] >= 0):
                share = inside[before] / (inside[before] - inside[here])
                kept.append(polygon[before] + share * (polygon[here] - polygon[before]))
            if inside[here] >= 0:
                kept.append(polygon[here])
        polygon = np.array(kept).reshape(-1, 2)
    return polygon
