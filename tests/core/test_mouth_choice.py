"""Insides of open mouths: a mouth that is dark in the photo stays dark, one that shows teeth shows teeth, and both stand open alike."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from tiny import face_at

from ganon_hf import Anonymizer
from ganon_hf.core.alignment import align_face
from ganon_hf.core.color import luma_of
from ganon_hf.core.face_mesh import MEAN_LANDMARKS, MOUTH_CORNERS, MOUTH_LOWER, MOUTH_START, MOUTH_UPPER, RIGHT_EYE_START
from ganon_hf.core.faces import Face
from ganon_hf.core.landmarks import triangle_map
from ganon_hf.core.mouth_reading import MouthLight, read_mouth
from ganon_hf.core.open_mouths import OpenMouths, mouth_shape
from ganon_hf.core.options import AnonymizeOptions

SIDE = 256
TEETH, DARK, GRAY = 150.0, 30.0, 97.0
WIDTH = mouth_shape(MEAN_LANDMARKS)[1]


def bank(count: int = 40, levels: tuple[float, ...] = (TEETH, DARK)) -> OpenMouths:
    """Mouths of all openings, of each kind in turn."""
    return OpenMouths(np.stack([np.linspace(0.05, 0.4, count), np.full(count, WIDTH)], axis=1), np.resize(levels, count))


def opened(opening: float, *, width: float = 1.0) -> np.ndarray:
    """The mean shape with lips so far apart, in distances of the outer corners of the eyes, and a mouth of that share of its width."""
    shape = MEAN_LANDMARKS.copy()
    gap = opening * np.linalg.norm(shape[33] - shape[263])
    middle = (shape[MOUTH_UPPER] + shape[MOUTH_LOWER]) / 2
    half = np.zeros((len(MOUTH_UPPER), 3))
    half[:, 1] = gap / 2 * np.sin(np.linspace(0.3, np.pi - 0.3, len(MOUTH_UPPER)))
    shape[MOUTH_UPPER], shape[MOUTH_LOWER] = middle - half, middle + half
    for point in (*MOUTH_UPPER, *MOUTH_LOWER, *MOUTH_CORNERS, 61, 291):
        shape[point, 0] *= width
    return shape


def test_a_person_has_mouths_of_both_kinds_for_all_openings() -> None:
    mouths = bank()
    numbers = mouths.draw(np.random.default_rng(0))
    for level in (TEETH, DARK):
        openings = mouths.shapes[numbers[mouths.levels[numbers] == level], 0]
        assert len(openings) == 5 and (np.diff(openings) > 0).all() and openings[0] < 0.13 and openings[-1] > 0.32


def test_gray_mouths_are_nobody_s() -> None:
    mouths = bank(60, (TEETH, DARK, GRAY))
    assert set(mouths.levels[mouths.draw(np.random.default_rng(0))]) == {TEETH, DARK}


def test_teeth_of_a_person_are_alike() -> None:
    """Of mouths that stand open nearly as far, the one that resembles the narrower one."""
    mouths = bank(80, (120.0, 120.0, 180.0, 180.0))
    drawn = np.array([mouths.levels[mouths.draw(np.random.default_rng(seed))] for seed in range(40)])
    assert (np.diff(drawn, axis=1) == 0).mean() > 0.8 and {120.0, 180.0} == set(drawn[:, 0])


@pytest.mark.parametrize(("teeth", "share"), [(1.0, 1.0), (0.0, 0.0), (0.3, 0.3)])
@pytest.mark.parametrize("opening", [0.05, 0.2, 0.6])
def test_the_photo_decides_between_teeth_and_dark(teeth: float, share: float, opening: float) -> None:
    mouths = bank()
    numbers = mouths.draw(np.random.default_rng(0))
    shares = mouths.shares(numbers, opened(opening), teeth)
    assert shares.sum() == pytest.approx(1) and shares[mouths.levels[numbers] == TEETH].sum() == pytest.approx(share, abs=1e-4)


def test_a_bank_without_dark_mouths_shows_what_it_has() -> None:
    mouths = bank(levels=(TEETH,))
    numbers = mouths.draw(np.random.default_rng(0))
    assert mouths.shares(numbers, opened(0.2), 0.0).sum() == pytest.approx(1)
    nothing = OpenMouths(np.zeros((0, 2)), np.zeros(0))
    assert nothing.shares(nothing.draw(np.random.default_rng(0)), opened(0.2), 1.0).shape == (0,)


@pytest.mark.parametrize("opening", [0.03, 0.05, 0.09, 0.14, 0.3])
def test_the_mouth_that_is_closest_counts_most(opening: float) -> None:
    """However close its neighbors are."""
    openings = np.array([0.06, 0.1, 0.101, 0.102, 0.16, 0.3])
    mouths = OpenMouths(np.stack([openings, np.full(6, WIDTH)], axis=1), np.full(6, TEETH))
    shares = mouths.shares(np.arange(6), opened(opening), 1.0)
    distance = np.abs(openings - mouth_shape(opened(opening))[0])
    assert shares[np.argsort(-distance)] == pytest.approx(sorted(shares))


def test_shares_change_little_from_frame_to_frame() -> None:
    mouths = bank()
    numbers = mouths.draw(np.random.default_rng(0))
    frames = [mouths.shares(numbers, opened(opening), 1.0) for opening in np.linspace(0.03, 0.5, 200)]
    assert np.abs(np.diff(frames, axis=0)).max() < 0.12


def photo_of(shape: np.ndarray, inside: float, skin: float = 150) -> tuple[np.ndarray, Face]:
    """A face of one color, its mouth of another, and where it is."""
    points = face_at(SIDE / 2, SIDE / 2, 180).landmarks
    assert points is not None
    scale = np.ptp(points[:, 1]) / np.ptp(MEAN_LANDMARKS[:, 1])
    points = points.copy()
    points[:] = shape * scale + (points.mean(axis=0) - MEAN_LANDMARKS.mean(axis=0) * scale)
    index = triangle_map(points, SIDE)
    luma = np.full((SIDE, SIDE), skin * 1.1, np.uint8)
    luma[index >= 0] = skin
    luma[(index >= MOUTH_START) & (index < RIGHT_EYE_START)] = inside
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    return np.repeat(luma[..., None], 3, axis=2), Face((*low, *high), 1.0, points)


@pytest.mark.parametrize(
    ("inside", "opening", "width", "teeth", "reason"),
    [
        (30, 0.12, 1.2, 0, "dark"),
        (150, 0.12, 1.2, 1, "teeth are as light as skin"),
        (100, 0.08, 1.2, 1, "in the shade of the lip they are darker"),
        (100, 0.3, 1.2, 0, "in a mouth that is opened wide it is a tongue"),
        (100, 0.08, 0.9, 0, "so it is in a round mouth"),
        (150, 0.3, 1.2, 1, "a loud laugh"),
        (0, 0.01, 1.0, 1, "shut: there is nothing to be seen"),
    ],
)
@pytest.mark.parametrize("light", [1.0, 0.4])
def test_teeth_are_told_from_the_dark(inside: float, opening: float, width: float, teeth: int, reason: str, light: float) -> None:
    photo, face = photo_of(opened(opening, width=width), inside * light, 150 * light)
    crop = align_face(face.landmarks, SIDE)  # type: ignore[arg-type]
    assert read_mouth(photo, crop, crop.to_crop(face.landmarks)).teeth == pytest.approx(teeth, abs=0.01), reason  # type: ignore[arg-type]


@lru_cache(maxsize=1)
def engine() -> Anonymizer:
    return Anonymizer.from_pretrained()


@pytest.mark.parametrize("seed", [0, 1, 3])
def test_a_mouth_that_speaks_is_dark_and_one_that_laughs_is_not(seed: int) -> None:
    """The same landmarks, with the weights of the package: by shape alone, people grinned who spoke."""
    levels = []
    for inside in (25, 165):
        photo, face = photo_of(opened(0.15), inside)
        plan = engine().plan(photo, AnonymizeOptions(seed=seed, geometry="original"), faces=[face])
        index = triangle_map(plan.faces[0].points, SIDE)  # type: ignore[arg-type]
        drawn = engine().generate(plan.inputs)[0]
        levels.append(float(np.median(luma_of(drawn)[(index >= MOUTH_START) & (index < RIGHT_EYE_START)])))  # type: ignore[arg-type]
    assert levels[0] < 70 < 110 < levels[1]


def test_other_faces_are_not_looked_at() -> None:
    """They may have to be covered; not even one number of what a cover hides may remain."""
    photo, face = photo_of(opened(0.15), 25)
    crop = align_face(face.landmarks, SIDE)  # type: ignore[arg-type]
    points = crop.to_crop(face.landmarks)  # type: ignore[arg-type]
    mouth = points[[13, 14], :2].mean(axis=0)
    for place, known in ((mouth, False), (mouth + (0, -100), True), (mouth + (500, 0), True)):
        other = Face((place[0] - 12, place[1] - 12, place[0] + 12, place[1] + 12), 0.5)
        other = replace(other, box=tuple(crop.to_photo(np.array(other.box).reshape(2, 2)).ravel()))  # type: ignore[arg-type]
        changed = photo.copy()
        x_min, y_min, x_max, y_max = (max(0, round(value)) for value in other.box)
        changed[y_min:y_max, x_min:x_max] = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 1))[y_min:y_max, x_min:x_max]
        read = read_mouth(changed, crop, points, [other])
        assert read == read_mouth(photo, crop, points, [other])
        assert read.teeth == (0 if known else 1)


@pytest.mark.parametrize(("inside", "opening", "slit"), [(75, 0.04, 0.5), (140, 0.06, 0.93), (75, 0.13, None)])
def test_what_is_between_lips_that_hardly_part_is_compared_with_them(inside: float, opening: float, slit: float | None) -> None:
    photo, face = photo_of(opened(opening), inside)
    crop = align_face(face.landmarks, SIDE)  # type: ignore[arg-type]
    read = read_mouth(photo, crop, crop.to_crop(face.landmarks)).slit  # type: ignore[arg-type]
    assert read is None if slit is None else read == pytest.approx(slit, abs=0.02)


def test_a_surface_of_one_color_says_nothing() -> None:
    """It is what people are drawn on for sheets."""
    face = photo_of(opened(0.04), 30)[1]
    crop = align_face(face.landmarks, SIDE)  # type: ignore[arg-type]
    assert read_mouth(np.full((SIDE, SIDE, 3), 120, np.uint8), crop, crop.to_crop(face.landmarks)) == MouthLight()  # type: ignore[arg-type]
