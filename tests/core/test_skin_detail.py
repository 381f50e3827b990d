"""Skin: as smooth and as rough as the photo's, whoever is drawn; beards, cloth and folds are not roughness."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from ganon_hf.core.octaves import ELSEWHERE, FIRST_FEATURE, NOSE, SKIN, FaceAreas
from ganon_hf.core.sharpness_matching import MAX_GRAIN, match_sharpness
from ganon_hf.core.skin_detail import compare_skin, share_of_skin

SIZE, HEIGHT = 400, 400.0


def map_of_a_face() -> np.ndarray:
    """Four features with a margin, in skin."""
    regions = np.full((SIZE, SIZE), SKIN, np.uint8)
    for number, (row, column) in enumerate((row, column) for row in (70, 250) for column in (70, 250)):
        regions[row : row + 90, column : column + 90] = ELSEWHERE
        regions[row + 15 : row + 75, column + 15 : column + 75] = FIRST_FEATURE + number
    return regions


REGIONS = map_of_a_face()
ON_SKIN, IN_FEATURES = REGIONS == SKIN, REGIONS >= FIRST_FEATURE


def features(seed: int) -> np.ndarray:
    """(SIZE, SIZE, 3) a face whose features have edges and whose skin has none."""
    generator = np.random.default_rng(seed)
    picture = np.full((SIZE, SIZE), 150.0, np.float32)
    blocks = generator.normal(0, 30, (SIZE // 10, SIZE // 10)).astype(np.float32)
    picture += np.where(IN_FEATURES, cv2.resize(blocks, (SIZE, SIZE), interpolation=cv2.INTER_NEAREST), 0)
    return np.repeat(np.clip(picture, 20, 235)[..., None], 3, axis=2)


def pores(seed: int, strength: float, *, sigma: float = 1.5) -> np.ndarray:
    """(SIZE, SIZE, 1) roughness of skin of one scale in pixels: too coarse for the noise of a camera."""
    field = np.random.default_rng(seed).standard_normal((SIZE, SIZE)).astype(np.float32)
    field = cv2.GaussianBlur(field, (0, 0), sigma) - cv2.GaussianBlur(field, (0, 0), 2 * sigma)
    return np.where(IN_FEATURES, 0, strength * field / field.std()).astype(np.float32)[..., None]


def match(synthetic: np.ndarray, original: np.ndarray, regions: np.ndarray = REGIONS, seed: int = 3) -> np.ndarray:
    return match_sharpness(synthetic, original, areas(regions), np.random.default_rng(seed))


def areas(regions: np.ndarray = REGIONS) -> FaceAreas:
    return FaceAreas(regions, *np.zeros((2, *regions.shape), np.uint8), False, (0.0, 0.0), HEIGHT)


def roughness(picture: np.ndarray, where: np.ndarray = ON_SKIN, sigma: float = 3.0) -> float:
    luma = picture.mean(axis=2)
    return float((luma - cv2.GaussianBlur(luma, (0, 0), sigma))[where].std())


def blotches(seed: int, strength: float, sigma: float = 2.0) -> np.ndarray:
    """(SIZE, SIZE, 3) skin that is redder here than there, as light everywhere."""
    field = pores(seed, strength, sigma=sigma)
    return field * np.array([1.0, -0.509, 0.0], np.float32)


def redness(picture: np.ndarray, where: np.ndarray = ON_SKIN) -> float:
    difference = picture[..., 0] - picture[..., 1]
    return float((difference - cv2.GaussianBlur(difference, (0, 0), 6.0))[where].std())


SMOOTH, FACE = features(1), features(2)


@pytest.mark.parametrize("strength", [3.0, 6.0])
def test_rough_skin_on_a_child_becomes_smooth_and_eyes_keep_their_edges(strength: float) -> None:
    rough = FACE + pores(5, strength)
    result = match(rough, SMOOTH)
    assert roughness(result) < 0.4 * roughness(rough)
    assert 0.8 < roughness(result, IN_FEATURES) / roughness(match(FACE, SMOOTH), IN_FEATURES) < 1.25


@pytest.mark.parametrize(
    ("own", "wanted"),
    [
        (0.0, 4.0),  # a smooth person in a photo full of pores: all of it is made
        (2.5, 3.0),  # nearly enough
        (5.0, 2.5),  # too much
    ],
)
def test_skin_is_as_rough_as_the_photos(own: float, wanted: float) -> None:
    photo = SMOOTH + pores(6, wanted)
    result = match(FACE + pores(5, own), photo)
    assert 0.65 < roughness(result) / roughness(photo) < 1.2


def test_pores_are_made_anew() -> None:
    photo = SMOOTH + pores(6, 5.0)
    first, other = (match(FACE, photo, seed=seed) - FACE for seed in (1, 2))
    fine = [(picture - cv2.GaussianBlur(picture, (0, 0), 3.0))[ON_SKIN, 0] for picture in (first, other, photo)]
    assert min(np.std(one) for one in fine) > 2
    assert abs(np.corrcoef(fine[0], fine[2])[0, 1]) < 0.05, "none of the photo's"
    assert abs(np.corrcoef(fine[0], fine[1])[0, 1]) < 0.2, "another seed, other pores"


@pytest.mark.parametrize("covered", ["lower half", "left third"])
def test_a_beard_or_cloth_on_a_part_is_no_skin(covered: str) -> None:
    y, x = np.mgrid[:SIZE, :SIZE]
    cloth = y > 0.55 * SIZE if covered == "lower half" else x < SIZE / 3
    photo = SMOOTH + np.where(cloth[..., None], 6 * pores(7, 4.0), pores(6, 1.5))
    result, plain = match(FACE, photo), match(FACE, SMOOTH + pores(6, 1.5))
    assert roughness(result) < 1.5 * roughness(plain) + 0.3


JAW = np.zeros((SIZE, SIZE), np.uint8)
JAW[360:, : SIZE // 2], JAW[360:, SIZE // 2 :] = 1, 2


def stubbly(halves: tuple[int, ...], *, strength: float = 9.0, **change: Any) -> np.ndarray:
    """What the jaw gets from a photo with stubble on some halves of it."""
    photo = SMOOTH + pores(8, strength, sigma=0.8) * np.isin(JAW, halves)[..., None]
    where = areas()._replace(**{"jaw": JAW, **change})
    result, shaved = (match_sharpness(FACE, one, where, np.random.default_rng(3)) for one in (photo, SMOOTH))
    return (result - shaved)[..., 0]


def test_a_jaw_has_stubble_as_strong_as_the_photo_s() -> None:
    added, wanted, there = stubbly((1, 2)), pores(8, 9.0, sigma=0.8)[..., 0], JAW > 0
    assert 0.4 < added[there].std() / wanted[there].std() < 1.1 and np.abs(added[:300]).max() < 1
    assert abs(np.corrcoef(added[there], wanted[there])[0, 1]) < 0.05, "none of the photo's"
    fine = (added - cv2.GaussianBlur(added, (0, 0), 1.0))[there]
    assert (fine**3).mean() < -0.2 * fine.std() ** 3, "hairs are dark"


@pytest.mark.parametrize(
    ("halves", "change"),
    [((1,), {}), ((2,), {}), ((1, 2), {"bearded": True}), ((1, 2), {"jaw": np.zeros_like(JAW)}), ((1, 2), {"strength": 40.0})],
    ids=["hair or a hand on one side", "or on the other", "a beard has hair of its own", "a woman", "a beard or cloth"],
)
def test_what_is_no_stubble(halves: tuple[int, ...], change: dict[str, Any]) -> None:
    assert stubbly(halves, **change)[JAW > 0].std() < 0.2 * stubbly((1, 2))[JAW > 0].std()


def test_stubble_comes_without_a_step_when_a_head_turns() -> None:
    """Of the right half of the jaw, more and more is seen."""
    strengths = []
    for column in range(190, 0, -6):
        jaw = JAW.copy()
        jaw[:, :column] = 0
        strengths.append(float(stubbly((1, 2), jaw=jaw)[jaw == 2].std()))
    assert strengths[0] < 1 < 0.5 * strengths[-1] and max(np.diff(strengths)) < 0.3 * strengths[-1]


def test_folds_are_not_invented() -> None:
    """Structure of a fiftieth of the face and coarser is somebody's wrinkles."""
    photo = SMOOTH + pores(6, 9.0, sigma=12.0)
    assert roughness(match(FACE, photo) - FACE, sigma=30.0) < 1


def test_skin_is_as_blotchy_as_the_photos() -> None:
    photo = SMOOTH + blotches(6, 4.0)
    result = match(FACE, photo)
    assert 0.5 < redness(result) / redness(photo) < 1.2
    assert redness(match(FACE, SMOOTH)) < 0.1 * redness(photo), "none where the photo has none"
    first, other = ((one[..., 0] - one[..., 1])[ON_SKIN] for one in (result, photo))
    assert abs(np.corrcoef(first, other)[0, 1]) < 0.1, "made anew"


def test_large_blotches_are_not_invented() -> None:
    """A birthmark or the red of a cheek is somebody's own."""
    assert redness(match(FACE, SMOOTH + blotches(6, 6.0, sigma=20.0)) - FACE) < 0.1


def test_a_nose_has_pores_too() -> None:
    photo = SMOOTH + pores(6, 5.0, sigma=2.5)  # mostly too coarse for grain, which is everywhere
    change = match(FACE, photo) - match(FACE, SMOOTH)
    nose, mouth = (cv2.erode((REGIONS == feature).view(np.uint8), np.ones((41, 41))) > 0 for feature in (NOSE, NOSE + 1))
    assert roughness(change, nose) > 0.8 * roughness(change) and roughness(change, nose) > 1.5 * roughness(change, mouth)


def test_there_is_a_limit_and_a_strip_of_skin_says_little() -> None:
    assert roughness(match(FACE, SMOOTH + pores(6, 60.0))) < 3 * MAX_GRAIN
    strip = np.where(np.arange(SIZE)[:, None] < 8, REGIONS, 0).astype(np.uint8)
    assert np.abs(match(FACE, SMOOTH + pores(6, 9.0), strip) - FACE)[:8].max() < 2


def test_features_are_left_out_with_soft_borders() -> None:
    share = share_of_skin(areas())
    assert share[IN_FEATURES].mean() < 0.05 and share[0, 0] > 0.99 and ((share > 0.3) & (share < 0.7)).any()


def test_a_pixel_of_skin_more_or_less_changes_hardly_anything() -> None:
    """From frame to frame of a video the parts of skin grow and shrink, and in coarse octaves they have few pixels."""
    generator = np.random.default_rng(0)
    own = [generator.normal(0, 5, (side, side)).astype(np.float32) for side in (64, 32)]
    wanted = [own[0], np.float32(1.35) * own[1]]
    factors = []
    for columns in range(30):
        labels = np.zeros((64, 64), np.uint8)
        for part in range(6):
            labels[10 * part : 10 * part + 8, 2 * part : 2 * (part + columns)] = part + 1
        found = compare_skin(own, wanted, labels, edges=[1.0, 1.0], own_grain=[], grain=[], height=200.0)
        factors.append(1.0 if found is None else found.factors[1])
    assert factors[0] == 1.0 and factors[-1] == pytest.approx(1.35, abs=0.02)
    assert max(np.abs(np.diff(factors))) < 0.2, "four pixels of each part at once"
