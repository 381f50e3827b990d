"""Fine structure of features in large faces: edges go on, brows and beards have hair, and all only as strong as the photo's."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ganon_hf.core.octaves import ELSEWHERE, FIRST_FEATURE, OUTSIDE, SKIN, FaceAreas
from ganon_hf.core.sharpness_matching import match_sharpness

SIZE, HEIGHT = 400, 400.0
CORNERS = tuple((row, column) for row in (40, 220) for column in (40, 220))  # of four features, 140 pixels wide


JAW = slice(362, 400), slice(20, 380)  # below the features


def areas(height: float = HEIGHT, *, brows: bool = False, beard: bool = False) -> FaceAreas:
    regions = np.full((SIZE, SIZE), SKIN, np.uint8)
    for number, (row, column) in enumerate(CORNERS):
        regions[row : row + 140, column : column + 140] = FIRST_FEATURE + number
    hair = np.zeros((SIZE, SIZE), np.uint8)
    if brows:
        for number, (_, column) in enumerate(CORNERS[:2], start=1):
            hair[60:100, column + 10 : column + 130] = number
    jaw = np.zeros((SIZE, SIZE), np.uint8)
    if beard:
        jaw[JAW], regions[JAW] = 1, ELSEWHERE
    return FaceAreas(regions, hair, jaw, beard, (SIZE / 2, 100.0), height)


def face(seed: int, blur: float) -> np.ndarray:
    """(SIZE, SIZE, 3) ellipses in the features, and dark slanting streaks where brows are."""
    generator, picture = np.random.default_rng(seed), np.full((SIZE * 2, SIZE * 2), 160.0, np.float32)
    for row, column in CORNERS:
        for _ in range(30):
            center = tuple(int(2 * corner + generator.integers(30, 250)) for corner in (column, row))
            axes = tuple(int(v) for v in generator.integers(6, 50, 2))
            cv2.ellipse(picture, center, axes, generator.uniform(0, 180), 0, 360, float(160 + generator.normal(0, 30)), -1, cv2.LINE_AA)
    for _, column in CORNERS[:2]:
        for start in range(0, 240, 24):
            ends = (2 * column + 20 + start, 200), (2 * column + 40 + start, 120)
            cv2.line(picture, *ends, float(70 + 25 * generator.random()), 11, cv2.LINE_AA)
    picture = cv2.GaussianBlur(cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA), (0, 0), blur)
    return np.repeat(np.clip(picture, 0, 255)[..., None], 3, axis=2)


def match(synthetic: np.ndarray, photo: np.ndarray, where: FaceAreas, seed: int = 1) -> np.ndarray:
    return match_sharpness(synthetic, photo, where, np.random.default_rng(seed))


def fine(picture: np.ndarray) -> np.ndarray:
    return picture[..., 0] - cv2.GaussianBlur(picture[..., 0], (0, 0), 1.0)


def detail(picture: np.ndarray, where: np.ndarray) -> float:
    return float(fine(picture)[where].std())


def hairy(brows: tuple[int, ...], blur: float = 1.4, strength: float = 30) -> np.ndarray:
    """A photo with hairs, a pixel wide, on some brows."""
    photo, hairs = face(2, blur), np.random.default_rng(3).normal(0, strength, (SIZE, SIZE)).astype(np.float32)
    photo += (hairs * np.isin(areas(brows=True).brows, brows))[..., None]
    return np.clip(photo, 0, 255)


SOFT, SHARP, HAIRY = face(1, 1.4), face(2, 0.5), hairy((1, 2), 0.5)
FEATURES = areas().regions >= FIRST_FEATURE
BROWS = areas(brows=True).brows > 0


def test_a_large_face_gets_the_detail_that_textures_lack() -> None:
    small, large = (match(SOFT, SHARP, areas(height)) for height in (150.0, HEIGHT))
    assert 1.15 * detail(small, FEATURES) < detail(large, FEATURES) < 1.15 * detail(SHARP, FEATURES)


def test_edges_go_on_where_they_are() -> None:
    """Not noise: what is added looks like what the same face has when it is sharp."""
    added, missing = (fine(picture - SOFT)[FEATURES] for picture in (match(SOFT, SHARP, areas()), face(1, 0.5)))
    assert np.corrcoef(added, missing)[0, 1] > 0.3


def with_lashes(eyes: tuple[int, ...], hidden: int = 0, blur: float = 0.4) -> float:
    """How much sharper the right eye of a soft face becomes beside a photo of it in which some eyes are less blurred, and so many columns
    of the left one are hidden."""
    photo, here = SOFT.copy(), np.isin(areas().regions, [FIRST_FEATURE + eye for eye in eyes])
    photo[here] = face(1, blur)[here]
    regions = areas().regions.copy()
    regions[40:180, 220 : 220 + hidden] = OUTSIDE
    where, right = areas()._replace(regions=regions), regions == FIRST_FEATURE
    return detail(match(SOFT, photo, where), right) / detail(match(SOFT, SOFT, where), right)


def test_eyes_are_sharper_than_the_rest_where_the_photo_s_are() -> None:
    assert with_lashes((0, 1)) > 1.4
    assert with_lashes((0,)) < 1.2, "a reflection in glasses"


def test_eyes_that_are_hardly_sharper_get_nothing() -> None:
    """It would come and go from frame to frame of a video."""
    assert with_lashes((0, 1), blur=1.37) < 1.03 and with_lashes((0, 1), blur=1.2) > 1.1


def test_one_eye_alone_says_nothing() -> None:
    """In profile, a strand of hair may lie over it."""
    assert with_lashes((0, 1), hidden=140) < 1.2 and with_lashes((0, 1), hidden=120) < 1.2


@pytest.mark.parametrize(
    "photo",
    [
        face(2, 1.4),  # as soft as the synthetic face
        face(2, 6.0),  # blurred: what is made must not stand out of it
        np.full((SIZE, SIZE, 3), 160.0, np.float32),  # nothing to see
    ],
)
def test_a_soft_photo_gets_none(photo: np.ndarray) -> None:
    assert detail(match(SOFT, photo, areas(brows=True)), FEATURES) < 1.3 * detail(SOFT, FEATURES)


def test_brows_have_strands_along_their_own_structure_and_skin_has_none() -> None:
    smooth_skin = areas().regions == SKIN
    plain, hairy = (match(SOFT, HAIRY, areas(brows=brows)) for brows in (False, True))
    strands = (hairy - plain)[..., 0]
    assert strands[BROWS].std() > 2 and np.abs(strands[smooth_skin]).max() < 1
    dx, dy = np.gradient(strands, axis=1)[BROWS], np.gradient(strands, axis=0)[BROWS]
    assert np.square(dx).mean() > 1.5 * np.square(dy).mean(), "the streaks are steep"


def strands(photo: np.ndarray, *, synthetic: np.ndarray = SOFT, seen: np.ndarray | bool = True) -> float:
    """Detail that a photo's brows bring into the synthetic ones, beyond that of the same photo without hairs."""
    everything = areas(brows=True)
    where = everything._replace(brows=everything.brows * seen)
    return detail(match(synthetic, photo, where) - match(synthetic, face(2, 1.4), where), BROWS & seen)


def test_strands_are_as_strong_as_the_photo_s_and_no_stronger_than_dark_hair() -> None:
    weak, strong, stronger = (strands(hairy((1, 2), strength=strength)) for strength in (10, 18, 60))
    assert 2 < weak < 0.6 * strong < 0.6 * stronger
    pale = (SOFT + 3 * 160) / 4  # its brows are hardly darker than the skin
    assert strands(hairy((1, 2)), synthetic=pale) < 0.5 * strands(hairy((1, 2)))


def test_a_hairless_photo_brings_no_strands() -> None:
    """What a brow has then is what everything has."""
    some, none = (match(SOFT, face(2, 1.4), areas(brows=brows)) for brows in (True, False))
    assert detail(some, BROWS) < 1.05 * detail(none, BROWS)


def test_what_falls_over_one_brow_is_not_taken_for_its_hairs() -> None:
    assert strands(hairy((2,))) < 0.5


def test_a_brow_has_strands_when_the_other_one_is_not_seen() -> None:
    """In profile, or behind a hand."""
    right = np.arange(SIZE)[None, :] < SIZE // 2
    assert strands(hairy((1,)), seen=right) > 0.8 * strands(hairy((1, 2)))


def test_strands_are_made_anew() -> None:
    first, again, other = (match(SOFT, HAIRY, areas(brows=True), seed)[..., 0][BROWS] for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert abs(np.corrcoef(first - other, fine(HAIRY)[BROWS])[0, 1]) < 0.2, "none of the photo's"


def test_brows_end_in_hairs_and_not_at_an_edge() -> None:
    """Without brows, the edge of the pattern goes on as it does in the sharp picture that it was blurred from."""
    edges, hairs = (np.corrcoef(fine(match(SOFT, HAIRY, areas(brows=brows)))[BROWS], fine(SHARP)[BROWS])[0, 1] for brows in (False, True))
    assert edges > 0.5 and hairs < 0.8 * edges


def bearded(level: float, strength: float = 0.0, seed: int = 7) -> np.ndarray:
    """A face with an even beard, and steep hairs in it."""
    picture = face(2, 1.4)
    picture[345:] = level  # its border is no hair
    hairs = cv2.blur(np.random.default_rng(seed).normal(0, strength, (SIZE, SIZE)).astype(np.float32), (1, 9)) * 3
    picture[345:] += hairs[345:, :, None]
    return np.clip(picture, 0, 255)


def test_a_beard_has_as_much_hair_as_the_photo_s() -> None:
    bare, weak, strong = (match(bearded(90), bearded(60, strength), areas(beard=True)) for strength in (0, 8, 16))
    inner = (slice(370, 395), slice(40, 360))
    none, some, more = (float(fine(picture)[inner].std()) for picture in (bare, weak, strong))
    assert none < 1.5 and some > 3 * none and 1.4 * some < more < 1.3 * fine(bearded(60, 16))[inner].std()


def test_hair_of_a_beard_hangs_down_and_none_grows_elsewhere_or_on_light_skin() -> None:
    photo, shaved = bearded(60, 16), areas(beard=True)._replace(bearded=False)
    hair, none = (match(bearded(90), photo, where)[..., 0] for where in (areas(beard=True), shaved))
    added = hair - none
    middle = (slice(370, 395), slice(170, 230))  # straight below the root of the nose
    dx, dy = (np.square(np.gradient(added[middle], axis=axis)).mean() for axis in (1, 0))
    assert dx > 1.1 * dy and np.abs(added[:340]).max() < 0.5
    light = match(bearded(165), photo, areas(beard=True))
    assert detail(light, areas(beard=True).jaw > 0) < 0.3 * detail(hair[..., None], areas(beard=True).jaw > 0), "there is nothing dark"


def test_hair_of_a_beard_is_made_anew() -> None:
    photo, where = bearded(60, 16), areas(beard=True)
    first, again, other = (fine(match(bearded(90), photo, where, seed))[where.jaw > 0] for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert abs(np.corrcoef(first, fine(photo)[where.jaw > 0])[0, 1]) < 0.1, "none of the photo's"


def test_a_face_without_any_skin_gets_no_beard_s_hair() -> None:
    """Nothing says what is dark."""
    where = areas(beard=True)
    where.regions[where.regions == SKIN] = ELSEWHERE
    assert np.isfinite(match(bearded(90), bearded(60, 16), where)).all()
