"""Learners of the parrot attack: several ways to train a comparison of an anonymized picture with another one.

Conventions: features are (n, d) float64; *probes* are anonymized pictures, the *gallery* holds originals or, for linkage, anonymized
pictures too; similarities are (probes, gallery), larger for more alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from ..metrics.estimates import cosine_similarity, negative_distance
from .landmark_attack import Discriminants

NUM_COMPONENTS = 120
NUM_DISCRIMINANTS = 60
RIDGE = 0.1


class Matcher(Protocol):
    """Compares anonymized pictures with those of a gallery."""

    def __call__(self, probes: np.ndarray, gallery: np.ndarray) -> np.ndarray:
        """(p, d) and (g, d) -> (p, g) similarities."""
        ...


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What a learner trains on.

    Attributes:
        probes: (n, d) of anonymized pictures.
        gallery: (n, d) of the same pictures as the gallery has them.
        persons: (n,) who they show.
        clear: (m, d) of untouched pictures, the same or more.
        clear_persons: (m,).

    Raises:
        ValueError: the shapes do not fit, a feature is not finite, or fewer than two people have two pictures.
    """

    probes: np.ndarray
    gallery: np.ndarray
    persons: np.ndarray
    clear: np.ndarray
    clear_persons: np.ndarray

    def __post_init__(self) -> None:
        if self.probes.shape != self.gallery.shape or len(self.probes) != len(self.persons) or len(self.clear) != len(self.clear_persons):
            shapes = {name: np.shape(value) for name, value in vars(self).items()}
            raise ValueError(f"probes, gallery and persons must have as many rows, clear and clear_persons too, but got {shapes}.")
        if not all(np.isfinite(features).all() for features in (self.probes, self.gallery, self.clear)):
            raise ValueError("features must be finite: leave out pictures that could not be read.")
        if (np.unique(self.persons, return_counts=True)[1] >= 2).sum() < 2:
            raise ValueError("the parrot attack needs at least two people with two pictures.")

    def without(self, persons: np.ndarray) -> TrainingData:
        """The pictures that show none of these people."""
        keep, clear = ~np.isin(self.persons, persons), ~np.isin(self.clear_persons, persons)
        return TrainingData(self.probes[keep], self.gallery[keep], self.persons[keep], self.clear[clear], self.clear_persons[clear])

    # several learners use the same decompositions, which take most of the time
    @cached_property
    def clear_discriminants(self) -> Discriminants:
        """Of untouched pictures."""
        return _discriminants(self.clear, self.clear_persons)

    @cached_property
    def gallery_discriminants(self) -> Discriminants:
        """Of the gallery's pictures."""
        return _discriminants(self.gallery, self.persons)

    @cached_property
    def means(self) -> tuple[np.ndarray, np.ndarray]:
        """(d,) of the anonymized pictures and of the gallery's."""
        return self.probes.mean(axis=0), self.gallery.mean(axis=0)

    def mixed_discriminants(self, num_components: int, num_discriminants: int) -> Discriminants:
        """Of all pictures together, each domain centered on its own mean."""
        domains = [self.probes - self.means[0], self.gallery - self.means[1], self.clear - self.clear.mean(axis=0)]
        labels = np.concatenate([self.persons, self.persons, self.clear_persons])
        return Discriminants.fit(np.concatenate(domains), labels, num_components=num_components, num_discriminants=num_discriminants)


Learner = Callable[[TrainingData], Matcher]


def learn_nothing(training: TrainingData) -> Matcher:
    """Distance of the features as they are."""
    return lambda probes, gallery: negative_distance(probes, gallery)


def learn_clear(training: TrainingData) -> Matcher:
    """Discriminants of untouched pictures, for probes and gallery."""
    found = training.clear_discriminants
    return lambda probes, gallery: cosine_similarity(found(probes), found(gallery))


def learn_mixed(training: TrainingData) -> Matcher:
    """Discriminants of all pictures together, each domain centered on its own mean; cosine."""
    means, found = training.means, training.mixed_discriminants(NUM_COMPONENTS, NUM_DISCRIMINANTS)
    return lambda probes, gallery: cosine_similarity(found(probes - means[0]), found(gallery - means[1]))


def learn_two_covariances(num_components: int) -> Learner:
    """The same discriminants, each weighted by how well it is predicted from an anonymized picture of the same person: log
    likelihood ratio of a Gaussian with independent coordinates (two-covariance model, as in speaker recognition)."""

    def learn(training: TrainingData) -> Matcher:
        means, found = training.means, training.mixed_discriminants(num_components, num_components)
        seen, known = found(training.probes - means[0]), found(training.gallery - means[1])
        first, second = _other_pictures(training.persons)
        spread, own = np.maximum(seen.var(axis=0), 1e-12), np.maximum(known.var(axis=0), 1e-12)
        # clipped: a negative covariance is chance, and one near the limit overfits
        shared = np.clip((seen[first] * known[second]).mean(axis=0), 0, 0.98 * np.sqrt(spread * own))
        slope, unexplained = shared / spread, own - shared**2 / spread

        def compare(probes: np.ndarray, gallery: np.ndarray) -> np.ndarray:
            expected, there = slope * found(probes - means[0]), found(gallery - means[1])
            fit = ((there[None] - expected[:, None]) ** 2 / unexplained).sum(axis=2)
            return ((there**2 / own).sum(axis=1)[None] - fit) / 2

        return compare

    return learn


def learn_regression(ridge: float, *, likelihood: bool, linkage: bool = False) -> Learner:
    """Ridge regression from an anonymized picture to the discriminants of *other* pictures of the same person.

    Args:
        ridge: in units of the inputs' mean variance.
        likelihood: compare by the log likelihood ratio of Gaussian residuals instead of the cosine: what cannot be predicted counts less.
        linkage: the gallery is anonymized too and has discriminants of its own; else those of the untouched pictures, of which there are
            more, are taken.
    """

    def learn(training: TrainingData) -> Matcher:
        codes = training.gallery_discriminants if linkage else training.clear_discriminants
        first, second = _other_pictures(training.persons)
        mean, axes = principal_axes(training.probes, NUM_COMPONENTS)
        inputs, targets = (training.probes - mean) @ axes, codes(training.gallery)
        middle = targets.mean(axis=0)
        x, y = inputs[first], (targets - middle)[second]
        scatter = x.T @ x
        weights = np.linalg.solve(scatter + ridge * np.trace(scatter) / len(scatter) * np.eye(len(scatter)), x.T @ y)
        residual = y - x @ weights

        def predict(probes: np.ndarray) -> np.ndarray:
            return (probes - mean) @ axes @ weights

        if not likelihood:
            return lambda probes, gallery: cosine_similarity(predict(probes), codes(gallery) - middle)
        unexplained, spread = _precision(residual), _precision(y)

        def compare(probes: np.ndarray, gallery: np.ndarray) -> np.ndarray:
            seen, known = predict(probes), codes(gallery) - middle
            difference = known[None] - seen[:, None]
            fit = np.einsum("pgi,ij,pgj->pg", difference, unexplained, difference, optimize=True)
            return (np.einsum("gi,ij,gj->g", known, spread, known, optimize=True)[None] - fit) / 2

        return compare

    return learn


def _discriminants(features: np.ndarray, persons: np.ndarray) -> Discriminants:
    return Discriminants.fit(features, persons, num_components=NUM_COMPONENTS, num_discriminants=NUM_DISCRIMINANTS)


def principal_axes(features: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(n, d) -> (d,) mean and (d, k) axes with the most variance, k at most ``count``."""
    mean = features.mean(axis=0)
    centered = features - mean
    if len(features) < features.shape[1]:
        return mean, np.linalg.svd(centered, full_matrices=False)[2][:count].T
    return mean, np.linalg.eigh(centered.T @ centered)[1][:, ::-1][:, :count]


def _other_pictures(persons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of every ordered pair of two pictures of one person."""
    order = np.argsort(persons, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(persons[order])) + 1)
    pairs = np.array([(i, j) for group in groups for i in group for j in group if i != j], int).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _precision(rows: np.ndarray) -> np.ndarray:
    covariance = rows.T @ rows / len(rows)
    return np.linalg.inv(covariance + 0.05 * np.trace(covariance) / len(covariance) * np.eye(len(covariance)))


def learners(*, linkage: bool) -> dict[str, Learner]:
    """All learners that compete, by name."""
    return {
        "nothing": learn_nothing,
        "clear discriminants": learn_clear,
        "mixed discriminants": learn_mixed,
        **{f"two covariances, {count} components": learn_two_covariances(count) for count in (60, 120, 200)},
        "regression, cosine": learn_regression(RIDGE, likelihood=False, linkage=linkage),
        "regression, likelihood": learn_regression(RIDGE, likelihood=True, linkage=linkage),
    }
