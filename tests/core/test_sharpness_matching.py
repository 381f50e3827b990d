"""Sharpness and grain: known blur, known noise; beards, spectacles and JPEG blocks are neither."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from ganon_hf.core.highlights import compress_shadows
from ganon_hf.core.octaves import FIRST_FEATURE, OUTSIDE, SKIN, FaceAreas
from ganon_hf.core.sharpness_matching import MAX_GRAIN, MAX_SHARPENING, match_sharpness

SIZE, HEIGHT = 280, 256.0
FEATURES = tuple((row, column) for row in (40, 150) for column in (40, 150))  # corners of four features, 80 pixels wide


def features_map() -> np.ndarray:
    regions = np.full((SIZE, SIZE), SKIN, np.uint8)
    for number, (row, column) in enumerate(FEATURES):
        regions[row : row + 80, column : column + 80] = FIRST_FEATURE + number
    regions[:8] = regions[-8:] = regions[:, :8] = regions[:, -8:] = OUTSIDE
    return regions


REGIONS, ALL_SKIN = features_map(), np.full((SIZE, SIZE), SKIN, np.uint8)


def person(seed: int, contrast: float = 1.0) -> np.ndarray:
    """A picture with smooth skin and, in the features, sharp edges of somebody's own."""
    generator = np.random.default_rng(seed)
    picture = np.full((SIZE * 2, SIZE * 2), 150.0, np.float32)  # twice as large: its edges are not jagged
    for row, column in FEATURES:
        for _ in range(60):
            center = (2 * column + generator.integers(10, 150), 2 * row + generator.integers(10, 150))
            axes = tuple(int(v) for v in generator.integers(3, 26, 2))
            shade = 150 + contrast * generator.normal(0, 35)
            cv2.ellipse(picture, tuple(int(v) for v in center), axes, generator.uniform(0, 180), 0, 360, float(shade), -1, cv2.LINE_AA)
    picture = cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return np.repeat(np.clip(picture, 20, 235)[..., None], 3, axis=2)


def without_brows(regions: np.ndarray, height: float) -> FaceAreas:
    return FaceAreas(regions, *np.zeros((2, *regions.shape), np.uint8), False, (0.0, 0.0), height)


def match(synthetic: np.ndarray, original: np.ndarray, regions: np.ndarray = REGIONS, height: float = HEIGHT, seed: int = 3) -> np.ndarray:
    before = synthetic.copy(), original.copy()
    result = match_sharpness(synthetic, original, without_brows(regions, height), np.random.default_rng(seed))
    assert np.array_equal(synthetic, before[0]) and np.array_equal(original, before[1])
    return result


def octave(picture: np.ndarray, number: int, where: np.ndarray = REGIONS >= FIRST_FEATURE) -> float:
    """Root of the mean square of an octave of luma: differences of Gaussians, other ones than the code's."""
    luma = picture.mean(axis=2) if picture.ndim == 3 else picture
    sigmas = (0.0, 0.7, 1.4, 2.8, 5.6)
    fine, coarse = (luma if sigma == 0 else cv2.GaussianBlur(luma, (0, 0), sigma) for sigma in sigmas[number : number + 2])
    return float(np.sqrt(np.mean(np.square((fine - coarse)[where]))))


def noise(deviation: float, seed: int = 0, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, deviation, (SIZE, SIZE, channels)).astype(np.float32)


FLAT = np.full((SIZE, SIZE, 3), 128, np.float32)
INNER = np.zeros((SIZE, SIZE), bool)
INNER[20:-20, 20:-20] = True


# ---- sharpness


@pytest.mark.parametrize("sigma", [0.8, 1.5, 3.0])
def test_in_a_blurred_photo_the_face_is_as_blurred(sigma: float) -> None:
    sharp, photo = person(1), cv2.GaussianBlur(person(2), (0, 0), sigma)
    result, wanted = match(sharp, photo), cv2.GaussianBlur(sharp, (0, 0), sigma)
    for number in range(4):  # an octave is weakened as a whole: of single pixels one pixel value may be left
        assert 0.6 * octave(wanted, number) < octave(result, number) < 1.5 * octave(wanted, number) + 1, number
    assert octave(sharp, 0) / octave(wanted, 0) > 1.9


@pytest.mark.parametrize("sigma", [0.8, 1.5])
def test_a_column_of_pixels_more_or_less_beside_the_face_changes_hardly_anything(sigma: float) -> None:
    """From frame to frame of a video, the part of the photo that is looked at changes by some pixels, and nothing may flicker."""
    sharp, photo = person(1), cv2.GaussianBlur(person(2) + noise(6.0), (0, 0), sigma)
    results = [match(*(part[:, : SIZE - cut] for part in (sharp, photo, REGIONS))) for cut in range(6)]
    inner = slice(0, SIZE - 24)
    assert max(float(np.abs(other[:, inner] - results[0][:, inner]).max()) for other in results[1:]) < 1.5


def test_a_moved_photo_blurs_too() -> None:
    kernel = np.eye(15, dtype=np.float32) / 15
    sharp, photo = person(1), cv2.filter2D(person(2), -1, kernel)
    result = match(sharp, photo)
    assert 0.5 < octave(result, 0) / octave(photo, 0) < 1.6 and octave(result, 0) < 0.5 * octave(sharp, 0)


@pytest.mark.parametrize("grain", [0.0, 6.0])
def test_noise_is_no_sharpness(grain: float) -> None:
    sharp, photo = person(1), cv2.GaussianBlur(person(2), (0, 0), 3.0)
    clear = match(sharp, photo) - 128
    noisy = match(sharp, photo + noise(grain, channels=3)) - 128
    smooth = [cv2.GaussianBlur(result, (0, 0), 1.2) for result in (clear, noisy)]
    ratio = octave(smooth[1], 1) / octave(smooth[0], 1)
    assert ratio < 1.9, "what is left of the edges is as blurred"


def test_a_sharp_face_in_a_sharp_photo_stays_sharp() -> None:
    result = match(person(1), person(2))
    assert 0.85 < octave(result, 0) / octave(person(1), 0) < 1.15


def test_a_soft_face_in_a_sharp_photo_is_sharpened_within_limits() -> None:
    slightly, much = (cv2.GaussianBlur(person(1), (0, 0), sigma) for sigma in (0.5, 3.0))
    assert 0.85 < octave(match(slightly, person(2)), 0) / octave(person(2), 0) < 1.15
    small = match(much, person(2), height=150.0)  # in a large face, fine structure is made
    assert octave(small, 0) < 1.2 * MAX_SHARPENING * octave(much, 0)


@pytest.mark.parametrize("contrast", [0.4, 2.0])
def test_dark_brows_are_not_sharpness(contrast: float) -> None:
    for sigma in (0.0, 2.0):
        other, own = person(2, contrast), person(1)
        photo = cv2.GaussianBlur(other, (0, 0), sigma) if sigma else other
        reference = cv2.GaussianBlur(person(2), (0, 0), sigma) if sigma else person(2)
        change = octave(match(own, photo), 1) / octave(match(own, reference), 1)
        assert 0.7 < change < 1.35 and abs(octave(other, 1) / octave(person(2), 1) - 1) > 0.4


def test_spectacles_do_not_count_as_sharpness() -> None:
    blurred = cv2.GaussianBlur(person(2), (0, 0), 3.0)
    frames = blurred.copy()
    for row, column in FEATURES[:1]:
        cv2.rectangle(frames, (column + 8, row + 8), (column + 70, row + 70), (10, 10, 10), 4)
    assert octave(frames, 0) > 3 * octave(blurred, 0)
    assert octave(match(person(1), frames), 0) < 1.5 * octave(match(person(1), blurred), 0)


def test_what_lies_outside_the_face_does_not_count() -> None:
    framed = person(2)
    stripes = 255.0 * (np.arange(SIZE) % 4 < 2)[:, None, None] * np.ones((1, SIZE, 3))
    framed[REGIONS == OUTSIDE] = stripes[REGIONS == OUTSIDE]
    inside = INNER & (REGIONS != OUTSIDE)
    assert np.abs(match(person(1), framed) - match(person(1), person(2)))[inside].max() < 0.5


def test_color_is_blurred_with_luma() -> None:
    sharp = person(1)
    colored = sharp * np.array([1.2, 1.0, 0.7], np.float32)
    result = match(colored, cv2.GaussianBlur(person(2), (0, 0), 3.0))
    red, before = (picture[..., 0] - picture.mean(axis=2) for picture in (result, colored))
    assert octave(red, 0) < 0.4 * octave(before, 0)


# ---- grain


def fine(picture: np.ndarray, sigma: float = 1.4) -> np.ndarray:
    luma = picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return luma - cv2.GaussianBlur(luma, (0, 0), sigma)


@pytest.mark.parametrize("deviation", [2.0, 4.0])
def test_the_face_gets_the_photos_grain(deviation: float) -> None:
    original = FLAT + noise(deviation)
    result = match(FLAT, original, ALL_SKIN)
    assert 0.8 < fine(result)[INNER].std() / fine(original)[INNER].std() < 1.1
    similarity = np.vdot(fine(result)[INNER], fine(original)[INNER])
    assert abs(similarity) <= 0.05 * np.linalg.norm(fine(result)[INNER]) * np.linalg.norm(fine(original)[INNER]), "its own grain"
    assert np.abs(result[..., 0] - result[..., 2]).max() < 1.5, "gray noise has no color"


def test_grain_has_a_limit_and_a_smooth_photo_gives_none() -> None:
    assert fine(match(FLAT, FLAT + noise(40.0), ALL_SKIN))[INNER].std() < 2 * MAX_GRAIN
    assert np.abs(match(FLAT, FLAT + np.float32(9), ALL_SKIN) - FLAT).max() < 0.01
    ramp = FLAT + np.linspace(-40, 40, SIZE, dtype=np.float32)[None, :, None]
    assert np.abs(match(ramp, np.round(ramp), ALL_SKIN) - ramp).max() < 0.2, "rounding is no grain"


def test_a_beard_is_no_grain() -> None:
    original = FLAT + noise(2.0)
    strands = 45 * np.sign(np.sin(np.arange(SIZE) * 1.3 + 3 * np.sin(np.arange(SIZE)[:, None] / 9)))
    bearded = original.copy()
    bearded[160:] += strands[160:, :, None].astype(np.float32)
    plain, result = (match(FLAT, photo, ALL_SKIN) for photo in (original, bearded))
    assert 0.8 < fine(result)[INNER].std() / fine(plain)[INNER].std() < 1.2
    assert fine(bearded)[INNER].std() > 8 * fine(original)[INNER].std()


def test_correlated_grain_is_as_coarse() -> None:
    coarse = cv2.GaussianBlur(noise(18.0), (0, 0), 1.2)[..., None]
    result = match(FLAT, FLAT + coarse, ALL_SKIN)
    for number in range(2):
        wanted = octave(FLAT + coarse, number, INNER)
        assert 0.55 * wanted < octave(result, number, INNER) < 1.35 * wanted + 0.25, number
    white = match(FLAT, FLAT + noise(3.0), ALL_SKIN)
    assert octave(result, 0, INNER) / octave(result, 1, INNER) < 0.5 * octave(white, 0, INNER) / octave(white, 1, INNER)


def test_colored_grain_has_color() -> None:
    colored = cv2.GaussianBlur(noise(40.0, channels=3), (0, 0), 2.0)  # as where one pixel of color is stored for four of luma
    colored -= colored.mean(axis=2, keepdims=True)
    plain, result = (match(FLAT, FLAT + noise(5.0, seed=1) + tint, ALL_SKIN) for tint in (np.float32(0), colored))
    spread = [(picture[..., 0] - picture[..., 2])[INNER].std() for picture in (plain, result, colored)]
    assert spread[0] < 0.1 and 0.25 < spread[1] / spread[2] < 1.2, "its coarse part may be a pattern and is left out"
    assert abs(np.corrcoef((result[..., 0] - result[..., 2])[INNER], (colored[..., 0] - colored[..., 2])[INNER])[0, 1]) < 0.05


@pytest.mark.parametrize("part", ["lower half", "left third"])
def test_cloth_and_patterns_are_no_grain(part: str) -> None:
    """A mask with flowers over the lower half of a face."""
    original = FLAT + noise(2.0)
    y, x = np.mgrid[:SIZE, :SIZE]
    pattern = np.stack([30 * np.sin(x * 0.8) * np.sin(y * 0.7), 20 * np.cos(x * 0.9 + y), 40 * np.sin(y * 0.9)], axis=-1)
    cloth = y > SIZE / 2 if part == "lower half" else x < SIZE / 3
    dressed = original + np.where(cloth[..., None], pattern, 0).astype(np.float32)
    plain, result = (match(FLAT, photo, ALL_SKIN) for photo in (original, dressed))
    assert fine(result)[INNER].std() < 1.4 * fine(plain)[INNER].std()
    assert (result[..., 0] - result[..., 2])[INNER].std() < 1


def test_blocks_of_jpeg_are_no_grain() -> None:
    y, x = np.mgrid[:SIZE, :SIZE]
    smooth = 130 + 50 * np.sin(x / 60) * np.cos(y / 50)
    stream = io.BytesIO()
    Image.fromarray(np.repeat(smooth[..., None], 3, axis=2).astype(np.uint8)).save(stream, "JPEG", quality=25)
    photo = np.asarray(Image.open(stream)).astype(np.float32)
    assert fine(photo)[INNER].std() > 0.7
    assert fine(match(FLAT, photo, ALL_SKIN))[INNER].std() < 0.3


@pytest.mark.parametrize(("height", "most"), [(30.0, 0.05), (256.0, 9.0)])
def test_tiny_faces_are_all_features_and_get_no_grain(height: float, most: float) -> None:
    assert fine(match(FLAT, FLAT + noise(5.0), ALL_SKIN, height))[INNER].std() < most


@pytest.mark.parametrize("side", [1, 2, 5, 9, 16])
@pytest.mark.parametrize("label", [OUTSIDE, SKIN, FIRST_FEATURE])
def test_pictures_of_a_few_pixels(side: int, label: int) -> None:
    picture = np.random.default_rng(0).uniform(0, 255, (side, side + 3, 3)).astype(np.float32)
    regions = np.full(picture.shape[:2], label, np.uint8)
    halves = np.random.default_rng(1).integers(0, 3, regions.shape, np.uint8)
    for height in (0.0, 12.0, 150.0, 300.0, 900.0):
        areas = FaceAreas(regions, regions >= FIRST_FEATURE, halves, height > 200, (0.0, 0.0), height)
        result = match_sharpness(picture, 255 - picture, areas, np.random.default_rng(0))
        assert result.shape == picture.shape and np.isfinite(result).all()


def test_a_strip_of_an_enormous_face_at_the_border_of_a_photo() -> None:
    """It has fewer octaves than a face of its height."""
    picture = np.random.default_rng(0).uniform(0, 255, (60, 4000, 3)).astype(np.float32)
    areas = without_brows(np.full(picture.shape[:2], SKIN, np.uint8), 9000.0)
    result = match_sharpness(picture, picture[:, ::-1].copy(), areas, np.random.default_rng(0))
    assert result.shape == picture.shape and np.isfinite(result).all()


def test_grain_is_drawn_from_the_generator() -> None:
    first, again, other = (match(FLAT, FLAT + noise(4.0), ALL_SKIN, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_a_strip_of_skin_between_hair_and_a_mask_says_nothing_of_grain() -> None:
    """What looks like grain there are strands of hair; it was drawn as speckles over the eyes."""
    smooth, rough = np.full((SIZE, SIZE, 3), 60.0, np.float32), np.clip(60 + noise(8), 0, 255).astype(np.float32).repeat(3, axis=2)
    changes = []
    for rows in (SIZE, 6, 14):
        regions = np.full((SIZE, SIZE), OUTSIDE, np.uint8)
        regions[:rows] = SKIN
        result = match(smooth, rough, regions)
        changes.append(float((result - smooth)[regions == SKIN].std()))
    assert changes[0] > 4, "on a whole face it is grain"
    assert changes[1] < 0.3 and changes[1] < changes[2] < changes[0]


def test_sharpening_makes_nothing_black() -> None:
    """Brows and beards in a very sharp photo: their dark strands were sharpened below 0, to specks with jagged edges."""
    dark = np.clip(person(0) - 90, 20, 235)  # many of its edges are dark already
    soft = cv2.GaussianBlur(dark, (0, 0), 1.2)
    result = match(soft, np.clip(person(1, 2.0) - 60, 0, 255))
    features = REGIONS >= FIRST_FEATURE
    assert (soft - result)[features].max() > 5, "it was sharpened"
    assert result[features].min() > 1


def test_dark_places_that_are_not_sharpened_stay() -> None:
    dark = np.clip(person(0) - 130, 0, 235)
    assert np.abs(match(dark, dark) - dark)[REGIONS != OUTSIDE].max() < 0.5


@pytest.mark.parametrize("level", [2.0, 20.0, 150.0])
def test_shadows_are_compressed_smoothly(level: float) -> None:
    luma = np.linspace(-60, 255, 4000, dtype=np.float32)
    result = luma.copy()
    compress_shadows(result, 0.25 * level, 0.06 * level)
    above = luma >= 0.25 * level
    assert np.array_equal(result[above], luma[above])
    assert (np.diff(result) >= 0).all() and result.min() >= 0.06 * level - 1e-3, "nothing trades places, nothing is darker"
    assert np.abs(np.diff(result, 2)).max() < 0.06, "no edge where it begins"
