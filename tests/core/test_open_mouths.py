"""Mouths that are opened wide, with the weights of the package: lips stay lips, and what is not a mouth stays where it is."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from ganon_hf import Anonymizer
from ganon_hf.core.face_mesh import FACE_OVAL, MEAN_LANDMARKS, MOUTH_LOWER, MOUTH_START, MOUTH_UPPER
from ganon_hf.core.landmarks import facing, triangle_map
from ganon_hf.core.openings import carry_openings
from ganon_hf.core.options import AnonymizeOptions
from ganon_hf.evaluation.report.people_sheet import EXPRESSIONS, ExpressionSpace

SIDE = 256
# inner and outer edge of the upper and of the lower lip in the middle
UPPER_LIP, LOWER_LIP = (13, 0), (14, 17)


@lru_cache(maxsize=1)
def engine() -> Anonymizer:
    return Anonymizer.from_pretrained()


def drawn_points(lips: float, seed: int) -> np.ndarray:
    """(478, 3) crop pixels of a synthetic person in surprise, lips open by a share of the mouth's width."""
    face = ExpressionSpace(engine().shape_model).face(replace(EXPRESSIONS["surprise"], lips=lips), SIDE)
    blank = np.full((SIDE, SIDE, 3), (150, 120, 105), np.uint8)
    points = engine().plan(blank, AnonymizeOptions(seed=seed, output="crop"), faces=[face]).faces[0].points
    assert points is not None
    return points


@pytest.mark.parametrize(("lips", "most"), [(0.4, 25), (0.6, 100)])
@pytest.mark.parametrize("seed", [0, 1, 3])
def test_lips_are_not_turned_inside_out(lips: float, most: int, seed: int) -> None:
    points = drawn_points(lips, seed)
    assert points[14, 1] - points[13, 1] > 15, "the mouth is open"
    for inner, outer in (UPPER_LIP, LOWER_LIP):
        assert abs(points[outer, 1] - points[inner, 1]) > 1 and (points[outer, 1] > points[inner, 1]) == (inner == 14)
    index = triangle_map(points, SIDE)
    inside_out = (facing(points) < 0)[np.clip(index, 0, None)] & (index >= 0) & (index < MOUTH_START)
    inside_out[: SIDE // 2] = False
    assert inside_out.sum() < most, "pixels that show the back of the skin around the mouth"


def opened(gap: float) -> np.ndarray:
    """The mean shape with lips ``gap`` shape units apart in the middle."""
    shape = MEAN_LANDMARKS.copy()
    middle = (shape[MOUTH_UPPER] + shape[MOUTH_LOWER]) / 2
    half = np.zeros((len(MOUTH_UPPER), 3))
    half[:, 1] = gap / 2 * np.sin(np.linspace(0.3, np.pi - 0.3, len(MOUTH_UPPER)))
    shape[MOUTH_UPPER], shape[MOUTH_LOWER] = middle - half, middle + half
    return shape


def test_a_mouth_opens_downwards() -> None:
    before, after = opened(0.01), carry_openings(opened(0.5), opened(0.01))
    moved = (after - before)[:, 1]
    assert moved[14] - moved[13] == pytest.approx(0.49, abs=1e-6)
    assert -0.15 < moved[13] < 0 and moved[14] > 0.35, "the lower lip makes most of the way"
    for inner, outer in (UPPER_LIP, LOWER_LIP):
        assert abs(moved[inner] - moved[outer]) < 0.03, "both edges of a lip go together"
    assert np.abs(after - before)[FACE_OVAL].max() < 1e-3 and np.abs(after - before)[[4, 6, 10, 50, 280]].max() < 5e-3


def test_a_narrow_round_mouth_opens_a_wide_one_no_further_than_itself() -> None:
    source, target = opened(0.4), opened(0.05)
    center = source[[13, 14]].mean(axis=0)
    mouth = np.abs(source[:468, 1] - center[1]) < 0.35
    source[:468][mouth, 0] = center[0] + 0.6 * (source[:468][mouth, 0] - center[0])
    result = carry_openings(source, target)
    assert result[14, 1] - result[13, 1] == pytest.approx(0.4, abs=1e-3)


@pytest.mark.parametrize("gap", [0.0, 0.03, 0.09])
def test_small_changes_stay_near_the_lips(gap: float) -> None:
    """Faces at rest and in conversation: nothing but lips and what touches them is moved."""
    before = opened(0.01)
    moved = np.abs(carry_openings(opened(gap), before) - before).max(axis=1)
    assert moved[[2, 164, 200, 199, 205, 425, 152]].max() < 2e-3


def test_lips_that_touch_open_along_their_whole_width() -> None:
    """A synthetic person's lips may lie on one another exactly, or as good as: such pairs stayed together while their neighbors opened."""
    source, target = opened(0.3), MEAN_LANDMARKS.copy()
    target[MOUTH_LOWER] = target[MOUTH_UPPER] + np.random.default_rng(0).normal(0, 1e-4, (len(MOUTH_UPPER), 3))
    result = carry_openings(source, target)
    gaps = (result[MOUTH_LOWER] - result[MOUTH_UPPER])[:, 1] / (source[MOUTH_LOWER] - source[MOUTH_UPPER])[:, 1]
    assert 0.6 < gaps.min() and gaps.max() < 1.4
    assert np.abs(result[MOUTH_LOWER] - result[MOUTH_UPPER])[:, [0, 2]].max() < 0.05
