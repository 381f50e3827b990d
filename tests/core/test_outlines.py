"""Irises and the inside of the mouth have smooth outlines, and nothing else of a face changes."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import face_at

from ganon_hf.core.alignment import align_face
from ganon_hf.core.face_mesh import (
    IRIS_PATCH_RADIUS,
    IRIS_PATCHES,
    LEFT_EYE_LOWER,
    LEFT_EYE_UPPER,
    MOUTH_CORNERS,
    MOUTH_LOWER,
    MOUTH_START,
    MOUTH_UPPER,
    RIGHT_EYE_LOWER,
    RIGHT_EYE_UPPER,
    UV_MAP,
)
from ganon_hf.core.geometry import rotation_of
from ganon_hf.core.landmarks import EYE_SPANS, render_uv_map, triangle_map
from ganon_hf.core.opencv import cv2
from ganon_hf.core.outlines import smooth_outlines

SIZE = 256


def crop_points() -> np.ndarray:
    landmarks = face_at(200, 200, 300).landmarks
    assert landmarks is not None
    return align_face(landmarks.astype(np.float64), SIZE).to_crop(landmarks.astype(np.float64))


def irises(points: np.ndarray) -> np.ndarray:
    """(S, S) bool, where the generator would draw an iris."""
    uv, _ = render_uv_map(points, SIZE)
    return np.min([np.hypot(*(uv - patch).transpose(2, 0, 1)) for patch in IRIS_PATCHES], axis=0) < 1.3 * IRIS_PATCH_RADIUS


def drawn(points: np.ndarray) -> np.ndarray:
    return np.where(irises(points)[..., None], 40.0, 200.0).astype(np.float32).repeat(3, axis=2)


def test_an_outline_has_no_steps_and_the_rest_stays() -> None:
    points = crop_points()
    before = drawn(points)
    after = smooth_outlines(before, points)
    iris = irises(points)
    assert iris.sum() > 100
    step = np.abs(np.diff(after[..., 0], axis=0))
    assert np.abs(np.diff(before[..., 0], axis=0)).max() == 160 and 60 < step.max() < 125, "an edge, but not from pixel to pixel"
    outline = cv2.morphologyEx(iris.view(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    far = cv2.distanceTransform((~outline).view(np.uint8), cv2.DIST_L2, 5) > 3
    assert np.abs(after - before)[far].max() < 0.5
    assert after[iris & far].max() < 41 and np.array_equal(before, drawn(points)), "the picture given stays as it is"


def mouth(gap: float) -> tuple[np.ndarray, np.ndarray]:
    """Crop points of a face whose lips stand ``gap`` pixels apart in the middle, and (S, S) bool, the inside of its mouth."""
    points = crop_points()
    corners = UV_MAP[list(MOUTH_CORNERS), 0]
    apart = gap * np.sin(np.pi * np.clip((UV_MAP[:, 0] - corners[0]) / (corners[1] - corners[0]), 0, 1))
    points[list(MOUTH_LOWER)] = points[list(MOUTH_UPPER)]
    lips = np.interp(UV_MAP[:, 0], UV_MAP[MOUTH_UPPER, 0], (UV_MAP[MOUTH_UPPER, 1] + UV_MAP[MOUTH_LOWER, 1]) / 2)
    points[:468, 1] += apart * (UV_MAP[:, 1] > lips)  # with the chin, so that the lower lip does not fold
    index = triangle_map(points, SIZE)
    return points, (index >= MOUTH_START) & (index < EYE_SPANS[0][0])


def drawn_finely(points: np.ndarray, factor: int = 8) -> np.ndarray:
    """(S, S) share of each pixel in which the inside of the mouth is seen."""
    index = triangle_map(points * factor, SIZE * factor)
    inside = (index >= MOUTH_START) & (index < EYE_SPANS[0][0])
    return cv2.resize(inside.astype(np.float32), (SIZE, SIZE), interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize("gap", [20.0, 3.0, 1.5, 0.6])
def test_of_the_inside_of_a_mouth_as_much_is_seen_as_the_lips_leave_open(gap: float) -> None:
    points, inside = mouth(gap)
    before = np.where(inside[..., None], 20.0, 120.0).astype(np.float32).repeat(3, axis=2)
    after, truth = smooth_outlines(before, points), 120 - 100 * drawn_finely(points)[..., None]
    assert inside.sum() > 10 and np.abs(before - truth).max() > 90, "dashes and steps"
    assert np.abs(after - truth).max() < 25
    assert (120 - after[..., :1]).sum() == pytest.approx((120 - truth).sum(), rel=0.2), "as dark as it is open"
    edge = (inside | (truth[..., 0] < 120)) & ~(cv2.erode(inside.view(np.uint8), np.ones((3, 3), np.uint8)) > 0)
    assert np.abs(after - before)[cv2.distanceTransform((~edge).view(np.uint8), cv2.DIST_L2, 5) > 3].max() < 0.5


@pytest.mark.parametrize("inner", [20.0, 240.0])
def test_what_a_texture_mixes_along_lips_is_no_row_of_dots(inner: float) -> None:
    """Every other pixel beside the border had a color of the other side, and sharpening made dots of them."""
    points, inside = mouth(20.0)
    clean = np.where(inside[..., None], inner, 120.0).astype(np.float32).repeat(3, axis=2)
    border = cv2.morphologyEx(inside.view(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    every_other = np.indices((SIZE, SIZE)).sum(axis=0) % 2 == 0
    before = np.where((border & every_other)[..., None], 120 + inner - clean, clean)
    wrong, left = (picture[..., 0] - smooth_outlines(clean, points)[..., 0] for picture in (before, smooth_outlines(before, points)))
    dots, rest = (np.abs(some - cv2.blur(some, (3, 3)))[border].mean() for some in (wrong, left))
    assert dots > 25 and rest < dots / 3


@pytest.mark.parametrize("pitch", [-20.0, 0.0])
@pytest.mark.parametrize("size", [512, 1024])
def test_each_lip_keeps_its_own_color(size: int, pitch: float) -> None:
    """All of a narrow lip lies close to the inside of the mouth: it took the color of the other lip."""
    points, _ = mouth(12.0)
    around = points.mean(axis=0)
    points = ((points - around) @ rotation_of(0.0, pitch, 0.0) + around) * (size / SIZE)
    index, lips = triangle_map(points, size), (points[MOUTH_UPPER] + points[MOUTH_LOWER]) / 2
    inside, between = (index >= MOUTH_START) & (index < EYE_SPANS[0][0]), np.interp(np.arange(size) + 0.5, lips[:, 0], lips[:, 1])
    skin = np.where(np.arange(size)[:, None] + 0.5 < between, 140.0, 90.0)
    before = np.where(inside, 200.0, skin).astype(np.float32)[..., None].repeat(3, axis=2)
    after = smooth_outlines(before, points)[..., 0]
    beyond = cv2.dilate(inside.view(np.uint8), np.ones((5, 5), np.uint8)) == 0
    first, last = (round(0.75 * points[one, 0] + 0.25 * points[other, 0]) for one, other in (MOUTH_CORNERS, MOUTH_CORNERS[::-1]))
    assert np.abs(after - skin)[:, first:last][beyond[:, first:last]].max() < 5


def test_nothing_flashes_as_lips_part() -> None:
    """Light teeth above, dark below: colors that are taken from elsewhere come in by and by."""
    shown = []
    for gap in np.arange(0.5, 8, 0.1):
        points, inside = mouth(gap)
        place = (np.cumsum(inside, axis=0) - 0.5) / np.maximum(inside.sum(axis=0), 1)
        before = np.where(inside, np.where(place < 0.5, 210.0, 30.0), 120.0).astype(np.float32)[..., None].repeat(3, axis=2)
        shown.append(smooth_outlines(before, points)[..., 0])
    changes = np.square(np.diff(shown, axis=0)).sum(axis=(1, 2)) / SIZE
    assert changes.max() < 1500, "3,190 when all of the inside changed its color at once"


def test_a_mouth_beyond_the_picture_is_no_failure() -> None:
    points = crop_points() + np.array([0.0, 2.0 * SIZE, 0.0])
    before = np.full((SIZE, SIZE, 3), 90.0, np.float32)
    assert np.array_equal(smooth_outlines(before, points), before)


@pytest.mark.parametrize(("gap", "light"), [(20.0, 1.0), (5.0, 0.84), (2.0, 0.75)])
def test_between_lips_that_hardly_part_it_is_dark(gap: float, light: float) -> None:
    points, _ = mouth(gap)
    after = smooth_outlines(np.full((SIZE, SIZE, 3), 200.0, np.float32), points)
    assert after.max() == pytest.approx(200, abs=0.1) and after.min() == pytest.approx(200 * light, abs=4)


@pytest.mark.parametrize("size", [256, 1024])
@pytest.mark.parametrize(
    ("gap", "yaw", "pitch"),
    [
        (-6.0, 0, 0),  # lips overlap
        (0.0, 0, -30),
        (30.0, 0, 40),  # the nose is before the mouth
        (30.0, 60, 0),  # the far half is folded
        (30.0, -65, -20),
        (12.0, 65, 30),
    ],
)
def test_a_face_of_one_color_keeps_it(gap: float, yaw: float, pitch: float, size: int) -> None:
    """But for the shade of lips: nothing else comes in where outlines cross and parts hide others."""
    points, _ = mouth(gap)
    around = points.mean(axis=0)
    points = ((points - around) @ rotation_of(yaw, pitch, 0.0) + around) * (size / SIZE)
    after = smooth_outlines(np.full((size, size, 3), 200.0, np.float32), points)
    assert 149 < after.min() and after.max() < 201


def test_between_lips_that_overlap_there_is_a_faint_line() -> None:
    points, inside = mouth(-4.0)
    before = np.where(inside[..., None], 20.0, 120.0).astype(np.float32).repeat(3, axis=2)
    assert inside.any() and 105 < smooth_outlines(before, points).min() < 115


@pytest.mark.parametrize("eyes", ["shut", "a point"])
def test_without_an_iris_and_with_a_shut_mouth_only_its_line_changes(eyes: str) -> None:
    points = crop_points()
    points[list(MOUTH_LOWER)] = points[list(MOUTH_UPPER)]
    if eyes == "shut":
        for upper, lower in ((RIGHT_EYE_UPPER, RIGHT_EYE_LOWER), (LEFT_EYE_UPPER, LEFT_EYE_LOWER)):
            points[list(upper)] = points[list(lower)]
    else:
        points[468:478] = points[468]
    face = np.random.default_rng(0).uniform(0, 255, (SIZE, SIZE, 3)).astype(np.float32)
    changed = np.flatnonzero((smooth_outlines(face, points) != face).any(axis=(1, 2)))
    lips = points[[*MOUTH_CORNERS, *MOUTH_UPPER], 1]
    assert lips.min() - 2 < changed.min() and changed.max() < lips.max() + 2


@pytest.mark.parametrize(
    ("inside", "slit", "low", "high", "reason"),
    [
        (40, None, 28, 34, "on average a quarter darker"),
        (40, 0.6, 66, 78, "as light beside the lips as the photo's"),
        (40, 0.95, 108, 120, "closed lips, of which landmarks say that they part"),
        (160, 0.7, 78, 90, "teeth in the shade of lips"),
        (160, 0.1, 74, 86, "half as light at least"),
    ],
)
def test_what_is_between_lips_that_hardly_part_is_as_dark_as_in_the_photo(
    inside: float, slit: float | None, low: float, high: float, reason: str
) -> None:
    points, where = mouth(5.0)
    before = np.where(where[..., None], np.float32(inside), np.float32(120)).repeat(3, axis=2)
    after = smooth_outlines(before, points, slit)[..., 0]
    assert low < float(np.median(after[where])) < high, reason


def test_the_photo_says_nothing_of_the_edge_of_a_mouth_that_is_wide_open() -> None:
    points, where = mouth(30.0)
    before = np.where(where[..., None], np.float32(40), np.float32(120)).repeat(3, axis=2)
    assert np.array_equal(smooth_outlines(before, points, 0.9), smooth_outlines(before, points))


def test_teeth_between_lips_are_no_lips() -> None:
    """They are lighter than lips, and would be red."""
    points, where = mouth(5.0)
    before = np.where(where[..., None], np.float32([180, 170, 160]), np.float32([150, 85, 80]))
    inside = np.median(smooth_outlines(before, points, 1.6)[where], axis=0)
    assert np.ptp(inside) < 40 and inside.mean() > 130
