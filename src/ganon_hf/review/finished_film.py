"""A finished film as its report tells it: tracks, where each face is in every frame, and what was done with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..core.options import AnonymizeOptions, require_number
from ..image_files import printable
from ..video.report import DONE
from .finished_run import ReportError

MAX_BYTES = 1 << 30  # of a report
_LETTERS = {done[0]: done for done in DONE}
_SEEN = {letter.upper() for letter in _LETTERS}


@dataclass(frozen=True, eq=False)
class FilmTrack:
    """One face of a film, from where it appears to where it is lost.

    Attributes:
        number: of the track; below 0 for a face that was drawn.
        person: number of the synthetic person.
        look: of the synthetic person, in words.
        reasons: why it was covered -> number of frames.
        frames: (n,) numbers of the frames in which something was done, increasing.
        boxes: (n, 4) x_min, y_min, x_max, y_max there, in pixels.
        done: n letters: replaced, covered, doubtful or left; a small one where the face was not seen in that frame, but filled or held.
    """

    number: int
    person: int
    look: str
    reasons: Mapping[str, int]
    frames: np.ndarray
    boxes: np.ndarray
    done: str

    @property
    def concern(self) -> str:
        """What it should be looked at for: ``"doubtful"``, ``"covered"``, ``"rest"``; ``"left"`` where it is no face any more."""
        letters = set(self.done.lower())
        if "d" in letters:
            return "doubtful"
        return "covered" if "c" in letters else "rest" if "r" in letters else "left"

    @cached_property
    def digest(self) -> str:
        """Tells what was done with it from anything else."""
        content = self.frames.tobytes() + self.boxes.tobytes() + self.done.encode()
        return hashlib.sha256(content + f"{self.person} {self.look}".encode()).hexdigest()[:16]

    @cached_property
    def stretches(self) -> list[tuple[int, int, str, bool]]:
        """(first frame, last frame, what was done, whether the face was seen) as long as both are the same; an absence has none."""
        letters = np.frombuffer(self.done.encode(), np.uint8)
        ends = np.flatnonzero((np.diff(self.frames) != 1) | (np.diff(letters) != 0))
        firsts, lasts = [0, *(ends + 1).tolist()], [*ends.tolist(), len(letters) - 1]
        return [
            (int(self.frames[a]), int(self.frames[b]), _LETTERS[self.done[a].lower()], self.done[a] in _SEEN)
            for a, b in zip(firsts, lasts, strict=True)
        ]

    def at(self, frame: int) -> int | None:
        """Where a frame is in ``frames``; None where it is not."""
        place = int(np.searchsorted(self.frames, frame))
        return place if place < len(self.frames) and self.frames[place] == frame else None


@dataclass(frozen=True, eq=False)
class FinishedFilm:
    """What a report tells.

    Attributes:
        source, target: original and result.
        frames: number of frames.
        seed: of the synthetic people.
        tracks: those to look at first before the others.
        codec, audio, options, model: of the run.
        corrections: digest of those that were heeded.
        run: what the report says about the run.
    """

    source: Path
    target: Path
    frames: int
    seed: int
    tracks: tuple[FilmTrack, ...]
    codec: str
    audio: str
    options: AnonymizeOptions
    model: str
    corrections: str
    run: dict[str, Any]

    def track(self, number: int) -> FilmTrack | None:
        """A track by its number."""
        return next((one for one in self.tracks if one.number == number), None)


def read_film(report: Path, target: Path, originals: Path | None = None) -> FinishedFilm:
    """Read the report of ``ganon-hf video``.

    Args:
        report: the JSON file.
        target: the anonymized film.
        originals: the folder where the original is now; None takes its name as it was given to the run.

    Raises:
        ReportError: it is malformed, or of another kind of run.
        OSError: it cannot be read.
    """
    with report.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    try:
        if len(content) > MAX_BYTES:
            raise ReportError(f"it is larger than {MAX_BYTES >> 20} MiB")
        values = json.loads(content)
        source = Path(values["input"])
        tracks = {one["track"]: one for one in values["tracks"]}
        known = [_track(tracks[faces["track"]], faces, values["frames"]) for faces in values["faces"]]
        require_number("frames", values["frames"], 1, 2**31 - 1, integer=True)
        require_number("seed", values["seed"], 0, 2**63 - 1, integer=True)
        if not all(isinstance(values[name], str) for name in ("codec", "audio", "model", "corrections")):
            raise ReportError("codec, audio, model or corrections are no words")
        order = {"doubtful": 0, "covered": 1, "rest": 2, "left": 3}
        return FinishedFilm(
            source=source if originals is None else originals / source.name,
            target=target,
            frames=values["frames"],
            seed=values["seed"],
            tracks=tuple(sorted(known, key=lambda track: (order[track.concern], int(track.frames[0]), track.number))),
            codec=values["codec"],
            audio=values["audio"],
            options=AnonymizeOptions(**values["options"]),
            model=values["model"],
            corrections=values["corrections"],
            run={name: values[name] for name in ("input", "output", "codec", "audio", "options", "model")},
        )
    except KeyError as error:
        raise ReportError(f"{printable(report)}: it has no {error}: make the report anew with this version.") from None
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ReportError(f"{printable(report)} is no report of a film of this version: {printable(error)[:300]}") from error


def _track(track: Mapping[str, Any], faces: Mapping[str, Any], count: int) -> FilmTrack:
    frames, boxes = np.array(faces["frames"], np.int64), np.array(faces["boxes"], np.float64)
    done, reasons = faces["done"], track["reasons"]
    if frames.ndim != 1 or not len(frames) or (np.diff(frames) <= 0).any() or frames[0] < 0 or frames[-1] >= count:
        raise ReportError("frames of a track are not in order, or not of this film")
    if boxes.shape != (len(frames), 4) or not np.isfinite(boxes).all():
        raise ReportError("a track has not one box for each frame")
    if (
        not isinstance(done, str)
        or len(done) != len(frames)
        or not set(done.lower()) <= set(_LETTERS)
        or not isinstance(track["look"], str)
    ):
        raise ReportError("a track has not one letter for each frame, or no look")
    require_number("person", track["person"], -1, 2**31 - 1, integer=True)
    return FilmTrack(int(track["track"]), track["person"], track["look"], dict(reasons), frames, boxes, done)
