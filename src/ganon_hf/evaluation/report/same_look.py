"""The control of recognition: what an attack finds where everybody was exchanged for another real person of the same look.

No anonymization that keeps sex, age and skin tone can be expected to do better: whoever knows the look knows whom to leave out. Measured on
the originals alone, as the other limits: a hidden person's picture is another person's of the same set, who is then left out of
the gallery, since nobody looks for a stranger in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..data.samples import Pairing
from ..harness.methods import ORIGINAL
from ..harness.suite import Suite
from ..metrics.age_sex import AgeSexJudge, typology_angle
from ..metrics.recognition import similarity
from .figures import Figures, embeddings_of, own_threshold, similarity_measures

SAME_LOOK = "limit: another real person of the same look"
# How many people of the same look stand in for somebody, one after the other; the figures are means over them.
STAND_INS = 4
# Differences that weigh the same: years, and degrees of the typology angle (half a class of skin tone).
_YEARS, _DEGREES = 10.0, 10.0


@dataclass(frozen=True)
class Look:
    """What is kept of a person when only the look is kept.

    Attributes:
        man: whether a man is seen.
        age: in years.
        tone: individual typology angle in degrees; NaN where the photo is gray.
    """

    man: bool
    age: float
    tone: float


def read_looks(suite: Suite, judge: AgeSexJudge) -> list[Look]:
    """The looks of the people in the gallery, from their gallery pictures."""
    looks = []
    for row in suite.pairing.gallery:
        photo, landmarks = suite.samples[row].photo, suite.subjects[row].landmarks
        if landmarks is None:
            raise ValueError(f"picture {row} of the gallery has no face.")  # a pairing leaves such pictures out
        read = judge(photo, landmarks)
        looks.append(Look(read.is_man, read.age, typology_angle(photo, landmarks)))
    return looks


def stand_ins(looks: Sequence[Look], count: int = STAND_INS) -> np.ndarray:
    """People who may stand in for each: of the same sex, the most alike in age and skin tone first.

    Args:
        looks: of n people.
        count: how many are wanted for each.

    Returns:
        (n, k) places in ``looks``, k at most ``count``: as many as the rarer sex has for everybody; k is 0 where one has nobody else.
    """
    places = []
    for own, look in enumerate(looks):
        others = [place for place, other in enumerate(looks) if place != own and other.man == look.man]
        places.append(sorted(others, key=lambda place: _difference(looks[place], look))[:count])
    fewest = min(map(len, places), default=0)
    return np.array([row[:fewest] for row in places], int).reshape(len(looks), fewest)


def _difference(first: Look, second: Look) -> float:
    tone = (first.tone - second.tone) / _DEGREES
    return float(np.hypot((first.age - second.age) / _YEARS, tone if np.isfinite(tone) else 0.0))


def same_look(suite: Suite, looks: Sequence[Look], name: str, metric: str, *, repeats: int) -> Figures:
    """The figures of :func:`recognizer_measures` for the control; {} where somebody has nobody of the same look.

    Args:
        suite: with the originals' readings.
        looks: of the people in the gallery, see :func:`read_looks`.
        name, metric: of the recognizer.
        repeats: bootstrap resamples.
    """
    places = stand_ins(looks)
    if places.shape[1] < 2:  # the two pictures of a person get two different people, as two seeds give
        return {}
    pairing, readings = suite.pairing, suite.runs[ORIGINAL].readings
    gallery, probes = (embeddings_of(readings, rows, name) for rows in (pairing.gallery, pairing.probes))
    target, persons = pairing.target, suite.persons[pairing.probes]
    threshold = own_threshold(similarity(probes, gallery, metric), target)
    found, linked = [], []
    for draw in range(places.shape[1]):
        known, seen = places[:, draw], places[target, (draw + 1) % places.shape[1]]
        hidden = [probes[_probe_of(pairing, place, turn)] for turn, place in enumerate(seen)]
        found.append(_without(similarity(hidden, gallery, metric), np.arange(len(gallery)), seen))
        linked.append(_without(similarity(hidden, [gallery[place] for place in known], metric), known, seen))
    return similarity_measures(found, linked, target, persons, threshold, repeats=repeats)


def _probe_of(pairing: Pairing, place: int, turn: int) -> int:
    """One of the probes that show the person at a place of the gallery; another one each turn where there are several."""
    own = np.flatnonzero(pairing.target == place)
    return int(own[turn % len(own)])


def _without(values: np.ndarray, shown: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(n, m) similarities; minus infinity where a column shows the very person who stands in for the probe."""
    return np.where(shown[None] == seen[:, None], -np.inf, values)
