"""Cheek and temple of a turned synthetic face: no streaks there, everything else as the generator made it."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import face_at

from ganon_hf.core.alignment import align_face
from ganon_hf.core.face_mesh import MEAN_LANDMARKS, TRIANGLES
from ganon_hf.core.landmarks import triangle_map
from ganon_hf.core.side_texture import continue_sides

SIZE = 256


def streaked(yaw: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A plain face with dark streaks all over, its points in the crop, and |x| of the mean face at every pixel (0 outside)."""
    landmarks = face_at(200, 200, 260, yaw=yaw).landmarks
    assert landmarks is not None
    points = align_face(landmarks.astype(np.float64), SIZE).to_crop(landmarks)
    index = triangle_map(points, SIZE)
    across = np.where(index >= 0, np.abs(MEAN_LANDMARKS[TRIANGLES, 0].mean(axis=1))[index], 0)
    image = np.full((SIZE, SIZE, 3), (200.0, 150.0, 130.0), np.float32)
    image[:, ::8] -= 60
    return image, points, across


@pytest.mark.parametrize("yaw", [45, -60])
def test_the_side_of_a_turned_face_is_plain_and_the_rest_untouched(yaw: float) -> None:
    image, points, across = streaked(yaw)
    before = image.copy()
    result = continue_sides(image, points)
    assert np.array_equal(image, before) and result.dtype == np.float32 and np.isfinite(result).all()
    side = across > 1.0
    assert side.sum() > 500 and result[side].std(axis=0).max() < 0.35 * before[side].std(axis=0).max()
    assert np.abs(result[side].mean(axis=0) - before[side].mean(axis=0)).max() < 5, "in the color of the skin beside it"
    middle = (across > 0) & (across < 0.5)
    assert np.abs(result[middle] - before[middle]).mean() < 0.2


def test_a_face_from_the_front_stays_as_it_is() -> None:
    image, points, _ = streaked(0)
    assert np.abs(continue_sides(image, points) - image).mean() < 0.5
