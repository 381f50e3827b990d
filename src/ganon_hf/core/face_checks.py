"""Which faces can be replaced, and why the others are covered."""

from __future__ import annotations

import numpy as np

from .compositing import OPAQUE, face_matte
from .face_mesh import FACE_OVAL
from .faces import Face, area_of, box_of_points, box_overlap
from .geometry import normalize_pose
from .landmarks import triangle_map

# In degrees: of heads turned further the detector guesses the mesh.
MAX_YAW = 65.0
# In pixels: a smaller synthetic face is a smear.
MIN_FACE_HEIGHT = 10.0
# At least this much of the face oval's box must lie in the photo.
MIN_VISIBLE = 0.3
# Overlap of the landmarks' box and the face's as a share of the smaller one, and the landmarks' area as a share of the face's. With less,
# the synthetic face would not hide the detected one.
MIN_OVERLAP = 0.6
MIN_AREA = 0.25
# Share of the original's eyes, brows, nose and mouth that may lie where the synthetic face is not opaque.
MAX_SHOWING = 0.05


def rejection_reason(face: Face, *, height: int, width: int) -> str:
    """Why a face cannot be replaced in a photo of that size; empty if it can."""
    if face.doubtful:
        return "it may be no face"
    if face.landmarks is None:
        return "no landmarks could be fitted"
    try:
        _, pose = normalize_pose(face.landmarks)
    except ValueError:
        return "the landmarks are implausible"
    if abs(pose.angles[0]) > MAX_YAW:
        return "the head is turned too far"
    x_min, y_min, x_max, y_max = box_of_points(face.landmarks[FACE_OVAL])
    if y_max - y_min < MIN_FACE_HEIGHT or x_max - x_min < MIN_FACE_HEIGHT / 2:
        return "the face is too small"
    mesh = box_of_points(face.landmarks)
    if box_overlap(mesh, np.array([face.box]))[1][0] < MIN_OVERLAP or area_of(mesh) < MIN_AREA * area_of(face.box):
        return "the landmarks lie elsewhere than the face"
    across, down = min(x_max, width) - max(x_min, 0), min(y_max, height) - max(y_min, 0)
    if across <= 0 or down <= 0 or across * down < MIN_VISIBLE * (x_max - x_min) * (y_max - y_min):
        return "most of the face is outside the picture"
    return ""


def covers_features(points: np.ndarray, features: np.ndarray) -> bool:
    """Whether a synthetic face at (478, 3) crop points covers the original's features, (S, S) bool."""
    matte = face_matte(triangle_map(points, features.shape[0]) >= 0, features)
    return bool(features.any()) and float((matte[features] < OPAQUE).mean()) <= MAX_SHOWING
