"""Told from real or not: the same distribution cannot be told, blur can; detail and distance move with it."""

from __future__ import annotations

import sys

import cv2
import numpy as np
import pytest
from tiny import face_at, noise_photo

from ganon_hf.evaluation.data import face_pairs
from ganon_hf.evaluation.data.face_pairs import FacePairs
from ganon_hf.evaluation.metrics import realism

SIDE, COUNT = 64, 40


def disc(count: int = COUNT) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5 - SIDE / 2
    return np.repeat((x**2 + y**2 < (0.42 * SIDE) ** 2)[None], count, axis=0)


def textures(seed: int, count: int = COUNT) -> np.ndarray:
    """Blotches of several sizes, in color."""
    generator = np.random.default_rng(seed)
    noise = generator.standard_normal((count, SIDE, SIDE, 3)).astype(np.float32)
    pictures = [120 + 25 * p + 200 * cv2.GaussianBlur(p, (0, 0), 3) + 60 * cv2.GaussianBlur(p, (0, 0), 1) for p in noise]
    return np.clip(pictures, 0, 255).astype(np.uint8)


def as_pairs(real: np.ndarray, generated: np.ndarray) -> FacePairs:
    masks = disc(len(real))
    return FacePairs(real * masks[..., None], generated * masks[..., None], masks, np.arange(len(real)) // 2)


@pytest.fixture(scope="module")
def alike() -> FacePairs:
    return as_pairs(textures(1), textures(2))


@pytest.fixture(scope="module")
def blurred() -> FacePairs:
    return as_pairs(textures(1), np.stack([cv2.GaussianBlur(p, (0, 0), 1.0) for p in textures(2)]))


@pytest.fixture(scope="module")
def of_alike(alike: FacePairs) -> dict[str, realism.Estimate]:
    return realism.realism_measures(alike, repeats=100)


@pytest.fixture(scope="module")
def of_blurred(blurred: FacePairs) -> dict[str, realism.Estimate]:
    return realism.realism_measures(blurred, repeats=100)


@pytest.mark.parametrize("judge", ["told_network", "told_statistics"])
def test_the_same_distribution_cannot_be_told_apart(of_alike: dict[str, realism.Estimate], judge: str) -> None:
    # binomial 99.9 % limits of 80 fair guesses
    assert 0.3 < of_alike[judge].value < 0.7
    assert of_alike[judge].count == COUNT and of_alike[judge].people == COUNT // 2


@pytest.mark.parametrize("judge", ["told_network", "told_statistics"])
def test_blur_is_told_from_sharp(of_blurred: dict[str, realism.Estimate], judge: str) -> None:
    assert of_blurred[judge].low > 0.8 and of_blurred[f"{judge}_auc"].value > 0.9


def test_detail_and_distance(of_alike: dict[str, realism.Estimate], of_blurred: dict[str, realism.Estimate]) -> None:
    ratios = [of_blurred[f"detail_{number}"].value for number in range(1, face_pairs.NUM_OCTAVES + 1)]
    assert ratios[0] < 0.5 and ratios[0] < ratios[1] < ratios[2], "blur takes the finest octaves first"
    assert 0.9 < of_alike["detail_1"].value < 1.1
    assert of_alike["kernel_distance"].low < 0 < of_alike["kernel_distance"].high, "unbiased: about 0 without a difference"
    assert of_blurred["kernel_distance"].low > 10 * of_alike["kernel_distance"].high


def test_identical_pictures_score_exactly_half(alike: FacePairs) -> None:
    same = as_pairs(alike.real, alike.real)
    scores = realism.held_out_scores(same, realism.StatisticsClassifier(same))
    accuracy, area = realism.two_sample_test(scores, same.persons, repeats=5)
    assert accuracy.value == 0.5 and area.value == 0.5


def test_the_same_seed_gives_the_same_scores_and_leaves_global_randomness_alone(blurred: FacePairs) -> None:
    import torch

    before = torch.get_rng_state()
    few = np.arange(12), np.arange(12, 20)
    first, again, other = (realism.network_classifier(blurred, *few, seed, epochs=2) for seed in (1, 1, 2))
    assert (first == again).all() and (first != other).any()
    assert (torch.get_rng_state() == before).all()


def test_without_scikit_learn_it_says_what_to_install(alike: FacePairs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(ImportError, match=r"scikit-learn: pip install 'ganon-hf\[eval\]'"):
        realism.StatisticsClassifier(alike)


def test_people_stay_in_one_fold() -> None:
    persons = np.array([5, 1, 5, 2, 9, 1, 7, 7])
    folds = realism.person_folds(persons, 3, seed=4)
    assert set(folds) == {0, 1, 2} and all(len(set(folds[persons == person])) == 1 for person in persons)
    with pytest.raises(ValueError, match="5 people"):
        realism.person_folds(persons, 6, seed=0)
    with pytest.raises(ValueError, match="two folds"):
        realism.person_folds(persons, 1, seed=0)


def test_the_outside_has_no_say() -> None:
    picture, mask = textures(3, 1)[0], disc(1)[0]
    other = np.where(mask[..., None], picture, 255).astype(np.uint8)
    for function in (face_pairs.octave_energies, face_pairs.picture_statistics, realism.kernel_features):
        assert np.allclose(function(picture[None], mask[None]), function(other[None], mask[None]))
    flat = np.repeat(np.where(mask, 100, 0).astype(np.uint8)[..., None], 3, axis=2)
    assert face_pairs.octave_energies(flat[None], mask[None]).max() < 1e-3, "the mask's edge is no structure"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"real": np.zeros((4, 60, 60, 3), np.uint8)}, "multiple of 32"),  # cells and octaves need it
        ({"generated": np.zeros((3, SIDE, SIDE, 3), np.uint8)}, "shape"),  # not as many
        ({"generated": np.zeros((4, SIDE, SIDE, 3), np.float32)}, "uint8"),  # another range
        ({"masks": np.ones((4, SIDE, SIDE), np.uint8)}, "bool"),  # would index instead of mask
        ({"masks": np.zeros((4, SIDE, SIDE), bool)}, "empty"),  # nothing to see
        ({"persons": np.arange(3)}, "persons"),  # not as many
    ],
)
def test_wrong_pairs_are_refused(change: dict[str, np.ndarray], message: str) -> None:
    pictures = np.zeros((4, SIDE, SIDE, 3), np.uint8)
    arrays = {"real": pictures, "generated": pictures, "masks": np.ones((4, SIDE, SIDE), bool), "persons": np.arange(4)}
    with pytest.raises(ValueError, match=message):
        FacePairs(**{**arrays, **change})


def test_inside_of_a_face() -> None:
    before, face = noise_photo(), face_at(60, 60)
    after = 255 - before
    real, generated, mask = face_pairs.face_interior(before, after, face.landmarks, face.landmarks, 64)
    assert 0.1 < mask.mean() < 0.6 and not mask[:3].any() and not mask[:, :3].any()
    assert not real[~mask].any() and not generated[~mask].any()
    assert np.abs(real[mask].astype(int) + generated[mask] - 255).max() <= 2
    moved = face.landmarks + [500, 0, 0]
    assert face_pairs.face_interior(before, after, face.landmarks, moved, 64) is None, "the synthetic face lies elsewhere"
    cut = face_at(3, 60)
    _, _, shown = face_pairs.face_interior(before, after, cut.landmarks, cut.landmarks, 64)
    assert not shown[:, :28].any(), "the repeated border is no photo"
