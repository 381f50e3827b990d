"""Of whom synthetic people are drawn (``ganon_hf.core.geometry.Population``): groups of training people who look alike.

Training pictures show men more often than women and the middle-aged more often than the young and the old, so that groups of people who
merely lie close together are eight kinds of the same man. Groups are therefore sorted out by what can be measured (:mod:`.looks`): half
of them from those who look most like women, half from the others; in each half the younger and the older-looking, and of each with more
and with less hair (men) or darker and lighter brows (women). The middle is left out at every step. A group's middle is an average over
many people (:data:`FEWEST`) and owes nothing to any of them; it is then moved to where its looks should be, the way that people most
likely differ in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import torch
from scipy.spatial import KDTree

from ..core.geometry import Population, draw_identity
from ..core.modeling_ganon import AppearancePrior, ShapeStatistics
from .attributes import LOOKS, Looks
from .shape_space import ShapePopulation
from .texture_encoding import PictureCodes

# Averages are bland: the textures of groups are drawn further apart than they are. Chosen by looking at sheets of people.
_APART = 1.5
# Standard deviations within a group. Shapes vary as in real people: what a person's own shape still gives away drowns in it.
_SHAPE_SPREAD, _SPREAD = 1.0, 0.7
# A coefficient of the texture that changes sex, age and hair by so many standard deviations is drawn from a range narrower by the square
# root of two: a person must stay what the group is.
_STEADY = 0.12
# No middle of a group lies further out in texture, and no single coefficient: beyond are specks that no face has.
_FURTHEST, _LIMIT = 3.4, 3.0
# Who may wear spectacles shows lines that are neither age nor anybody's face: the share left out.
_SPECTACLES = 0.2
# Shares of the people at both ends of the first look, and of each step after it. Men are in the majority.
_MEN, _WOMEN, _KEPT = 0.5, 0.18, 0.42
# A group of fewer people would show single ones.
FEWEST = 50
# Looks that the middles of groups are moved to, in standard deviations over the training people; all others to the mean.
_SEXES = ("men", "women")
_FEMININITY = {"men": -1.1, "women": 2.3}
_MOST_MANLY = -2.2
_AGE = {"young": -1.35, "old": 1.7, "any": 0.0}
_HAIR = {"women": -1.8, "shaved": -0.65, "bearded": 1.7, "any": 0.0}
# Penalty of the linear model of the looks, in people.
_RIDGE = 10.0
_ROUNDS = 5
# What tells people apart, in distances: texture before shape.
_SHAPE_WEIGHT = 0.7


def _coefficients(population: ShapePopulation, codes: PictureCodes, statistics: ShapeStatistics) -> np.ndarray:
    """(m, k + a) what each picture says about its person: coefficients of shape, then of texture."""
    shape = population.identity_coefficients(statistics.identity_basis.double().numpy())
    return np.hstack([shape, codes.appearance[population.rows]])


def _training_people(population: ShapePopulation, codes: PictureCodes, statistics: ShapeStatistics) -> tuple[np.ndarray, np.ndarray]:
    """(p, k + a) coefficients of everybody, and (k + a,) what the pictures' own are to be divided by to be like them."""
    num_shape, pictures = statistics.identity_basis.shape[1], _coefficients(population, codes, statistics)
    # an unknown person is one of their own
    labels = np.where(population.persons < 0, -1 - np.arange(len(pictures)), population.persons)
    people, inverse, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    means = np.zeros((len(people), pictures.shape[1]))
    np.add.at(means, inverse, pictures)
    means /= sizes[:, None]
    # a posterior mean shrinks: people drawn should be as far from each other as real ones
    scale = np.ones(means.shape[1])
    scale[:num_shape] = np.maximum(means[:, :num_shape].std(axis=0), 1e-9)
    return np.clip(means / scale, -_LIMIT, _LIMIT), scale


def _weights(statistics: ShapeStatistics) -> np.ndarray:
    """(k + a,) a direction of shape counts as much as it shows in a face."""
    shown = np.linalg.norm(statistics.identity_basis.double().numpy() * statistics.deviations.double().numpy()[:, None], axis=0)
    num_appearance = statistics.people_centers.shape[1] - len(shown)
    return np.concatenate([_SHAPE_WEIGHT * shown / max(shown.max(), 1e-9) + 1e-3, np.ones(num_appearance)])


@dataclass(frozen=True, eq=False)
class _Group:
    """Rows of some people, and the looks (in the order of ``LOOKS``) that their middle should have."""

    rows: np.ndarray
    wanted: np.ndarray


def _ends(values: np.ndarray, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Places of the lowest and of the highest of some values, as shares of them."""
    order = np.argsort(values, kind="stable")
    return order[: round(low * len(order))], order[len(order) - round(high * len(order)) :]


def _sort_out(looks: np.ndarray, brows: np.ndarray, count: int) -> list[_Group]:
    """Groups of (p, looks) people: by sex, then by age, then by hair or brows; fewer than eight leave the last steps out."""
    if count > 8:
        raise ValueError(f"people are sorted into at most 8 groups, but {count} are wanted.")
    rows = np.argsort(looks[:, LOOKS.index("spectacles")], kind="stable")[: round((1 - _SPECTACLES) * len(looks))]
    halves = [rows[end] for end in _ends(looks[rows, LOOKS.index("femininity")], _MEN, _WOMEN)]
    of_sex = [
        _by_age(sex, looks, brows, people, share)
        for sex, people, share in zip(_SEXES, halves, (count // 2, count - count // 2), strict=True)
    ]
    # men and women in turns: the order is free, but neighbors should differ
    return [group for pair in zip_longest(*of_sex) for group in pair if group is not None]


def _by_age(sex: str, looks: np.ndarray, brows: np.ndarray, people: np.ndarray, count: int) -> list[_Group]:
    """Up to four groups of some rows of one sex."""
    if count == 0:
        return []
    ages = {"any": people}
    if count > 1:
        ages = dict(zip(("young", "old"), (people[end] for end in _ends(looks[people, LOOKS.index("age")], _KEPT, _KEPT)), strict=True))
    groups = []
    for age, those in ages.items():
        share = (count + (age == "young")) // len(ages)
        pieces = [("women" if sex == "women" else "any", those)]
        if share > 1:
            names = ("women", "women") if sex == "women" else ("shaved", "bearded")
            values = brows[those] if sex == "women" else looks[those, LOOKS.index("hair")]
            pieces = list(zip(names, (those[end] for end in _ends(values, _KEPT, _KEPT)), strict=True))
        ordered = pieces if age != "old" else pieces[::-1]
        for hair, rows in ordered:
            wanted = {"femininity": _FEMININITY[sex], "age": _AGE[age], "hair": _HAIR[hair]}
            groups.append(_Group(rows, np.array([wanted.get(name, 0.0) for name in LOOKS])))
    return groups


def fit_people(
    population: ShapePopulation, codes: PictureCodes, statistics: ShapeStatistics, prior: AppearancePrior, *, fewest: int = FEWEST
) -> None:
    """Fit ``people_centers`` and ``people_spread`` of ``statistics`` (in place).

    Args:
        population: training shapes from :func:`.shape.fit_shape_space` or :func:`.shape.measure_population`; a person counts once.
        codes: appearance of all pictures, the turned ones too.
        statistics: with its identity basis.
        prior: of the codes.
        fewest: least people of a group.

    Raises:
        ValueError: too few people.
    """
    count, num_shape = len(statistics.people_centers), statistics.identity_basis.shape[1]
    people, _ = _training_people(population, codes, statistics)
    measure = Looks(statistics, prior, people)
    looks = measure(people)
    groups = _sort_out(looks, measure.brows(people), count)
    smallest = min(len(group.rows) for group in groups)
    if smallest < fewest:
        raise ValueError(
            f"{count} groups of at least {fewest} need about {int(np.ceil(len(people) * fewest / max(smallest, 1)))} people with a frontal "
            f"picture, but got {len(people)}."
        )
    mean = people.mean(axis=0)
    centers = np.array([people[group.rows].mean(axis=0) for group in groups]) - mean
    centers = mean + centers * np.where(np.arange(len(mean)) < num_shape, 1.0, _APART)
    # how looks change with the coefficients, and how coefficients change with the looks (regression, both ways)
    apart = people - mean
    covariance = np.cov(apart.T)
    slopes = np.linalg.solve(apart.T @ apart + _RIDGE * np.eye(len(mean)), apart.T @ (looks - looks.mean(axis=0)))
    likeliest = covariance @ slopes @ np.linalg.pinv(slopes.T @ covariance @ slopes, rcond=1e-3)
    wanted = np.array([group.wanted for group in groups])
    # beards and furrows are signs of a man: he who has them is not to be made more like a woman elsewhere
    place = LOOKS.index("femininity")
    as_they_are = np.clip(measure(centers)[:, place], _MOST_MANLY, wanted[:, place])
    wanted[:, place] = np.where(wanted[:, place] < 0, as_they_are, wanted[:, place])
    for _ in range(_ROUNDS):  # the looks are not quite linear
        centers = centers + (wanted - measure(centers)) @ likeliest.T
    lengths = np.linalg.norm(centers[:, num_shape:], axis=1, keepdims=True)
    centers[:, num_shape:] *= np.minimum(1, _FURTHEST / np.maximum(lengths, 1e-9))
    centers = np.clip(centers, -_LIMIT, _LIMIT)
    told_apart = slopes[:, [LOOKS.index(name) for name in ("femininity", "age", "hair")]]
    spread = _SPREAD / np.sqrt(1 + (np.linalg.norm(told_apart, axis=1) / _STEADY) ** 2)
    spread[:num_shape] = _SHAPE_SPREAD
    with torch.no_grad():
        statistics.people_centers.copy_(torch.from_numpy(centers))
        statistics.people_spread.copy_(torch.from_numpy(spread))


def group_looks(population: ShapePopulation, codes: PictureCodes, statistics: ShapeStatistics, prior: AppearancePrior) -> np.ndarray:
    """(groups, len(LOOKS)) looks of the middles of the groups in standard deviations over the training people; arguments as above."""
    people, _ = _training_people(population, codes, statistics)
    return Looks(statistics, prior, people)(statistics.people_centers.double().numpy())


@dataclass(frozen=True, eq=False)
class NearestPeople:
    """Distances in the coefficients of shape and texture, each weighted as it shows in a face.

    Attributes:
        drawn: (n,) from everybody drawn to the nearest training person.
        training: (p,) from every training person to the nearest other one.
        same: (q,) between two pictures of one training person: how blunt the measure is, for a picture says little about a person.
    """

    drawn: np.ndarray
    training: np.ndarray
    same: np.ndarray


def nearest_people(
    population: ShapePopulation, codes: PictureCodes, statistics: ShapeStatistics, *, draws: int = 10_000, seed: int = 0
) -> NearestPeople:
    """How near the people that are drawn come to those that the model was fitted on.

    Args:
        population, codes: as for :func:`fit_people`.
        statistics: fitted.
        draws: how many people are drawn.
        seed: of the first of them.

    Raises:
        ValueError: nobody has two pictures, or there are fewer than two people.
    """
    means, scale = _training_people(population, codes, statistics)
    weights = _weights(statistics)
    pictures = np.clip(_coefficients(population, codes, statistics) / scale, -_LIMIT, _LIMIT) * weights
    order = np.lexsort((np.arange(len(pictures)), population.persons))
    persons = population.persons[order]
    pairs = np.flatnonzero((persons[1:] == persons[:-1]) & (persons[1:] >= 0))
    if not len(pairs) or len(means) < 2:
        raise ValueError(f"distances need two people and somebody with two pictures, but got {len(means)} people and {len(pairs)} pairs.")
    same = np.linalg.norm(pictures[order[pairs + 1]] - pictures[order[pairs]], axis=1)
    centers, spread = statistics.people_centers.double().numpy(), statistics.people_spread.double().numpy()
    source = Population(centers, spread, num_shape=statistics.identity_basis.shape[1])
    people = [draw_identity(seed + number, 0, source) for number in range(draws)]
    drawn = np.array([np.concatenate([one.shape, one.appearance]) for one in people])
    tree = KDTree(means * weights)
    return NearestPeople(tree.query(drawn * weights)[0], tree.query(means * weights, k=2)[0][:, 1], same)
