"""What a review does: remembers what was looked at, keeps corrections in their file, and does a photo again.

Every action is on disk before it is answered. Two files lie beside the report: ``corrections.jsonl``, which other runs heed, too, and
``reviewed.jsonl``, which says which results were looked at and found fine. A result that has changed since counts as not looked at.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from .._atomic import LineLog, storage_problem
from ..bulk import folder
from ..bulk.correction_file import PhotoCorrections, read_corrections, require_known, write_corrections
from ..bulk.tasks import Engine
from ..bulk.worker_pool import EngineError
from ..core.corrections import MAX_CORRECTIONS, FaceCorrection
from ..core.faces import UnusableImageError
from ..core.picture_reading import open_file, unusable
from ..image_files import printable
from .finished_run import CONCERNS, WRITTEN, FinishedRun, ReviewedPhoto
from .pictures import upright_size

CORRECTIONS_NAME, REVIEWED_NAME = "corrections.jsonl", "reviewed.jsonl"
FILTERS = ("all", "open", *CONCERNS, "corrected")


class ReviewError(ValueError):
    """Something that cannot be done; the message is for the person who wanted it."""


class ReviewedLog:
    """Which results were looked at and found fine, by name and version: what has changed since was not looked at."""

    def __init__(self, path: Path) -> None:
        self._log = LineLog(path)
        self._fine: dict[str, str] = {}
        for line in self._log.read().split(b"\n"):
            with suppress(ValueError, TypeError, KeyError):  # a torn line was not answered
                record = json.loads(line)
                self._note(record["name"], record["version"] if record["fine"] else None)

    def is_fine(self, name: str, version: Callable[[], str]) -> bool:
        """Whether the result that is there now was looked at and found fine; its version is asked for only where it matters."""
        return name in self._fine and self._fine[name] == version()

    def set_fine(self, name: str, version: str, fine: bool) -> None:
        """Remember it; it is on disk when this returns."""
        folder.append_record(self._log, {"name": name, "fine": fine, "version": version})
        self._note(name, version if fine else None)

    def close(self) -> None:
        """Close the file."""
        self._log.close()

    def _note(self, name: str, version: str | None) -> None:
        if version is None:
            self._fine.pop(name, None)
        else:
            self._fine[name] = version


class ReviewSession:
    """A review of one run by one person at a time; may be called from several threads.

    Args:
        run: from :func:`~.finished_run.read_run`.
        report: its file, to which a line is added for every photo that is done again.
        out: the folder with the results; no other run may write there meanwhile.
        load_engine: gives the engine, when a photo is first to be done again; takes seconds.
        redo_problem: why no photo can be done again; empty where one can.

    Raises:
        ValueError: corrections beside the report are malformed or of another run; or another run is writing to ``out``.
        OSError: a file cannot be read or written.
    """

    def __init__(self, run: FinishedRun, report: Path, out: Path, load_engine: Callable[[], Engine], redo_problem: str = "") -> None:
        self.run, self.out, self.redo_problem = run, out, redo_problem
        self.corrections_file = report.parent / CORRECTIONS_NAME
        self._load_engine = load_engine
        self._engine: Engine | None = None
        self._lock = threading.RLock()
        self._state = folder.State(out)
        try:
            self._rows = read_corrections(self.corrections_file) if self.corrections_file.exists() else {}
            require_known(self._rows, [photo.name for photo in run.photos])
            self._reviewed, self._report = ReviewedLog(report.parent / REVIEWED_NAME), LineLog(report)
        except BaseException:
            self._state.close()
            raise
        self._worker = ThreadPoolExecutor(1, "ganon-redo")  # one photo at a time, as in a run with one process

    def close(self) -> None:
        """Wait for a photo that is being done, and release the folder."""
        self._worker.shutdown(wait=True, cancel_futures=True)
        self._state.close()
        self._reviewed.close()
        self._report.close()

    # ---- what there is -----------------------------------------------------------------------------------------------------------

    @property
    def count(self) -> str:
        """How much there is to look at, in words."""
        return f"{len(self.run.photos)} photos"

    def photo(self, number: int) -> ReviewedPhoto:
        """A photo of the run; ReviewError where there is none of that number."""
        if not 0 <= number < len(self.run.photos):
            raise ReviewError(f"there is no photo {number}.")
        return self.run.photos[number]

    def numbers(self, name: str) -> list[int]:
        """Numbers of the photos that one of :data:`FILTERS` lets through."""
        if name not in FILTERS:
            raise ReviewError(f"there is no filter {printable(name)[:40]!r}.")
        with self._lock:
            return [number for number, photo in enumerate(self.run.photos) if self._passes(photo, name)]

    def counts(self) -> dict[str, int]:
        """How many photos each filter lets through."""
        photos = self.run.photos
        with self._lock:
            counted = Counter(photo.concern for photo in photos)
            fine, corrected = sum(map(self.is_fine, photos)), sum(map(self.is_corrected, photos))
        concerns = {str(name): counted[name] for name in CONCERNS}
        return {"all": len(photos), "open": len(photos) - fine, **concerns, "corrected": corrected}

    def _passes(self, photo: ReviewedPhoto, name: str) -> bool:
        """Whether one of :data:`FILTERS` lets a photo through."""
        if name == "all":
            return True
        if name == "open":
            return not self.is_fine(photo)
        return self.is_corrected(photo) if name == "corrected" else photo.concern == name

    def is_fine(self, photo: ReviewedPhoto) -> bool:
        """Whether its result was looked at and found fine."""
        return self._reviewed.is_fine(photo.name, lambda: _version_of(photo.target))

    def is_corrected(self, photo: ReviewedPhoto) -> bool:
        """Whether there are corrections of it."""
        return photo.name in self._rows

    def summary(self, number: int) -> dict[str, Any]:
        """What the list shows of a photo, JSON-ready."""
        photo = self.photo(number)
        return {
            "number": number,
            "name": printable(photo.name),
            "concern": photo.concern,
            "fine": self.is_fine(photo),
            "corrected": photo.name in self._rows,
            "stale": self.is_stale(photo),
            "version": _version_of(photo.target),
        }

    def details(self, number: int) -> dict[str, Any]:
        """Everything about a photo, JSON-ready. Seeds are texts: a browser's numbers do not hold them."""
        photo = self.photo(number)
        row = self._rows.get(photo.name)
        details = self.summary(number) | {"written": photo.written, "error": photo.error, "faces": list(photo.faces)}
        try:
            height, width = self._size(photo)
        except UnusableImageError as error:
            height, width, details["written"], details["error"] = 0, 0, False, str(error)
        corrections = [face.to_dict() for face in row.faces] if row is not None else []
        for one in corrections:
            if "seed" in one:
                one["seed"] = str(one["seed"])
        return details | {"height": height, "width": width, "corrections": corrections}

    def _size(self, photo: ReviewedPhoto) -> tuple[int, int]:
        return upright_size(photo.target, self.out) if photo.written else upright_size(photo.source, photo.root)

    def is_stale(self, photo: ReviewedPhoto) -> bool:
        """Whether the result that is there was made with other corrections than there are now."""
        row, record = self._rows.get(photo.name), self._state.record(photo.target)
        return ("" if row is None else row.digest) != (record or {}).get("corrections", "")

    # ---- what is done ------------------------------------------------------------------------------------------------------------

    def set_fine(self, number: int, fine: bool) -> None:
        """A photo was looked at, and is fine as it is; or not. ReviewError where its corrections are not in the result yet."""
        photo = self.photo(number)
        with self._lock:
            if fine and self.is_stale(photo):
                raise ReviewError("this photo has corrections that are not in the result yet: redo comes first.")
            saving(lambda: self._reviewed.set_fine(photo.name, _version_of(photo.target), fine))

    def set_corrections(self, number: int, faces: Any) -> None:
        """Put these corrections in the place of a photo's; an empty list removes them.

        Args:
            number: of the photo.
            faces: a list of what :meth:`~ganon_hf.core.corrections.FaceCorrection.to_dict` gives; a seed may be a text.

        Raises:
            ReviewError: a correction is invalid or leaves the photo, the original is not there or has changed, or the disk is full.
        """
        photo = self.photo(number)
        try:
            if not isinstance(faces, list) or len(faces) > MAX_CORRECTIONS:
                raise ValueError(f"corrections must be a list of at most {MAX_CORRECTIONS}.")
            corrections = tuple(FaceCorrection.from_dict(_with_number(face)) for face in faces)
            height, width = self._size(photo)
            for one in corrections:
                if one.drawn and (min(one.box) < 0 or one.box[2] > width or one.box[3] > height):
                    raise ValueError(f"a box leaves the photo of {width} x {height} pixels.")
            with self._lock:
                rows = dict(self._rows)
                before = rows.pop(photo.name, None)
                if corrections:
                    rows[photo.name] = self._row(photo, corrections, before)
                if self.is_fine(photo):
                    saving(lambda: self._reviewed.set_fine(photo.name, "", False))
                saving(lambda: write_corrections(self.corrections_file, rows.values()))
                self._rows = rows
        except (ValueError, TypeError) as error:
            raise ReviewError(printable(error)) from error
        if not self.redo_problem and self._engine is None:
            self._worker.submit(self._get_engine)  # while somebody still draws

    def _row(self, photo: ReviewedPhoto, faces: tuple[FaceCorrection, ...], before: PhotoCorrections | None) -> PhotoCorrections:
        with unusable("the original"), open_file(photo.source, photo.root) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # opened for reading bytes
        if before is not None and before.sha256 != digest:
            raise ReviewError("the original has changed since it was corrected: take the corrections back first.")
        seed = before.seed if before is not None else None
        if seed is None and self.run.settings.options.seed is None:
            seed = secrets.randbits(62) if photo.seed is None else photo.seed  # the photo's other people stay who they are
        return PhotoCorrections(photo.name, digest, faces, seed)

    def redo(self, number: int) -> None:
        """Do a photo again with its corrections, as ``ganon-hf anonymize --corrections`` does it; its result is replaced.

        Raises:
            ReviewError: it cannot be done; the result stands as before.
        """
        photo = self.photo(number)
        if self.redo_problem:
            raise ReviewError(self.redo_problem)
        outcome = self._worker.submit(self._redo, photo).result()
        if outcome.status not in WRITTEN:
            raise ReviewError(f"{outcome.error}. The result stands as before.")

    def _redo(self, photo: ReviewedPhoto) -> folder.Outcome:
        row = self._rows.get(photo.name)
        settings = dataclasses.replace(self.run.settings, corrections={} if row is None else {photo.name: row})
        job = dataclasses.replace(photo.job, problem=folder.why_it_leaves(photo.target, self.out))
        try:
            (outcome,) = folder.run([job], settings, lambda threads: self._get_engine(), self._state)
        except EngineError as error:
            raise ReviewError(f"the model cannot be loaded: {printable(error)}") from error
        if outcome.status in WRITTEN:
            with self._lock:
                photo.status, photo.error, photo.faces, photo.seed = outcome.status, "", outcome.faces, outcome.seed
                saving(lambda: folder.append_record(self._report, outcome.to_dict() | self.run.line))
        return outcome

    def _get_engine(self) -> Engine:
        if self._engine is None:
            self._engine = self._load_engine()
        return self._engine


def saving(write: Callable[[], None]) -> None:
    """Write something; an error of the disk is one for the person, who must know that nothing was saved."""
    try:
        write()
    except OSError as error:
        raise ReviewError(f"nothing was saved: {storage_problem(error) or error.strerror}.") from error


def _version_of(path: Path) -> str:
    """Size and time of a file; empty where there is none."""
    try:
        status = path.stat(follow_symlinks=False)
    except OSError:
        return ""
    return f"{status.st_size}-{status.st_mtime_ns}"


def _with_number(face: Any) -> Any:
    """A correction as the page sends it, with its seed as a number."""
    seed = face.get("seed") if isinstance(face, Mapping) else None
    return {**face, "seed": int(seed)} if isinstance(seed, str) and seed.isascii() and seed.isdigit() and len(seed) < 20 else face
