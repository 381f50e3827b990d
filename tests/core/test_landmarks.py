"""Points as pictures: dots, coordinate maps and textures, against OpenCV's circles, a z-buffer and pictures with known colors."""

from __future__ import annotations

import math
import tracemalloc

import cv2
import numpy as np
import pytest
from tiny import face_at

from ganon_hf.core.face_mesh import (
    IRIS_PATCH_RADIUS,
    IRIS_PATCHES,
    IRIS_REACH,
    LEFT_EYE_START,
    LEFT_IRIS,
    MEAN_LANDMARKS,
    MOUTH_CORNERS,
    MOUTH_LOWER,
    MOUTH_START,
    MOUTH_UPPER,
    RIGHT_EYE_START,
    RIGHT_IRIS,
    TRIANGLES,
    UV_MAP,
)
from ganon_hf.core.landmarks import (
    barycentric_maps,
    draw_dots,
    facing,
    iris_frames,
    mesh_mask,
    render_uv_map,
    texel_table,
    triangle_map,
    unwrap,
)

SIZE = 128
TEXTURE = 192


def mean_face(yaw: float = 0.0, size: int = SIZE) -> np.ndarray:
    landmarks = face_at(size / 2, size / 2, 0.78 * size, yaw=yaw).landmarks
    assert landmarks is not None
    return landmarks.astype(np.float64)


def open_mouth(points: np.ndarray, gap: float) -> np.ndarray:
    """The inner lips ``gap`` pixels apart in the middle, less towards the corners."""
    points = points.copy()
    profile = np.sin(np.linspace(0.3, np.pi - 0.3, len(MOUTH_UPPER)))
    points[MOUTH_UPPER] = points[MOUTH_LOWER] = (points[MOUTH_UPPER] + points[MOUTH_LOWER]) / 2
    points[MOUTH_UPPER, 1] -= gap / 2 * profile
    points[MOUTH_LOWER, 1] += gap / 2 * profile
    return points


def smooth_picture(size: int = SIZE) -> np.ndarray:
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    return np.stack([128 + 90 * np.sin(6 * x + 3 * y), 128 + 90 * np.cos(7 * y - 2 * x), 40 + 170 * x], axis=-1).astype(np.float32)


def sample(texture: np.ndarray, uv_map: np.ndarray) -> np.ndarray:
    """Look a texture up through a coordinate map, as the model does."""
    size = texture.shape[0]
    return cv2.remap(texture, uv_map[..., 0] * size - 0.5, uv_map[..., 1] * size - 0.5, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


# ---- dots


def mediapipe_dots(points: np.ndarray, size: int) -> np.ndarray:
    """What MediaPipe's ``draw_landmarks`` does for white dots of radius 0 (mediapipe 0.10.21, python/solutions/drawing_utils.py).

    Points from 0 to the size, both included, are drawn in order, each at the pixel that it lies in: a circle one larger in MediaPipe's
    white, then the dot. With that function itself the two tests below passed as well.
    """
    picture = np.zeros((size, size), np.uint8)
    for x, y in points[:, :2].astype(float) / size:
        if all((value > 0 or math.isclose(0, value)) and (value < 1 or math.isclose(1, value)) for value in (x, y)):
            pixel = min(math.floor(x * size), size - 1), min(math.floor(y * size), size - 1)
            cv2.circle(picture, pixel, 1, 224, 1)
            cv2.circle(picture, pixel, 0, 255, 1)
    return picture


@pytest.mark.parametrize("size", [64, 256])
def test_dots_are_those_of_mediapipe(size: int) -> None:
    points = np.random.default_rng(size).uniform(-8, size + 8, (478, 3)).astype(np.float32)
    points[:40] = np.round(points[:40])  # on the seams between pixels
    points[40:50, 0], points[50:60, 1], points[60:70, 0], points[70:80, 1] = 0, 0, size, size  # on each border
    points[80:84, :2] = [[0, 0], [size, size], [0, size], [size, 0]]
    points[84:90, 0], points[90:96, 1] = -1e-3, size + 1e-3  # just over it
    points[100:200, :2] = points[200:300, :2] + np.float32(1)  # side by side: the later one is on top
    points[300:400] = mean_face(size=size)[:100]
    expected = mediapipe_dots(points, size)
    assert set(np.unique(expected)) == {0, 224, 255}
    assert np.array_equal(draw_dots(points, size), expected)


def test_dots_of_a_face_are_those_of_mediapipe() -> None:
    points = mean_face(25, size=512).astype(np.float32)
    assert np.array_equal(draw_dots(points, 512), mediapipe_dots(points, 512))


def test_one_dot() -> None:
    points = np.full((478, 3), -9.0)
    points[7] = [3.9, 2.0, 0]  # pixel column 3, row 2
    dots = draw_dots(points, 8)
    assert {(int(x), int(y)): int(dots[y, x]) for y, x in np.argwhere(dots)} == {
        (3, 2): 255,
        (2, 2): 224,
        (4, 2): 224,
        (3, 1): 224,
        (3, 3): 224,
    }


# ---- coordinate maps


@pytest.mark.parametrize("yaw", [0, 25, -50])
def test_unwrapping_and_sampling_back_gives_the_picture(yaw: float) -> None:
    points, picture = open_mouth(mean_face(yaw), 8), smooth_picture()
    texture, trust = unwrap(picture, points.astype(np.float32), TEXTURE)
    uv_map, mask = render_uv_map(points, SIZE)
    error = np.abs(sample(texture, uv_map) - picture).max(axis=-1)
    seen = mask & (sample(trust, uv_map) > 0.99)
    assert seen.sum() > 0.9 * mask.sum() > 0.3 * SIZE**2
    assert error[seen].mean() < 0.8 and np.percentile(error[seen], 99) < 5  # of 180 levels that the picture spans
    shifted = np.abs(sample(texture, uv_map) - np.roll(picture, 1, axis=1)).max(axis=-1)
    assert shifted[seen].mean() > 3 * error[seen].mean(), "the bound is tighter than one pixel"


def test_the_map_hits_the_uv_map_at_the_points() -> None:
    size = 512
    points = open_mouth(mean_face(size=size), 30)
    uv_map, mask = render_uv_map(points, size)
    for index in (4, 50, 280, 61, 291, 151, 199):
        x, y = np.floor(points[index, :2]).astype(int)
        assert mask[y, x] and np.abs(uv_map[y, x] - UV_MAP[index]).max() < 0.006  # a pixel is about 0.002


def test_the_uv_map_itself_maps_to_itself() -> None:
    points = np.zeros((478, 3))
    points[:468, :2] = UV_MAP * 256
    points[468:, :2] = -50  # no iris in the eyes
    uv_map, mask = render_uv_map(points, 256)
    y, x = (np.mgrid[:256, :256] + 0.5) / 256
    # OpenCV fills every pixel that an outline touches: such a pixel is moved to the nearest place on the mesh
    inner = cv2.erode(mask.astype(np.uint8), np.ones((5, 5))) > 0
    error = np.abs(uv_map - np.stack([x, y], axis=-1)).max(axis=-1)
    assert np.percentile(error[inner], 50) < 1e-6 and np.percentile(error[inner], 99) < 1 / 256 and error[inner].max() < 4 / 256
    assert (uv_map[~mask] == 0).all()


@pytest.mark.parametrize("iris", [RIGHT_IRIS, LEFT_IRIS])
def test_the_iris_patch_is_drawn_where_the_iris_is(iris: tuple[int, ...]) -> None:
    size, eye = 512, 0 if iris is RIGHT_IRIS else 1
    centers = []
    for shift in (-8.0, 0.0, 8.0):
        points = mean_face(size=size)
        points[list(iris), 0] += shift
        uv_map, _ = render_uv_map(points, size)
        patch = np.linalg.norm(uv_map - IRIS_PATCHES[eye], axis=-1) < 0.3 * IRIS_PATCH_RADIUS
        centers.append(np.argwhere(patch).mean(axis=0)[::-1] + 0.5 - [shift, 0])
        assert np.abs(centers[-1] - (points[iris[0], :2] - [shift, 0])).max() < 1.0
    assert np.abs(np.diff(centers, axis=0)).max() < 1.0


def test_iris_patches_do_not_leave_the_eye() -> None:
    points = mean_face()
    points[list(RIGHT_IRIS), :2] += [0, 25]  # slipped onto the cheek
    uv_map, mask = render_uv_map(points, SIZE)
    reach = IRIS_REACH * IRIS_PATCH_RADIUS
    assert not (mask & (np.linalg.norm(uv_map - IRIS_PATCHES[0], axis=-1) < reach)).any()


def test_iris_frames_are_the_ring() -> None:
    for center, axes in iris_frames(mean_face(size=512)):
        assert axes[0, 0] > 5 and axes[1, 1] > 5 and abs(axes[1, 0]) < 1 and abs(axes[0, 1]) < 1, "first axis right, second down"
        assert 0 < center.min() < center.max() < 512


@pytest.mark.parametrize(("gap", "most"), [(-1.0, 2), (0.0, 2), (8.0, 10)])
def test_the_mouth_shows_what_is_between_the_lips(gap: float, most: int) -> None:
    """``most``: pixels of the mouth's inside in one column. Shut, the line where the lips meet is all that may show."""
    index = triangle_map(open_mouth(mean_face(), gap), SIZE)
    shown = ((index >= MOUTH_START) & (index < RIGHT_EYE_START)).sum(axis=0)
    assert gap - 1 <= shown.max() <= most


def test_the_inside_of_the_mouth_stays_between_the_lips() -> None:
    """Lips pushed forward, the head turned, and a mouth of long thin triangles: still nothing beyond the lips' contour."""
    points = open_mouth(mean_face(40), 8)
    points[[*MOUTH_UPPER, *MOUTH_LOWER], 2] -= 10
    index = triangle_map(points, SIZE)
    contour = [MOUTH_CORNERS[0], *MOUTH_UPPER, MOUTH_CORNERS[1], *reversed(MOUTH_LOWER)]
    polygon = np.zeros((SIZE, SIZE), np.uint8)
    cv2.fillPoly(polygon, [np.round((points[contour, :2] - 0.5) * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
    interior = (index >= MOUTH_START) & (index < RIGHT_EYE_START)
    assert interior.any() and not (interior & (cv2.dilate(polygon, np.ones((3, 3))) == 0)).any()


def nearest_depths(points: np.ndarray, size: int) -> np.ndarray:
    """z-buffer of the skin, pixel by pixel: (size, size), infinite outside."""
    depths = np.full((size, size), np.inf)
    for triangle in TRIANGLES[:MOUTH_START]:
        a, b, c = points[triangle]
        matrix = np.stack([b[:2] - a[:2], c[:2] - a[:2]], axis=1)
        if abs(np.linalg.det(matrix)) < 1e-6:
            continue
        low = np.maximum(np.floor(points[triangle, :2].min(axis=0)).astype(int), 0)
        high = np.minimum(np.ceil(points[triangle, :2].max(axis=0)).astype(int) + 1, size)
        y, x = np.mgrid[low[1] : high[1], low[0] : high[0]] + 0.5
        weights = (np.stack([x, y], axis=-1) - a[:2]) @ np.linalg.inv(matrix).T
        inside = (weights >= 0).all(axis=-1) & (weights.sum(axis=-1) <= 1)
        z = a[2] + weights @ np.array([b[2] - a[2], c[2] - a[2]])
        view = depths[low[1] : high[1], low[0] : high[0]]
        view[inside & (z < view)] = z[inside & (z < view)]
    return depths


@pytest.mark.parametrize("yaw", [50, -50])
def test_the_far_cheek_does_not_cover_the_nose(yaw: float) -> None:
    points = mean_face(yaw)
    index, depths = triangle_map(points, SIZE), nearest_depths(points, SIZE)
    skin = (index >= 0) & (index < MOUTH_START) & np.isfinite(depths)
    shown = points[TRIANGLES[index[skin]], 2].min(axis=1)  # the nearest corner of the triangle that was painted
    behind = shown - depths[skin]
    # on edges a neighbor may win; a wrong layer would lie as far behind as the nose stands out, about 25 px
    assert skin.sum() > 5000 and behind.max() < 6 and (behind > 1).mean() < 0.01
    layers = np.zeros((SIZE, SIZE), int)
    for triangle in TRIANGLES[:MOUTH_START]:
        layer = np.zeros((SIZE, SIZE), np.uint8)
        cv2.fillConvexPoly(layer, np.round((points[triangle, :2] - 0.5) * 16).astype(np.int32), 1, cv2.LINE_8, 4)
        layers += layer
    assert (layers[skin] >= 2).sum() > 100, "at this yaw there is something to hide"


@pytest.mark.parametrize(("yaw", "shift"), [(0, 0.0), (0, 0.37), (30, 0.0)])
def test_a_pixel_is_of_the_triangle_in_which_its_center_lies(yaw: float, shift: float) -> None:
    """Edges that are drawn wider than they are make teeth and nostrils jagged: the next triangle's texture has another scale."""
    points = mean_face(yaw, 256) + shift
    index = triangle_map(points, 256)
    rows, columns = np.nonzero(index >= 0)
    maps = barycentric_maps(points)[index[rows, columns]]
    second, third = np.einsum("nij,nj->in", maps, np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))], axis=1))
    outside = np.minimum(np.minimum(second, third), 1 - second - third) < -0.01
    assert outside.mean() < 0.025, "on the outline, and where triangles are smaller than a pixel"


def test_facing_is_one_towards_the_viewer_and_negative_away() -> None:
    flat = mean_face() * [1, 1, 0]
    assert (facing(flat) > 1 - 1e-6).mean() > 0.99
    behind = flat * [-1, 1, 1] + [SIZE, 0, 0]  # seen from behind
    assert (facing(behind) < -0.5).mean() > 0.99
    turned = facing(mean_face(60))  # towards the picture's right: the cheek at the picture's right turns away
    cheeks = MEAN_LANDMARKS[TRIANGLES, 0].mean(axis=1)
    assert turned[cheeks > 0.85].mean() < 0 < turned[cheeks < -0.5].mean()


def test_without_depth_the_map_is_that_of_a_flat_face() -> None:
    points = open_mouth(mean_face(), 8)
    with_zero = render_uv_map(points * [1, 1, 0], SIZE)
    without = render_uv_map(points[:, :2], SIZE)
    assert np.array_equal(with_zero[0], without[0]) and np.array_equal(with_zero[1], without[1])


# ---- trust


def test_trust_is_zero_where_nothing_was_seen() -> None:
    points = mean_face().astype(np.float32)
    rows, columns, owner, weights = texel_table(TEXTURE)
    where = np.einsum("nk,nkc->nc", weights, points[TRIANGLES[owner], :2])
    half = smooth_picture()[:, : SIZE // 2]  # the picture ends in the middle of the face
    _, trust = unwrap(half, points, TEXTURE)
    values = trust[rows, columns]
    assert (values[where[:, 0] > SIZE / 2 + 0.5] == 0).all() and (values[where[:, 0] < SIZE / 2 - 1] > 0.9).mean() > 0.8
    outside = np.ones((TEXTURE, TEXTURE), bool)
    outside[rows, columns] = False
    for center in IRIS_PATCHES * TEXTURE:
        y, x = np.mgrid[:TEXTURE, :TEXTURE] + 0.5
        outside &= np.hypot(x - center[0], y - center[1]) > 14
    assert (trust[outside] == 0).all()
    assert 0 <= trust.min() and trust.max() <= 1


def test_trust_falls_on_the_cheek_that_turns_away() -> None:
    rows, columns, owner, _ = texel_table(TEXTURE)
    _, trust = unwrap(smooth_picture(), mean_face(60).astype(np.float32), TEXTURE)
    skin = owner < MOUTH_START
    side = UV_MAP[TRIANGLES[owner], 0].mean(axis=1)
    values = trust[rows, columns]
    assert values[skin & (side > 0.9)].mean() < 0.1 < 0.9 < values[skin & (side < 0.4)].mean()


@pytest.mark.parametrize(("gap", "expected"), [(0.0, 0.0), (8.0, 1.0)])
def test_a_shut_mouth_teaches_nothing_about_teeth(gap: float, expected: float) -> None:
    rows, columns, owner, _ = texel_table(TEXTURE)
    _, trust = unwrap(smooth_picture(), open_mouth(mean_face(), gap).astype(np.float32), TEXTURE)
    assert trust[rows, columns][(owner >= MOUTH_START) & (owner < RIGHT_EYE_START)].mean() == pytest.approx(expected, abs=0.01)


def test_the_iris_is_not_learned_as_the_white_of_the_eye() -> None:
    points = mean_face(size=512).astype(np.float32)
    picture = np.full((512, 512), 230, np.uint8)
    for center, axes in iris_frames(points):
        cv2.circle(picture, np.round(center).astype(int).tolist(), int(axes[0, 0]), 20, -1)
    texture, trust = unwrap(picture, points, TEXTURE)
    rows, columns, owner, _ = texel_table(TEXTURE)
    eyes = np.zeros((TEXTURE, TEXTURE), bool)
    eyes[rows, columns] = owner >= RIGHT_EYE_START
    assert (owner >= LEFT_EYE_START).any()
    assert texture[eyes & (trust > 0.5)].min() > 200, "the eyeball is white wherever it is trusted"
    for center in IRIS_PATCHES * TEXTURE:
        x, y = np.floor(center).astype(int)
        assert texture[y, x] < 40 and trust[y, x] > 0.5, "the patch holds the iris"


def test_gray_and_color_unwrap_alike() -> None:
    picture, points = smooth_picture(), mean_face().astype(np.float32)
    color, trust = unwrap(picture, points, TEXTURE)
    for channel in range(3):
        gray, same = unwrap(np.ascontiguousarray(picture[..., channel]), points, TEXTURE)
        assert gray.shape == (TEXTURE, TEXTURE) and np.allclose(gray, color[..., channel]) and np.array_equal(same, trust)


# ---- what is not in the picture


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda p: p + [1e7, 1e7, 0], "the whole face far away"),
        (lambda p: p - [0, 1e12, 0], "beyond 32-bit numbers"),
        (lambda p: p * 0 + 5, "all points in one"),
        (lambda p: p * [0, 1, 1] + [64, 0, 0], "a line"),
    ],
)
def test_faces_far_away_or_without_area_draw_nothing_and_cost_nothing(change: object, why: str) -> None:
    points = change(mean_face())  # type: ignore[operator]
    texel_table(TEXTURE)  # is kept
    tracemalloc.start()
    uv_map, mask = render_uv_map(points, SIZE)
    dots = draw_dots(points, SIZE)
    texture, trust = unwrap(smooth_picture(), points.astype(np.float32), TEXTURE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert uv_map.shape == (SIZE, SIZE, 2) and np.isfinite(uv_map).all() and mask.sum() < 2 * SIZE, why
    assert dots.shape == (SIZE, SIZE) and texture.shape == (TEXTURE, TEXTURE, 3) and np.isfinite(texture).all()
    assert peak < 60e6


@pytest.mark.filterwarnings("error")
def test_one_runaway_point_spoils_its_surroundings_only() -> None:
    points = mean_face()
    expected, _ = render_uv_map(points, SIZE)
    points[10] = [1e9, -1e9, 0]  # the hairline's middle
    uv_map, mask = render_uv_map(points, SIZE)
    assert np.isfinite(uv_map).all() and uv_map.min() >= 0 and uv_map.max() <= 1
    lower = slice(SIZE // 2, None)
    changed = (np.abs(uv_map - expected).max(axis=-1) > 1e-3)[lower] & mask[lower]
    assert changed.mean() < 0.02


@pytest.mark.parametrize("yaw", [-60, 0, 35])
def test_the_mask_of_a_mesh_is_that_of_its_triangles(yaw: float) -> None:
    points = mean_face(yaw)
    assert np.array_equal(mesh_mask(points, SIZE), triangle_map(points, SIZE) >= 0)
