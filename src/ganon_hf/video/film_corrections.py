"""What a person decided about the faces of a film: its line in ``corrections.jsonl``, checked, since a file comes from anywhere.

A face that was found is named by its track, which the same film, options and model number in the same way, and by its box in one frame, so
that a correction of anything else is an error. A face that was missed is a box that was drawn in one frame, and is followed both ways.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..bulk.correction_file import line_of, parts_of_line, read_rows, replace_lines, require_line
from ..core.corrections import ACTIONS, Action, checked_box
from ..core.faces import Box
from ..core.look import check_look
from ..core.options import require_choice, require_number
from ..image_files import printable
from .reader import open_video_file

MAX_NUMBER = 2**31 - 1  # of a frame, a track or a person


class FilmCorrectionError(ValueError):
    """Corrections do not match the video that they are for; nothing is written."""


@dataclass(frozen=True)
class TrackCorrection:
    """What to do with one face in a video, in all frames in which it is tracked.

    Attributes:
        frame: number of a frame in which the face is visible, from 0.
        box: (x_min, y_min, x_max, y_max) there, in pixels of the upright video: as in the report, or as it was drawn.
        do: ``"replace"`` the face with that of a synthetic person, ``"cover"`` it, or ``"leave"`` a false positive as it is.
        track: its number in the report; None for a face that was missed, whose box was drawn. Landmarks are fitted where the box is
            tracked to; if that fails, it is covered.
        person: number of the synthetic person: one that another track already has, or a new one. None keeps the track's.
        look: the group that the person is drawn from, as in ``AnonymizeOptions``; None keeps the track's.

    Raises:
        ValueError: a field is out of range, or fields contradict each other.
    """

    frame: int
    box: Box
    do: Action
    track: int | None = None
    person: int | None = None
    look: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "box", checked_box("TrackCorrection.box", self.box))
        require_choice("TrackCorrection.do", self.do, ACTIONS)
        for name, optional in (("frame", False), ("track", True), ("person", True)):
            require_number(f"TrackCorrection.{name}", getattr(self, name), 0, MAX_NUMBER, integer=True, optional=optional)
        if self.look is not None:
            check_look(self.look)
        if self.do != "replace" and (self.person is not None or self.look is not None):
            raise ValueError(f"TrackCorrection.person and look are for do='replace', but do is {self.do!r}.")
        if self.drawn and self.do == "leave":
            raise ValueError("a box that was drawn can be replaced or covered; to leave it, drop the correction.")
        if self.drawn and self.do == "replace" and self.person is None:
            raise ValueError("a drawn face that is replaced needs person, the number of its synthetic person.")

    @property
    def drawn(self) -> bool:
        """Whether the face was missed, and its box drawn."""
        return self.track is None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form; fields that say nothing are left out."""
        values: dict[str, Any] = {"frame": self.frame, "box": list(self.box), "do": self.do}
        values |= {"drawn": True} if self.drawn else {}
        return values | {name: value for name in ("track", "person", "look") if (value := getattr(self, name)) is not None}

    @classmethod
    def from_dict(cls, values: Any) -> TrackCorrection:
        """What :meth:`to_dict` gives, from an untrusted source. Errors as for the class."""
        known = {field.name for field in fields(cls)}
        if not isinstance(values, dict) or not {"frame", "box", "do"} <= set(values) <= known | {"drawn"}:
            raise ValueError(f"a correction has frame, box and do, and may have track, person and look, but got {str(values)[:200]}.")
        given = dict(values)
        if (given.pop("drawn", None) is True) == ("track" in given):
            raise ValueError(f'a correction has either a track or "drawn": true, but got {str(values)[:200]}.')
        return cls(**given)


@dataclass(frozen=True)
class FilmCorrections:
    """The corrections of one video.

    Attributes:
        film: name of its file, for human readers.
        sha256: digest of the file, 64 hexadecimal digits, which identifies the video whatever its name.
        faces: what to do with individual faces; at most one correction per track.
        seed: for the synthetic people if the run has no seed.

    Raises:
        ValueError: a field is out of range, or two corrections are for one track.
    """

    film: str
    sha256: str
    faces: tuple[TrackCorrection, ...]
    seed: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.film, str) or not self.film:
            raise ValueError(f"film must be the name of a file, but got {printable(self.film)[:80]!r}.")
        require_line(self.sha256, self.faces, self.seed)
        tracks = [face.track for face in self.faces if face.track is not None]
        if len(tracks) != len(set(tracks)):
            raise ValueError("faces must have at most one correction for a track.")

    @property
    def digest(self) -> str:
        """Tells these corrections from others; empty where there are none."""
        faces = [face.to_dict() for face in self.faces]
        return hashlib.sha256(json.dumps(faces, sort_keys=True).encode()).hexdigest() if faces else ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form: a line of the file."""
        return {"film": self.film} | line_of(self.sha256, self.faces, self.seed)

    @classmethod
    def from_dict(cls, values: Any) -> FilmCorrections:
        """What :meth:`to_dict` gives, from an untrusted source. Errors as for the class."""
        return cls(*parts_of_line(values, "film", TrackCorrection.from_dict))


def film_digest(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a film's file in hexadecimal digits; UnusableVideoError where it cannot be read."""
    with open_video_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # opened for reading bytes


def read_film_corrections(path: str | os.PathLike[str]) -> list[FilmCorrections]:
    """Read the corrections of videos from a file; lines for photos are for other commands.

    Raises:
        ValueError: a line is malformed, or two are for one film; names file and line.
        OSError: the file cannot be read.
    """
    return list(read_rows(path, "film", "sha256", FilmCorrections.from_dict).values())


def corrections_of(rows: Iterable[FilmCorrections], source: Path) -> FilmCorrections:
    """The corrections of this film.

    Raises:
        FilmCorrectionError: there are none: it is another film, or has changed.
        UnusableVideoError: it cannot be read.
    """
    digest = film_digest(source)
    found = next((row for row in rows if row.sha256 == digest), None)
    if found is None:
        raise FilmCorrectionError(
            f"there are no corrections for {printable(source)} as it is now: it is another film than was reviewed, or has changed since."
        )
    return found


def write_film_corrections(path: str | os.PathLike[str], rows: Iterable[FilmCorrections]) -> None:
    """Write the films of a file of corrections; lines of photos stay. It appears complete or not at all, and is safely on disk.

    Raises:
        ValueError: what is there is no file of corrections.
        OSError: it cannot be written; what stood there stands as before.
    """
    replace_lines(path, [row.to_dict() for row in sorted(rows, key=lambda row: (row.film, row.sha256)) if row.faces], kind="film")
