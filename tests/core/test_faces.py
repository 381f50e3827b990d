from __future__ import annotations

import dataclasses
import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ganon_hf.core.faces import (
    NUM_LANDMARKS,
    AnonymizationResult,
    Crop,
    Face,
    FaceReport,
    NoFaceError,
    UnusableImageError,
    box_of_points,
    box_overlap,
    clip_box,
    scale_box,
)

BOX = (10.0, 20.0, 30.0, 50.0)
POINTS = np.zeros((NUM_LANDMARKS, 3))


@pytest.mark.parametrize(
    ("box", "why"),
    [
        ((10, 20, 10, 50), "no width"),
        ((10, 20, 5, 50), "negative width"),
        ((10, 20, 30, 20), "no height"),
        ((math.nan, 0, 1, 1), "not a number"),
        ((0, 0, math.inf, 1), "infinite"),
        ((0, 0, 1), "three numbers"),
    ],
)
def test_face_refuses_a_box_that_is_none(box: Any, why: str) -> None:
    with pytest.raises(ValueError, match="Face.box must be finite"):
        Face(box, 0.5)


@pytest.mark.parametrize("score", [-0.1, 1.1, math.nan, "0.5", True, None])
def test_face_refuses_a_score_outside_0_to_1(score: Any) -> None:
    with pytest.raises(ValueError, match=r"Face.score must be a number from 0 to 1, but got"):
        Face(BOX, score)


@pytest.mark.parametrize("points", [np.zeros((468, 3)), np.zeros((NUM_LANDMARKS, 2)), np.full((NUM_LANDMARKS, 3), np.nan)])
def test_face_refuses_landmarks_of_another_mesh(points: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"finite \(478, 3\)"):
        Face(BOX, 0.5, points)


@pytest.mark.parametrize("points", [np.zeros((4, 2)), np.zeros((5, 3)), np.full((5, 2), np.inf)])
def test_face_refuses_keypoints_that_are_not_five(points: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"Face.keypoints must be a finite \(5, 2\)"):
        Face(BOX, 0.5, keypoints=points)


def test_face_owns_its_landmarks() -> None:
    points = POINTS.copy()
    face = Face(BOX, 0.5, points)
    points[:] = 7
    assert face.landmarks is not None and face.landmarks.max() == 0
    with pytest.raises(ValueError, match="read-only"):
        face.landmarks[0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        face.score = 1.0  # type: ignore[misc]


@pytest.mark.parametrize("matrix", [np.zeros((2, 3)), np.eye(3), np.full((2, 3), np.nan), [[1, 1, 0], [1, 1, 0]]])
def test_crop_refuses_a_matrix_that_cannot_be_undone(matrix: Any) -> None:
    with pytest.raises(ValueError, match="invertible"):
        Crop(matrix, 64)


@given(angle=st.floats(-math.pi, math.pi), scale=st.floats(0.05, 20), x=st.floats(-5000, 5000), y=st.floats(-5000, 5000))
def test_crop_and_back_is_the_identity(angle: float, scale: float, x: float, y: float) -> None:
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    crop = Crop(np.array([[cos, -sin, x], [sin, cos, y]]), 256)
    points = np.random.default_rng(0).uniform(-1000, 1000, (10, 3))
    assert crop.scale == pytest.approx(scale)
    assert np.allclose(crop.to_photo(crop.to_crop(points)), points, atol=1e-6)


def test_crop_maps_photo_to_crop() -> None:
    crop = Crop(np.array([[2.0, 0, -20], [0, 2.0, -40]]), 64)  # twice as large, origin at photo (10, 20)
    assert np.allclose(crop.to_crop(np.array([[10.5, 20.5, 1.0]])), [[1.0, 1.0, 2.0]])
    assert np.allclose(crop.to_crop(np.array([[10.5, 20.5]])), [[1.0, 1.0]])


def test_report_says_why_a_face_is_covered() -> None:
    covered = FaceReport(BOX, 0.87654, "covered", "no landmarks")
    assert covered.to_dict() == {
        "box": {"xmin": 10.0, "ymin": 20.0, "xmax": 30.0, "ymax": 50.0},
        "score": 0.8765,
        "status": "covered",
        "reason": "no landmarks",
        "look": "",
        "kept": [],
    }
    for status, reason in (("covered", ""), ("doubtful", ""), ("replaced", "why"), ("skipped", "")):
        with pytest.raises(ValueError):
            FaceReport(BOX, 0.5, status, reason)


def test_result_counts_faces() -> None:
    reasons = {"replaced": "", "covered": "profile", "doubtful": "it may be no face"}
    statuses = ["replaced", "covered", "doubtful", "replaced"]
    result = AnonymizationResult(Image.new("RGB", (4, 4)), tuple(FaceReport(BOX, 1, one, reasons[one]) for one in statuses))
    assert (result.num_replaced, result.num_covered, result.num_doubtful) == (2, 2, 1), "a doubtful one is covered, too"
    assert [face["status"] for face in result.to_dict()["faces"]] == statuses


def test_whether_a_face_is_doubtful_travels_with_it() -> None:
    """Also in pickles that were made before faces could be doubtful."""
    doubtful, old = Face(BOX, 0.5, doubtful=True), Face(BOX, 0.5)
    del old.__dict__["doubtful"]
    assert pickle.loads(pickle.dumps(doubtful)).doubtful and not pickle.loads(pickle.dumps(old)).doubtful


def test_errors_are_value_errors() -> None:
    assert issubclass(NoFaceError, ValueError) and issubclass(UnusableImageError, ValueError)


def test_box_arithmetic() -> None:
    assert box_of_points(np.array([[1.0, 5, 9], [3, 2, 0]])) == (1, 2, 3, 5)
    assert scale_box(BOX, 2) == (0, 5, 40, 65)
    assert clip_box((-3.2, 4.5, 7.1, 99), height=50, width=60) == (0, 4, 8, 50)
    assert clip_box((60, 0, 70, 10), height=50, width=60) is None


@pytest.mark.parametrize(
    ("other", "union", "smaller", "why"),
    [
        (BOX, 1.0, 1.0, "itself"),
        ((30, 20, 40, 50), 0.0, 0.0, "touching: maxima are exclusive"),
        ((10, 20, 20, 50), 0.5, 1.0, "half of it"),
        ((0, 0, 100, 100), 0.06, 1.0, "around it"),
    ],
)
def test_box_overlap(other: Any, union: float, smaller: float, why: str) -> None:
    over_union, over_smaller = box_overlap(BOX, np.array([other]))
    assert over_union[0] == pytest.approx(union) and over_smaller[0] == pytest.approx(smaller)


def test_box_overlap_with_nothing() -> None:
    assert [part.shape for part in box_overlap(BOX, np.zeros((0, 4)))] == [(0,), (0,)]
