"""Closed-form fit of how shapes differ (``ganon_hf.core.geometry.ShapeModel``): directions, and what of them is the person.

Two-covariance model (Ioffe 2006) on pose-normalized landmarks of people with two pictures or more: B between people, W within. The
directions are principal components; a synthetic person's shape is drawn from the strongest directions of B.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..core.geometry import normalize_pose
from ..core.modeling_ganon import ShapeStatistics
from .shards import FaceShards
from .textures import mirror_shapes

# Heads turned further have unsure shapes.
MAX_YAW = 35.0
_FEW = 20


@dataclass(frozen=True, eq=False)
class ShapePopulation:
    """Training shapes in the coordinates of the model, and how they vary there.

    Attributes:
        rows: (m,) which of the given pictures they are: those that are not turned too far.
        coordinates: (m, d) float64, about 1 in size.
        persons: (m,) labels, -1 unknown.
        between, within: (d, d) covariances between and within people.
    """

    rows: np.ndarray
    coordinates: np.ndarray
    persons: np.ndarray
    between: np.ndarray
    within: np.ndarray

    def identity_coefficients(self, basis: np.ndarray) -> np.ndarray:
        """(m, k) posterior mean of each picture's person in an identity basis (d, k), whose coefficients are standard normal."""
        return self.coordinates @ np.linalg.solve(self.between + self.within, basis)


def between_and_within(codes: np.ndarray, persons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Covariances between and within people of (n, d) codes; people with a single picture or the label -1 do not count.

    Raises:
        ValueError: fewer than two people have two pictures.
    """
    labels, inverse, sizes = np.unique(persons, return_inverse=True, return_counts=True)
    usable = (sizes[inverse] >= 2) & (persons >= 0)
    kept, inverse, sizes = np.unique(persons[usable], return_inverse=True, return_counts=True)
    if len(kept) < 2:
        raise ValueError(f"covariances between people need at least two people with two pictures, but got {len(kept)}.")
    means = np.zeros((len(kept), codes.shape[1]))
    np.add.at(means, inverse, codes[usable])
    means /= sizes[:, None]
    deviations = codes[usable] - means[inverse]
    within = deviations.T @ deviations / (len(deviations) - len(kept))
    # the spread of the means holds 1 / n of the variation within
    between = np.cov(means.T) - within * (1 / sizes).mean()
    values, vectors = np.linalg.eigh(between)
    return (vectors * np.maximum(values, 1e-9 * values[-1])) @ vectors.T, within


def fit_shape_space(
    shapes: np.ndarray, persons: np.ndarray, angles: np.ndarray, neutral: np.ndarray, statistics: ShapeStatistics
) -> ShapePopulation:
    """Fit mean, axes, deviations and identity basis of ``statistics`` (in place).

    Args:
        shapes: (n, 478, 3) pose-normalized landmarks.
        persons: (n,) labels, -1 unknown.
        angles: (n, 2) yaw and pitch in degrees.
        neutral: (n,) bool, pictures labeled as showing no emotion. Their mean is the origin.
        statistics: of the sizes wanted; what is not fitted here stays.

    Raises:
        ValueError: fewer pictures than axes, or too few people with two.
    """
    rows = np.flatnonzero(np.abs(angles[:, 0]) < MAX_YAW)
    if len(rows) < statistics.axes.shape[1]:
        raise ValueError(
            f"{statistics.axes.shape[1]} axes need as many faces turned by less than {MAX_YAW:g} degrees, but got {len(rows)}."
        )
    rest = neutral[rows] if neutral[rows].sum() >= _FEW else np.ones(len(rows), bool)
    origin = shapes[rows][rest]
    mean = np.concatenate([origin, mirror_shapes(origin)]).reshape(2 * len(origin), -1).astype(np.float64).mean(axis=0)
    flat = shapes[rows].reshape(len(rows), -1).astype(np.float64) - mean
    mirrored = mirror_shapes(shapes[rows]).reshape(len(rows), -1).astype(np.float64) - mean
    axes = _signed(np.linalg.eigh(flat.T @ flat + mirrored.T @ mirrored)[1][:, ::-1][:, : statistics.axes.shape[1]])
    coordinates = flat @ axes
    deviations = np.sqrt((coordinates**2).mean(axis=0) / 2 + ((mirrored @ axes) ** 2).mean(axis=0) / 2)
    coordinates /= deviations
    between, within = between_and_within(coordinates, persons[rows])
    # the strongest directions between people as seen in the face, not in coordinates in which every direction is as long
    values, vectors = np.linalg.eigh(deviations[:, None] * between * deviations)
    count = statistics.identity_basis.shape[1]
    values, vectors = np.maximum(values[::-1][:count], 0), _signed(vectors[:, ::-1][:, :count])
    basis = vectors * np.sqrt(values) / deviations[:, None]
    with torch.no_grad():
        for name, value in {"mean": mean, "axes": axes, "deviations": deviations, "identity_basis": basis}.items():
            getattr(statistics, name).copy_(torch.from_numpy(np.ascontiguousarray(value, dtype=np.float32)))
    return ShapePopulation(rows, coordinates, persons[rows], between, within)


def measure_population(shapes: np.ndarray, persons: np.ndarray, angles: np.ndarray, statistics: ShapeStatistics) -> ShapePopulation:
    """Shapes in the coordinates of ``statistics`` as they are; arguments as for :func:`fit_shape_space`, nothing is fitted.

    Raises:
        ValueError: fewer than two people have two pictures.
    """
    rows = np.flatnonzero(np.abs(angles[:, 0]) < MAX_YAW)
    mean, axes, deviations = (array.double().cpu().numpy() for array in (statistics.mean, statistics.axes, statistics.deviations))
    coordinates = (shapes[rows].reshape(len(rows), -1) - mean) @ axes / deviations
    return ShapePopulation(rows, coordinates, persons[rows], *between_and_within(coordinates, persons[rows]))


def shards_population(shards: FaceShards, statistics: ShapeStatistics) -> ShapePopulation:
    """:func:`fit_shape_space` on prepared faces."""
    posed = [normalize_pose(points) for points in shards.landmarks]
    shapes = np.stack([shape for shape, _ in posed]).astype(np.float32)
    angles = np.array([pose.angles[:2] for _, pose in posed])
    neutral = np.array([emotion == "neutral" for emotion in shards.emotions])
    return fit_shape_space(shapes, shards.persons, angles, neutral, statistics)


def _signed(vectors: np.ndarray) -> np.ndarray:
    """Columns with their largest entry positive, so that a fit comes out the same everywhere."""
    largest = np.abs(vectors).argmax(axis=0)
    return vectors * np.sign(vectors[largest, np.arange(vectors.shape[1])])
