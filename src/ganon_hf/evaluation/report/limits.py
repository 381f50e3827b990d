"""Limits of every anonymization that keeps pose and expression, measured on the originals alone.

Two rows of the report: how well the head pose alone identifies people, and how well expressions would agree if every neutral face were
removed exactly (the neutral face is a feature of the person, yet blendshapes count it as expression).
"""

from __future__ import annotations

import numpy as np

from ...core.geometry import normalize_pose
from ..data.samples import NEUTRAL, SMILING
from ..harness.methods import ORIGINAL
from ..harness.suite import Suite
from ..metrics.estimates import negative_distance
from ..metrics.expression import blendshape_measures, smile_auc, smile_score
from ..metrics.recognition import recognition_values
from .figures import Figures, average, blendshape_names

POSE_ALONE = "limit: nothing but the head pose"
RESTING_FACE_OFF = "limit: every resting face taken off exactly"


def pose_alone(suite: Suite, *, repeats: int) -> Figures:
    """Recognition by yaw, pitch and roll in degrees, Euclidean distance; gallery and probes as for a recognizer."""
    pairing = suite.pairing
    angles = np.array([normalize_pose(suite.subjects[row].landmarks)[1].angles for row in (*pairing.gallery, *pairing.probes)])
    known, seen = angles[: len(pairing.gallery)], angles[len(pairing.gallery) :]
    found = recognition_values(negative_distance(seen, known), pairing.target)
    return {f"geometry_{key}": value for key, value in average([found], suite.persons[pairing.probes], repeats=repeats).items()}


def resting_face_off(suite: Suite, *, repeats: int) -> Figures:
    """Blendshapes of the originals, each person's neutral scores replaced by the mean neutral scores; {} without such pairs."""
    pairing, names = suite.pairing, blendshape_names(suite)
    if not names or not pairing.by_emotion:
        return {}
    scores = np.array([reading.blendshapes for reading in suite.runs[ORIGINAL].readings])
    neutral = pairing.gallery[pairing.target]
    rest = np.nanmean(scores[pairing.gallery], axis=0)
    before = np.concatenate([scores[pairing.gallery], scores[pairing.probes]])
    after = np.concatenate([np.tile(rest, (len(pairing.gallery), 1)), scores[pairing.probes] - scores[neutral] + rest])
    persons = suite.persons[np.concatenate([pairing.gallery, pairing.probes])]
    emotions = suite.emotions[np.concatenate([pairing.gallery, pairing.probes])]
    figures = blendshape_measures(before, after, persons, repeats=repeats)
    smile = smile_score(after, names)
    return figures | {"smile_auc": smile_auc(smile, emotions == SMILING, emotions == NEUTRAL, persons, repeats=repeats)}
