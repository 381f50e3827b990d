"""Smaller copies of a photo, and patches that lie where they say."""

from __future__ import annotations

import numpy as np

from ganon_hf.core.detection_pyramid import Levels, face_patch


def test_levels_are_means_and_no_smaller_than_asked_for() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (101, 203, 3), np.uint8)
    levels = Levels(photo)
    assert [levels.at(scale)[1] for scale in (3.0, 1.0, 0.6, 0.5, 0.3, 0.25, 0.1, 0.001)] == [1, 1, 1, 2, 2, 4, 8, 64]
    quarter, step = levels.at(0.25)
    assert step == 4 and quarter.shape == (25, 50, 3) and levels.at(1.0)[0] is photo
    means = photo[:100, :200].reshape(25, 4, 50, 4, 3).mean(axis=(1, 3))
    assert np.abs(quarter - means).max() <= 1.0  # rounded twice
    one, step = Levels(photo[:1, :1]).at(0.01)
    assert step == 1 and np.array_equal(one, photo[:1, :1])


def test_patch_and_matrix_agree() -> None:
    yy, xx = np.mgrid[:200, :200]
    photo = np.stack([xx, yy, np.zeros_like(xx)], axis=2).astype(np.uint8)  # a pixel says where it is
    patch, matrix = face_patch(Levels(photo), (100, 90), 80, 0.5, 64)
    for x, y in ((10, 10), (32, 40), (60, 5)):
        expected = matrix @ (x + 0.5, y + 0.5, 1) - 0.5
        assert np.abs(patch[y, x, :2] - expected).max() <= 1.5
    small, matrix = face_patch(Levels(photo), (100, 90), 160, 0.5, 16)  # ten photo pixels are one: read from the eighths
    for x, y in ((4, 4), (8, 9), (11, 6)):
        assert np.abs(small[y, x, :2] - (matrix @ (x + 0.5, y + 0.5, 1) - 0.5)).max() <= 1.5
    assert face_patch(Levels(photo), (900, 900), 80, 0.0, 64)[0].max() == 0
