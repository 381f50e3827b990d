"""The parrot attacker: who has the program, anonymizes pictures of people he knows, and learns to recognize what comes out.

A clear attacker compares anonymized pictures by what tells people apart in untouched ones; whatever the anonymization does to everybody
alike misleads him. The parrot learns from pairs (picture before, another picture of the same person after). Several learners compete on
training people held out from them; the one that does best there is tried on the people of the evaluation, so that nothing is chosen
on them. Sources: Newton, Sweeney & Malin, TKDE 2005 ("parrot recognition"); "A False Sense of Privacy", arXiv 2304.01635.

Conventions: features are (n, d) float64; *probes* come from the anonymized world, the *gallery* from the original one or, for linkage,
from the anonymized one too; similarities are (probes, gallery), larger for more alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..metrics.estimates import Estimate
from ..metrics.recognition import Recognizer, impostor_threshold, recognition_measures
from .known_people import Exposures, Progress, embed_crops
from .landmark_attack import landmark_features
from .parrot_learners import Attacker, Learner, Lessons, learners, principal_axes

# Landmarks are 1,404 numbers, of which these principal components hold all but 0.002 %.
NUM_KEPT = 300
FOLDS = 3


def reciprocal_rank(similarity: np.ndarray, target: np.ndarray) -> float:
    """Mean of 1 / rank of the right gallery entry; ties share the places they would get."""
    right = similarity[np.arange(len(similarity)), target][:, None]
    ahead, tied = (similarity > right).sum(axis=1), (similarity == right).sum(axis=1)
    return float(np.mean(1 / (ahead + (tied + 1) / 2)))


def held_out_scores(lessons: Lessons, candidates: dict[str, Learner], *, folds: int = FOLDS, seed: int = 0) -> dict[str, float]:
    """Mean reciprocal rank of each learner on training people that it has not seen: gallery their first picture, probes their others.

    Raises:
        ValueError: too few people with two pictures for so many folds.
    """
    labels, counts = np.unique(lessons.persons, return_counts=True)
    labels = np.random.default_rng(seed).permutation(labels[counts >= 2])
    if len(labels) < 2 * folds:
        raise ValueError(f"{folds} folds need at least {2 * folds} people with two pictures, but got {len(labels)}.")
    scores: dict[str, list[float]] = {name: [] for name in candidates}
    for fold in range(folds):
        held = labels[fold::folds]
        known = lessons.without(held)
        first = np.array([np.flatnonzero(lessons.persons == person)[0] for person in held])
        others = np.array([row for person in held for row in np.flatnonzero(lessons.persons == person)[1:]])
        target = np.array([place for place, person in enumerate(held) for _ in range((lessons.persons == person).sum() - 1)])
        for name, learner in candidates.items():
            scores[name].append(reciprocal_rank(learner(known)(lessons.probes[others], lessons.gallery[first]), target))
    return {name: float(np.mean(values)) for name, values in scores.items()}


@dataclass(frozen=True, eq=False)
class ParrotResult:
    """What the parrot achieved.

    Attributes:
        chosen: the learner against originals, and ``linkage_chosen`` that among anonymized pictures.
        scores: of every learner on held-out training people, mean reciprocal rank; ``linkage_scores`` likewise.
        measures: the figures on the people of the evaluation.
    """

    chosen: str
    linkage_chosen: str
    scores: dict[str, float]
    linkage_scores: dict[str, float]
    measures: dict[str, Estimate]


def _compare(attacker: Attacker, probes: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Similarities; a probe that could not be read is NaN, a gallery picture that could not is unlike everybody."""
    similarity = np.full((len(probes), len(gallery)), -np.inf)
    seen, known = np.isfinite(probes).all(axis=1), np.isfinite(gallery).all(axis=1)
    if seen.any() and known.any():
        similarity[np.ix_(seen, known)] = attacker(probes[seen], gallery[known])
    similarity[~seen] = np.nan
    return similarity


def _attack(
    lessons: Lessons,
    candidates: dict[str, Learner],
    probes: np.ndarray,
    gallery: np.ndarray,
    persons: np.ndarray,
    *,
    repeats: int,
    seed: int,
) -> tuple[str, dict[str, float], dict[str, Estimate]]:
    scores = held_out_scores(lessons, candidates, seed=seed)
    chosen = max(scores, key=lambda name: scores[name])
    similarity = _compare(candidates[chosen](lessons), probes, gallery)
    finite = np.where(np.isfinite(similarity), similarity, np.nan)
    off_diagonal = ~np.eye(len(similarity), dtype=bool)
    # one's own threshold: this attacker knows how alike the anonymized picture of one person is to another person's
    threshold = impostor_threshold(finite) if np.isfinite(finite[off_diagonal]).any() else np.inf
    return chosen, scores, recognition_measures(similarity, persons, threshold=threshold, repeats=repeats)


def run_parrot(
    lessons: Lessons,
    linkage: Lessons,
    probes: np.ndarray,
    originals: np.ndarray,
    anonymized: np.ndarray,
    persons: np.ndarray,
    *,
    repeats: int = 1000,
    seed: int = 0,
) -> ParrotResult:
    """Choose, learn, attack.

    Args:
        lessons: anonymized pictures against originals.
        linkage: anonymized pictures against anonymized ones.
        probes: (p, d) anonymized pictures of the people of the evaluation; NaN rows could not be read.
        originals: (p, d) another picture of each, untouched.
        anonymized: (p, d) that other picture, anonymized.
        persons: (p,) labels.
        repeats: bootstrap resamples.
        seed: of the folds.

    Returns:
        measures ``rank1``, ``rank5``, ``tar``, ``linkage_rank1``, ``linkage_rank5``, ``linkage_tar``; ``tar`` is the true accept rate at a
        threshold that 1 % of this attack's own impostor pairs exceed.
    """
    chosen, scores, found = _attack(lessons, learners(linkage=False), probes, originals, persons, repeats=repeats, seed=seed)
    also, linkage_scores, linked = _attack(linkage, learners(linkage=True), probes, anonymized, persons, repeats=repeats, seed=seed)
    measures = found | {f"linkage_{name}": estimate for name, estimate in linked.items()}
    return ParrotResult(chosen, also, scores, linkage_scores, measures)


def _lessons(
    after: np.ndarray, before: np.ndarray, persons: np.ndarray, clear: tuple[np.ndarray, np.ndarray] | None
) -> tuple[Lessons, Lessons]:
    """For originals and for linkage; pictures that could not be read are left out."""
    usable = np.isfinite(after).all(axis=1) & np.isfinite(before).all(axis=1)
    after, before, persons = after[usable], before[usable], persons[usable]
    known = (before, persons) if clear is None else clear
    return Lessons(after, before, persons, *known), Lessons(after, after, persons, *known)


def parrot_geometry(
    train: Exposures,
    neutral: Exposures,
    smiling: Exposures,
    *,
    clear: tuple[np.ndarray, np.ndarray] | None = None,
    repeats: int = 1000,
    seed: int = 0,
) -> ParrotResult:
    """The parrot that sees landmarks alone, found anew in the anonymized pictures.

    Args:
        train: pictures of training people.
        neutral, smiling: of the people of the evaluation, row by row the same person; see :func:`paired`.
        clear: (m, 478, 3) landmarks and (m,) persons of more untouched pictures of training people, numbered as in ``train``.
        repeats, seed: see :func:`run_parrot`.
    """
    after, before = _shapes(train.found), _shapes(train.landmarks)
    known, persons = (before, train.persons) if clear is None else (_shapes(clear[0]), clear[1])
    usable = np.isfinite(known).all(axis=1)
    mean, axes = principal_axes(np.concatenate([known[usable], after[np.isfinite(after).all(axis=1)]]), NUM_KEPT)

    def reduced(features: np.ndarray) -> np.ndarray:
        return (features - mean) @ axes

    lessons = _lessons(reduced(after), reduced(before), train.persons, (reduced(known[usable]), persons[usable]))
    seen, originals, anonymized = (reduced(_shapes(points)) for points in (smiling.found, neutral.landmarks, neutral.found))
    return run_parrot(*lessons, seen, originals, anonymized, neutral.persons, repeats=repeats, seed=seed)


def _shapes(landmarks: np.ndarray) -> np.ndarray:
    return landmark_features([points if np.isfinite(points).all() else None for points in landmarks])


def parrot_recognizer(
    train: Exposures,
    neutral: Exposures,
    smiling: Exposures,
    recognizer: Recognizer,
    *,
    repeats: int = 1000,
    seed: int = 0,
    progress: Progress = lambda items, **_: items,
) -> ParrotResult:
    """The parrot that learns what a recognizer's numbers mean in anonymized pictures. Everything is seen as gray crops.

    Arguments as in :func:`parrot_geometry`.
    """

    def embed(crops: np.ndarray, what: str) -> np.ndarray:
        vectors = embed_crops(recognizer, crops, progress=progress, desc=f"parrot: {what}")
        size = next((len(vector) for vector in vectors if vector is not None), 1)
        return np.array([np.full(size, np.nan) if vector is None else vector for vector in vectors], float).reshape(-1, size)

    lessons = _lessons(embed(train.anonymized, "training, after"), embed(train.originals, "training, before"), train.persons, None)
    probes, originals = embed(smiling.anonymized, "probes"), embed(neutral.originals, "originals")
    anonymized = embed(neutral.anonymized, "anonymized")
    return run_parrot(*lessons, probes, originals, anonymized, neutral.persons, repeats=repeats, seed=seed)


def paired(exposures: Exposures, neutral: Sequence[int] | np.ndarray, smiling: Sequence[int] | np.ndarray) -> tuple[Exposures, Exposures]:
    """The two pictures of everybody who has both, from the rows of ``pairs.pair_rows``; people who lack one here are left out."""
    first, second = exposures.places(neutral), exposures.places(smiling)
    both = (first >= 0) & (second >= 0)
    return exposures.take(first[both]), exposures.take(second[both])
