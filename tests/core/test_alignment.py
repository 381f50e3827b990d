"""Photo to crop and back, against pictures whose color is a formula of the coordinates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import face_at

from ganon_hf.core.alignment import align_face, crop_image, to_uint8, warp_to_photo
from ganon_hf.core.face_mesh import FACE_OVAL
from ganon_hf.core.faces import Crop, box_of_points
from ganon_hf.core.opencv import cv2


def landmarks(yaw: float = 0.0) -> np.ndarray:
    points = face_at(200, 150, 100, yaw=yaw).landmarks
    assert points is not None
    return points.astype(np.float64)


def turned(points: np.ndarray, degrees: float, scale: float = 1.0) -> np.ndarray:
    """Clockwise on the screen about (200, 150), then everything larger."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    flat = (points[:, :2] - [200, 150]) @ np.array([[cos, sin], [-sin, cos]]) + [200, 150]
    return np.hstack([flat, points[:, 2:]]) * scale


def square(scale: float, degrees: float, size: int, center: tuple[float, float]) -> Crop:
    cos, sin = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    linear = np.array([[cos, -sin], [sin, cos]])
    return Crop(np.hstack([linear, (size / 2 - linear @ center)[:, None]]), size)


def wave(points: np.ndarray, scale: float) -> np.ndarray:
    """Levels of a smooth picture at (..., 2) photo points; ``scale`` makes the waves as long in the crop whatever the photo's size."""
    x, y = scale * points[..., 0], scale * points[..., 1]
    return (128 + 90 * np.sin(x / 40 + y / 70) * np.cos(y / 50)).astype(np.float32)


def centers(height: int, width: int) -> np.ndarray:
    """(height, width, 2) centers of the pixels."""
    y, x = np.mgrid[:height, :width] + 0.5
    return np.stack([x, y], axis=-1)


# ---- where the square lies


@settings(max_examples=60, deadline=None)
@given(degrees=st.floats(-180, 180), scale=st.floats(0.08, 30), size=st.sampled_from([64, 256, 512]), yaw=st.sampled_from([-50, 0, 25]))
def test_the_upright_oval_is_centered_whatever_roll_and_scale(degrees: float, scale: float, size: int, yaw: float) -> None:
    straight, points = landmarks(yaw), turned(landmarks(yaw), degrees, scale)
    inside = align_face(points, size).to_crop(points)
    assert np.allclose(inside, align_face(straight, size).to_crop(straight), atol=1e-6 * size), "neither roll nor scale is seen in the crop"
    x_min, y_min, x_max, y_max = box_of_points(inside[FACE_OVAL])
    assert (x_min + x_max) / 2 == pytest.approx(size / 2) and (y_min + y_max) / 2 == pytest.approx(size / 2)
    assert min(x_min, y_min) > 0.05 * size, "a margin for open mouths and raised chins"
    assert 0.7 * size < y_max - y_min < 0.85 * size


@pytest.mark.parametrize("degrees", [0, 30, -90, 170])
def test_the_face_stands_upright_in_the_crop(degrees: float) -> None:
    points = turned(landmarks(), degrees)
    inside = align_face(points, 256).to_crop(points)
    assert inside[33, 1] == pytest.approx(inside[263, 1], abs=1e-6) and inside[33, 0] < inside[263, 0]
    assert inside[10, 1] < inside[4, 1] < inside[152, 1]


@pytest.mark.parametrize("yaw", [-60, 60])
def test_a_profile_that_looks_down_stands_upright(yaw: float) -> None:
    """The line of the eyes is tilted in such a picture, and short; the axis from forehead to chin counts."""
    shape = landmarks(yaw) - [200, 150, 0]
    cos, sin = np.cos(np.radians(25)), np.sin(np.radians(25))
    points = np.column_stack([shape[:, 0], cos * shape[:, 1] - sin * shape[:, 2], sin * shape[:, 1] + cos * shape[:, 2]]) + [200, 150, 0]
    eyes = points[263, :2] - points[33, :2]
    assert abs(np.degrees(np.arctan2(eyes[1], eyes[0]))) > 25
    inside = align_face(points, 256).to_crop(points)
    before, after = (np.degrees(np.arctan2(*(p[152, :2] - p[10, :2]))) for p in (points, inside))
    assert abs(after - before) < 15


def test_tight_crops_end_at_the_oval() -> None:
    points = turned(landmarks(), 30, 2.5)
    x_min, y_min, x_max, y_max = box_of_points(align_face(points, 256, tight=True).to_crop(points)[FACE_OVAL])
    assert (y_min, y_max) == (pytest.approx(0, abs=1e-6), pytest.approx(256))
    assert (x_min + x_max) / 2 == pytest.approx(128)


def test_the_scale_is_that_of_the_head_not_of_the_oval() -> None:
    """A dropped chin must not shrink the rest of the face."""
    points = landmarks()
    dropped = points.copy()
    dropped[[152, 148, 377, 176, 400, 149, 378], 1] += 15
    assert align_face(dropped, 256).scale == pytest.approx(align_face(points, 256).scale, rel=0.01)


def test_landmarks_without_a_pose_are_refused() -> None:
    with pytest.raises(ValueError, match="points"):
        align_face(np.zeros((478, 3)), 256)


# ---- resampling

FACTORS = [1.0, 0.3, 0.125, 3.0]


@pytest.mark.parametrize("scale", FACTORS)
@pytest.mark.parametrize("degrees", [0, 25])
def test_a_crop_shows_what_lies_there(scale: float, degrees: float) -> None:
    size, side = 96, int(96 / scale * 1.6)
    crop = square(scale, degrees, size, (side / 2, side / 2))
    expected = wave(crop.to_photo(centers(size, size).reshape(-1, 2)), scale).reshape(size, size)
    error = np.abs(crop_image(wave(centers(side, side), scale), crop) - expected)
    assert error.max() < 0.3, "half a pixel off would be 0.5 levels and more"


@pytest.mark.parametrize("scale", FACTORS)
@pytest.mark.parametrize("degrees", [0, 25])
def test_there_and_back(scale: float, degrees: float) -> None:
    size, side = 96, int(96 / scale * 1.6)
    crop = square(scale, degrees, size, (side / 2, side / 2))
    photo = wave(centers(side, side), scale)
    back = warp_to_photo(crop_image(photo, crop), crop, (0, 0, side, side))
    where = crop.to_crop(centers(side, side).reshape(-1, 2)).reshape(side, side, 2)
    inside = ((where > 3) & (where < size - 3)).all(axis=-1)
    assert inside.sum() > 0.3 * side**2 and np.abs(back - photo)[inside].max() < 0.5
    outside = ((where < -3) | (where > size + 3)).any(axis=-1)
    assert outside.any() and (back[outside] == 0).all()


@pytest.mark.parametrize("side", [801, 803, 805, 807])
def test_odd_sizes_do_not_shift_the_picture(side: int) -> None:
    """Halving an odd number of pixels several times must not add up to an offset."""
    crop = square(0.05, 0, 32, (side / 2, side / 2))
    expected = wave(crop.to_photo(centers(32, 32).reshape(-1, 2)), 0.05).reshape(32, 32)
    assert np.abs(crop_image(wave(centers(side, side), 0.05), crop) - expected).max() < 0.2


@pytest.mark.parametrize(("x", "y"), [(0, 0), (5, 2), (15, 15)])
def test_one_bright_pixel_fills_its_square(x: int, y: int) -> None:
    """Pixel (x, y) covers x..x+1: eight times as large it covers 8x..8x+8, with the slopes of bilinear sampling centered on its rim."""
    photo = np.zeros((16, 16), np.float32)
    photo[y, x] = 1
    crop = Crop(np.array([[8.0, 0, 0], [0, 8.0, 0]]), 128)
    large = crop_image(photo, crop)
    ys, xs = np.nonzero(large > 0.5 * large.max())
    if (x, y) == (5, 2):  # the others stand on the border, which is repeated outwards
        assert (xs.mean() + 0.5, ys.mean() + 0.5) == (pytest.approx(8 * x + 4), pytest.approx(8 * y + 4))
    assert large[8 * y + 4, 8 * x + 4] > 0.8
    back = warp_to_photo(large, crop, (0, 0, 16, 16))
    assert np.unravel_index(back.argmax(), back.shape) == (y, x)


def test_an_exact_copy_at_scale_one() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    crop = Crop(np.array([[1.0, 0, -7], [0, 1.0, -3]]), 32)
    copy = crop_image(photo, crop)
    assert np.array_equal(copy, photo[3:35, 7:39])
    assert np.array_equal(warp_to_photo(copy.astype(np.float32), crop, (10, 5, 30, 25)), photo[5:25, 10:30])


def test_shrinking_averages() -> None:
    """Picking one pixel in 64 would let noise through at full strength."""
    noise = np.random.default_rng(0).integers(0, 256, (512, 512), dtype=np.uint8)
    small = crop_image(noise, Crop(np.array([[0.125, 0, 0], [0, 0.125, 0]]), 64))
    assert small.std() == pytest.approx(noise.std() / 8, rel=0.15)
    back = warp_to_photo(noise.astype(np.float32), Crop(np.array([[8.0, 0, 0], [0, 8.0, 0]]), 512), (0, 0, 64, 64))
    assert back.std() < noise.std() / 4


@pytest.mark.parametrize(
    ("scale", "center"),
    [
        (0.5, (200, 300)),
        (0.2, (411.3, 222.8)),
        (0.07, (500, 100)),  # larger than the photo
        (0.2, (10, 630)),  # over a corner
        (0.1, (-900, 200)),  # far outside
        (0.3, (300, 2000)),
    ],
)
def test_a_part_shrinks_like_the_whole_photo(scale: float, center: tuple[float, float]) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (640, 768, 3), dtype=np.uint8)
    crop, halved, times = square(scale, 20, 64, center), photo, 0
    while scale * 2**times < 0.6:
        halved, times = cv2.resize(halved, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), times + 1
    expected = crop_image(halved, square(scale * 2**times, 20, 64, (center[0] / 2**times, center[1] / 2**times)))
    found = crop_image(photo, crop)
    assert np.abs(found.astype(int) - expected).max() <= 1  # OpenCV has places in fixed point


def test_only_the_part_around_a_crop_shrinks(monkeypatch: pytest.MonkeyPatch) -> None:
    photo, seen, resize = np.zeros((3001, 4003, 3), np.uint8), [], cv2.resize

    def watch(image: np.ndarray, *arguments: Any, **options: Any) -> np.ndarray:
        seen.append(max(image.shape[:2]))
        return resize(image, *arguments, **options)

    monkeypatch.setattr(cv2, "resize", watch)
    crop_image(photo, square(0.2, 20, 32, (2000, 1500)))
    assert seen and max(seen) < 300


def test_photos_of_odd_sizes_shrink_in_place() -> None:
    columns, rows = np.meshgrid(np.arange(903) + 0.5, np.arange(701) + 0.5)
    crop = square(0.2, 20, 64, (411.3, 322.8))
    found = crop_image(wave(np.dstack([columns, rows]), 0.3), crop)
    places = np.dstack(np.meshgrid(np.arange(64) + 0.5, np.arange(64) + 0.5)).reshape(-1, 2)
    assert np.abs(found.ravel() - wave(crop.to_photo(np.hstack([places, np.zeros((len(places), 1))]))[:, :2], 0.3)).max() < 3


def test_outside_the_photo_the_border_is_repeated() -> None:
    photo = np.zeros((10, 10, 3), np.uint8)
    photo[:, 0], photo[:, -1] = 50, 200
    wide = crop_image(photo, Crop(np.array([[1.0, 0, 20], [0, 1.0, 20]]), 50))
    assert (wide[:, :20] == 50).all() and (wide[:, 31:] == 200).all()


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 300, 3), (300, 1, 3), (3, 5)])
@pytest.mark.parametrize("scale", [0.02, 0.3, 40.0])
def test_photos_of_any_shape(shape: tuple[int, ...], scale: float) -> None:
    photo = np.full(shape, 77, np.uint8)
    crop = square(scale, 10, 32, (shape[1] / 2, shape[0] / 2))
    assert (crop_image(photo, crop) == 77).all()
    region = (0, 0, shape[1], shape[0])
    assert warp_to_photo(np.ones((32, 32), np.float32), crop, region).shape == shape[:2]


def test_regions_of_the_photo_agree_with_the_whole() -> None:
    values = np.random.default_rng(1).random((64, 64, 3)).astype(np.float32)
    crop = square(0.9, 20, 64, (50, 40))
    whole = warp_to_photo(values, crop, (0, 0, 100, 80))
    # OpenCV interpolates in steps of 1/32 pixel
    assert np.abs(warp_to_photo(values, crop, (13, 7, 71, 66)) - whole[7:66, 13:71]).max() < 0.08


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=12, max_size=12))
def test_levels_are_the_nearest_ones(values: list[float]) -> None:
    picture = np.array(values, np.float32).reshape(2, 2, 3)
    assert (to_uint8(picture) == np.clip(np.round(picture), 0, 255)).all()
    assert (to_uint8(np.full((1, 1, 3), -7.0, np.float32)) == np.zeros((1, 1, 3))).all(), "a single pixel, too"


@pytest.mark.parametrize("scale", [0.3, 0.9, 2.0])
def test_a_part_of_a_crop_is_that_of_the_whole(scale: float) -> None:
    photo = np.random.default_rng(1).random((256, 256, 3)).astype(np.float32)
    crop = square(scale, 20, 64, (130, 120))
    part = (8, 16, 48, 56)
    # OpenCV interpolates in steps of 1/32 pixel
    assert np.abs(crop_image(photo, crop, part) - crop_image(photo, crop)[16:56, 8:48]).max() < 0.08


@pytest.mark.parametrize("scale", [0.9, 3.0, 6.0])
def test_a_part_comes_back_as_in_the_whole(scale: float) -> None:
    values = np.zeros((64, 64), np.float32)
    values[16:56, 8:48] = np.random.default_rng(1).random((40, 40))
    crop, region = square(scale, 20, 64, (50, 40)), (0, 0, 100, 80)
    whole = warp_to_photo(values, crop, region)
    assert whole.max() > 0.5
    assert np.abs(warp_to_photo(values[16:56, 8:48], crop, region, (8, 16)) - whole).max() < 0.08
