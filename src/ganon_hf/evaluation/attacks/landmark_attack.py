"""Recognition by landmarks alone: linear discriminants of the pose-normalized mesh.

The attacker trains on untouched pictures of other people and knows nothing of the anonymization. It shares no code with the defense in
``geometry`` but the pose normalization.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...core.geometry import normalize_pose

logger = logging.getLogger(__name__)

MAX_PER_PERSON = 20


@dataclass(frozen=True, eq=False)
class Discriminants:
    """Fisher's linear discriminants behind a principal component analysis (Belhumeur et al. 1997, "Fisherfaces").

    Not scikit-learn's ``LinearDiscriminantAnalysis``: every person counts alike in the scatter between people, however many pictures there
    are, and the scatter within has a ridge of a millionth of its mean variance. Neither of its solvers does that, and the figures differ.

    Attributes:
        mean: (d,) feature mean.
        projection: (d, k); within-person scatter is white after it.
    """

    mean: np.ndarray
    projection: np.ndarray

    @classmethod
    def fit(cls, features: np.ndarray, persons: np.ndarray, *, num_components: int = 120, num_discriminants: int = 60) -> Discriminants:
        """Fit to (n, d) features of people; those with a single picture are left out.

        Raises:
            ValueError: fewer than two people have two pictures.
        """
        _, inverse, sizes = np.unique(persons, return_inverse=True, return_counts=True)
        usable = sizes[inverse] >= 2
        features = np.asarray(features, dtype=np.float64)[usable]
        labels, inverse, sizes = np.unique(np.asarray(persons)[usable], return_inverse=True, return_counts=True)
        if len(labels) < 2:
            raise ValueError(f"discriminants need at least two people with two pictures, but got {len(labels)}.")
        mean = features.mean(axis=0)
        centered = features - mean
        axes = np.linalg.svd(centered, full_matrices=False)[2][: min(num_components, len(features) - 1)].T
        codes = centered @ axes
        means = np.zeros((len(labels), codes.shape[1]))
        np.add.at(means, inverse, codes)
        means /= sizes[:, None]
        deviations = codes - means[inverse]
        within = deviations.T @ deviations / max(len(codes) - len(labels), 1)
        within += 1e-6 * np.trace(within) / len(within) * np.eye(len(within))
        values, vectors = np.linalg.eigh(within)
        whiten = vectors / np.sqrt(np.maximum(values, 1e-12 * values[-1]))
        between = whiten.T @ np.atleast_2d(np.cov(means.T)) @ whiten
        directions = np.linalg.eigh(between)[1][:, ::-1][:, :num_discriminants]
        return cls(mean, axes @ whiten @ directions)

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """(n, d) -> (n, k), to be compared by cosine; NaN stays NaN."""
        return (features - self.mean) @ self.projection


def landmark_features(points: Sequence[np.ndarray | None]) -> np.ndarray:
    """Landmarks -> (n, 1404) pose-normalized mesh points without the irises; NaN where there are none or they have no pose."""
    features = np.full((len(points), 468 * 3), np.nan)
    for row, some in enumerate(points):
        if some is None:
            continue
        try:
            features[row] = normalize_pose(some)[0][:468].ravel()
        except ValueError as error:
            logger.warning("landmarks without a head pose are left out: %s", error)
    return features


def choose_training_rows(persons: np.ndarray, limit: int | None, *, seed: int = 0, per_person: int = MAX_PER_PERSON) -> np.ndarray:
    """Row numbers of whole people with two pictures or more, in random order of people, up to ``limit`` rows (None: all).

    Of each person at most ``per_person`` rows: in press photos a few people have very many.
    """
    generator = np.random.default_rng(seed)
    chosen: list[np.ndarray] = []
    total = 0
    labels, sizes = np.unique(persons, return_counts=True)
    for label in generator.permutation(labels[sizes >= 2]):
        rows = np.flatnonzero(persons == label)[:per_person]
        if limit is not None and total + len(rows) > limit:
            break
        chosen.append(rows)
        total += len(rows)
    return np.concatenate(chosen) if chosen else np.zeros(0, int)
