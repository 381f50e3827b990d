"""Who is drawn: half women and half men, young and old, with and without beard, whoever was in front of the cameras."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ganon_hf.core.face_mesh import MEAN_LANDMARKS
from ganon_hf.core.geometry import Population, draw_identity
from ganon_hf.core.modeling_ganon import AppearancePrior, GanonConfig, ShapeStatistics
from ganon_hf.training.facial_attributes import _LINE_WIDTH, _LINES, _REGIONS, ATTRIBUTES, AttributeScorer, _mask, _with_mirrored
from ganon_hf.training.population import fit_people
from ganon_hf.training.shape_space import ShapePopulation
from ganon_hf.training.texture_encoding import AppearanceCodes

SIZE = 64
CONFIG = GanonConfig(
    image_size=64, texture_size=SIZE, num_appearance=5, num_shape_axes=4, num_identity=3, num_shape_components=4, num_quadratic=2
)
BEARD, LIPS, WRINKLES, BROWS, EYEGLASSES = range(5)
MIN_GROUP_SIZE = 20


def painted(names: tuple[str, ...], level: float) -> torch.Tensor:
    """(SIZE, SIZE) map that lightens some regions or lines by up to ``level``."""
    total = np.zeros((SIZE, SIZE), np.float32)
    for name in names:
        lines = _LINES.get(name)
        if lines is None:
            mask = _mask(SIZE, _with_mirrored(_REGIONS[name]))
        else:
            mask = _mask(SIZE, [pair for points in lines for pair in _with_mirrored(points)], _LINE_WIDTH)
        total = np.maximum(total, mask / mask.max())
    return torch.from_numpy(total * level)


@pytest.fixture(scope="module")
def faces() -> tuple[ShapeStatistics, AppearancePrior]:
    """People differ in beard, lips, wrinkles, brows and eyeglasses, and in three directions of shape that mean nothing."""
    torch.manual_seed(0)
    statistics, prior = ShapeStatistics(CONFIG), AppearancePrior(CONFIG)
    mean = torch.from_numpy(MEAN_LANDMARKS.astype(np.float32)).flatten()
    with torch.no_grad():
        statistics.mean.copy_(mean)
        prior.shape_mean.copy_(mean)
        statistics.axes.copy_(torch.linalg.qr(torch.randn(len(mean), 4))[0])
        statistics.deviations.fill_(0.1)
        statistics.identity_basis.copy_(torch.eye(4)[:, :3])
        prior.luma[0] += 120.0
        prior.luma_appearance[BEARD] = painted(("upper lip", "chin", "jaw"), -20)
        prior.luma_appearance[LIPS] = painted(("red of the upper lip", "red of the lower lip"), -20)
        prior.luma_appearance[WRINKLES] = painted(("nose to mouth", "mouth to chin", "beside the eye"), -20)
        prior.luma_appearance[BROWS] = painted(("brow",), -20)
        prior.luma_appearance[EYEGLASSES] = painted(("bridge of the nose", "rim"), -25)
    return statistics, prior


def population(count: int = 1500, share: float = 0.2, seed: int = 0) -> tuple[ShapePopulation, AppearanceCodes]:
    """Mostly men; two thirds of them bearded, one person in eight with eyeglasses, who counts once however many pictures there are."""
    random = np.random.default_rng(seed)
    women = np.arange(count) < share * count
    beards = ~women & (random.random(count) < 2 / 3)
    who = 0.3 * random.standard_normal((count, 5))
    who[:, BEARD] += np.where(beards, 1.5, -0.5)
    who[:, LIPS] += np.where(women, 1.5, -0.5)
    who[:, WRINKLES] += random.standard_normal(count)
    who[:, BROWS] += random.standard_normal(count)
    who[:, EYEGLASSES] += np.where(random.random(count) < 1 / 8, 3.0, 0.0)
    persons = np.concatenate([np.repeat(np.arange(count), 2), np.full(500, count - 1)])
    coordinates = random.standard_normal((count, 4))[persons] + 0.1 * random.standard_normal((len(persons), 4))
    codes = AppearanceCodes(
        who[persons].astype(np.float32), np.zeros((len(persons), 6), np.float32), np.zeros((len(persons), 2), np.float32)
    )
    return ShapePopulation(np.arange(len(persons)), coordinates, persons, np.eye(4), 0.01 * np.eye(4)), codes


@pytest.fixture(scope="module")
def fitted(faces: tuple) -> tuple[np.ndarray, np.ndarray]:
    """Attributes of the centers of the eight groups, and the centers."""
    statistics, prior = faces
    people, codes = population()
    fit_people(people, codes, statistics, prior, min_group_size=MIN_GROUP_SIZE)
    once = np.unique(people.persons, return_index=True)[1]
    everybody = np.hstack([people.coordinates[once, :3], codes.appearance[once]])
    centers = statistics.people_centers.double().numpy()
    return AttributeScorer(statistics, prior, everybody)(centers), centers


def attribute(fitted: tuple[np.ndarray, np.ndarray], name: str) -> np.ndarray:
    return fitted[0][:, ATTRIBUTES.index(name)]


def test_half_of_the_groups_are_women_whoever_was_photographed(fitted: tuple) -> None:
    women, femininity, hair = np.arange(8) % 2 == 1, attribute(fitted, "femininity"), attribute(fitted, "facial hair")
    assert femininity[women].min() > femininity[~women].max() + 1.5
    assert (fitted[1][women, 3 + LIPS] > 0.5).all() and (fitted[1][~women, 3 + LIPS] < 0.3).all()
    # the unbearded are at -0.5 in this population, its mean is 0.55
    assert (fitted[1][women, 3 + BEARD] < 0).all() and hair[women].max() < 0


def test_half_of_the_men_have_a_beard(fitted: tuple) -> None:
    hair = np.sort(attribute(fitted, "facial hair")[::2])
    assert hair[1] < 0 < hair[2] and hair[2] - hair[1] > 1


def test_young_and_old_in_both_halves(fitted: tuple) -> None:
    for half in (0, 1):
        age = np.sort(attribute(fitted, "age")[half::2])
        assert age[1] < -0.5 and age[2] > 0.5


def test_women_differ_in_their_brows(fitted: tuple) -> None:
    brows = fitted[1][1::2, 3 + BROWS]
    assert np.ptp(brows) > 1


def test_nobody_wears_drawn_eyeglasses(fitted: tuple) -> None:
    assert (fitted[1][:, 3 + EYEGLASSES] < 0.6).all() and np.abs(attribute(fitted, "eyeglasses")).max() < 0.6


def test_groups_stay_what_they_are(faces: tuple, fitted: tuple) -> None:
    """Shape varies in full; what makes a beard or a woman varies less than what makes neither."""
    spread = faces[0].people_spread.double().numpy()
    assert (spread[:3] == 1).all() and (spread[3:] <= 0.7).all() and spread[3 + BEARD] < 0.4
    drawn_from = Population(fitted[1], spread, 3)
    drawn = np.array([draw_identity(1, index, drawn_from).appearance for index in range(600)])
    women = drawn[:, LIPS] > (fitted[1][1::2, 3 + LIPS].min() + fitted[1][::2, 3 + LIPS].max()) / 2
    assert 0.4 < women.mean() < 0.6
    assert (drawn[women, BEARD] < 0.5).mean() > 0.95


def test_no_middle_is_extreme(fitted: tuple) -> None:
    assert np.abs(fitted[1]).max() <= 3 and np.linalg.norm(fitted[1][:, 3:], axis=1).max() <= 3.4 + 1e-6


def test_no_group_owes_anything_to_one_person(faces: tuple, fitted: tuple) -> None:
    """One of 1500 people is very different: the centers hardly move."""
    statistics = ShapeStatistics(CONFIG)
    statistics.load_state_dict(faces[0].state_dict())
    people, codes = population()
    changed = codes.appearance.copy()
    changed[people.persons == 3] = [-2.5, 2.5, -2.5, 2.5, 0.0]
    other = AppearanceCodes(changed, codes.light, codes.tone)
    fit_people(people, other, statistics, faces[1], min_group_size=MIN_GROUP_SIZE)
    assert np.abs(statistics.people_centers.double().numpy() - fitted[1]).max() < 0.25


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_any_number_of_groups_up_to_eight(faces: tuple, count: int) -> None:
    statistics = ShapeStatistics(CONFIG)
    statistics.load_state_dict(faces[0].state_dict())
    statistics.people_centers = torch.zeros(count, 8)
    fit_people(*population(), statistics, faces[1], min_group_size=MIN_GROUP_SIZE)
    assert len(np.unique(statistics.people_centers.numpy().round(3), axis=0)) == count


def test_too_few_people_are_refused(faces: tuple) -> None:
    statistics = ShapeStatistics(CONFIG)
    statistics.load_state_dict(faces[0].state_dict())
    with pytest.raises(ValueError, match=r"8 groups of at least 50 need about \d+ people.*but got 300"):
        fit_people(*population(300), statistics, faces[1])
    statistics.people_centers = torch.zeros(9, 8)
    with pytest.raises(ValueError, match="at most 8 groups, but 9"):
        fit_people(*population(300), statistics, faces[1])
