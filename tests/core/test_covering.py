"""What a cover hides, of which color it is, and what it leaves alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from tiny import face_at

from ganon_hf.core.alignment import crop_image
from ganon_hf.core.cover_shape import head_outline, outline_mask
from ganon_hf.core.covering import Covers, cover_face
from ganon_hf.core.face_mesh import FACE_OVAL, MEAN_LANDMARKS
from ganon_hf.core.faces import Box, Crop, Face, area_of, box_of_points, scale_box
from ganon_hf.core.geometry import rotation_of
from ganon_hf.core.keypoints import five_points

HEIGHT, WIDTH = 160, 200
WHOLE = (0, 0, 400, 400)


def noise(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def head(*, yaw: float = 0.0, roll: float = 0.0, size: float = 60.0) -> np.ndarray:
    """(478, 3) points of the mean head in the middle of a photo of 400 px, turned as in a photo."""
    return MEAN_LANDMARKS @ rotation_of(yaw, 0, 0) @ rotation_of(0, 0, roll) * size + 200


def seen_by_a_detector(points: np.ndarray) -> Face:
    """The face without its mesh: a box from the hair line to the chin, and five points."""
    return Face(scale_box(box_of_points(points), 1.1), 0.9, keypoints=five_points(points))


def mask_of(face: Face) -> np.ndarray:
    return outline_mask(head_outline(face), WHOLE)


@pytest.mark.parametrize(
    "box", [(60, 50, 100, 100), (-30, -20, 40, 60), (150, 100, 400, 300), (-50, -50, 500, 500), (20.2, 30.7, 22.1, 31.9)]
)
def test_where_only_a_box_is_known_all_of_it_is_one_color(box: Box) -> None:
    photo = noise()
    canvas = photo.copy()
    cover_face(canvas, Face(box, 1.0))
    x_min, y_min = (max(0, int(np.floor(v))) for v in box[:2])
    x_max, y_max = min(WIDTH, int(np.ceil(box[2]))), min(HEIGHT, int(np.ceil(box[3])))
    patch = canvas[y_min:y_max, x_min:x_max].reshape(-1, 3)
    assert len(patch) and (patch == patch[0]).all()
    changed = np.argwhere((canvas != photo).any(axis=-1))
    low, high = changed.min(axis=0), changed.max(axis=0)
    width, height = box[2] - box[0], box[3] - box[1]
    assert low[1] >= box[0] - 0.1 * width - 3 and high[1] <= box[2] + 0.1 * width + 3, "hardly more than the box"
    assert low[0] >= box[1] - 0.1 * height - 3 and high[0] <= box[3] + 0.1 * height + 3


@pytest.mark.parametrize("mesh", [True, False], ids=["with a mesh", "as a detector sees it"])
@pytest.mark.parametrize("roll", [0, 20, -45, 90, 180])
@pytest.mark.parametrize("yaw", [0, 35, -60, 85])
def test_a_cover_holds_the_face_and_is_no_larger_than_a_head(yaw: float, roll: float, mesh: bool) -> None:
    points = head(yaw=yaw, roll=roll)
    bare = seen_by_a_detector(points)
    mask = mask_of(Face(box_of_points(points), 0.9, points) if mesh else bare)
    x, y = np.floor(points[:, :2]).astype(int).T
    assert mask[y, x].all()
    face = cv2.contourArea(cv2.convexHull(points[:, :2].astype(np.float32)))
    assert mask.sum() < (2.6 if abs(yaw) < 70 else 3.2) * face, "a head in profile is that much larger than its face"


@pytest.mark.parametrize("yaw", [70, -90])
def test_a_cover_on_a_profile_reaches_over_the_ear_and_hardly_before_the_nose(yaw: float) -> None:
    points = head(yaw=yaw)
    mask = mask_of(seen_by_a_detector(points))
    columns, low, high = np.flatnonzero(mask.any(axis=0)), points[:, 0].min(), points[:, 0].max()
    before, behind = (columns[-1] - high, low - columns[0]) if yaw > 0 else (low - columns[0], columns[-1] - high)
    assert before < 0.22 * (high - low) < 0.4 * (high - low) < behind


def test_points_far_from_the_box_do_not_stretch_a_cover() -> None:
    wrong = np.array([[0.0, 0], [390, 5], [200, 390], [10, 395], [395, 380]])
    box = (150.0, 150.0, 230.0, 250.0)
    mask = mask_of(Face(box, 0.9, keypoints=wrong))
    assert mask[150:250, 150:230].all() and mask.sum() < 1.3 * area_of(box)


def test_a_mesh_beside_its_box_leaves_neither_uncovered() -> None:
    points, box = head(size=20), (300.0, 300.0, 360.0, 370.0)
    mask = mask_of(Face(box, 0.9, points))
    x, y = np.floor(points[FACE_OVAL, :2]).astype(int).T
    assert mask[y, x].all() and mask[300:370, 300:360].all()
    assert not mask[260:290, 260:290].any(), "nor is what lies between them covered"


def test_a_cover_takes_its_color_from_around_the_head_and_nothing_from_under_it() -> None:
    face = seen_by_a_detector(head(size=40))
    results = []
    for inside in (noise(400, 400), np.full((400, 400, 3), 255, np.uint8)):
        canvas = np.full((400, 400, 3), (10, 200, 30), np.uint8)
        mask = mask_of(face)
        canvas[mask] = inside[mask]
        cover_face(canvas, face)
        results.append(canvas)
    assert (results[0] == (10, 200, 30)).all() and np.array_equal(*results)


@pytest.mark.parametrize("style", ["tone", "black"])
def test_a_cover_is_opaque_to_its_edge(style: str) -> None:
    face, photo = seen_by_a_detector(head(yaw=30, size=40)), noise(400, 400)
    canvas, mask = photo.copy(), mask_of(face)
    cover_face(canvas, face, style)  # type: ignore[arg-type]
    colors = np.unique(canvas[mask], axis=0)
    assert len(colors) == 1 and (style == "tone" or not colors.any())
    beyond = cv2.dilate(mask.view(np.uint8), np.ones((3, 3), np.uint8)) > 0
    assert np.array_equal(canvas[~beyond], photo[~beyond]), "its edge is a pixel wide"


def test_a_cover_of_the_whole_photo_is_gray() -> None:
    canvas = noise(20, 20)
    cover_face(canvas, Face((-500, -500, 500, 500), 1.0))
    assert (canvas == 127).all()


def test_a_cover_outside_the_photo_does_nothing() -> None:
    canvas = noise()
    assert cover_face(canvas, Face((500, 500, 600, 600), 1.0)) is None
    assert np.array_equal(canvas, noise())


def test_a_cover_that_is_renewed_leaves_the_synthetic_face_before_it_alone() -> None:
    points, canvas = face_at(100, 80, 60).landmarks, noise()
    assert points is not None
    covers = Covers(canvas)
    covers.add(Face((110, 60, 170, 130), 0.9))
    once = canvas.copy()
    canvas[:] = noise()[::-1]  # whatever was painted and moved there
    before = canvas.copy()
    covers.renew([points])
    hull = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(np.floor(points[:, :2]).astype(np.int32)), 1)
    inside = cv2.erode(hull, np.ones((5, 5), np.uint8)) > 0
    assert np.array_equal(canvas[inside], before[inside])
    here = np.zeros((HEIGHT, WIDTH), bool)
    here[60:130, 110:170] = True
    here &= cv2.dilate(hull, np.ones((5, 5), np.uint8)) == 0
    assert here.sum() > 1000 and np.array_equal(canvas[here], once[here])


@pytest.mark.parametrize("angle", [0.0, 30.0])
def test_what_is_covered_is_found_again_in_the_square_of_a_neighbor(angle: float) -> None:
    canvas = noise()
    covers = Covers(canvas, "black")
    turn, size = np.radians(angle), 96
    linear = 1.2 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    crop = Crop(np.hstack([linear, (size / 2 - linear @ [90.0, 70.0])[:, None]]), size)
    assert covers.within(crop) is None
    covers.add(Face((60, 50, 80, 80), 1.0))
    covers.add(Face((180, 140, 199, 159), 1.0))  # far away
    hidden = covers.within(crop)
    black = crop_image(np.ascontiguousarray((canvas == 0).all(axis=2)).astype(np.float32), crop)
    inside = crop_image(np.ones(canvas.shape[:2], np.float32), crop) > 0.99
    assert hidden is not None and 0.02 < hidden.mean() < 0.5
    assert (hidden == (black > 0.5))[inside].mean() > 0.97
    assert covers.within(Crop(np.array([[1.0, 0, 900], [0, 1.0, 900]]), 64)) is None


@pytest.mark.parametrize("scale", [1.0, 0.55, 0.4, 0.2, 0.1])
def test_covers_do_not_spread_in_the_square_of_a_large_neighbor(scale: float) -> None:
    canvas = noise(400, 600)
    covers, size = Covers(canvas, "black"), 64
    covers.add(Face((280, 180, 320, 220), 1.0))
    x_min, y_min, x_max, y_max = box_of_points(np.argwhere((canvas == 0).all(axis=2))[:, ::-1] + 0.5)
    crop = Crop(np.array([[scale, 0, size / 2 - scale * 300], [0, scale, size / 2 - scale * 200]]), size)
    hidden = covers.within(crop)
    assert hidden is not None
    x, y = crop.to_photo(np.argwhere(hidden)[:, ::-1].astype(float) + 0.5).T
    reach = 2 / scale
    assert x.min() > x_min - reach and x.max() < x_max + reach and y.min() > y_min - reach and y.max() < y_max + reach
