"""Five points of a face, as detectors name them: right and left eye, tip of the nose, right and left corner of the mouth.

Right and left are the person's. Points are (x, y) in photo pixels.
"""

from __future__ import annotations

import math

import numpy as np

from .face_mesh import LEFT_EYE_CORNERS, LIP_CORNERS, RIGHT_EYE_CORNERS

NOSE_TIP = 1


def roll_of(across: np.ndarray, down: np.ndarray) -> float:
    """How far a face is turned, in radians, clockwise on the screen.

    Args:
        across: (2,) from its right eye to its left one.
        down: (2,) from forehead to chin, or from the eyes to the mouth: says it in profile, where the eyes lie upon each other.
    """
    x, y = across[0] + down[1] / 2, across[1] - down[0] / 2
    return math.atan2(float(y), float(x))


def five_points(points: np.ndarray) -> np.ndarray:
    """(478, 2 or 3) mesh -> (5, 2): right and left eye, tip of the nose, right and left corner of the mouth, as detectors name them."""
    right, left = (points[list(corners), :2].mean(axis=0) for corners in (RIGHT_EYE_CORNERS, LEFT_EYE_CORNERS))
    return np.stack([right, left, points[NOSE_TIP, :2], *points[list(LIP_CORNERS), :2]])
