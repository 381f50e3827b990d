"""Points to points: head pose, and the exchange of the identity in a face's shape.

Convention: a *shape* is a (478, 3) array in the frame of :data:`topology.MEAN_SHAPE` (x to the picture's right, y down, z away from the
viewer, unit: the weighted RMS radius of the mean face). A :class:`Pose` maps a shape to photo or crop points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .topology import MEAN_SHAPE, POSE_WEIGHTS


@dataclass(frozen=True, eq=False)
class Pose:
    """Similarity in space: ``points = scale * shape @ rotation + translation``.

    Attributes:
        scale: pixels per shape unit, positive.
        rotation: (3, 3) proper rotation, applied from the right.
        translation: (3,) pixels.
    """

    scale: float
    rotation: np.ndarray
    translation: np.ndarray

    def apply(self, shape: np.ndarray) -> np.ndarray:
        """(n, 3) shape -> (n, 3) points."""
        return self.scale * shape @ self.rotation + self.translation

    def invert(self, points: np.ndarray) -> np.ndarray:
        """(n, 3) points -> (n, 3) shape."""
        return (points - self.translation) @ self.rotation.T / self.scale

    @property
    def angles(self) -> tuple[float, float, float]:
        """(yaw, pitch, roll) in degrees: yaw > 0 looks to the picture's right, pitch > 0 looks down, roll > 0 tilts clockwise."""
        right, down, ahead = self.rotation
        yaw = np.degrees(np.arctan2(-ahead[0], ahead[2]))
        pitch = np.degrees(np.arctan2(-ahead[1], np.hypot(ahead[0], ahead[2])))
        roll = np.degrees(np.arctan2(right[1], right[0]))
        return float(yaw), float(-pitch), float(roll)


def normalize_pose(points: np.ndarray) -> tuple[np.ndarray, Pose]:
    """Take the head pose off: weighted Procrustes fit to the mean shape (Kabsch 1976, Umeyama 1991).

    Args:
        points: (478, 3) pixels.

    Returns:
        the (478, 3) shape and the pose that brings it back: ``pose.apply(shape) == points``.

    Raises:
        ValueError: the points are not a finite (478, 3) array or fall together.
    """
    points = np.asarray(points, dtype=np.float64)
    if points.shape != MEAN_SHAPE.shape or not np.isfinite(points).all():
        raise ValueError(f"points must be a finite {MEAN_SHAPE.shape} array of pixels, but got shape {points.shape}.")
    weights = (POSE_WEIGHTS / POSE_WEIGHTS.sum())[:, None]
    center, mean_center = (weights * points).sum(axis=0), (weights * MEAN_SHAPE).sum(axis=0)
    source, target = MEAN_SHAPE - mean_center, points - center
    u, s, vt = np.linalg.svd((weights * source).T @ target)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt)) or 1.0])
    # scale of the inverse fit (points -> mean) so that identities of any size end up at the mean's size
    spread = (weights * target**2).sum()
    scale = float(spread / max(float((s * signs).sum()), 1e-12))
    if not spread > 1e-9 or not 0 < scale < 1e9:
        raise ValueError("points fall together or are mirrored: no head pose can be fitted.")
    rotation = (u * signs) @ vt
    pose = Pose(scale, rotation, center - scale * mean_center @ rotation)
    return pose.invert(points), pose
