"""Eyes as dark beside the skin as the photo's; light parts, skin and faces whose eyes are dark enough stay as they are."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import face_at

from ganon_hf.core.dark_features import eye_mask, match_dark_features
from ganon_hf.core.landmarks import triangle_map

SIDE = 128
INDEX = triangle_map(face_at(64, 64, 100).landmarks, SIDE)  # type: ignore[arg-type]
EYES = eye_mask(INDEX, SIDE)
SKIN, ALL = (INDEX >= 0) & ~EYES, np.ones((SIDE, SIDE), bool)


def face(skin: float, eyes: float, *, fold: float | None = None) -> np.ndarray:
    """Gray skin with darker eyes, and a fold on the chin."""
    luma = np.full((SIDE, SIDE), skin, np.float32)
    luma[EYES] = eyes
    if fold is not None:
        luma[100:104, 40:80] = fold
    return np.repeat(luma[..., None], 3, axis=2)


def eyes_of(picture: np.ndarray) -> float:
    return float(np.median(picture[..., 1][EYES]))


def test_the_mask_is_the_eyes_and_what_is_close_to_them() -> None:
    assert 0.01 < EYES.mean() < 0.08 and not EYES[70:].any()


def test_pale_eyes_become_darker_and_nothing_else() -> None:
    synthetic = face(200, 100, fold=170)
    result = match_dark_features(synthetic, face(150, 30), SKIN, EYES, ALL)
    assert 70 < eyes_of(result) < 90, "towards the photo's, but not as far"
    assert np.array_equal(result[~EYES], synthetic[~EYES]), "skin and folds"


@pytest.mark.parametrize(
    ("photo", "seen", "reason"),
    [
        (face(150, 75), ALL, "as dark as the photo's"),
        (face(150, 120), ALL, "the photo's are lighter: they may be shut"),
        (face(150, 20), ~EYES, "a hand lies over the photo's eyes"),
    ],
)
def test_eyes_stay_as_they_are(photo: np.ndarray, seen: np.ndarray, reason: str) -> None:
    synthetic = face(200, 100)
    assert np.array_equal(match_dark_features(synthetic, photo, SKIN, EYES, seen), synthetic), reason


def test_dark_spectacles_do_not_make_eyes_black() -> None:
    result = match_dark_features(face(200, 100), face(150, 0), SKIN, EYES, ALL)
    assert eyes_of(result) == pytest.approx(160 * (100 / 160) ** 1.4, abs=1)


def test_the_order_of_dark_values_stays() -> None:
    synthetic = face(200, 100)
    ramp = np.linspace(5, 195, np.count_nonzero(EYES), dtype=np.float32)
    synthetic[EYES] = ramp[:, None]
    result = match_dark_features(synthetic, face(150, 8), SKIN, EYES, ALL)[..., 0][EYES]
    assert (np.diff(result) > 0).all() and result.min() >= 0


@pytest.mark.parametrize("skin", [np.zeros((SIDE, SIDE), bool), SKIN])
def test_without_skin_or_light_nothing_is_compared(skin: np.ndarray) -> None:
    black = face(0, 0)
    assert np.array_equal(match_dark_features(black, black, skin, EYES, ALL), black)
