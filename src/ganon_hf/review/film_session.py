"""What a review of a film does: remembers which tracks were looked at, keeps corrections in their file, and does the film again.

Every action is on disk before it is answered, in the same two files as a review of photos.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from .._atomic import storage_problem
from ..core.anonymizer import Anonymizer
from ..core.corrections import MAX_CORRECTIONS
from ..core.faces import box_overlap
from ..image_files import printable
from ..video.film_corrections import FilmCorrections, TrackCorrection, film_digest, read_film_corrections, write_film_corrections
from ..video.job import anonymize_video
from ..video.parts import PartsFolder
from ..video.report import VideoReport, write_video_report
from .film_frames import FilmFrames, OriginalFrames, strip_of
from .finished_film import FilmTrack, read_film
from .finished_run import ReportError
from .pictures import LARGE_SIDE, VIEW_SIDE, LatestPictures, to_jpeg
from .session import CORRECTIONS_NAME, REVIEWED_NAME, ReviewedLog, ReviewError, saving

# A drawn box is that of a track where they overlap so much in its frame: it may have become a mesh's.
_SAME_DRAWN = 0.25
_VIEW_BYTES, _STRIP_BYTES = 24 << 20, 8 << 20


class FilmSession:
    """A review of one film by one person at a time; may be called from several threads.

    Args:
        report: of the film, which is written anew when the film is done again.
        target: the anonymized film.
        load_engine: gives the engine, when the film is first to be done again; takes seconds.
        originals: the folder where the original is now; None takes its name as it was given to the run.
        redo_problem: why the film cannot be done again, from the model of the run; empty where it can.

    Raises:
        ValueError: report or corrections are malformed, or the film is not that of the report.
        OSError: a file cannot be read or written.
    """

    def __init__(
        self,
        report: Path,
        target: Path,
        load_engine: Callable[[], Anonymizer],
        *,
        originals: Path | None = None,
        redo_problem: Callable[[str], str] = lambda model: "",
    ) -> None:
        self._report, self._originals_folder, self._load_engine = report, originals, load_engine
        self.film = read_film(report, target, originals)
        self.redo_problem = redo_problem(self.film.model)
        self.corrections_file = report.parent / CORRECTIONS_NAME
        self._lock = threading.RLock()
        rows = read_film_corrections(self.corrections_file) if self.corrections_file.exists() else []
        self._row = next((row for row in rows if row.film == self.film.source.name), None)
        self._open_frames()
        self._originals = OriginalFrames(self.film.source)
        self._reviewed = ReviewedLog(report.parent / REVIEWED_NAME)
        self._views, self._strips = LatestPictures(_VIEW_BYTES), LatestPictures(_STRIP_BYTES)
        self._engine: Anonymizer | None = None
        self._redo: dict[str, Any] = {"running": False, "done": 0, "error": ""}
        self._worker = ThreadPoolExecutor(1, "ganon-redo")

    def _open_frames(self) -> None:
        self._frames, self._strip_frames = FilmFrames(self.film.target), FilmFrames(self.film.target)
        if len(self._frames) != self.film.frames:
            there = f"{printable(self.film.target)} has {len(self._frames)} frames"
            raise ReportError(f"{there}, but the report tells of {self.film.frames}: it is of another film.")
        self._version = self.film.target.stat().st_mtime_ns

    def close(self) -> None:
        """Wait for a film that is being done, and close all files."""
        self._worker.shutdown(wait=True, cancel_futures=True)
        for one in (self._frames, self._strip_frames, self._originals, self._reviewed):
            one.close()

    # ---- what there is -----------------------------------------------------------------------------------------------------------

    @property
    def count(self) -> str:
        """How much there is to look at, in words."""
        return f"{len(self.film.tracks)} faces"

    @property
    def corrections(self) -> tuple[TrackCorrection, ...]:
        """Of this film, in the order in which they were made."""
        return () if self._row is None else self._row.faces

    @property
    def is_stale(self) -> bool:
        """Whether the film that is there was made with other corrections than there are now."""
        return ("" if self._row is None else self._row.digest) != self.film.corrections

    def details(self) -> dict[str, Any]:
        """Everything about the film but its frames, JSON-ready."""
        with self._lock:
            shown = [self._track_of(one) for one in self.corrections]
            height, width = self._frames.image(0).shape[:2]
            return {
                "name": printable(self.film.target.name),
                "frames": self.film.frames,
                "seconds": self._frames.seconds(self.film.frames - 1),
                "height": height,
                "width": width,
                "tracks": [self._summary(track) for track in self.film.tracks],
                "corrections": [one.to_dict() | {"shown": track} for one, track in zip(self.corrections, shown, strict=True)],
                "stale": self.is_stale,
                "parts": self._has_parts,
                "redo": self._redo,
                "redo_problem": self.redo_problem,
                "version": str(self._version),
            }

    @property
    def _has_parts(self) -> bool:
        return PartsFolder(self.film.target, "").folder.is_dir()

    def _summary(self, track: FilmTrack) -> dict[str, Any]:
        first, last = int(track.frames[0]), int(track.frames[-1])
        return {
            "track": track.number,
            "person": track.person,
            "look": track.look,
            "concern": track.concern,
            "fine": self._reviewed.is_fine(self._name(track), lambda: track.digest),
            "seconds": [self._frames.seconds(first), self._frames.seconds(last)],
            "stretches": track.stretches,
            "reasons": [f"{reason} ({count})" for reason, count in track.reasons.items()],
            "version": track.digest,
        }

    def _name(self, track: FilmTrack) -> str:
        return f"{self.film.target.name} track {track.number}"

    def _track_of(self, correction: TrackCorrection) -> int | None:
        """Number of the track that a correction means; None for a drawn face that is not in the film yet."""
        if correction.track is not None:
            return correction.track
        for track in self.film.tracks:
            at = track.at(correction.frame) if track.number < 0 else None
            if at is not None and box_overlap(correction.box, track.boxes[at : at + 1])[0][0] > _SAME_DRAWN:
                return track.number
        return None

    def frame(self, number: int) -> dict[str, Any]:
        """The faces of a frame, JSON-ready; ReviewError where there is none of that number."""
        self._require_frame(number)
        faces = []
        for track in self.film.tracks:
            at = track.at(number)
            if at is not None:
                done, seen = next((name, seen) for first, last, name, seen in track.stretches if first <= number <= last)
                faces.append({"track": track.number, "box": track.boxes[at].tolist(), "done": done, "seen": seen})
        return {"frame": number, "seconds": self._frames.seconds(number), "faces": faces}

    def _require_frame(self, number: int) -> None:
        if not 0 <= number < self.film.frames:
            raise ReviewError(f"there is no frame {number}.")

    def picture(self, number: int, *, large: bool = False) -> bytes:
        """A frame of the anonymized film as a JPEG file."""
        self._require_frame(number)
        if large:
            return to_jpeg(self._frames.image(number), LARGE_SIDE)
        return self._kept(self._views, number, lambda: to_jpeg(self._frames.image(number), VIEW_SIDE))

    def strip(self, number: int) -> bytes:
        """A track over time, as :func:`~.film_frames.strip_of` has it."""
        track = self.film.track(number)
        if track is None:
            raise ReviewError(f"there is no track {number}.")
        return self._kept(self._strips, number, lambda: strip_of(track, self._strip_frames))

    def _kept(self, pictures: LatestPictures, number: int, make: Callable[[], bytes]) -> bytes:
        key = (self.film.target, self._version, number)
        with self._lock:
            content = pictures.get(key)
        if content is None:
            content = make()
            with self._lock:
                pictures.put(key, content)
        return content

    def original(self, number: int) -> bytes:
        """A frame of the original as a JPEG file; nothing of it is remembered."""
        self._require_frame(number)
        return to_jpeg(self._originals.image(number), LARGE_SIDE)

    # ---- what is done ------------------------------------------------------------------------------------------------------------

    def set_fine(self, number: int, fine: bool) -> None:
        """A track was looked at, and is fine as it is; or not. ReviewError where its correction is not in the film yet."""
        track = self.film.track(number)
        if track is None:
            raise ReviewError(f"there is no track {number}.")
        with self._lock:
            if fine and self.is_stale and any(self._track_of(one) == number for one in self.corrections):
                raise ReviewError("this face has a correction that may not be in the film yet: redo comes first.")
            saving(lambda: self._reviewed.set_fine(self._name(track), track.digest, fine))

    def set_corrections(self, faces: Any) -> None:
        """Put these corrections in the place of the film's; an empty list removes them.

        Args:
            faces: a list of what :meth:`~ganon_hf.video.film_corrections.TrackCorrection.to_dict` gives.

        Raises:
            ReviewError: a correction is invalid or leaves the film, the original is not there or has changed, or the disk is full.
        """
        try:
            if not isinstance(faces, list) or len(faces) > MAX_CORRECTIONS:
                raise ValueError(f"corrections must be a list of at most {MAX_CORRECTIONS}.")
            corrections = tuple(map(TrackCorrection.from_dict, faces))
            height, width = self._frames.image(0).shape[:2]
            for one in corrections:
                self._require_frame(one.frame)
                if one.drawn and (min(one.box) < 0 or one.box[2] > width or one.box[3] > height):
                    raise ValueError(f"a box leaves the film of {width} x {height} pixels.")
            digest = film_digest(self.film.source)
            with self._lock:
                if self._redo["running"]:
                    raise ReviewError("the film is being done again: wait until that has ended.")
                if self._row is not None and self._row.faces and self._row.sha256 != digest:
                    raise ReviewError("the original has changed since it was corrected: remove its line from the corrections first.")
                row = FilmCorrections(self.film.source.name, digest, corrections, self.film.seed)
                others = read_film_corrections(self.corrections_file) if self.corrections_file.exists() else []
                rows = [*(other for other in others if other.film != row.film), row]
                saving(lambda: write_film_corrections(self.corrections_file, rows))
                self._row = row
        except (ValueError, TypeError) as error:
            raise ReviewError(printable(error)) from error
        if not self.redo_problem and self._engine is None:
            self._worker.submit(self._get_engine)  # while somebody still draws

    def start_redo(self) -> None:
        """Begin to do the film again with its corrections; :meth:`details` tells how far it is. ReviewError where it cannot be done."""
        with self._lock:
            if self.redo_problem:
                raise ReviewError(self.redo_problem)
            if self._redo["running"]:
                raise ReviewError("the film is being done again already.")
            self._redo = {"running": True, "done": 0, "error": ""}
        self._worker.submit(self._do_again)

    def _do_again(self) -> None:
        outcome, error = "The film stands as before", ""
        try:
            report = self._render()
            outcome = "The film is done again, but its report is not written: redo it once more"
            self._show(report)
        except Exception as problem:  # the page must say that something went wrong
            error = f"{storage_problem(problem) or printable(problem)}. {outcome}"
        with self._lock:
            self._redo = {"running": False, "done": 0, "error": error}

    def _render(self) -> VideoReport:
        film, row = self.film, self._row
        return anonymize_video(
            film.source,
            film.target,
            dataclasses.replace(film.options, seed=film.seed),
            anonymizer=self._get_engine(),
            codec=film.codec,
            audio=film.audio,
            overwrite=True,
            corrections=row,
            keep_parts=self._has_parts,
            progress=self._note_progress,
        )

    def _show(self, report: VideoReport) -> None:
        """Write the report of a film that has been done again, and show that film from now on."""
        write_video_report(self._report, report, self.film.run)
        with self._lock:
            before = self._frames, self._strip_frames
            self.film = read_film(self._report, self.film.target, self._originals_folder)
            self._open_frames()
        for one in before:
            one.close()

    def _note_progress(self, done: int, total: int | None) -> None:
        self._redo["done"] = done

    def _get_engine(self) -> Anonymizer:
        if self._engine is None:
            self._engine = self._load_engine()
        return self._engine
