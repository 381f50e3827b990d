"""Light and skin tone of a photo: recovered from known ones; what is no light is left out."""

from __future__ import annotations

import numpy as np
import pytest
from lit_face import LIT, LUMA, SIZE, SKIN, SYNTHETIC, X, Y, rgb, ycc
from tiny import face_at

from ganon_hf.core.alignment import align_face
from ganon_hf.core.face_mesh import MOUTH_START
from ganon_hf.core.highlights import apply_shoulder, undo_shoulder
from ganon_hf.core.landmarks import triangle_map
from ganon_hf.core.light_matching import match_light, surface_normals
from ganon_hf.core.opencv import cv2

NO_OPENINGS = np.zeros_like(SKIN)


def ball(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Normals of a ball a little larger than the square."""
    right, down = 0.7 * x, 0.7 * y
    return np.stack([right, down, np.sqrt(np.clip(1 - right**2 - down**2, 0.01, 1))], axis=-1).astype(np.float32)


NORMALS = ball(X, Y)
GRID = np.ascontiguousarray(NORMALS[::4, ::4])


def lit(original: np.ndarray, synthetic: np.ndarray = SYNTHETIC, skin: np.ndarray = SKIN, *, keep_tone: bool = False) -> np.ndarray:
    return match_light(synthetic, original, skin, NO_OPENINGS, GRID, keep_tone=keep_tone)


def error(result: np.ndarray, wanted: np.ndarray = LIT, where: np.ndarray = SKIN) -> np.ndarray:
    """(3,) mean absolute difference from the lit face in luma, Cb, Cr."""
    return np.abs(ycc(result) - ycc(wanted))[where].mean(axis=0)


# ---- normals


def test_the_normals_are_those_of_the_face() -> None:
    landmarks = face_at(100, 80, 110).landmarks
    assert landmarks is not None
    crop = align_face(landmarks.astype(np.float64), SIZE)
    points = crop.to_crop(landmarks.astype(np.float64))
    index = triangle_map(points, SIZE)
    normals = surface_normals(points, index)
    assert normals.shape == (SIZE // 4, SIZE // 4, 3)
    inside = index[::4, ::4] >= 0
    assert np.allclose(np.linalg.norm(normals[inside], axis=1), 1, atol=1e-3)
    assert np.mean(normals[inside][:, 2]) > 0.6, "the face looks at the viewer"
    rows, columns = np.nonzero(inside)
    assert np.corrcoef(columns, normals[inside][:, 0])[0, 1] > 0.8 and np.corrcoef(rows, normals[inside][:, 1])[0, 1] > 0.4
    nose = [points[[5, 48, 64]].mean(axis=0), points[[5, 278, 294]].mean(axis=0)]  # its right and its left side
    sides = [normals[int(y) // 4, int(x) // 4, 0] for x, y, _ in nose]
    assert sides[0] < -0.1 and sides[1] > 0.1
    assert (index >= MOUTH_START).any()


# ---- teeth


def with_teeth(level: float) -> tuple[np.ndarray, np.ndarray]:
    """The synthetic face with a row of teeth: light ones with dark gaps, and where they are."""
    openings = np.zeros_like(SKIN)
    openings[60:68, 40:80] = True
    teeth = SYNTHETIC.copy()
    teeth[openings] = np.where(np.arange(40) % 8 < 6, level, 0.7 * level)[None, :, None].repeat(8, axis=0).reshape(-1, 1)
    return teeth, openings


@pytest.mark.parametrize("brightness", [1.0, 1.4, 1.9])
def test_teeth_do_not_burn_out_in_a_bright_photo(brightness: float) -> None:
    face, openings = with_teeth(200.0)
    photo = np.clip(SYNTHETIC * brightness, 0, 250).astype(np.float32)
    result = match_light(face, photo, SKIN & ~openings, openings, GRID, keep_tone=False)
    levels = ycc(result)[..., 0][openings].reshape(8, 40)
    teeth, gaps = levels[:, 2:4].mean(), levels[:, 6:8].mean()
    assert teeth < 245 and 0.5 < gaps / teeth < 0.92, "and they have gaps"
    assert teeth > 0.9 * min(200 * brightness, 235), "as light as the photo makes them"


@pytest.mark.parametrize("keep_tone", [False, True])
@pytest.mark.parametrize("level", [170.0, 225.0, 239.0])
def test_eyes_and_mouth_stay_where_the_photo_has_the_same_light(level: float, keep_tone: bool) -> None:
    face, openings = with_teeth(level)
    result = match_light(face, face, SKIN & ~openings, openings, GRID, keep_tone=keep_tone)
    assert np.abs(ycc(result)[openings] - ycc(face)[openings])[:, 0].max() < 4


# ---- light and tone


def test_light_and_tone_are_recovered() -> None:
    assert error(SYNTHETIC)[0] > 25 and error(SYNTHETIC)[1:].min() > 3.5, "there is something to recover"
    luma, blue, red = error(lit(LIT))
    assert luma < 2.5 and max(blue, red) < 0.1


def test_a_place_of_skin_more_or_less_changes_hardly_anything() -> None:
    """From frame to frame of a video the mask changes by some pixels, and the light must not flicker."""
    large = (8 * SIZE, 8 * SIZE)
    photo, synthetic, normals = (cv2.resize(picture, large) for picture in (LIT, SYNTHETIC, NORMALS))
    texture = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 1, large), (0, 0), 4)
    photo = (photo * (1 + 0.1 * texture / texture.std())[..., None]).astype(np.float32)
    skin = cv2.resize(SKIN.view(np.uint8), large) > 0
    results = []
    for missing in range(3):
        first = np.flatnonzero(skin[::4, ::4])[:missing]
        seen = skin.copy()
        seen[first // (large[1] // 4) * 4, first % (large[1] // 4) * 4] = False
        grid = np.ascontiguousarray(normals[::4, ::4])
        results.append(match_light(synthetic, photo, seen, np.zeros_like(skin), grid)[skin])
    assert max(float(np.abs(other - results[0]).max()) for other in results[1:]) < 0.1


OCCLUDERS = {
    "a hand on one cheek": SKIN & (X > 0.1) & (Y > -0.15),
    "one side": SKIN & (X < -0.35),
    "the other side": SKIN & (X > 0.35),
    "a beard": SKIN & (Y > 0.35),
    "a fringe": SKIN & (Y < -0.35),
}


@pytest.mark.parametrize("name", OCCLUDERS)
@pytest.mark.parametrize("color", [(20, 20, 20), (250, 240, 30), (255, 255, 255)])
def test_a_quarter_of_something_else_does_not_count(name: str, color: tuple[int, int, int]) -> None:
    cover = OCCLUDERS[name]
    assert 0.2 < cover.sum() / SKIN.sum() < 0.3
    original = LIT.copy()
    original[cover] = color
    luma, blue, red = error(lit(original))
    assert luma < 4 and max(blue, red) < 0.5  # under the occluder, too: the light runs on


@pytest.mark.parametrize("width", [0.12, 0.2])
def test_dark_hair_at_the_temples_is_no_light(width: float) -> None:
    strips = SKIN & (np.abs(X) > 0.78 - width) & (Y < 0.1)
    original = LIT.copy()
    original[strips] = (35, 28, 25)
    result = lit(original)
    assert strips.sum() > 100 and abs(float((ycc(result) - ycc(LIT))[strips][:, 0].mean())) < 3


@pytest.mark.parametrize("gain", [1 + 0.7 * X, 0.7 + 0.3 * np.tanh(4 * X), 0.6 - 0.3 * Y])
def test_strong_light_from_one_side_is_light(gain: np.ndarray) -> None:
    wanted = rgb((LUMA + 4) * gain - 4, -7.0, 10.0)
    before, after = (np.abs(ycc(picture) - ycc(wanted))[SKIN][:, 0].mean() for picture in (SYNTHETIC, lit(wanted)))
    assert after < 0.25 * before and after < 10


def test_light_follows_the_surface() -> None:
    """A lamp from the right: what faces it is lit, wherever it lies. A field over the square would not see the ridge."""
    bent = X - np.where(np.abs(X) < 0.25, 6 * X, 0)  # a ridge in the middle turns its sides the other way
    normals = ball(bent, Y)
    gain = 0.8 + 0.4 * normals[..., 0]
    wanted = rgb((LUMA + 4) * gain - 4, -12.0, 14.0)
    result = match_light(SYNTHETIC, wanted, SKIN, NO_OPENINGS, np.ascontiguousarray(normals[::4, ::4]))
    ridge = SKIN & (np.abs(X) < 0.2)
    assert error(result, wanted, ridge)[0] < 0.4 * error(SYNTHETIC, wanted, ridge)[0]


@pytest.mark.parametrize(("blue", "red"), [(-0.1, 0.12), (0.05, -0.12)])
def test_shade_has_the_color_that_it_has_in_the_photo(blue: float, red: float) -> None:
    luma = (LUMA + 4) * (0.8 + 0.5 * X) - 4
    wanted = rgb(luma, -14 + blue * (luma - 100), 20 + red * (luma - 100))
    result = error(lit(wanted), wanted)
    assert max(result[1:]) < 0.8
    flat = rgb(luma, -14.0, 20.0)
    assert error(flat, wanted)[1:].max() > 2.5, "one tone for the whole face would not do"


def test_teeth_and_lashes_are_not_tinted_by_the_skins_line() -> None:
    luma = LUMA * (0.8 + 0.5 * X)
    wanted = rgb(luma, -14.0, 20 - 0.2 * (luma - 100))
    face = SYNTHETIC.copy()
    face[40:44, 30:60] = 250
    face[60:64, 30:60] = 4
    result = ycc(match_light(face, wanted, SKIN, NO_OPENINGS, GRID))
    skin = result[SKIN]
    assert (
        result[41:43, 32:58, 2].min() > skin[:, 2].min() - 16 and np.abs(result[61:63, 32:58, 1:] - ycc(face)[61:63, 32:58, 1:]).max() < 9
    )


def test_spots_do_not_take_the_color_of_shade() -> None:
    shaded = (LUMA + 4) * (0.8 + 0.5 * X) - 4
    photo = rgb(shaded, -12.0, 16 - 0.25 * (shaded - 110))
    spots = 14 * np.sin(43 * X) * np.sin(43 * Y)  # every seven pixels
    even, spotted = (ycc(lit(photo, rgb(LUMA + some, -12.0, 14.0)))[..., 2][SKIN] for some in (0, spots))
    assert np.ptp(even) > 10, "shade is redder"
    assert np.abs(spotted - even).max() < 2


def test_what_lies_beside_the_face_does_not_color_its_edge() -> None:
    shaded = (LUMA + 4) * (0.8 + 0.5 * X) - 4
    photo = rgb(shaded, -12.0, 16 - 0.25 * (shaded - 110))
    results = []
    for beside in (0.0, 255.0):
        face = SYNTHETIC.copy()
        face[~SKIN] = beside
        results.append(ycc(match_light(face, photo, SKIN, NO_OPENINGS, GRID, mesh=SKIN))[SKIN])
    assert np.abs(results[0] - results[1])[:, 1:].max() < 0.7


@pytest.mark.parametrize("patch", [12.0, -12.0])
def test_a_patchy_face_gets_no_more_patches_than_the_photo_has(patch: float) -> None:
    patchy = rgb(LUMA, -12.0, 14 + patch * np.sin(5 * X) * np.sin(5 * Y))
    calm = rgb(LUMA, -7.0, 10 + 2 * np.sin(7 * X))
    assert ycc(patchy)[SKIN][:, 2].std() > 5
    assert ycc(lit(calm, patchy))[SKIN][:, 2].std() < 0.6 * ycc(patchy)[SKIN][:, 2].std()
    assert ycc(lit(patchy, patchy))[SKIN][:, 2].std() > 5, "lips stay red where the photo's do"


@pytest.mark.parametrize("share", [0.5, 0.7])
def test_pale_lids_do_not_turn_gray_in_a_photo_of_paler_skin(share: float) -> None:
    """The photo's tone is a shift, and what has less chroma than skin must not be shifted beyond gray."""
    lids = np.hypot(X, Y + 0.3) < 0.3
    face = rgb(LUMA, -18 + 8.0 * lids, 24 - 14.0 * lids)
    photo = rgb(LUMA, share * -18 + 4 * np.sin(9 * X), share * 24 + 4 * np.sin(9 * X + 1))
    result = ycc(lit(photo, face))
    skin = SKIN & ~lids
    assert result[SKIN & lids][:, 2].mean() > 0.1 * result[skin][:, 2].mean() > 0.08 * share * 24


def test_skin_is_not_much_rougher_than_the_photos_and_brows_stay_dark() -> None:
    folds = 12 * np.sin(9 * X) * np.sin(9 * Y)
    rough, calm = rgb(130 + folds, -12.0, 14.0), rgb(130 + 0.15 * folds, -7.0, 10.0)
    rough[20:24, 30:60] = 25
    brow = np.s_[21:23, 32:58]
    skin = SKIN.copy()
    skin[18:26, 28:62] = False
    before, on_calm, on_rough = (ycc(one)[..., 0] for one in (rough, lit(calm, rough, skin), lit(rough, rough, skin)))
    assert on_calm[skin].std() < 0.6 * before[skin].std()
    assert on_rough[skin].std() > 0.9 * before[skin].std(), "rough skin beside rough skin"
    assert on_calm[brow].max() < before[brow].min() + 25


def test_highlights_beyond_the_photos_keep_their_shape() -> None:
    shiny = rgb(130 + 60 * np.sin(9 * X), -12.0, 14.0)
    burnt = rgb(np.minimum(205 + 60 * np.sin(9 * Y), 225), -7.0, 10.0)
    luma = ycc(lit(burnt, shiny))[48, :, 0][SKIN[48]]
    highlights = luma[luma > np.quantile(luma, 0.75)]
    assert luma.max() < 227 and np.ptp(highlights) > 4, "no flat patch"


def test_the_shoulder_is_undone_below_the_last_tenth_and_never_reaches_white() -> None:
    levels = np.arange(0, 249, dtype=np.float32)
    again = undo_shoulder(levels)
    assert (np.diff(again) > 0).all() and np.array_equal(again[:191], levels[:191])
    apply_shoulder(again)
    assert np.allclose(again, levels, atol=0.1)
    assert np.isfinite(undo_shoulder(np.array([255.0, 400.0], np.float32))).all()
    bright = np.array([250.0, 300.0, 400.0], np.float32)
    apply_shoulder(bright)
    assert (np.diff(bright) > 0).all() and bright.max() < 255


@pytest.mark.parametrize(
    ("level", "lowest", "highest", "reason"),
    [
        (130, 16, 24, "as in the texture"),
        (215, 6, 18, "in a bright photo, light areas hardly differ any more"),
    ],
)
def test_light_areas_of_bright_skin_differ_less_as_in_a_cameras_picture(level: float, lowest: float, highest: float, reason: str) -> None:
    lids = SKIN & (np.abs(Y + 0.2) < 0.08) & (np.abs(X) < 0.4)
    texture = 8 * np.sin(9 * X) * np.sin(9 * Y)
    shiny = 35 * (np.abs(Y - 0.3) < 0.1)  # highlights that the photo has elsewhere
    face, photo = rgb(130 + texture + 20.0 * lids, -12.0, 14.0), rgb(np.minimum(level + texture + shiny, 250), -7.0, 10.0)
    luma = ycc(lit(photo, face))[..., 0]
    around = SKIN & ~lids
    assert abs(np.median(luma[around]) - level) < 3, "the skin is as light as the photo's"
    assert lowest < luma[lids].mean() - np.median(luma[around]) < highest, reason


def test_the_shoulder_belongs_to_the_camera_and_not_to_the_tone() -> None:
    lamp = rgb(np.minimum((LUMA + 4) * (1.3 + 0.7 * X) - 4, 250), -12.0, 14.0)
    luma = ycc(lit(lamp, rgb(np.full_like(LUMA, 200.0), -12.0, 14.0), keep_tone=True))[..., 0][SKIN]
    assert luma.max() < 255 and np.ptp(luma) > 60


def test_skin_does_not_burn_out_beside_skin_that_does_not() -> None:
    shiny = rgb(LUMA + 90 * np.exp(-((X**2 + Y**2) * 12)), -12.0, 14.0)
    original = rgb(np.where(SKIN, 215 + 6 * np.sin(5 * X), 215), -7.0, 10.0)
    luma = ycc(lit(original, shiny))[..., 0]
    assert ycc(shiny)[..., 0][SKIN].max() * 215 / 130 > 330 and luma[SKIN].max() < 225
    openings = X**2 + Y**2 < 0.01
    teeth = ycc(match_light(shiny, original, SKIN & ~openings, openings, GRID))[..., 0]
    assert luma[SKIN].max() < teeth[openings].mean() < 245, "teeth are brighter, but do not burn out either"


@pytest.mark.parametrize(
    ("tone", "wanted", "reason"),
    [
        ((-4.0, 5.0), (0.0, 0.0), "beside pale skin, teeth stay neutral instead of turning blue"),
        ((-12.0, 14.0), (0.0, 0.0), "the same tone"),
        ((-30.0, 20.0), (-18.0, 6.0), "in warm light, teeth are as warm as the light"),
        ((8.0, -6.0), (8.0, -6.0), "in blue light, teeth are blue"),
    ],
)
def test_teeth_take_the_color_of_the_light_and_not_the_paleness_of_skin(
    tone: tuple[float, float], wanted: tuple[float, float], reason: str
) -> None:
    openings = X**2 + Y**2 < 0.02
    synthetic = rgb(LUMA, np.where(openings, 0.0, -12.0), np.where(openings, 0.0, 14.0))
    result = ycc(match_light(synthetic, rgb(LUMA, *tone), SKIN & ~openings, openings, GRID))
    assert np.abs(result[openings][:, 1:] - wanted).max() < 3, reason
    assert np.abs(result[SKIN & ~openings][:, 1:] - tone).max() < 4, "skin is as pale as the photo's"


def test_keep_tone_takes_the_light_and_leaves_level_and_color() -> None:
    result = ycc(lit(LIT, keep_tone=True))
    own = ycc(SYNTHETIC)
    assert np.allclose(result[..., 1:][SKIN], own[..., 1:][SKIN], atol=0.1)
    assert np.median(result[..., 0][SKIN]) == pytest.approx(np.median(own[..., 0][SKIN]), rel=0.05)
    left, right = SKIN & (X < -0.4), SKIN & (X > 0.4)
    assert result[right][:, 0].mean() / result[left][:, 0].mean() == pytest.approx(LIT[right].mean() / LIT[left].mean(), rel=0.1)


def test_without_skin_the_face_stays_as_it_is() -> None:
    few = np.zeros_like(SKIN)
    few[:4, :10] = True
    assert np.array_equal(lit(LIT, skin=few), SYNTHETIC)


@pytest.mark.parametrize("level", [0, 255])
def test_black_and_white_originals_are_survived(level: int) -> None:
    result = lit(np.full_like(SYNTHETIC, level))
    assert np.isfinite(result).all() and abs(float(ycc(result)[SKIN][:, 0].mean()) - level) < 12
