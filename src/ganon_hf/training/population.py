"""Fit of the population that synthetic people are sampled from (``ganon_hf.core.geometry.Population``): a mixture of groups.

Training pictures show men more often than women, and the middle-aged more often than the young and the old. Clustering would therefore give
eight groups of nearly the same man. Instead, people are split into groups by measured attributes (:mod:`.facial_attributes`): half of the
groups are people who look most like women, half are others; in each half there are younger-looking and older-looking groups, and of each
age some with more and less facial hair (men) or darker and lighter brows (women). The middle of each range is left out. The center of a
group is an average over many people (:data:`MIN_GROUP_SIZE`), so no single person shows in it. Then it is moved to the target attributes of
the group, along the directions in which people with these attributes most likely differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import torch
from scipy.spatial import KDTree

from ..core.geometry import Population, draw_identity
from ..core.modeling_ganon import AppearancePrior, ShapeStatistics
from .facial_attributes import ATTRIBUTES, AttributeScorer
from .shape_space import ShapePopulation
from .texture_encoding import AppearanceCodes

# Averages are bland, so the appearance of the group centers is exaggerated by this factor. Chosen by eye on sheets of synthetic people.
_EXAGGERATION = 1.5
# Standard deviations within a group. Shapes vary as among real people, which hides what an expression still reveals of its owner's shape.
_SHAPE_SPREAD, _APPEARANCE_SPREAD = 1.0, 0.7
# If an appearance coefficient changes sex, age and facial hair by this many standard deviations, its spread is divided by the square root
# of two, so that people keep the attributes of their group.
_ATTRIBUTE_TOLERANCE = 0.12
# Largest norm of the appearance of a group center, and largest absolute value of a coefficient: beyond, faces show specks.
_MAX_CENTER_NORM, _MAX_COEFFICIENT = 3.4, 3.0
# Share of the people who most likely wear eyeglasses and are left out: the rims would be taken for signs of age.
_EYEGLASSES_SHARE = 0.2
# Shares of the people at the two ends of femininity, and at each end of the attributes after it. Men are in the majority.
_MEN_SHARE, _WOMEN_SHARE, _TAIL_SHARE = 0.5, 0.18, 0.42
# Smallest number of people of a group: the average of fewer could resemble one of them.
MIN_GROUP_SIZE = 50
# Target attributes of the group centers, in standard deviations over the training people; attributes not named here go to the mean.
_SEXES = ("men", "women")
_FEMININITY = {"men": -1.1, "women": 2.3}
_MIN_FEMININITY = -2.2
_AGE = {"young": -1.35, "old": 1.7, "any": 0.0}
_FACIAL_HAIR = {"women": -1.8, "shaved": -0.65, "bearded": 1.7, "any": 0.0}
# Ridge penalty of the linear model of the attributes, in people.
_RIDGE = 10.0
_ITERATIONS = 5
# Weight of shape relative to appearance in distances between people.
_SHAPE_WEIGHT = 0.7


def _coefficients(population: ShapePopulation, codes: AppearanceCodes, statistics: ShapeStatistics) -> np.ndarray:
    """(m, k + a) coefficients of the person in each picture: k of shape, then a of appearance."""
    shape = population.identity_coefficients(statistics.identity_basis.double().numpy())
    return np.hstack([shape, codes.appearance[population.rows]])


def _training_people(population: ShapePopulation, codes: AppearanceCodes, statistics: ShapeStatistics) -> tuple[np.ndarray, np.ndarray]:
    """(p, k + a) coefficients of all people, and the (k + a,) scale by which those of pictures are divided to be comparable."""
    num_shape, pictures = statistics.identity_basis.shape[1], _coefficients(population, codes, statistics)
    # every picture of an unknown person counts as another person
    labels = np.where(population.persons < 0, -1 - np.arange(len(pictures)), population.persons)
    people, inverse, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    means = np.zeros((len(people), pictures.shape[1]))
    np.add.at(means, inverse, pictures)
    means /= sizes[:, None]
    # posterior means are shrunk: synthetic people should differ as much as real ones
    scale = np.ones(means.shape[1])
    scale[:num_shape] = np.maximum(means[:, :num_shape].std(axis=0), 1e-9)
    return np.clip(means / scale, -_MAX_COEFFICIENT, _MAX_COEFFICIENT), scale


def _weights(statistics: ShapeStatistics) -> np.ndarray:
    """(k + a,) weights of the coefficients in distances; a direction of shape counts as much as it moves the landmarks."""
    shown = np.linalg.norm(statistics.identity_basis.double().numpy() * statistics.deviations.double().numpy()[:, None], axis=0)
    num_appearance = statistics.people_centers.shape[1] - len(shown)
    return np.concatenate([_SHAPE_WEIGHT * shown / max(shown.max(), 1e-9) + 1e-3, np.ones(num_appearance)])


@dataclass(frozen=True, eq=False)
class _Group:
    """Rows of the people of a group, and the target attributes of its center in the order of ``ATTRIBUTES``."""

    rows: np.ndarray
    target: np.ndarray


def _tails(values: np.ndarray, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the lowest share ``low`` and of the highest share ``high`` of the values."""
    order = np.argsort(values, kind="stable")
    return order[: round(low * len(order))], order[len(order) - round(high * len(order)) :]


def _split_into_groups(attributes: np.ndarray, brows: np.ndarray, count: int) -> list[_Group]:
    """Split people with (p, len(ATTRIBUTES)) attributes by sex, then age, then facial hair or brows; with fewer groups, fewer splits."""
    if count > 8:
        raise ValueError(f"people are split into at most 8 groups, but {count} are wanted.")
    rows = np.argsort(attributes[:, ATTRIBUTES.index("eyeglasses")], kind="stable")[: round((1 - _EYEGLASSES_SHARE) * len(attributes))]
    halves = [rows[tail] for tail in _tails(attributes[rows, ATTRIBUTES.index("femininity")], _MEN_SHARE, _WOMEN_SHARE)]
    by_sex = [
        _split_by_age(sex, attributes, brows, people, share)
        for sex, people, share in zip(_SEXES, halves, (count // 2, count - count // 2), strict=True)
    ]
    # men and women alternate: the order is arbitrary, but neighbors should differ
    return [group for pair in zip_longest(*by_sex) for group in pair if group is not None]


def _split_by_age(sex: str, attributes: np.ndarray, brows: np.ndarray, people: np.ndarray, count: int) -> list[_Group]:
    """Up to four groups of people of one sex, given as rows."""
    if count == 0:
        return []
    ages = {"any": people}
    if count > 1:
        tails = _tails(attributes[people, ATTRIBUTES.index("age")], _TAIL_SHARE, _TAIL_SHARE)
        ages = dict(zip(("young", "old"), (people[tail] for tail in tails), strict=True))
    groups = []
    for age, peers in ages.items():
        share = (count + (age == "young")) // len(ages)
        parts = [("women" if sex == "women" else "any", peers)]
        if share > 1:
            names = ("women", "women") if sex == "women" else ("shaved", "bearded")
            values = brows[peers] if sex == "women" else attributes[peers, ATTRIBUTES.index("facial hair")]
            parts = list(zip(names, (peers[tail] for tail in _tails(values, _TAIL_SHARE, _TAIL_SHARE)), strict=True))
        ordered = parts if age != "old" else parts[::-1]
        for facial_hair, rows in ordered:
            target = {"femininity": _FEMININITY[sex], "age": _AGE[age], "facial hair": _FACIAL_HAIR[facial_hair]}
            groups.append(_Group(rows, np.array([target.get(name, 0.0) for name in ATTRIBUTES])))
    return groups


def fit_people(
    population: ShapePopulation,
    codes: AppearanceCodes,
    statistics: ShapeStatistics,
    prior: AppearancePrior,
    *,
    min_group_size: int = MIN_GROUP_SIZE,
) -> None:
    """Fit ``people_centers`` and ``people_spread`` of ``statistics`` (in place).

    Args:
        population: training shapes from :func:`.shape_space.fit_shape_space` or :func:`.shape_space.project_shapes`. Every person counts
            once, whatever the number of pictures.
        codes: of all pictures, also of those with turned heads.
        statistics: with a fitted identity basis.
        prior: the one that the codes belong to.
        min_group_size: smallest number of people of a group.

    Raises:
        ValueError: there are too few people.
    """
    count, num_shape = len(statistics.people_centers), statistics.identity_basis.shape[1]
    people, _ = _training_people(population, codes, statistics)
    score = AttributeScorer(statistics, prior, people)
    attributes = score(people)
    groups = _split_into_groups(attributes, score.brow_lightness(people), count)
    smallest = min(len(group.rows) for group in groups)
    if smallest < min_group_size:
        needed = int(np.ceil(len(people) * min_group_size / max(smallest, 1)))
        raise ValueError(
            f"{count} groups of at least {min_group_size} need about {needed} people with a frontal picture, but got {len(people)}."
        )
    mean = people.mean(axis=0)
    centers = np.array([people[group.rows].mean(axis=0) for group in groups]) - mean
    centers = mean + centers * np.where(np.arange(len(mean)) < num_shape, 1.0, _EXAGGERATION)
    # linear regression of the attributes on the coefficients, and of the coefficients on the attributes
    centered = people - mean
    covariance = np.cov(centered.T)
    slopes = np.linalg.solve(centered.T @ centered + _RIDGE * np.eye(len(mean)), centered.T @ (attributes - attributes.mean(axis=0)))
    directions = covariance @ slopes @ np.linalg.pinv(slopes.T @ covariance @ slopes, rcond=1e-3)
    target = np.array([group.target for group in groups])
    # beards and wrinkles count as masculine: a man who has them must not get feminine features elsewhere to reach the target
    column = ATTRIBUTES.index("femininity")
    current = np.clip(score(centers)[:, column], _MIN_FEMININITY, target[:, column])
    target[:, column] = np.where(target[:, column] < 0, current, target[:, column])
    for _ in range(_ITERATIONS):  # the attributes are not quite linear in the coefficients
        centers = centers + (target - score(centers)) @ directions.T
    norms = np.linalg.norm(centers[:, num_shape:], axis=1, keepdims=True)
    centers[:, num_shape:] *= np.minimum(1, _MAX_CENTER_NORM / np.maximum(norms, 1e-9))
    centers = np.clip(centers, -_MAX_COEFFICIENT, _MAX_COEFFICIENT)
    group_slopes = slopes[:, [ATTRIBUTES.index(name) for name in ("femininity", "age", "facial hair")]]
    spread = _APPEARANCE_SPREAD / np.sqrt(1 + (np.linalg.norm(group_slopes, axis=1) / _ATTRIBUTE_TOLERANCE) ** 2)
    spread[:num_shape] = _SHAPE_SPREAD
    with torch.no_grad():
        statistics.people_centers.copy_(torch.from_numpy(centers))
        statistics.people_spread.copy_(torch.from_numpy(spread))


def group_attributes(
    population: ShapePopulation, codes: AppearanceCodes, statistics: ShapeStatistics, prior: AppearancePrior
) -> np.ndarray:
    """(groups, len(ATTRIBUTES)) attributes of the group centers in standard deviations over the training people.

    Arguments as for :func:`fit_people`.
    """
    people, _ = _training_people(population, codes, statistics)
    return AttributeScorer(statistics, prior, people)(statistics.people_centers.double().numpy())


@dataclass(frozen=True, eq=False)
class NearestPeople:
    """Distances between people in the coefficients of shape and appearance, weighted by how much they change a face.

    Attributes:
        synthetic: (n,) from each synthetic person to the nearest training person.
        training: (p,) from each training person to the nearest other one.
        same: (q,) between two pictures of one training person. It shows how coarse the measure is: a picture says little about a person.
    """

    synthetic: np.ndarray
    training: np.ndarray
    same: np.ndarray


def nearest_people(
    population: ShapePopulation, codes: AppearanceCodes, statistics: ShapeStatistics, *, draws: int = 10_000, seed: int = 0
) -> NearestPeople:
    """How close synthetic people come to the people that the model was fitted to.

    Args:
        population, codes: as for :func:`fit_people`.
        statistics: fitted.
        draws: number of synthetic people to sample.
        seed: of the first of them.

    Raises:
        ValueError: nobody has two pictures, or there are fewer than two people.
    """
    means, scale = _training_people(population, codes, statistics)
    weights = _weights(statistics)
    pictures = np.clip(_coefficients(population, codes, statistics) / scale, -_MAX_COEFFICIENT, _MAX_COEFFICIENT) * weights
    order = np.lexsort((np.arange(len(pictures)), population.persons))
    persons = population.persons[order]
    pairs = np.flatnonzero((persons[1:] == persons[:-1]) & (persons[1:] >= 0))
    if not len(pairs) or len(means) < 2:
        raise ValueError(
            f"distances need at least two people and one person with two pictures, but got {len(means)} people and {len(pairs)} pairs."
        )
    same = np.linalg.norm(pictures[order[pairs + 1]] - pictures[order[pairs]], axis=1)
    centers, spread = statistics.people_centers.double().numpy(), statistics.people_spread.double().numpy()
    source = Population(centers, spread, num_shape=statistics.identity_basis.shape[1])
    identities = [draw_identity(seed + number, 0, source) for number in range(draws)]
    synthetic = np.array([np.concatenate([one.shape, one.appearance]) for one in identities])
    tree = KDTree(means * weights)
    return NearestPeople(tree.query(synthetic * weights)[0], tree.query(means * weights, k=2)[0][:, 1], same)
