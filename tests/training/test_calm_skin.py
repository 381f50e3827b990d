"""Detail of portraits: pores and features stay, folds and frowns go, more of them on the young."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ganon_hf.core.face_mesh import UV_MAP
from ganon_hf.core.look import AGES
from ganon_hf.training.calm_skin import CalmSkin
from ganon_hf.training.portraits import FINE

SIZE = 128
SKIN = CalmSkin(SIZE)
NOTHING = np.zeros((SIZE, SIZE), np.float32)


def at(values: np.ndarray, point: int) -> float:
    column, row = np.floor(UV_MAP[point] * SIZE).astype(int)
    return float(values[row, column])


@pytest.mark.parametrize(
    ("point", "kept", "reason"),
    [
        (50, 0.2, "cheek: what is left of a fold"),
        (159, 0.6, "lid"),
        (13, 0.6, "lip"),
        (9, 0.06, "between the brows"),
        (105, 0.25, "brow"),
    ],
)
def test_folds_of_the_young_are_weak_and_features_stay(point: int, kept: float, reason: str) -> None:
    assert at(SKIN.calm(NOTHING + 4, NOTHING, AGES.index("young"), False), point) == pytest.approx(4 * kept, abs=1.2), reason


def test_folds_grow_with_age() -> None:
    depths = [at(SKIN.calm(NOTHING - 15, NOTHING, age, False), 50) for age in range(len(AGES))]
    assert depths == sorted(depths, reverse=True) and depths[-1] < 3 * depths[0] < 0


def wrinkle(depth: float) -> np.ndarray:
    """(SIZE, SIZE) fine band of a line down a cheek."""
    column = np.floor(UV_MAP[50, 0] * SIZE)
    line = np.tile(-depth * np.exp(-0.5 * ((np.arange(SIZE) - column) / 0.75) ** 2), (SIZE, 1)).astype(np.float32)
    return line - cv2.GaussianBlur(line, (0, 0), FINE * SIZE)


def test_pores_stay_and_wrinkles_are_weakened_as_a_whole() -> None:
    """Each value limited by itself made flat bands with hard borders, as in a posterized picture."""
    young, row = AGES.index("young"), int(UV_MAP[50, 1] * SIZE)
    before = [wrinkle(depth)[row] for depth in (1.5, 30.0)]
    shallow, deep = (SKIN.calm(NOTHING, wrinkle(depth), young, False)[row] for depth in (1.5, 30.0))
    near = slice(int(UV_MAP[50, 0] * SIZE) - 6, int(UV_MAP[50, 0] * SIZE) + 7)
    assert shallow.min() == pytest.approx(before[0].min(), rel=0.1) and -8 < deep.min() < -4 and before[1].min() < -18
    assert np.corrcoef(deep[near], before[1][near])[0, 1] > 0.97


def test_lashes_and_hair_of_brows_are_not_limited() -> None:
    detail = SKIN.calm(NOTHING, NOTHING - 30, AGES.index("young"), False)
    assert at(detail, 105) < -22 and at(detail, 159) < -22


def test_a_beard_is_no_fold() -> None:
    calm = [at(SKIN.calm(NOTHING - 20, NOTHING - 10, AGES.index("young"), beard), 199) for beard in (True, False)]
    assert calm[0] < -27 and calm[1] > -12


def test_a_fold_on_one_side_becomes_one_on_both_and_half_as_deep() -> None:
    folds = NOTHING.copy()
    folds[:, : SIZE // 2] = -4
    calm = SKIN.calm(folds, NOTHING, AGES.index("old"), False)
    assert at(calm, 50) == pytest.approx(at(calm, 280), abs=0.1) and -1.2 < at(calm, 50) < -0.5


def test_wear_counts_frowns_folds_and_light() -> None:
    stripes = (10 * np.cos(np.arange(SIZE))[None] + NOTHING).astype(np.float32)
    rested = SKIN.wear(NOTHING, NOTHING, NOTHING + 1)
    assert rested == 0 < SKIN.wear(stripes, NOTHING, NOTHING + 1) < SKIN.wear(NOTHING, stripes, NOTHING + 1)
    hidden = NOTHING + 1
    hidden[: SIZE // 2] = 0
    frown = stripes * (np.arange(SIZE) < SIZE // 2)[:, None]
    assert SKIN.wear(NOTHING, frown, hidden) == 0, "what is hidden does not count"
