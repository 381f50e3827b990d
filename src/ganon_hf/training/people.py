"""Of whom synthetic people are drawn (``ganon_hf.geometry.Population``): groups of training people who look alike.

Shape and texture go together: k-means on both at once finds women, bearded men, the old. A group's middle is an average over hundreds of
people and owes nothing to any of them.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.cluster.vq import kmeans2

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
    shape = population.identity_coefficients(statistics.identity_basis.double().numpy())
    labels = np.where(population.persons < 0, -1 - np.arange(len(shape)), population.persons)  # an unknown person is one of their own
    people, inverse, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if len(people) < count:
        raise ValueError(f"{count} groups need at least as many people with a frontal picture, but got {len(people)}.")
    means = np.zeros((len(people), num_shape + codes.appearance.shape[1]))
    np.add.at(means, inverse, np.hstack([shape, codes.appearance[population.rows]]))
    means /= sizes[:, None]
    # a posterior mean shrinks: people drawn should be as far from each other as real ones
    means[:, :num_shape] /= np.maximum(means[:, :num_shape].std(axis=0), 1e-9)
    means = np.clip(means, -_LIMIT, _LIMIT)
    # a direction of shape counts as much as it shows in a face
    shown = np.linalg.norm(statistics.identity_basis.double().numpy() * statistics.deviations.double().numpy()[:, None], axis=0)
    weights = np.concatenate([_SHAPE_WEIGHT * shown / max(shown.max(), 1e-9) + 1e-3, np.ones(means.shape[1] - num_shape)])
    centers, _ = kmeans2(means * weights, count, iter=100, minit="++", seed=np.random.default_rng(seed), missing="raise")
    centers = centers / weights * _APART
    # a small group of unusual people lies so far out that what is drawn for it has specks that no face has
    sizes = np.linalg.norm(centers[:, num_shape:], axis=1, keepdims=True)
    centers[:, num_shape:] *= np.minimum(1, _FURTHEST * np.median(sizes) / np.maximum(sizes, 1e-9))
    with torch.no_grad():
        statistics.people_centers.copy_(torch.from_numpy(centers))
        statistics.people_spread.copy_(torch.from_numpy(np.where(np.arange(means.shape[1]) < num_shape, _SHAPE_SPREAD, _SPREAD)))
