"""Which tracks are the same person: somebody who comes back keeps the synthetic face.

People are told apart by the shape of their faces, which identifies nine of ten people (docs/anonymity.md), and more when averaged over a
track. Shapes are kept in memory for the length of the video. Two people taken for one get the same synthetic person, which discloses
nothing; one person taken for two gets another face when coming back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.faces import Face
from ..core.geometry import ShapeModel, normalize_pose
from .tracking import Track

# Two mean shapes with a smaller cosine distance are one person. Between a neutral and a smiling photo of one person of 51 the median
# is 0.33, between photos of two people 0.74 (percentile 2: 0.45).
SAME_PERSON = 0.42
# Faces turned further show too little of their shape.
MAX_YAW = 35.0
# A mean over more frames than this gains nothing.
MAX_SAMPLES = 60


@dataclass(eq=False)
class Person:
    """Somebody in the video.

    Attributes:
        number: which of the seed's synthetic people.
        total: (d,) sum of the shape coordinates read so far.
        samples: how many.
        last: the last frame in which one of the person's tracks was seen.
    """

    number: int
    total: np.ndarray
    samples: int = 0
    last: int = -1


class PersonGallery:
    """The people seen so far, and which track is whose.

    Args:
        shape_model: shapes are compared in its coordinates.
    """

    def __init__(self, shape_model: ShapeModel) -> None:
        self._model = shape_model
        self._people: list[Person] = []
        self._of_track: dict[int, int] = {}

    def identify(self, track: Track) -> int:
        """Number of a track's person; decided with the first call, from what has been seen of the track by then, and kept."""
        if track.number not in self._of_track:
            total, samples = self._read(track)
            match = self._find(track, total, samples)
            person = match or Person(len(self._people), np.zeros_like(self._model.deviations))
            if match is None:
                self._people.append(person)
            if person.samples < MAX_SAMPLES:
                person.total, person.samples = person.total + total, person.samples + samples
            self._of_track[track.number] = person.number
        number = self._of_track[track.number]
        self._people[number].last = max(self._people[number].last, track.last)
        return number

    def forget(self, tracks: set[int]) -> None:
        """Drop all tracks but these; people are never forgotten."""
        self._of_track = {track: person for track, person in self._of_track.items() if track in tracks}

    def _find(self, track: Track, total: np.ndarray, samples: int) -> Person | None:
        away = [person for person in self._people if person.last < track.first and person.samples]
        if not samples or not away:
            return None
        distances = [_cosine_distance(total, person.total) for person in away]
        best = int(np.argmin(distances))
        return away[best] if distances[best] < SAME_PERSON else None

    def _read(self, track: Track) -> tuple[np.ndarray, int]:
        total, samples = np.zeros_like(self._model.deviations), 0
        frames = sorted(track.faces)
        for frame in frames[:: max(1, len(frames) // MAX_SAMPLES)]:
            coordinates = self._coordinates(track.faces[frame])
            if coordinates is not None:
                total, samples = total + coordinates, samples + 1
        return total, samples

    def _coordinates(self, face: Face) -> np.ndarray | None:
        if face.landmarks is None:
            return None
        try:
            shape, pose = normalize_pose(face.landmarks)
        except ValueError:  # such a face is covered, so it needs no person
            return None
        return self._model.coordinates(shape) if abs(pose.angles[0]) < MAX_YAW else None

    def state(self) -> dict[str, Any]:
        """Everything, JSON-ready except for arrays, for :meth:`restore`."""
        people = [{"number": p.number, "total": p.total, "samples": p.samples, "last": p.last} for p in self._people]
        return {"people": people, "of_track": sorted(self._of_track.items())}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state` was taken."""
        self._people = [Person(one["number"], np.asarray(one["total"]), one["samples"], one["last"]) for one in state["people"]]
        self._of_track = {int(track): int(person) for track, person in state["of_track"]}


def _cosine_distance(a: np.ndarray, b: np.ndarray) -> float:
    return 1.0 - float(a @ b) / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12)
