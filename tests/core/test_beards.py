"""Beards as dark beside the skin as the photo's; a shaved photo, lips, other skin and hidden beards change nothing, and nothing jumps."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import face_at

from ganon_hf.core.beards import beard_mask, match_beard
from ganon_hf.core.face_mesh import CHIN, MOUTH_START, RIGHT_EYE_START
from ganon_hf.core.landmarks import triangle_map

SIDE = 192
POINTS: np.ndarray = face_at(96, 96, 150).landmarks  # type: ignore[assignment]
INDEX = triangle_map(POINTS, SIDE)
BEARD, ALL = beard_mask(INDEX), np.ones((SIDE, SIDE), bool)
SKIN = (INDEX >= 0) & (INDEX < MOUTH_START)
CORE = BEARD & (np.roll(BEARD, 8, 0) & np.roll(BEARD, -8, 0) & np.roll(BEARD, 8, 1) & np.roll(BEARD, -8, 1))
MOUTH = (INDEX >= MOUTH_START) & (INDEX < RIGHT_EYE_START)


def face(beard: float, skin: float = 180) -> np.ndarray:
    """Reddish skin and a beard that covers its area evenly."""
    luma = np.full((SIDE, SIDE), skin, np.float32)
    luma[BEARD] = beard
    return luma[..., None] * np.array([1.1, 1, 0.9], np.float32)


def match(synthetic: np.ndarray, original: np.ndarray, seen: np.ndarray = ALL, skin: np.ndarray = SKIN) -> np.ndarray:
    return match_beard(synthetic, original, skin, INDEX, seen, SIDE)


def level(picture: np.ndarray) -> float:
    return float(np.median(picture[..., 1][CORE]))


def test_a_beard_grows_around_the_mouth_and_down_to_the_chin() -> None:
    x, y = np.round(POINTS[CHIN, :2]).astype(int)
    assert BEARD[y - 6, x] and not BEARD[: int(POINTS[1, 1])].any(), "not on the nose and above"
    assert 0.08 < BEARD.sum() / (INDEX >= 0).sum() < 0.4
    lips = [tuple(np.round(POINTS[number, 1::-1]).astype(int)) for number in (11, 16)]  # the middle of each; 0 and 17 are on their outlines
    assert not any(BEARD[place] for place in lips) and not (BEARD & (INDEX >= MOUTH_START)).any()
    assert not beard_mask(np.full((4, 4), -1)).any(), "outside the mesh"


@pytest.mark.parametrize("light", [0.6, 1.0, 1.3])
def test_a_beard_becomes_as_dark_beside_the_skin_as_the_photo_s(light: float) -> None:
    result = match(face(140), light * face(80))
    assert level(result) == pytest.approx(80, abs=8), "in the light of the synthetic face"
    upper = slice(0, int(POINTS[6, 1]))  # down to the bridge of the nose
    assert np.array_equal(result[upper], face(140)[upper]), "the skin stays"


def test_lips_mouth_and_nose_stay() -> None:
    result, before = match(face(140), face(50)), face(140)
    assert level(result) < 70
    for number in (11, 16, 1):  # the middle of each lip, and below the tip of the nose
        x, y = np.round(POINTS[number, :2]).astype(int)
        assert result[y, x, 1] > 0.85 * before[y, x, 1], number
    assert np.abs(result - before)[MOUTH].mean() < 3


def test_hair_has_less_color_than_the_skin_below_it() -> None:
    pictures = face(140), match(face(140), face(60))
    before, after = (np.ptp(picture, axis=2)[CORE].mean() / picture[..., 1][CORE].mean() for picture in pictures)
    assert after < 0.8 * before


@pytest.mark.parametrize(
    ("photo", "seen", "skin"),
    [
        (face(180), ALL, SKIN),  # shaved
        (face(172), ALL, SKIN),  # in a little shade
        (face(150), ALL, SKIN),  # lighter than the synthetic one
        (face(60), ~BEARD, SKIN),  # behind a mask
        (face(60), ALL, BEARD),  # no skin to compare it with
    ],
)
def test_everything_else_stays(photo: np.ndarray, seen: np.ndarray, skin: np.ndarray) -> None:
    assert np.array_equal(match(face(140), photo, seen, skin), face(140))


def test_a_faint_beard_becomes_a_dark_one_as_far_as_it_goes() -> None:
    """It has no pattern of its own that a power could deepen."""
    assert 60 < level(match(face(178), face(60))) < 120
    assert level(match(face(140), face(1))) > 15, "but not black"


@pytest.mark.parametrize("own", [100, 140, 175, 178])
def test_nothing_jumps_while_a_photo_s_beard_becomes_darker(own: float) -> None:
    levels = [level(match(face(own), face(photo))) for photo in np.arange(180, 20, -1.5)]
    assert levels[0] == pytest.approx(own, abs=0.01)
    assert np.abs(np.diff(levels)).max() < 8, "a video would flicker"


def test_nothing_jumps_while_a_hand_covers_the_beard() -> None:
    rows = np.flatnonzero(BEARD.any(axis=1))
    levels = [level(match(face(140), face(60), ALL & (np.arange(SIDE) > row)[:, None])) for row in range(rows[0] - 1, rows[-1] + 1)]
    assert levels[0] < 80 and levels[-1] == pytest.approx(140, abs=0.01)
    assert np.abs(np.diff(levels)).max() < 25
