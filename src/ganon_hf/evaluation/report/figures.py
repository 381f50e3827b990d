"""Readings of the instruments -> estimates: one dictionary per method, every figure with its interval over people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..attacks.landmark_attack import Discriminants, landmark_features
from ..data.samples import NEUTRAL, SMILING, pair_rows
from ..harness.methods import ORIGINAL
from ..harness.readings import Reading
from ..harness.suite import Run, Suite
from ..metrics.emotion import EMOTIONS, accuracy_measures, agreement_measures
from ..metrics.estimates import Estimate, bootstrap, bootstrap_mean, cosine_similarity, equal_error_rate, threshold_at_far
from ..metrics.expression import blendshape_measures, landmark_measures, smile_auc, smile_score
from ..metrics.recognition import METRICS, impostor_scores, recognition_curves, recognition_values, similarity

Figures = dict[str, Estimate]


def coverage_measures(suite: Suite, run: Run, *, repeats: int) -> Figures:
    """Shares of pictures whose face was replaced, covered, missed, and found again by either detector; and the seam."""
    persons = np.tile(suite.persons, len(suite.draws(run)))
    values = {}
    if any(output.status for output in run.outputs):
        statuses = np.array([output.status for output in run.outputs])
        values = {status: (statuses == status).astype(float) for status in ("replaced", "covered", "missed")}
    values["redetected"] = np.array([reading.landmarks is not None for reading in run.readings], float)
    if run.readings[0].second is not None:
        values["redetected_second"] = np.array([bool(reading.second) for reading in run.readings], float)
    figures = {name: bootstrap_mean(persons, shares, repeats=repeats) for name, shares in values.items()}
    seams = np.array([output.seam for output in run.outputs])
    if np.isfinite(seams).any():
        logs = np.log(np.where(seams > 0, seams, np.nan))  # a ratio: half and double are equally far from one
        figures["seam"] = bootstrap(persons, lambda rows: float(np.exp(logs[rows].mean())), valid=np.isfinite(logs), repeats=repeats)
    return figures


def blendshape_names(suite: Suite) -> tuple[str, ...]:
    """Names of the scores, empty where none were read."""
    return next((r.blendshape_names for run in suite.runs.values() for r in run.readings if r.blendshape_names), ())


def expression_measures(suite: Suite, run: Run, names: Sequence[str], *, repeats: int) -> Figures:
    """Everything of ``expression`` for one method; blendshapes only where they were read.

    Pictures that came back untouched because no face was found are left out: they would agree perfectly.
    """
    draws = len(suite.draws(run))
    persons, emotions = np.tile(suite.persons, draws), np.tile(suite.emotions, draws)
    originals = suite.runs[ORIGINAL].readings * draws
    touched = np.array([output.status != "missed" for output in run.outputs])
    figures = landmark_measures(
        [subject.landmarks for subject in suite.subjects] * draws,
        [output.target_landmarks for output in run.outputs],
        [reading.landmarks if use else None for reading, use in zip(run.readings, touched, strict=True)],
        persons,
        repeats=repeats,
    )
    if names:
        before, after = (np.array([reading.blendshapes for reading in some]) for some in (originals, run.readings))
        after = np.where(touched[:, None], after, np.nan)
        figures |= blendshape_measures(before, after, persons, repeats=repeats)
        score = smile_score(after, names)
        if {NEUTRAL, SMILING} <= set(suite.emotions):
            figures["smile_auc"] = smile_auc(score, emotions == SMILING, emotions == NEUTRAL, persons, repeats=repeats)
        rest, smile = (np.concatenate([draw[rows] for draw in suite.draws(run)]) for rows in pair_rows(suite.samples))
        if len(rest):
            known = np.isfinite(score[rest]) & np.isfinite(score[smile])
            gained = np.where(known, score[smile] > score[rest], np.nan)
            figures["smile_paired"] = bootstrap_mean(persons[rest], gained, repeats=repeats)
    return figures


def emotion_measures(suite: Suite, run: Run, *, repeats: int) -> Figures:
    """Emotion classifier: agreement between original and output, and accuracy against the labels."""
    draws = len(suite.draws(run))
    persons = np.tile(suite.persons, draws)
    before = [reading.emotions for reading in suite.runs[ORIGINAL].readings * draws]
    nothing = np.full(len(EMOTIONS), np.nan)
    answers = [
        nothing if reading.emotions is None or output.status == "missed" else reading.emotions
        for reading, output in zip(run.readings, run.outputs, strict=True)
    ]
    first, second = np.array([nothing if some is None else some for some in before]), np.array(answers)
    figures = agreement_measures(first, second, persons, repeats=repeats)
    if any(suite.emotions):
        figures |= accuracy_measures(second, np.tile(suite.emotions, draws).tolist(), persons, repeats=repeats)
    return figures


def average(parts: Sequence[Mapping[str, np.ndarray]], persons: np.ndarray, *, repeats: int) -> Figures:
    """Per name the mean over draws of the (n,) values of each, and its interval over people."""
    return {name: bootstrap_mean(persons, np.mean([part[name] for part in parts], axis=0), repeats=repeats) for name in parts[0]}


def recognizer_names(suite: Suite) -> list[str]:
    """The recognizers that ran."""
    return list(suite.runs[ORIGINAL].readings[0].embeddings)


def embeddings_of(readings: Sequence[Reading], rows: np.ndarray, name: str) -> list[np.ndarray | None]:
    """One recognizer's embeddings of some pictures."""
    return [readings[row].embeddings[name] for row in rows]


def recognizer_measures(suite: Suite, run: Run, name: str, metric: str, *, repeats: int) -> tuple[Figures, dict[str, Any]]:
    """One recognizer: figures, and curves for the plots.

    Re-identification: gallery original, probe this method's; threshold from the originals' impostor pairs. Linkage: both this method's;
    threshold from this method's own impostor pairs.

    Raises:
        ValueError: the metric is not known, or there are no pairs.
    """
    if metric not in METRICS:
        raise ValueError(f"metric must be one of {', '.join(METRICS)}, but got {metric!r}.")
    pairing, originals = suite.pairing, suite.runs[ORIGINAL].readings
    persons, target = suite.persons[pairing.probes], pairing.target
    gallery = embeddings_of(originals, pairing.gallery, name)
    between = similarity(embeddings_of(originals, pairing.probes, name), gallery, metric)
    threshold = own_threshold(between, target)
    found, linked = [], []
    for draw in suite.draws(run):
        probes = embeddings_of(run.readings, draw[pairing.probes], name)
        found.append(similarity(probes, gallery, metric))
        linked.append(similarity(probes, embeddings_of(run.readings, draw[pairing.gallery], name), metric))
    figures = similarity_measures(found, linked, target, persons, threshold, repeats=repeats)
    if len(found) > 1:
        figures["always_found"] = always_found(found, target, repeats=repeats)
    return figures, recognition_curves(found, target, persons, repeats=repeats)


def similarity_measures(
    found: Sequence[np.ndarray], linked: Sequence[np.ndarray], target: np.ndarray, persons: np.ndarray, threshold: float, *, repeats: int
) -> Figures:
    """All that is measured of one recognizer's similarities.

    Args:
        found: of every draw (n, m): probes and the originals' gallery; NaN rows are unread probes, columns of minus infinity are nobody.
        linked: likewise, but the gallery is anonymized, too.
        target: (n,) column of each probe's person.
        persons: (n,) labels of the probes.
        threshold: of the originals, above which two pictures are taken for one person.
        repeats: bootstrap resamples.
    """
    values = [recognition_values(one, target, threshold) for one in found]
    for one in values:
        one["protected"] = 1 - one["tar"]
    figures = average(values, persons, repeats=repeats) | {"eer": equal_errors(found, target, persons, repeats=repeats)}
    own = average([linkage_values(one, target, threshold) for one in linked], persons, repeats=repeats)
    own["eer"] = equal_errors(linked, target, persons, repeats=repeats)
    return figures | {f"linkage_{key}": value for key, value in own.items()}


def equal_errors(matrices: Sequence[np.ndarray], target: np.ndarray, persons: np.ndarray, *, repeats: int) -> Estimate:
    """Equal error rate over the pairs of all draws; an unread probe is like nobody, in its genuine and in its impostor pairs.

    Args:
        matrices, target, persons, repeats: as in :func:`similarity_measures`.
    """
    values = np.concatenate(matrices)
    genuine = np.arange(values.shape[1])[None] == np.tile(target, len(matrices))[:, None]
    compared = genuine | ~np.isneginf(values)  # who is not in the gallery is no impostor
    owners = np.broadcast_to(np.arange(len(values))[:, None], values.shape)
    scores = np.nan_to_num(values, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    statistic = equal_error_rate(scores[compared], genuine[compared], owners[compared])
    return replace(bootstrap(np.tile(persons, len(matrices)), statistic, repeats=repeats), count=len(persons))  # of probes, as elsewhere


def always_found(matrices: Sequence[np.ndarray], target: np.ndarray, *, repeats: int) -> Estimate:
    """Share of people who are found at the first guess in every draw, by any of their probes: those whom the dice protect worst.

    Args:
        matrices, target, repeats: as in :func:`similarity_measures`.
    """
    hits = [recognition_values(one, target)["rank1"] for one in matrices]
    people = np.unique(target)
    always = [min(draw[target == person].max() for draw in hits) for person in people]
    return bootstrap_mean(people, np.array(always), repeats=repeats)


def own_threshold(between: np.ndarray, target: np.ndarray) -> float:
    """Threshold at FAR 1 % of the impostor pairs; infinite (nothing is accepted) where no pair could be read."""
    impostors = impostor_scores(between, target)
    return threshold_at_far(impostors) if len(impostors) else np.inf


def linkage_values(own: np.ndarray, target: np.ndarray, threshold: float) -> dict[str, np.ndarray]:
    """Recognition within one method's pictures, and the share of impostors accepted at the originals' threshold."""
    values = recognition_values(own, target, own_threshold(own, target))
    others = np.arange(own.shape[1])[None] != target[:, None]
    with np.errstate(invalid="ignore"):  # an unread probe is never accepted
        values["taken_for_one"] = ((own > threshold) & others).sum(axis=1) / np.maximum(others.sum(axis=1), 1)
    return values


def geometry_measures(suite: Suite, run: Run, attack: Discriminants, *, repeats: int) -> Figures:
    """Landmark attack: the landmarks detected in the output, recognized by discriminants; gallery and probes as for a recognizer."""
    pairing = suite.pairing
    persons, target = suite.persons[pairing.probes], pairing.target

    def describe(readings: Sequence[Reading], rows: np.ndarray) -> np.ndarray:
        return attack(landmark_features([readings[row].landmarks for row in rows]))

    # an unread gallery entry lies at 0: similar to nobody
    gallery = np.nan_to_num(describe(suite.runs[ORIGINAL].readings, pairing.gallery))
    found, linked = [], []
    for draw in suite.draws(run):
        seen = describe(run.readings, draw[pairing.probes])
        own = np.nan_to_num(describe(run.readings, draw[pairing.gallery]))
        found.append(recognition_values(cosine_similarity(seen, gallery), target))
        linked.append(recognition_values(cosine_similarity(seen, own), target))
    figures = {f"geometry_{name}": value for name, value in average(found, persons, repeats=repeats).items()}
    return figures | {f"geometry_linkage_{name}": value for name, value in average(linked, persons, repeats=repeats).items()}
