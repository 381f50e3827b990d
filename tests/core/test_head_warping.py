"""The warp around a face: exact at the outline, gone further out, never folded."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from tiny import face_at

from ganon_hf.core.face_mesh import FACE_OVAL
from ganon_hf.core.head_warping import LEAST_REACH, MAX_STRAIN, REACH, HeadWarp, warp_head

POINTS = face_at(200, 150, 120).landmarks
assert POINTS is not None
POINTS = POINTS.astype(np.float64)
CENTER = POINTS[:, :2].mean(axis=0)


def wider(factor: float) -> np.ndarray:
    points = POINTS.copy()
    points[:, 0] = CENTER[0] + (points[:, 0] - CENTER[0]) * factor
    return points


@pytest.mark.parametrize("factor", [0.9, 1.0, 1.12])
def test_the_outline_arrives_where_it_should(factor: float) -> None:
    after = wider(factor)
    moved = HeadWarp.between(POINTS, after).move(POINTS[FACE_OVAL])
    assert np.abs(moved[:, :2] - after[FACE_OVAL, :2]).max() < 1.0, "pixels, of a face 120 high"
    assert np.array_equal(moved[:, 2:], POINTS[FACE_OVAL, 2:])


def test_far_from_the_face_nothing_moves() -> None:
    warp = HeadWarp.between(POINTS, wider(1.1))
    x_min, y_min, x_max, y_max = warp.box
    outside = np.array([[x_min - 1, 150], [x_max + 1, 150], [200, y_min - 1], [200, y_max + 1.0]])
    assert not warp.shift_at(outside).any()
    assert warp.size * warp.reach == pytest.approx(POINTS[:, 1].min() - y_min, abs=1)


def test_a_bend_ends_as_soon_as_it_can() -> None:
    """A line a quarter of a face beside the head stays straight where the head changes little; a large change needs more room."""
    reaches = [HeadWarp.between(POINTS, wider(factor)).reach for factor in (1.0, 1.02, 1.1, 1.2, 1.25)]
    assert reaches[0] == reaches[1] == LEAST_REACH < 0.25 and reaches == sorted(reaches) and reaches[-1] <= REACH
    little = HeadWarp.between(POINTS, wider(1.05))
    beside = np.column_stack([np.full(50, POINTS[:, 0].max() + 0.25 * little.size), np.linspace(50, 250, 50)])
    assert not little.shift_at(beside).any() and np.abs(little.shifts).max() > 1
    steps = np.diff([HeadWarp.between(POINTS, wider(factor)).reach for factor in np.linspace(1.0, 1.2, 21)])
    assert np.abs(steps).max() < 0.03, "in a video the picture must not jump"


def test_where_a_short_bend_would_fold_a_longer_one_is_taken() -> None:
    before, after = POINTS.copy(), POINTS.copy()
    after[FACE_OVAL[::2], 0] += 3.0  # an outline that wriggles
    warp = HeadWarp.between(before, after)
    assert warp.strain <= MAX_STRAIN


def test_a_picture_is_bent_as_its_points_are() -> None:
    """A ring drawn along the old outline is found along the new one, and pixels beyond the reach keep their bytes."""
    y, x = np.mgrid[:300, :400] + 0.5
    radii = np.ptp(POINTS[:, :2], axis=0) / 2
    middle = (POINTS[:, :2].max(axis=0) + POINTS[:, :2].min(axis=0)) / 2
    distance = np.hypot((x - middle[0]) / radii[0], (y - middle[1]) / radii[1])
    canvas = np.repeat(np.clip(255 * (1.2 - distance), 0, 255)[..., None], 3, axis=2).astype(np.uint8)
    before = canvas.copy()
    warp = HeadWarp.between(POINTS, wider(1.1))
    warp_head(canvas, warp)
    row = round(middle[1])
    edge = [int(np.flatnonzero(picture[row, :, 0] > 50)[-1]) for picture in (before, canvas)]
    assert edge[1] - edge[0] == pytest.approx(0.1 * radii[0], abs=2)
    x_min, y_min, x_max, y_max = (round(v) for v in warp.box)
    untouched = np.ones(canvas.shape[:2], bool)
    untouched[max(0, y_min) : y_max + 1, max(0, x_min) : x_max + 1] = False
    assert np.array_equal(canvas[untouched], before[untouched]) and not np.array_equal(canvas, before)


def test_no_bend_no_change() -> None:
    canvas = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    before = canvas.copy()
    warp_head(canvas, HeadWarp.between(POINTS, POINTS))
    assert np.array_equal(canvas, before)


@pytest.mark.parametrize("offset", [(-190.0, -140.0), (190.0, 140.0), (5000.0, 0.0)])
def test_faces_at_and_beyond_the_border(offset: tuple[float, float]) -> None:
    shift = np.array([*offset, 0.0])
    canvas = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    warp_head(canvas, HeadWarp.between(POINTS + shift, wider(1.1) + shift))
    assert canvas.dtype == np.uint8 and canvas.shape == (300, 400, 3)


def test_what_would_fold_is_refused() -> None:
    assert HeadWarp.between(POINTS, wider(1.15)).strain < MAX_STRAIN
    with pytest.raises(ValueError, match="outlines lie too far apart"):
        HeadWarp.between(POINTS, wider(2.5))
    with pytest.raises(ValueError, match="must span more than a pixel"):
        HeadWarp.between(POINTS, POINTS * 0)


def test_all_pixels_that_move_are_warped_and_no_others() -> None:
    warp = HeadWarp.between(POINTS, wider(1.1))
    noise = np.random.default_rng(1).uniform(0, 255, (300, 400, 3)).astype(np.float32)
    smooth = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)  # steps of up to 30 from pixel to pixel
    picture = smooth.astype(np.uint8)
    y, x = np.mgrid[:300, :400]
    shifts = warp.shift_at(np.column_stack([x.ravel(), y.ravel()]) + 0.5).reshape(300, 400, 2).astype(np.float32)
    places = x.astype(np.float32) - shifts[..., 0], y.astype(np.float32) - shifts[..., 1]
    everywhere = cv2.remap(picture.astype(np.float32), *places, interpolation=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    warped = picture.copy()
    warp_head(warped, warp)
    still = cv2.erode((shifts == 0).all(axis=2).astype(np.uint8), np.ones((15, 15), np.uint8)) > 0
    assert 0.2 < still.mean() < 0.9 and np.array_equal(warped[still], picture[still])
    # the displacement is interpolated between 48 nodes
    assert np.abs(warped - np.clip(everywhere, 0, 255)).max() < 6 < np.abs(warped.astype(float) - picture).max()
