"""The outline of a turned head with its nose: traced, and brought to that of the synthetic face."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from tiny import face_at

from ganon_hf.core.face_mesh import MEAN_LANDMARKS
from ganon_hf.core.faces import box_of_points
from ganon_hf.core.head_warping import MAX_STRAIN, HeadWarp
from ganon_hf.core.keypoints import five_points
from ganon_hf.core.silhouette import is_turned, leaves_open, silhouette


def points_at(yaw: float, *, nose: float = 1.0) -> np.ndarray:
    """(478, 3) points of a head of 160 px, its nose made longer or shorter."""
    face = face_at(200, 200, 160, yaw=yaw).landmarks
    assert face is not None
    points = face.astype(np.float64)
    front = np.exp(-((np.linalg.norm(MEAN_LANDMARKS[:, :2] - MEAN_LANDMARKS[1, :2], axis=1) / 0.35) ** 2))
    towards = points[1] - points[[127, 356]].mean(axis=0)
    return points + (nose - 1) * front[:, None] * towards


def beyond(outline: np.ndarray, points: np.ndarray) -> float:
    """How far points reach out of an outline, in pixels."""
    shape = outline.astype(np.float32)[:, None]
    return -min(cv2.pointPolygonTest(shape, (float(x), float(y)), True) for x, y in points[:, :2])


@pytest.mark.parametrize("yaw", [0, 45, -60])
def test_a_silhouette_holds_the_mesh_and_no_more(yaw: float) -> None:
    points = points_at(yaw)
    outline = silhouette(points)
    assert beyond(outline, points) < 2.5, "pixels, of a face 160 high"
    assert np.abs(np.array(box_of_points(outline)) - box_of_points(points)).max() < 2.5
    area, hull = (cv2.contourArea(shape.astype(np.float32)) for shape in (outline, cv2.convexHull(points[:, :2].astype(np.float32))))
    assert area < hull and (yaw == 0 or area < 0.992 * hull)


@pytest.mark.parametrize(("yaw", "turned"), [(0, False), (15, False), (45, True), (-60, True)])
def test_which_heads_are_turned(yaw: float, turned: bool) -> None:
    points = points_at(yaw)
    hull = cv2.convexHull(points[:, :2].astype(np.float32))[:, 0].astype(np.float64)
    assert is_turned(points, hull, 130.0) == turned


@pytest.mark.parametrize(("yaw", "longer", "shorter"), [(45, 1.15, 0.9), (-45, 1.15, 0.9), (60, 1.05, 0.97)])
def test_a_long_nose_does_not_stand_out_beside_a_short_one(yaw: float, longer: float, shorter: float) -> None:
    before, after = points_at(yaw, nose=longer), points_at(yaw, nose=shorter)
    warp = HeadWarp.between(before, after)
    assert warp.strain <= MAX_STRAIN
    outline = silhouette(after)
    left = beyond(outline, warp.move(silhouette(before)))
    assert left < 2 and beyond(outline, silhouette(before)) > 4, "pixels, of a face 160 high"


def test_a_nose_is_pulled_in_only_as_far_as_the_picture_does_not_fold() -> None:
    before, after = points_at(45, nose=1.25), points_at(45, nose=0.85)
    assert HeadWarp.between(before, after).strain <= MAX_STRAIN


@pytest.mark.parametrize("yaw", [0, 30, -50])
def test_a_mesh_that_ends_inside_the_face_leaves_it_open(yaw: float) -> None:
    """On a profile the mesh of a half-turned head lies behind nose and lips."""
    points = points_at(yaw)
    seen = five_points(points)
    assert not leaves_open(points, seen)
    size = np.sqrt(np.prod(np.ptp(points[:, :2], axis=0)))
    outwards = np.array([-1.0 if yaw < 0 else 1.0, 0.0])
    side = points[:, 0].min() if yaw < 0 else points[:, 0].max()
    for point in (2, 3, 4):
        for beyond_edge, left in ((0.05, False), (0.16, True)):
            moved = seen.copy()
            moved[point, 0] = side + outwards[0] * beyond_edge * size
            assert leaves_open(points, moved) == left, (point, beyond_edge)
    eye = seen.copy()
    eye[0, 0] = side + outwards[0] * 0.3 * size
    assert not leaves_open(points, eye), "the far eye of a profile is a guess"
