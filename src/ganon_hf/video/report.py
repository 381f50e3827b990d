"""What was done to a video: frame by frame while it is written, then track by track, and as the file that a review reads."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .._atomic import write_atomically
from ..core.options import AnonymizeOptions
from .stream import AnonymizedFrame

# What was done with a face, and in which frames; ``left`` is what a correction says is no face.
DONE = ("replaced", "covered", "doubtful", "left")
KINDS = ("seen", "filled", "held")
# One face of one frame; the box is x_min, y_min, x_max, y_max in pixels.
FACE = np.dtype([("frame", "<i4"), ("track", "<i4"), ("done", "u1"), ("kind", "u1"), ("box", "<f4", 4)])


@dataclass
class TrackReport:
    """What happened to one face, from where it appears to where it is lost.

    Attributes:
        track, person: their numbers; tracks of one person have the same synthetic face. Negative numbers are faces that were drawn by hand.
        first, last: seconds from the start of the video.
        replaced, covered: number of frames.
        filled, held: those frames among them in which it was not detected: in gaps, and before the first or after the last detection.
        reasons: why it was covered -> number of frames.
        doubtful: those covered frames in which it may be a false positive.
        left: frames in which it was left as it is, by a correction.
        look: of the synthetic person, in words; empty if the face is covered throughout.
    """

    track: int
    person: int
    first: float
    last: float
    replaced: int = 0
    covered: int = 0
    filled: int = 0
    held: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    doubtful: int = 0
    left: int = 0
    look: str = ""


@dataclass(frozen=True)
class VideoReport:
    """What was done to a video; :meth:`to_dict` is JSON-ready.

    Attributes:
        frames: number of frames.
        seconds: time from the first to the last frame.
        seed: determines the synthetic people.
        tracks: in the order of their numbers.
        notes: what was changed or left out besides faces, in words.
        faces: a row of the type :data:`FACE` for every face of every frame, in the order of the frames.
        corrections: digest of those that were applied; empty if there were none.
    """

    frames: int
    seconds: float
    seed: int
    tracks: tuple[TrackReport, ...]
    notes: tuple[str, ...]
    faces: np.ndarray = field(default_factory=lambda: np.zeros(0, FACE), compare=False, repr=False)
    corrections: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form. ``faces`` has for every track its frames, its boxes there, and a letter for what was done: R, C, D or L,
        in lowercase if the face was not detected in that frame, but filled or held."""
        values: dict[str, Any] = {"frames": self.frames, "seconds": self.seconds, "seed": self.seed, "corrections": self.corrections}
        values |= {"notes": list(self.notes), "tracks": [dataclasses.asdict(track) for track in self.tracks]}
        return values | {"faces": [_track_faces(track.track, self.faces[self.faces["track"] == track.track]) for track in self.tracks]}


def _track_faces(track: int, rows: np.ndarray) -> dict[str, Any]:
    return {
        "track": track,
        "frames": rows["frame"].tolist(),
        "boxes": rows["box"].astype(float).round(1).tolist(),
        "done": "".join(_letter(int(row["done"]), int(row["kind"])) for row in rows),
    }


def _letter(done: int, kind: int) -> str:
    return DONE[done][0].upper() if KINDS[kind] == "seen" else DONE[done][0]


def describe_run(source: Path, target: Path, codec: str, audio: str, options: AnonymizeOptions, model: str) -> dict[str, Any]:
    """What a report says about the run, JSON-ready, so that a review can do it again; ``model`` is the fingerprint of the model."""
    files = {"input": str(source), "output": str(target)}
    return files | {"codec": codec, "audio": audio, "options": dataclasses.asdict(options), "model": model}


def write_video_report(path: Path, report: VideoReport, run: Mapping[str, Any]) -> None:
    """Write a report as JSON, complete or not at all.

    Args:
        path: of the file.
        report: what was done.
        run: of :func:`describe_run`.

    Raises:
        OSError: it cannot be written.
    """
    lines = (f" {json.dumps(name)}: {json.dumps(value)}" for name, value in (*run.items(), *report.to_dict().items()))
    write_atomically(path, "{\n" + ",\n".join(lines) + "\n}\n")


class PartRecord:
    """What was done in the frames of one part of a video, added one by one."""

    def __init__(self) -> None:
        self.first = -1
        self.times: list[int] = []  # time stamps of the frames
        self.people: dict[int, int] = {}  # track -> person
        self.looks: dict[int, str] = {}
        self._faces: list[tuple[Any, ...]] = []
        self._reasons: dict[tuple[int, str], int] = {}

    def add(self, frame: AnonymizedFrame) -> None:
        """Take the next frame."""
        self.first = frame.index if self.first < 0 else self.first
        self.times.append(frame.pts)
        for face in frame.faces:
            report = face.report
            self._faces.append((frame.index, face.track, DONE.index(report.status), KINDS.index(face.kind), report.box))
            self.people.setdefault(face.track, face.person)
            if report.look:
                self.looks.setdefault(face.track, report.look)
            if report.reason:
                self._reasons[face.track, report.reason] = self._reasons.get((face.track, report.reason), 0) + 1
        for track, box in frame.left:
            self._faces.append((frame.index, track, DONE.index("left"), 0, box))

    @property
    def end(self) -> int:
        """Number of the frame behind the last."""
        return self.first + len(self.times)

    def tracks(self) -> list[int]:
        """Numbers of the tracks that were found in these frames."""
        return sorted({int(face[1]) for face in self._faces if face[1] >= 0})

    def to_dict(self) -> dict[str, Any]:
        """For a snapshot."""
        reasons = [[track, reason, count] for (track, reason), count in self._reasons.items()]
        people, looks = sorted(self.people.items()), sorted(self.looks.items())
        values = {"first": self.first, "times": self.times, "people": people, "looks": looks, "reasons": reasons}
        return values | {"faces": np.array(self._faces, FACE).view(np.uint8)}


def build_report(
    parts: Iterable[Mapping[str, Any]], time_base: float, seed: int, notes: Iterable[str] = (), corrections: str = ""
) -> VideoReport:
    """The report of a video from the records of all its parts, in order.

    Args:
        parts: as :meth:`PartRecord.to_dict` gives them.
        time_base: seconds per unit of the time stamps.
        seed, notes, corrections: see :class:`VideoReport`.
    """
    tracks: dict[int, TrackReport] = {}
    faces, first, last, count = [np.zeros(0, FACE)], 0, 0, 0
    for part in parts:
        first = part["times"][0] if not count else first
        last, count = part["times"][-1], count + len(part["times"])
        people, looks, rows = dict(part["people"]), dict(part["looks"]), part["faces"].view(FACE)
        faces.append(rows)
        for row in rows:
            number, done, kind = int(row["track"]), DONE[row["done"]], KINDS[row["kind"]]
            seconds = round((part["times"][int(row["frame"]) - part["first"]] - first) * time_base, 6)
            track = tracks.setdefault(number, TrackReport(number, people.get(number, -1), seconds, seconds))
            track.last, track.look = seconds, track.look or looks.get(number, "")
            track.left += done == "left"
            track.replaced += done == "replaced"
            track.covered += done in ("covered", "doubtful")
            track.doubtful += done == "doubtful"
            track.filled += kind == "filled"
            track.held += kind == "held"
        for number, reason, times in part["reasons"]:
            tracks[number].reasons[reason] = tracks[number].reasons.get(reason, 0) + times
    ordered = tuple(tracks[number] for number in sorted(tracks))
    return VideoReport(count, (last - first) * time_base, seed, ordered, tuple(notes), np.concatenate(faces), corrections)
