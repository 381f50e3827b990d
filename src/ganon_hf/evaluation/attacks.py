"""The attackers' schooling: what they learn from pictures of other people before they are tried on those under test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..faces import UnusableImageError
from .geometry_attack import Discriminants, cached_training_landmarks, choose_training_rows, landmark_features
from .pairs import Sample, fingerprint
from .workers import Pool, Tools

# Pictures that the geometry attack learns from, unless told otherwise.
GEOMETRY_PICTURES = 3000


def find_landmarks(tools: Tools, sample: Sample) -> np.ndarray | None:
    """(478, 3) of the largest face, or None; faces under 64 px are not searched for: they teach nothing."""
    try:
        faces = tools.instruments.detector(sample.photo, min_face_size=64)
    except UnusableImageError:
        return None
    return next((face.landmarks for face in faces if face.landmarks is not None), None)


def learn_geometry(samples: Sequence[Sample], pool: Pool, cache: Path, *, limit: int | None = GEOMETRY_PICTURES) -> Discriminants:
    """Discriminants of the landmarks of people who are not under test.

    Args:
        samples: pictures of many people, two or more of each.
        pool: finds the landmarks.
        cache: folder in which they are kept.
        limit: pictures, of whole people; None takes all.

    Raises:
        ValueError: fewer than two people have two pictures with a face.
    """
    rows = np.sort(choose_training_rows(np.array([sample.person for sample in samples]), limit))
    chosen = [samples[row] for row in rows]

    def make() -> tuple[list[np.ndarray | None], np.ndarray]:
        return pool.map(find_landmarks, chosen, desc="attack: landmarks"), np.array([sample.person for sample in chosen])

    points, labels = cached_training_landmarks(cache / f"attack-landmarks-{fingerprint(chosen)}.npz", make)
    features = landmark_features(list(points))
    usable = np.isfinite(features).all(axis=1)
    return Discriminants.fit(features[usable], labels[usable])
