"""Corrections of a film, put into effect: which faces of a frame are left, covered, other people, or added.

They change what is drawn and nothing of what is found: tracks and people of all others stay as they are, so that only the frames in which
something was corrected have to be done again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..core.anonymizer import Anonymizer
from ..core.corrections import SAME_FACE
from ..core.faces import Box, Face, area_of, box_overlap
from ..core.look import RANDOM, Look, parse_look
from ..core.options import AnonymizeOptions
from .cuts import CutDetector
from .drawn_faces import follow_drawn
from .film_corrections import FilmCorrectionError, FilmCorrections, TrackCorrection
from .gap_filling import HOLD, LEAD, GapFiller, ShownFace, without_mesh
from .tracking import Track

COVERED_BY_HAND = "covered by hand"
# Of frames before a drawn box, in which its face is followed backwards: about four seconds at 1080p, ten at 720p.
MAX_BUFFER = 800_000_000


@dataclass(frozen=True, eq=False)
class Casting:
    """A face of a frame and whom it becomes.

    Attributes:
        shown: the face.
        track: its number; below 0 for one that was drawn.
        person: number of the seed's synthetic person.
        look: of whom that person is drawn.
        reason: why it is covered whatever it looks like; empty where nobody wishes that.
    """

    shown: ShownFace
    track: int
    person: int
    look: Look | None
    reason: str = ""


@dataclass(frozen=True, eq=False)
class _Drawn:
    """A face that was drawn, where it was followed to."""

    correction: TrackCorrection
    track: Track
    number: int  # below 0
    look: Look | None


@dataclass(frozen=True, eq=False)
class FilmEdits:
    """What to do otherwise in a film; :func:`plan_edits` makes it.

    Attributes:
        of_track: corrections of faces that were found, by the number of their track.
        drawn: faces that were missed.
        gaps: fills their gaps.
        frame_rate: frames per second.
    """

    of_track: dict[int, TrackCorrection] = field(default_factory=dict)
    drawn: tuple[_Drawn, ...] = ()
    gaps: GapFiller | None = None
    frame_rate: float = 25.0

    def apply(self, castings: Sequence[Casting], frame: int) -> tuple[list[Casting], tuple[tuple[int, Box], ...]]:
        """The faces of a frame as they are to be, and (track, box) of those that are left as they are.

        Raises:
            FilmCorrectionError: the face that a correction means is not where it says.
        """
        here = {one.track: one.shown.face.box for one in castings}
        for track, correction in self.of_track.items():
            if correction.frame == frame and not _same(correction.box, here.get(track)):
                raise FilmCorrectionError(
                    f"track {track} is not where a correction says in frame {frame}: it was made with other options or another "
                    "model. Correct the film again."
                )
        kept = [_corrected(one, self.of_track.get(one.track)) for one in castings if not self._is_left(one.track)]
        left = [(one.track, one.shown.face.box) for one in castings if self._is_left(one.track)]
        added = [one for drawn in self.drawn for one in self._shown(drawn, frame, kept)]
        return sorted([*kept, *added], key=lambda one: (-area_of(one.shown.face.box), one.shown.face.box)), tuple(left)

    def _is_left(self, track: int) -> bool:
        return track in self.of_track and self.of_track[track].do == "leave"

    def _shown(self, drawn: _Drawn, frame: int, others: Sequence[Casting]) -> list[Casting]:
        """The drawn face in a frame; nothing where the detector has found it after all, with a mesh. On a cover it is drawn."""
        if self.gaps is None or not self._may_show(drawn.track, frame, frame + 1):
            return []
        person, reason = drawn.correction.person or 0, COVERED_BY_HAND if drawn.correction.do == "cover" else ""
        castings = []
        for shown in self.gaps.faces_at([drawn.track], frame):
            known = (one.shown.face for one in others if one.shown.kind == "seen" and one.shown.face.landmarks is not None)
            if not any(_same(shown.face.box, face.box) for face in known):
                castings.append(Casting(_bare(shown) if reason else shown, drawn.number, person, drawn.look, reason))
        return castings

    def _may_show(self, track: Track, first: int, end: int) -> bool:
        """Whether a drawn face may be shown in some of these frames."""
        if not track.faces:
            return False
        margin, (begins, ends) = round(max(HOLD, LEAD) * self.frame_rate) + 1, track.scene
        last = track.last + margin if ends is None else min(track.last + margin, ends - 1)
        return max(track.first - margin, begins) < end and first <= last

    def digest(self, first: int, end: int, tracks: Iterable[int]) -> str:
        """Tells what is done otherwise in frames ``first`` to ``end`` - 1, where these tracks were found; empty where nothing is."""
        found = [self.of_track[track].to_dict() for track in sorted(set(tracks)) if track in self.of_track]
        added = [[one.number, one.correction.to_dict()] for one in self.drawn if self._may_show(one.track, first, end)]
        return hashlib.sha256(json.dumps([found, added], sort_keys=True).encode()).hexdigest() if found or added else ""


def plan_edits(
    corrections: FilmCorrections, frames: Callable[[], Iterable[np.ndarray]], anonymizer: Anonymizer, options: AnonymizeOptions, rate: float
) -> FilmEdits:
    """Follow what was drawn, and sort the rest by track.

    Args:
        corrections: of the film.
        frames: begins to read the film anew; called only where something was drawn.
        anonymizer: the engine, whose detector fits landmarks.
        options: of the run.
        rate: frames per second.

    Raises:
        FilmCorrectionError: a box was drawn behind the end of the film, or leaves the picture.
    """
    of_track = {one.track: one for one in corrections.faces if one.track is not None}
    drawn = [one for one in corrections.faces if one.drawn]
    if not drawn:
        return FilmEdits(of_track, (), None, rate)
    looks: dict[int, Look | None] = {}

    def read_look(index: int, image: np.ndarray, face: Face) -> None:
        height, width = image.shape[:2]
        box = drawn[index].box
        if min(box) < 0 or box[2] > width or box[3] > height:
            raise FilmCorrectionError(f"a box that was drawn in frame {drawn[index].frame} leaves the film of {width} x {height} pixels.")
        own = drawn[index].look
        looks[index] = anonymizer.look_of(image, face, options if own is None else dataclasses.replace(options, look=own))

    boxes = [(one.frame, one.box) for one in drawn]
    tracks = follow_drawn(frames(), boxes, anonymizer.detector, is_cut=CutDetector(), max_bytes=MAX_BUFFER, seen=read_look)
    for one, track in zip(drawn, tracks, strict=True):
        if not track.faces:
            raise FilmCorrectionError(f"a box was drawn in frame {one.frame}, but the film ends before it.")
    known = tuple(_Drawn(one, track, -1 - index, looks[index]) for index, (one, track) in enumerate(zip(drawn, tracks, strict=True)))
    return FilmEdits(of_track, known, GapFiller(rate), rate)


def _corrected(one: Casting, correction: TrackCorrection | None) -> Casting:
    if correction is None:
        return one
    if correction.do == "cover":
        return dataclasses.replace(one, shown=_bare(one.shown), reason=COVERED_BY_HAND)
    look = one.look
    if correction.look is not None:
        words = None if correction.look == RANDOM else parse_look(correction.look)
        look = words if words is None or one.look is None else words.complete(one.look)
    return dataclasses.replace(one, person=one.person if correction.person is None else correction.person, look=look)


def _bare(shown: ShownFace) -> ShownFace:
    """The same without landmarks, as a cover has it; what is covered on purpose is not doubtful."""
    face = shown.face if shown.face.landmarks is None else without_mesh(shown.face)
    return dataclasses.replace(shown, face=Face(face.box, face.score, keypoints=face.keypoints))


def _same(box: Box, other: Box | None) -> bool:
    """Whether two boxes are of one face."""
    return other is not None and bool(box_overlap(box, np.array([other]))[0][0] >= SAME_FACE)
