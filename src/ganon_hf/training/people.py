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

# Averages are bland: groups are drawn further apart than they are, and people spread less around a group than they do, so that a person
# belongs to it. Chosen by looking at sheets of generated people.
_APART, _SPREAD = 1.5, 0.7
# What tells groups apart: texture before shape.
_SHAPE_WEIGHT = 0.7
_LIMIT = 3.0
_RIDGE = 0.02


def identity_coefficients(shapes: np.ndarray, geometry: ShapeStatistics) -> np.ndarray:
    """(n, 478, 3) pose-normalised shapes -> (n, k) coefficients of ``identity_basis``, the expression taken off, within -3..3."""
    mean, basis = geometry.mean.numpy(), geometry.identity_basis.numpy().astype(np.float64)
    encode, decode = geometry.expression_encode.numpy(), geometry.expression_decode.numpy()
    gram = basis.T @ basis
    solve = np.linalg.solve(gram + np.eye(len(gram)) * np.trace(gram) / len(gram) * _RIDGE, basis.T)
    difference = shapes.reshape(len(shapes), -1) - mean
    return np.clip((difference - (difference @ encode.T) @ decode.T) @ solve.T, -_LIMIT, _LIMIT).astype(np.float32)


def fit_people(
    shapes: np.ndarray,
    angles: np.ndarray,
    persons: np.ndarray,
    codes: PictureCodes,
    geometry: ShapeStatistics,
    count: int,
    *,
    seed: int = 0,
) -> dict[str, torch.Tensor]:
    """Fit the buffers ``people_centers`` and ``people_spread`` of ``ShapeStatistics``.

    Args:
        shapes: (n, 478, 3) pose-normalised landmarks.
        angles: (n, 2) yaw and pitch in degrees; turned heads have unsure shapes and are left out.
        persons: (n,) labels, -1 unknown; a person counts once.
        codes: appearance of the pictures.
        geometry: fitted shape statistics.
        count: groups.
        seed: of the k-means start.

    Raises:
        ValueError: fewer people than groups.
    """
    frontal = np.abs(angles[:, 0]) < 25
    everything = np.hstack([identity_coefficients(shapes[frontal], geometry), codes.appearance[frontal]]).astype(np.float64)
    labels = np.where(persons[frontal] < 0, -1 - np.arange(frontal.sum()), persons[frontal])  # an unknown person is one of their own
    people, inverse, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if len(people) < count:
        raise ValueError(f"{count} groups need at least as many people with a frontal picture, but got {len(people)}.")
    means = np.zeros((len(people), everything.shape[1]))
    np.add.at(means, inverse, everything)
    means /= sizes[:, None]
    num_shape = geometry.identity_basis.shape[1]
    weights = np.where(np.arange(means.shape[1]) < num_shape, _SHAPE_WEIGHT, 1.0)
    centers, _ = kmeans2(means * weights, count, iter=100, minit="++", seed=np.random.default_rng(seed), missing="raise")
    centers = centers / weights * _APART
    spread = np.full(means.shape[1], _SPREAD)
    return {"people_centers": torch.from_numpy(centers).float(), "people_spread": torch.from_numpy(spread).float()}
