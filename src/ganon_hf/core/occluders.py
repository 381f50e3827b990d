"""The classes of what may lie in front of a face, and the hulls of its features."""

from __future__ import annotations

import numpy as np

from .face_mesh import FACE_OVAL
from .opencv import cv2

# Values of the occluder map. NONE is the face itself, and whatever else is not in front of it.
NONE, GLASSES, SUNGLASSES, CLOTH, HAND, HAIR, OBJECT = range(7)
OCCLUDER_NAMES = ("none", "glasses", "sunglasses", "cloth", "hand", "hair", "object")
# Side of the map in pixels of an aligned crop, and channels of draw_hulls().
MAP_SIZE, HULL_CHANNELS = 128, 4
# Features by which a face is recognized, as points of the mesh: right and left eye with brow, nose, mouth; their convex hulls count.
FEATURES = (
    (46, 70, 63, 105, 66, 107, 55, 33, 130, 110, 144, 145, 153, 133),
    (276, 300, 293, 334, 296, 336, 285, 263, 359, 339, 373, 374, 380, 362),
    (168, 1, 2, 4, 5, 19, 98, 327, 48, 64, 278, 294, 94),
    (61, 91, 84, 17, 314, 321, 291, 185, 39, 37, 0, 267, 269, 409),
)
# What each channel of draw_hulls() shows: face, eyes with brows, nose, mouth.
_CHANNELS = ((tuple(FACE_OVAL),), FEATURES[:2], FEATURES[2:3], FEATURES[3:])


def draw_hulls(points: np.ndarray, size: int) -> np.ndarray:
    """Where the parts of a face are by its landmarks, for the network that looks for what covers them.

    Args:
        points: (478, 2 or 3) crop pixels.
        size: side of the crop.

    Returns:
        (size, size, 4) uint8, 0 or 255: face, eyes with brows, nose, mouth.
    """
    channels = []
    for hulls in _CHANNELS:
        channel = np.zeros((size, size), np.uint8)
        for hull in hulls:
            corners = np.clip(points[list(hull), :2] - 0.5, -4 * size, 5 * size).round().astype(np.int32)
            cv2.fillConvexPoly(channel, cv2.convexHull(corners), 255)
        channels.append(channel)
    return cv2.merge(channels)
