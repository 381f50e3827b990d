"""The parrot attack: train a recognizer on pictures that the attacker has anonymized with the same program.

An attacker who compares anonymized pictures by features of untouched ones is misled by whatever the anonymization does to everybody alike.
The parrot trains on pairs (picture before, another picture of the same person after). The learner is chosen by cross-validation on training
people; only the best one attacks the people under test, so that nothing is selected on them. Sources: Newton, Sweeney & Malin, TKDE 2005
("parrot recognition"); "A False Sense of Privacy", arXiv 2304.01635.

Conventions: features are (n, d) float64; *probes* are anonymized pictures, the *gallery* holds originals or, for linkage, anonymized
pictures too; similarities are (probes, gallery), larger for more alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..metrics.estimates import Estimate
from ..metrics.recognition import Recognizer, impostor_threshold, recognition_measures
from .anonymized_pairs import AnonymizedPairs, embed_crops
from .landmark_attack import landmark_features
from .parrot_learners import Learner, Matcher, TrainingData, learners, principal_axes

# Landmarks are 1,404 numbers, of which these principal components hold all but 0.002 %.
NUM_KEPT = 300
FOLDS = 3


def reciprocal_rank(similarity: np.ndarray, target: np.ndarray) -> float:
    """Mean of 1 / rank of the right gallery entry; tied entries share the mean of their ranks."""
    right = similarity[np.arange(len(similarity)), target][:, None]
    ahead, tied = (similarity > right).sum(axis=1), (similarity == right).sum(axis=1)
    return float(np.mean(1 / (ahead + (tied + 1) / 2)))


def held_out_scores(training: TrainingData, candidates: dict[str, Learner], *, folds: int = FOLDS, seed: int = 0) -> dict[str, float]:
    """Mean reciprocal rank of each learner on held-out training people: gallery their first picture, probes their others.

    Raises:
        ValueError: too few people with two pictures for so many folds.
    """
    labels, counts = np.unique(training.persons, return_counts=True)
    labels = np.random.default_rng(seed).permutation(labels[counts >= 2])
    if len(labels) < 2 * folds:
        raise ValueError(f"{folds} folds need at least {2 * folds} people with two pictures, but got {len(labels)}.")
    scores: dict[str, list[float]] = {name: [] for name in candidates}
    for fold in range(folds):
        held = labels[fold::folds]
        known = training.without(held)
        first = np.array([np.flatnonzero(training.persons == person)[0] for person in held])
        others = np.array([row for person in held for row in np.flatnonzero(training.persons == person)[1:]])
        target = np.array([place for place, person in enumerate(held) for _ in range((training.persons == person).sum() - 1)])
        for name, learner in candidates.items():
            scores[name].append(reciprocal_rank(learner(known)(training.probes[others], training.gallery[first]), target))
    return {name: float(np.mean(values)) for name, values in scores.items()}


@dataclass(frozen=True, eq=False)
class ParrotResult:
    """Result of the parrot attack.

    Attributes:
        chosen, linkage_chosen: name of the best learner against originals, and among anonymized pictures.
        scores, linkage_scores: mean reciprocal rank of every learner on held-out training people.
        measures: the figures on the people under test.
    """

    chosen: str
    linkage_chosen: str
    scores: dict[str, float]
    linkage_scores: dict[str, float]
    measures: dict[str, Estimate]


def _compare(matcher: Matcher, probes: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Similarities; an unread probe is a row of NaN, an unread gallery picture a column of minus infinity."""
    similarity = np.full((len(probes), len(gallery)), -np.inf)
    seen, known = np.isfinite(probes).all(axis=1), np.isfinite(gallery).all(axis=1)
    if seen.any() and known.any():
        similarity[np.ix_(seen, known)] = matcher(probes[seen], gallery[known])
    similarity[~seen] = np.nan
    return similarity


def _attack(
    training: TrainingData,
    candidates: dict[str, Learner],
    probes: np.ndarray,
    gallery: np.ndarray,
    persons: np.ndarray,
    *,
    repeats: int,
    seed: int,
) -> tuple[str, dict[str, float], dict[str, Estimate]]:
    scores = held_out_scores(training, candidates, seed=seed)
    chosen = max(scores, key=lambda name: scores[name])
    similarity = _compare(candidates[chosen](training), probes, gallery)
    finite = np.where(np.isfinite(similarity), similarity, np.nan)
    off_diagonal = ~np.eye(len(similarity), dtype=bool)
    # the threshold of this attack's own impostor pairs: the attacker can measure them
    threshold = impostor_threshold(finite) if np.isfinite(finite[off_diagonal]).any() else np.inf
    return chosen, scores, recognition_measures(similarity, persons, threshold=threshold, repeats=repeats)


def run_parrot(
    training: TrainingData,
    linkage: TrainingData,
    probes: np.ndarray,
    originals: np.ndarray,
    anonymized: np.ndarray,
    persons: np.ndarray,
    *,
    repeats: int = 1000,
    seed: int = 0,
) -> ParrotResult:
    """Select a learner, train it, attack.

    Args:
        training: anonymized pictures against originals.
        linkage: anonymized pictures against anonymized ones.
        probes: (p, d) anonymized pictures of the people under test; NaN rows could not be read.
        originals: (p, d) another picture of each, untouched.
        anonymized: (p, d) that other picture, anonymized.
        persons: (p,) labels.
        repeats: bootstrap resamples.
        seed: of the folds.

    Returns:
        measures ``rank1``, ``rank5``, ``tar``, ``linkage_rank1``, ``linkage_rank5``, ``linkage_tar``; ``tar`` is the true accept rate at a
        threshold that 1 % of this attack's own impostor pairs exceed.
    """
    chosen, scores, found = _attack(training, learners(linkage=False), probes, originals, persons, repeats=repeats, seed=seed)
    also, linkage_scores, linked = _attack(linkage, learners(linkage=True), probes, anonymized, persons, repeats=repeats, seed=seed)
    measures = found | {f"linkage_{name}": estimate for name, estimate in linked.items()}
    return ParrotResult(chosen, also, scores, linkage_scores, measures)


def _training_data(
    after: np.ndarray, before: np.ndarray, persons: np.ndarray, clear: tuple[np.ndarray, np.ndarray] | None
) -> tuple[TrainingData, TrainingData]:
    """Training data against originals and for linkage; pictures that could not be read are left out."""
    usable = np.isfinite(after).all(axis=1) & np.isfinite(before).all(axis=1)
    after, before, persons = after[usable], before[usable], persons[usable]
    known = (before, persons) if clear is None else clear
    return TrainingData(after, before, persons, *known), TrainingData(after, after, persons, *known)


def parrot_geometry(
    train: AnonymizedPairs,
    gallery: AnonymizedPairs,
    probe: AnonymizedPairs,
    *,
    clear: tuple[np.ndarray, np.ndarray] | None = None,
    repeats: int = 1000,
    seed: int = 0,
) -> ParrotResult:
    """Parrot attack on landmarks that are detected in the anonymized pictures.

    Args:
        train: pairs of training people.
        gallery, probe: pairs of the people under test, row by row the same person; see :func:`gallery_and_probe`.
        clear: (m, 478, 3) landmarks and (m,) persons of more untouched pictures of training people, numbered as in ``train``.
        repeats, seed: see :func:`run_parrot`.
    """
    after, before = _shapes(train.found), _shapes(train.landmarks)
    known, persons = (before, train.persons) if clear is None else (_shapes(clear[0]), clear[1])
    usable = np.isfinite(known).all(axis=1)
    mean, axes = principal_axes(np.concatenate([known[usable], after[np.isfinite(after).all(axis=1)]]), NUM_KEPT)

    def reduced(features: np.ndarray) -> np.ndarray:
        return (features - mean) @ axes

    training = _training_data(reduced(after), reduced(before), train.persons, (reduced(known[usable]), persons[usable]))
    seen, originals, anonymized = (reduced(_shapes(points)) for points in (probe.found, gallery.landmarks, gallery.found))
    return run_parrot(*training, seen, originals, anonymized, gallery.persons, repeats=repeats, seed=seed)


def _shapes(landmarks: np.ndarray) -> np.ndarray:
    return landmark_features([points if np.isfinite(points).all() else None for points in landmarks])


def parrot_recognizer(
    train: AnonymizedPairs,
    gallery: AnonymizedPairs,
    probe: AnonymizedPairs,
    recognizer: Recognizer,
    *,
    repeats: int = 1000,
    seed: int = 0,
) -> ParrotResult:
    """Parrot attack on the embeddings of a recognizer, all of gray crops.

    Arguments as in :func:`parrot_geometry`.
    """

    def embed(crops: np.ndarray) -> np.ndarray:
        vectors = embed_crops(recognizer, crops)
        size = next((len(vector) for vector in vectors if vector is not None), 1)
        return np.array([np.full(size, np.nan) if vector is None else vector for vector in vectors], float).reshape(-1, size)

    training = _training_data(embed(train.anonymized), embed(train.originals), train.persons, None)
    probes, originals, anonymized = embed(probe.anonymized), embed(gallery.originals), embed(gallery.anonymized)
    return run_parrot(*training, probes, originals, anonymized, gallery.persons, repeats=repeats, seed=seed)


def gallery_and_probe(
    pairs: AnonymizedPairs, gallery: Sequence[int] | np.ndarray, probes: Sequence[int] | np.ndarray
) -> tuple[AnonymizedPairs, AnonymizedPairs]:
    """The pairs at these rows of the input, row by row one person; people who lack one of the two are left out."""
    first, second = pairs.places(gallery), pairs.places(probes)
    both = (first >= 0) & (second >= 0)
    return pairs.take(first[both]), pairs.take(second[both])
