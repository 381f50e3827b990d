"""Eyes as dark and teeth as light beside the skin as the photo's; skin, also in the shade, closed lips and dark eyes stay as they are."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import face_at

from ganon_hf.core.eyes_and_teeth import eye_mask, match_eyes_and_teeth
from ganon_hf.core.landmarks import triangle_map

SIDE = 128
POINTS = face_at(64, 64, 100).landmarks
INDEX = triangle_map(POINTS, SIDE)  # type: ignore[arg-type]
EYES = eye_mask(INDEX, SIDE)
SKIN, ALL = (INDEX >= 0) & ~EYES, np.ones((SIDE, SIDE), bool)
CLOSED, OPEN = np.zeros((SIDE, SIDE), bool), np.zeros((SIDE, SIDE), bool)
OPEN[88:96, 48:80] = True
TEETH = OPEN.copy()
TEETH[:, ::5] = False  # gaps between teeth
BROW = tuple(np.round(POINTS[105, 1::-1]).astype(int))  # type: ignore[index]


def face(skin: float, eyes: float, *, tint: tuple[float, float, float] = (1, 1, 1)) -> np.ndarray:
    """Skin with darker eyes."""
    luma = np.full((SIDE, SIDE), skin, np.float32)
    luma[EYES] = eyes
    return luma[..., None] * np.array(tint, np.float32)


def match(
    synthetic: np.ndarray, original: np.ndarray, skin: np.ndarray = SKIN, seen: np.ndarray = ALL, mouth: np.ndarray = CLOSED
) -> np.ndarray:
    return match_eyes_and_teeth(synthetic, original, skin & ~mouth, EYES, mouth, seen, SIDE)


def eyes_of(picture: np.ndarray) -> float:
    return float(np.median(picture[..., 1][EYES]))


def test_the_mask_is_the_eyes_and_what_is_close_to_them() -> None:
    assert 0.01 < EYES.mean() < 0.08 and not EYES[70:].any()
    turned = triangle_map(face_at(64, 64, 100, yaw=60).landmarks, SIDE)  # type: ignore[arg-type]
    assert (turned[eye_mask(turned, SIDE)] >= 0).all(), "nothing beside a turned head"


def test_pale_eyes_and_brows_become_darker_and_nothing_else() -> None:
    synthetic = face(200, 100)
    synthetic[100:104, 40:80] = 90  # a beard
    synthetic[BROW[0] - 2 : BROW[0] + 3, BROW[1] - 6 : BROW[1] + 7] = 120
    result = match(synthetic, face(150, 30))
    assert 70 < eyes_of(result) < 90, "towards the photo's, but not as far"
    assert result[BROW][1] < 116
    lower = np.arange(SIDE)[:, None, None] > 90
    assert np.array_equal(result * lower, synthetic * lower), "the beard"
    skin = (synthetic == 200).all(axis=2)
    assert np.array_equal(result[skin], synthetic[skin])


def test_skin_in_the_shade_is_no_feature() -> None:
    """Lit from the side, half of a face is darker than the median of its skin: that is the light, which is matched already."""
    shade = np.where(np.arange(SIDE) < 50, 0.4, 1.0)[None, :, None].astype(np.float32)
    synthetic, photo = face(180, 90) * shade, face(180, 54) * shade
    result = match(synthetic, photo)
    cheek = np.zeros((SIDE, SIDE), bool)
    cheek[60:80, 20:40] = True
    assert np.abs(result - synthetic)[cheek & SKIN].max() < 0.5
    for side in (slice(0, 40), slice(80, SIDE)):
        eye = EYES[:, side]
        ratio = result[:, side][eye] / synthetic[:, side][eye]
        assert np.median(ratio) < 0.9, "the eyes of both halves"


@pytest.mark.parametrize(
    ("photo", "seen", "reason"),
    [
        (face(150, 75), ALL, "as dark as the photo's"),
        (face(150, 110), ALL, "the photo's are lighter: they may be shut"),
        (face(150, 20), ~EYES, "a hand lies over the photo's eyes"),
    ],
)
def test_eyes_stay_as_they_are(photo: np.ndarray, seen: np.ndarray, reason: str) -> None:
    synthetic = face(200, 100)
    assert np.abs(match(synthetic, photo, seen=seen) - synthetic).max() < 0.5, reason


def test_dark_spectacles_do_not_make_eyes_black() -> None:
    assert eyes_of(match(face(200, 100), face(150, 0))) == pytest.approx(160 * (100 / 160) ** 1.4, rel=0.05)


def test_the_order_of_dark_values_and_the_hue_of_irises_stay() -> None:
    synthetic = face(200, 100, tint=(1.0, 0.6, 0.4))
    ramp = np.linspace(5, 195, np.count_nonzero(EYES), dtype=np.float32)
    synthetic[EYES] = ramp[:, None] * np.array([1.0, 0.6, 0.4], np.float32)
    result = match(synthetic, face(150, 8))
    assert (np.diff(result[..., 1][EYES]) > -1).all() and result.min() >= 0
    assert np.allclose(result[EYES][:, 2], 0.4 * result[EYES][:, 0], rtol=1e-4)


@pytest.mark.parametrize("skin", [np.zeros((SIDE, SIDE), bool), SKIN])
def test_without_skin_or_light_nothing_is_compared(skin: np.ndarray) -> None:
    black = face(0, 0)
    assert np.array_equal(match(black, black, skin=skin), black)


def smile(skin: float, teeth: float, gaps: float = 40, *, tint: tuple[float, float, float] = (1, 1, 1)) -> np.ndarray:
    """A face with an open mouth."""
    picture = face(skin, 60, tint=tint)
    picture[OPEN] = gaps
    picture[TEETH] = teeth * np.array(tint, np.float32)
    return picture


@pytest.mark.parametrize(
    ("teeth", "photo", "low", "high", "reason"),
    [
        (120, smile(110, 190), 180, 200, "teeth that were gray are as light as the photo's"),
        (120, smile(55, 95), 180, 200, "in half the light it is the same"),
        (120, smile(60, 190), 185, 195, "at most 1.6 times as light"),
        (190, smile(110, 120), 118, 122, "and no lighter than they are in the shade"),
        (120, smile(110, 40), 59, 61, "at least half as light"),
    ],
)
def test_teeth_are_as_light_beside_the_skin_as_the_photo_s(teeth: float, photo: np.ndarray, low: float, high: float, reason: str) -> None:
    synthetic = smile(110, teeth)
    result = match(synthetic, photo, mouth=OPEN)
    assert low < float(np.median(result[TEETH])) < high, reason
    assert np.allclose(result[OPEN & ~TEETH], 40, atol=1), "gaps stay dark"
    assert np.array_equal(result[~OPEN], synthetic[~OPEN])


def test_teeth_do_not_burn_out() -> None:
    """Not even the lightest ones, which are lighter than what is compared."""
    synthetic = smile(180, 170)
    synthetic[90:92, 60:62], synthetic[94, 70] = 200, 245
    result = match(synthetic, smile(180, 255), mouth=OPEN)
    assert np.median(result[TEETH]) > 180 and np.delete(result[TEETH], np.argmax(result[TEETH].sum(axis=1)), axis=0).max() < 236
    assert result[94, 70].max() == 245, "what was lighter stays"


def test_there_is_no_step_where_teeth_come_into_sight() -> None:
    """In a video, teeth would flicker."""
    levels = [float(np.median(match(smile(110, 70), smile(110, teeth), mouth=OPEN)[TEETH])) for teeth in range(80, 130)]
    assert levels[0] == 70 and levels[-1] > 105 and np.abs(np.diff(levels)).max() < 5


def test_teeth_turn_white_and_not_yellow() -> None:
    synthetic = smile(110, 120, tint=(1.0, 0.95, 0.8))
    before, after = (picture[91, 64] for picture in (synthetic, match(synthetic, smile(110, 190), mouth=OPEN)))
    assert after.mean() > before.mean() + 30
    assert np.ptp(after) == pytest.approx(np.ptp(before), abs=0.5), "light is added to all channels alike"


def test_the_edge_of_the_mouth_does_not_become_a_light_line() -> None:
    """Pixels there show lips as well: they got as much lighter as teeth."""
    synthetic = smile(110, 120)
    lighter = (match(synthetic, smile(110, 190), mouth=OPEN) - synthetic)[..., 1]
    middle, edges = lighter[91:93, 64].mean(), lighter[[88, 95], 64].mean()
    assert middle > 30 and edges < middle / 2


def test_what_gets_darker_does_so_up_to_the_edge() -> None:
    synthetic = smile(110, 190)
    darker = (synthetic - match(synthetic, smile(110, 115), mouth=OPEN))[..., 1]
    assert darker[91:93, 64].mean() > 5 and darker[[88, 95], 64] == pytest.approx(darker[91, 64], abs=1)


def test_lips_are_not_taken_for_teeth() -> None:
    """The slit between lips that hardly part lies on the photo's lips, which are light."""
    slit = np.zeros((SIDE, SIDE), bool)
    slit[91:93, 53:75] = True
    synthetic = face(110, 60)
    synthetic[slit] = 70
    assert np.array_equal(match(synthetic, smile(110, 190), mouth=slit), synthetic)


def test_a_hand_over_the_photo_s_mouth_says_nothing_of_teeth() -> None:
    synthetic = smile(110, 120)
    assert np.array_equal(match(synthetic, smile(110, 190), seen=~OPEN, mouth=OPEN), synthetic)


def test_lower_teeth_are_compared_with_what_is_seen_below() -> None:
    """In a mouth that is wide open, upper teeth are light, and where lower teeth would be lies a tongue."""
    rows = np.zeros((SIDE, SIDE), bool)
    rows[80:112, 44:84] = True

    def wide(upper: float, lower: float) -> np.ndarray:
        picture = face(110, 60)
        picture[rows] = 25
        picture[80:88, 44:84], picture[104:112, 44:84] = upper, lower
        return picture

    result = match(wide(130, 150), wide(130, 75), mouth=rows)[..., 1]
    assert result[82:86, 60:68] == pytest.approx(130, abs=2) and result[105:110, 60:68] == pytest.approx(75, abs=2)
    assert result[94:98, 60:68] == pytest.approx(25, abs=1)


def test_what_is_hidden_of_lower_teeth_does_not_make_them_dark() -> None:
    """Something before the mouth leaves the dark middle of it to be seen."""
    rows, picture = np.zeros((SIDE, SIDE), bool), face(110, 60)
    rows[80:112, 44:84] = True
    picture[rows] = 25
    picture[80:88, 44:84], picture[104:112, 44:84] = 130, 150
    for last in range(80, 112):
        seen = ALL.copy()
        seen[last:112, 44:84] = False
        assert np.allclose(match(picture, picture, seen=seen, mouth=rows), picture, atol=1), last
