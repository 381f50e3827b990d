"""Closed-form fit of the shape space (``ganon_hf.core.geometry.ShapeModel``): principal axes, and the identity basis in them.

Two-covariance model (Ioffe 2006) on pose-normalized landmarks of people with at least two pictures: covariance B between people, W within.
The axes are principal components. Shapes of synthetic people are sampled along the strongest directions of B.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..core.geometry import normalize_pose
from ..core.modeling_ganon import ShapeStatistics
from .shards import FaceShards
from .textures import mirror_shapes

# Degrees. The shapes of heads turned further are unreliable.
MAX_YAW = 35.0
# With fewer neutral pictures the mean of all pictures is the origin.
_MIN_NEUTRAL = 20


@dataclass(frozen=True, eq=False)
class ShapePopulation:
    """Training shapes in the coordinates of the shape space, and their covariances.

    Attributes:
        rows: (m,) indices of the pictures that are used, those with the head turned less than :data:`MAX_YAW`.
        coordinates: (m, d) float64 with a standard deviation of about 1.
        persons: (m,) labels, -1 for unknown.
        emotions: (m,) what the pictures are labeled with, None for unknown.
        between, within: (d, d) covariances between and within people.
    """

    rows: np.ndarray
    coordinates: np.ndarray
    persons: np.ndarray
    emotions: tuple[str | None, ...]
    between: np.ndarray
    within: np.ndarray

    def identity_coefficients(self, basis: np.ndarray) -> np.ndarray:
        """(d, k) identity basis with standard normal coefficients -> (m, k) posterior mean of the person in each picture."""
        return self.coordinates @ np.linalg.solve(self.between + self.within, basis)


def between_within_covariance(codes: np.ndarray, persons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Covariances between and within people.

    Args:
        codes: (n, d), one row per picture.
        persons: (n,) labels. People with a single picture and the label -1 (unknown) are ignored.

    Returns:
        (d, d) covariance between people and (d, d) covariance within people.

    Raises:
        ValueError: fewer than two people have two pictures.
    """
    labels, inverse, sizes = np.unique(persons, return_inverse=True, return_counts=True)
    usable = (sizes[inverse] >= 2) & (persons >= 0)
    kept, inverse, sizes = np.unique(persons[usable], return_inverse=True, return_counts=True)
    if len(kept) < 2:
        raise ValueError(f"the covariance between people needs at least two people with two pictures, but got {len(kept)}.")
    means = np.zeros((len(kept), codes.shape[1]))
    np.add.at(means, inverse, codes[usable])
    means /= sizes[:, None]
    deviations = codes[usable] - means[inverse]
    within = deviations.T @ deviations / (len(deviations) - len(kept))
    # the covariance of the means of n pictures includes 1 / n of the covariance within
    between = np.cov(means.T) - within * (1 / sizes).mean()
    values, vectors = np.linalg.eigh(between)
    return (vectors * np.maximum(values, 1e-9 * values[-1])) @ vectors.T, within


def fit_shape_space(
    shapes: np.ndarray, persons: np.ndarray, angles: np.ndarray, emotions: Sequence[str | None], statistics: ShapeStatistics
) -> ShapePopulation:
    """Fit mean, axes, deviations and identity basis of ``statistics`` (in place).

    Args:
        shapes: (n, 478, 3) pose-normalized landmarks.
        persons: (n,) labels, -1 for unknown.
        angles: (n, 2) yaw and pitch in degrees.
        emotions: (n,) labels, None for unknown. The mean of the neutral ones is the origin.
        statistics: sets the sizes; its other values are left as they are.

    Returns:
        the shapes in the fitted space.

    Raises:
        ValueError: there are fewer pictures than axes, or too few people with two pictures.
    """
    rows = np.flatnonzero(np.abs(angles[:, 0]) < MAX_YAW)
    if len(rows) < statistics.axes.shape[1]:
        raise ValueError(
            f"{statistics.axes.shape[1]} axes need at least as many faces turned less than {MAX_YAW:g} degrees, but got {len(rows)}."
        )
    labels = tuple(emotions[row] for row in rows.tolist())
    neutral = np.array([emotion == "neutral" for emotion in labels])
    rest = neutral if neutral.sum() >= _MIN_NEUTRAL else np.ones(len(rows), bool)
    origin = shapes[rows][rest]
    mean = np.concatenate([origin, mirror_shapes(origin)]).reshape(2 * len(origin), -1).astype(np.float64).mean(axis=0)
    flat = shapes[rows].reshape(len(rows), -1).astype(np.float64) - mean
    mirrored = mirror_shapes(shapes[rows]).reshape(len(rows), -1).astype(np.float64) - mean
    axes = _signed(np.linalg.eigh(flat.T @ flat + mirrored.T @ mirrored)[1][:, ::-1][:, : statistics.axes.shape[1]])
    coordinates = flat @ axes
    deviations = np.sqrt((coordinates**2).mean(axis=0) / 2 + ((mirrored @ axes) ** 2).mean(axis=0) / 2)
    coordinates /= deviations
    between, within = between_within_covariance(coordinates, persons[rows])
    # the directions that move the landmarks most, so in landmark units and not in normalized coordinates
    values, vectors = np.linalg.eigh(deviations[:, None] * between * deviations)
    count = statistics.identity_basis.shape[1]
    values, vectors = np.maximum(values[::-1][:count], 0), _signed(vectors[:, ::-1][:, :count])
    basis = vectors * np.sqrt(values) / deviations[:, None]
    with torch.no_grad():
        for name, value in {"mean": mean, "axes": axes, "deviations": deviations, "identity_basis": basis}.items():
            getattr(statistics, name).copy_(torch.from_numpy(np.ascontiguousarray(value, dtype=np.float32)))
    return ShapePopulation(rows, coordinates, persons[rows], labels, between, within)


def fit_shape_space_to_shards(shards: FaceShards, statistics: ShapeStatistics) -> ShapePopulation:
    """Fit the shape space to prepared faces, see :func:`fit_shape_space`."""
    shapes, angles = _posed(shards)
    return fit_shape_space(shapes, shards.persons, angles, shards.emotions, statistics)


def ridge_solution(basis: np.ndarray, values: np.ndarray, share: float) -> np.ndarray:
    """Coefficients by which a basis explains values best, shrunk towards 0 (ridge regression).

    Args:
        basis: (m, k).
        values: (m,) or (m, n).
        share: penalty as a share of the mean direction of the basis.

    Returns:
        (k,) or (k, n).
    """
    gram = basis.T @ basis
    gram += share * np.trace(gram) / len(gram) * np.eye(len(gram))
    return np.linalg.solve(gram, basis.T @ values)


def measure_population(shards: FaceShards, statistics: ShapeStatistics) -> ShapePopulation:
    """Prepared faces in a shape space that is fitted already.

    Args:
        shards: the faces.
        statistics: with mean, axes and deviations; nothing of it changes.

    Raises:
        ValueError: too few people have two pictures in which the head is turned less than :data:`MAX_YAW`.
    """
    shapes, angles = _posed(shards)
    rows = np.flatnonzero(np.abs(angles[:, 0]) < MAX_YAW)
    mean, axes, deviations = (getattr(statistics, name).double().numpy() for name in ("mean", "axes", "deviations"))
    coordinates = (shapes[rows].reshape(len(rows), -1).astype(np.float64) - mean) @ axes / deviations
    between, within = between_within_covariance(coordinates, shards.persons[rows])
    labels = tuple(shards.emotions[row] for row in rows.tolist())
    return ShapePopulation(rows, coordinates, shards.persons[rows], labels, between, within)


def _posed(shards: FaceShards) -> tuple[np.ndarray, np.ndarray]:
    """(n, 478, 3) float32 canonical landmarks and (n, 2) yaw and pitch in degrees."""
    posed = [normalize_pose(points) for points in shards.landmarks]
    return np.stack([shape for shape, _ in posed]).astype(np.float32), np.array([pose.angles[:2] for _, pose in posed])


def _signed(vectors: np.ndarray) -> np.ndarray:
    """Flip columns so that the largest entry of each is positive: the sign of an eigenvector depends on the platform."""
    largest = np.abs(vectors).argmax(axis=0)
    return vectors * np.sign(vectors[largest, np.arange(vectors.shape[1])])
