"""Of whom synthetic people are drawn (``ganon_hf.geometry.Population``): groups of training people who look alike.

Shape and texture go together: k-means on both at once finds women, bearded men, the old. A group's middle is an average over hundreds of
people and owes nothing to any of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.cluster.vq import kmeans2
from scipy.spatial import KDTree

from ..geometry import Population, draw_identity
from ..modeling_ganon import ShapeStatistics
from .encode import PictureCodes
from .shape import ShapePopulation

# Averages are bland: groups are drawn further apart than they are, and people spread less around a group than they do, so that a person
# belongs to it. Chosen by looking at sheets of generated people.
_APART, _SPREAD = 1.5, 0.7
# Shapes vary more: what a person's own shape still gives away drowns in it.
_SHAPE_SPREAD = 1.0
# No group is further out in appearance than so many times the distance of the middle one.
_FURTHEST = 0.9
# What tells groups apart: texture before shape.
_SHAPE_WEIGHT = 0.7
_LIMIT = 3.0


def population_of(statistics: ShapeStatistics) -> Population:
    """Of whom a model draws synthetic people."""
    centers, spread = (value.detach().cpu().double().numpy() for value in (statistics.people_centers, statistics.people_spread))
    return Population(centers, spread, num_shape=statistics.identity_basis.shape[1])


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


def fit_people(population: ShapePopulation, codes: PictureCodes, statistics: ShapeStatistics, *, seed: int = 0) -> None:
    """Fit ``people_centers`` and ``people_spread`` of ``statistics`` (in place).

    Args:
        population: training shapes from :func:`.shape.fit_shape_space`; a person counts once.
        codes: appearance of all pictures, the turned ones too.
        statistics: with its identity basis.
        seed: of the k-means start.

    Raises:
        ValueError: fewer people than groups.
    """
    count, num_shape = len(statistics.people_centers), statistics.identity_basis.shape[1]
    means, _ = _training_people(population, codes, statistics)
    if len(means) < count:
        raise ValueError(f"{count} groups need at least as many people with a frontal picture, but got {len(means)}.")
    weights = _weights(statistics)
    centers, _ = kmeans2(means * weights, count, iter=100, minit="++", seed=np.random.default_rng(seed), missing="raise")
    centers = centers / weights * _APART
    # a small group of unusual people lies so far out that what is drawn for it has specks that no face has
    sizes = np.linalg.norm(centers[:, num_shape:], axis=1, keepdims=True)
    centers[:, num_shape:] *= np.minimum(1, _FURTHEST * np.median(sizes) / np.maximum(sizes, 1e-9))
    with torch.no_grad():
        statistics.people_centers.copy_(torch.from_numpy(centers))
        statistics.people_spread.copy_(torch.from_numpy(np.where(np.arange(len(weights)) < num_shape, _SHAPE_SPREAD, _SPREAD)))


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
    source = population_of(statistics)
    people = [draw_identity(seed + number, 0, source) for number in range(draws)]
    drawn = np.array([np.concatenate([one.shape, one.appearance]) for one in people])
    tree = KDTree(means * weights)
    return NearestPeople(tree.query(drawn * weights)[0], tree.query(means * weights, k=2)[0][:, 1], same)
