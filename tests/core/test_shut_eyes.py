"""Eyes as they close, with the weights of the package: no bright slit is left between the lids, and open eyes are drawn as ever."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np
import pytest

from ganon_hf import Anonymizer
from ganon_hf.core.face_mesh import (
    IRIS_PATCHES,
    IRIS_REACH,
    LEFT_EYE_LOWER,
    LEFT_EYE_UPPER,
    RIGHT_EYE_LOWER,
    RIGHT_EYE_UPPER,
    UV_MAP,
)
from ganon_hf.core.landmarks import EYE_SPANS, eyes_shut, lids_over_eyes, render_uv_map, triangle_map
from ganon_hf.evaluation.report.people_sheet import EXPRESSIONS, ExpressionSpace, portrait

SIDE = 256
LIDS = ((RIGHT_EYE_UPPER, RIGHT_EYE_LOWER), (LEFT_EYE_UPPER, LEFT_EYE_LOWER))


@lru_cache(maxsize=1)
def engine() -> Anonymizer:
    return Anonymizer.from_pretrained()


@lru_cache(maxsize=1)
def drawn_alone() -> Anonymizer:
    """Without refinement, which draws lashes and folds: it is the drawing that left slits (51 to 89 levels in these nine faces; a fold of
    the bank's people gives 34)."""
    made = Anonymizer.from_pretrained()
    made.model.refinement = None
    return made


def points_with(eyes: float) -> np.ndarray:
    """The mean person's landmarks, eyes open by a share of their resting opening."""
    face = ExpressionSpace(engine().shape_model).face(replace(EXPRESSIONS["neutral"], eyes=eyes), SIDE)
    assert face.landmarks is not None
    return face.landmarks.copy()


def slits(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """How much brighter than what is above and below each pixel near the line where the lids meet is, in levels of luma.

    A slit runs along the lids; skin between lashes does not, and is blurred away.
    """
    luma = cv2.blur(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (9, 1))
    line = np.zeros(luma.shape, np.uint8)
    for upper, lower in LIDS:
        middle = (points[upper] + points[lower])[:, :2] / 2
        cv2.polylines(line, [np.round(middle - 0.5).astype(np.int32)], False, 1, thickness=8)
    return cv2.morphologyEx(luma, cv2.MORPH_TOPHAT, np.ones((5, 1), np.uint8))[line > 0]


@pytest.mark.parametrize("eyes", [0.0, 0.15, 0.3])
@pytest.mark.parametrize("seed", [0, 1, 4])
def test_no_bright_slit_is_left_between_the_lids(eyes: float, seed: int) -> None:
    face = ExpressionSpace(engine().shape_model).face(replace(EXPRESSIONS["neutral"], eyes=eyes), SIDE)
    assert face.landmarks is not None
    brightest = slits(portrait(drawn_alone(), face, SIDE, seed), face.landmarks).max()
    assert brightest <= 40, f"a line brighter than both lids by {brightest} levels"


def test_a_shut_eye_shows_neither_iris_nor_white() -> None:
    points = points_with(0.0)
    uv_map, _ = render_uv_map(points, SIDE)
    index = triangle_map(points, SIDE)
    for eye, (upper, lower) in enumerate(LIDS):
        between = (index >= EYE_SPANS[eye][0]) & (index < EYE_SPANS[eye][1])
        assert between.any(), "lids that meet still draw a line"
        u, v = uv_map[between].T
        chain = UV_MAP[upper][np.argsort(UV_MAP[upper][:, 0])]
        inner = (u > chain[1, 0]) & (u < chain[-2, 0])
        assert inner.any() and (v[inner] < np.interp(u[inner], *chain.T)).all(), "what is between the lids is the upper lid's edge"
        assert (np.abs(uv_map - IRIS_PATCHES[eye]).max(axis=-1) > 0.05).all(), "there is no iris"
        assert UV_MAP[lower][:, 1].min() > np.interp(UV_MAP[lower][:, 0], *chain.T).min(), "the UV map's eyes stand open"


@pytest.mark.parametrize(
    ("eyes", "low", "high", "why"),
    [
        (1.35, 0, 0, "a stare"),
        (1.0, 0, 0, "at rest"),
        (0.7, 0, 0, "a smile narrows the eyes and does not shut them"),
        (0.4, 0.1, 0.9, "nearly shut"),
        (0.0, 1, 1, "shut"),
        (-0.2, 1, 1, "lids that passed each other"),
    ],
)
def test_how_far_an_eye_is_shut(eyes: float, low: float, high: float, why: str) -> None:
    points = points_with(1.0)
    for upper, lower in LIDS:
        middle, half = (points[upper] + points[lower]) / 2, (points[lower] - points[upper]) / 2
        points[upper], points[lower] = middle - eyes * half, middle + eyes * half
    for degrees in (0, 30, -150):  # of roll
        angle = np.radians(degrees)
        turned = points[:, :2] @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        shut = eyes_shut(turned)
        assert (low <= shut).all() and (shut <= high).all(), (why, shut)


def test_one_eye_winks_alone() -> None:
    points, wide = points_with(1.0), points_with(1.0)
    points[RIGHT_EYE_UPPER] = points[RIGHT_EYE_LOWER]
    assert eyes_shut(points).tolist() == [1.0, 0.0]
    left = points[:, 0] > points[168, 0]
    x = int(points[168, 0])
    assert left.any() and np.array_equal(render_uv_map(points, SIDE)[0][:, x:], render_uv_map(wide, SIDE)[0][:, x:])


@pytest.mark.parametrize(
    ("shut", "white", "reach", "why"),
    [
        (0.0, 0, IRIS_REACH, "an open eye is drawn as ever"),
        (0.65, 1, IRIS_REACH, "a narrow slit is dark from end to end of the iris, not a dot, and has no white beside it"),
        (0.8, 1, 0, "what is left of a slit is lashes"),
        (1.0, 1, 0, "shut"),
    ],
)
def test_the_white_goes_before_the_iris(shut: float, white: float, reach: float, why: str) -> None:
    covered, left = lids_over_eyes(np.full(2, shut))
    assert covered.tolist() == [white] * 2 and left.tolist() == [reach] * 2, why
