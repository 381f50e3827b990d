"""One photo on disk: job, task, result, and the handler that turns one into the other. It runs in the workers."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from .._atomic import storage_problem
from ..core.corrections import CorrectionError, FaceCorrection
from ..core.faces import AnonymizationResult, NoFaceError, UnusableImageError
from ..core.options import AnonymizeOptions
from ..image_files import MARKABLE, Picture, format_of, printable, read_image, write_temporary
from .correction_file import PhotoCorrections, require_digest

NO_FACE_ADVICE = " (--on-no-face keep writes it all the same)"


class Engine(Protocol):
    """The three steps of :class:`~ganon_hf.core.anonymizer.Anonymizer`."""

    def plan(self, image: Any, options: AnonymizeOptions | None = None, *, corrections: Sequence[FaceCorrection] = ()) -> Any:
        """Photo -> a plan with ``inputs``, one for each face to replace."""
        ...

    def generate(self, inputs: Sequence[Any]) -> list[Any]:
        """Inputs of one or several photos -> as many faces."""
        ...

    def compose(self, plan: Any, images: Sequence[Any]) -> AnonymizationResult:
        """Plan and faces -> picture and report."""
        ...


@dataclass(frozen=True)
class PhotoJob:
    """A photo and where its result goes.

    Attributes:
        source: the photo.
        target: the output file.
        root: the folder that ``source`` must not leave through links, or None for a file that was named itself.
        problem: why it is refused without being opened; empty where it is not.
        name: below the folder that is anonymized, with forward slashes: by it the report and corrections name the photo.
    """

    source: Path
    target: Path
    root: Path | None = None
    problem: str = ""
    name: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of a job; ``to_dict`` is a line of the report."""

    job: PhotoJob
    # ok, copied (no face was found, and may be none), skipped, left out, refused (the input's fault), failed (the machine's or program's)
    status: str
    faces: tuple[dict[str, Any], ...] = ()
    error: str = ""
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    seed: int | None = None  # that was given or drawn; not known where the photo was not anonymized in this run
    marked: bool = False  # the result says that a part of it was generated

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form. ``output`` is None where there is no file."""
        return {
            "input": str(self.job.source),
            "name": self.job.name,
            "output": str(self.job.target) if self.status in ("ok", "copied", "skipped") else None,
            "status": self.status,
            "faces": list(self.faces),
            "error": self.error or None,
            "notes": list(self.notes),
            "seconds": round(self.seconds, 3),
            "seed": self.seed,
            "marked": self.marked,
        }


@dataclass(frozen=True)
class Settings:
    """What a result depends on besides the photo.

    Attributes:
        options: passed to the engine; ``on_no_face="raise"`` refuses photos without a face.
        keep_metadata: names from ``image_files.METADATA_GROUPS``.
        overwrite: replace any file that is in the way, and make finished outputs again.
        model: :func:`~ganon_hf.bulk.engine.model_fingerprint`; outputs of another model are made again.
        corrections: name of a photo -> its corrections.
        mark: results with a synthetic face say so, see :func:`finished_picture`.
    """

    options: AnonymizeOptions
    keep_metadata: tuple[str, ...] = ()
    overwrite: bool = False
    model: str = ""
    corrections: Mapping[str, PhotoCorrections] = field(default_factory=dict)
    mark: bool = False

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form for every line of a report: who has it and the photo's seed can make the result again."""
        options, keep = dataclasses.asdict(self.options), list(self.keep_metadata)
        return {"model": self.model, "options": options, "keep_metadata": keep, "mark": self.mark}

    def fingerprint(self, job: PhotoJob) -> str:
        """A digest of the photo (path, size, time) and of everything else that the result depends on."""
        status = job.source.stat()
        parts = [os.path.abspath(job.source), status.st_size, status.st_mtime_ns]
        parts += [dataclasses.asdict(self.options), sorted(self.keep_metadata), self.model]
        if job.name in self.corrections:
            parts.append(self.corrections[job.name].digest)
        if self.mark:  # without it the digest is that of versions that knew no mark
            parts.append("mark")
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True)
class PhotoTask:
    """A job as it is handed to a worker.

    Attributes:
        number: of the job.
        job: what is to be done.
        temporary: name under which the worker leaves the finished picture.
        pixels: of the photo, by its header.
        fingerprint: of the photo and the settings, taken before it was read.
        corrections: of the photo.
    """

    number: int
    job: PhotoJob
    temporary: Path
    pixels: int
    fingerprint: str
    corrections: PhotoCorrections | None = None


@dataclass(frozen=True)
class TaskResult:
    """What a worker hands back. With ``status`` the picture lies complete under its temporary name, without it there is none."""

    outcome: Outcome
    status: os.stat_result | None = None


def anonymize_batch(
    engine: Engine, photos: Iterable[tuple[Any, AnonymizeOptions]], corrections: Sequence[PhotoCorrections | None] | None = None
) -> list[AnonymizationResult | Exception]:
    """Anonymize several photos, all of whose faces go through the generator in one batch; each photo succeeds or fails by itself.

    Args:
        engine: the engine. On a CPU it generates faces one by one, so that a result does not depend on the batch.
        photos: (what ``engine.plan`` takes, or the error with which reading it failed; options).
        corrections: for every photo; None corrects nothing.

    Returns:
        for every photo the result or the error.
    """
    plans: list[Any] = []
    for number, (image, options) in enumerate(photos):
        own = corrections[number] if corrections is not None else None
        try:
            plans.append(image if isinstance(image, Exception) else _plan(engine, image, options, own))
        except Exception as error:
            plans.append(error)
    ready = [plan for plan in plans if not isinstance(plan, Exception)]
    try:
        faces = iter(engine.generate([one for plan in ready for one in plan.inputs]))
    except Exception:  # which photo is at fault shows when each is generated alone
        faces = None
    return [plan if isinstance(plan, Exception) else _compose(engine, plan, faces) for plan in plans]


def _plan(engine: Engine, image: Any, options: AnonymizeOptions, corrections: PhotoCorrections | None) -> Any:
    if corrections is None:
        return engine.plan(image, options)
    return engine.plan(image, corrections.options(options), corrections=corrections.faces)


def _compose(engine: Engine, plan: Any, faces: Iterator[Any] | None) -> AnonymizationResult | Exception:
    """The last step with this photo's share of the faces; where there are none yet, they are generated for it alone."""
    try:
        return engine.compose(plan, engine.generate(plan.inputs) if faces is None else [next(faces) for _ in plan.inputs])
    except Exception as error:
        return error


@dataclass(frozen=True)
class PhotoTaskHandler:
    """Reads photos, anonymizes them, and writes them under their temporary names; see :class:`~ganon_hf.bulk.worker_pool.TaskHandler`."""

    settings: Settings

    def __call__(self, engine: Engine, tasks: Sequence[PhotoTask]) -> Iterator[TaskResult]:
        """Yield one result for each task, in order; an error becomes an outcome, and then nothing is written.

        ``Outcome.seconds`` is a task's share of the batch's time.
        """
        started = time.perf_counter()
        pictures = [_read(task, self.settings) for task in tasks]
        photos = [(picture.image if isinstance(picture, Picture) else picture, self.settings.options) for picture in pictures]
        results = anonymize_batch(engine, photos, [task.corrections for task in tasks])
        share = (time.perf_counter() - started) / len(tasks)
        for task, picture, result in zip(tasks, pictures, results, strict=True):
            started = time.perf_counter()
            written = _write(task, picture, result, mark=self.settings.mark)
            seconds = share + time.perf_counter() - started
            yield dataclasses.replace(written, outcome=dataclasses.replace(written.outcome, seconds=seconds))

    def crashed(self, task: PhotoTask, error: str) -> TaskResult:
        """The result of a photo that crashed its process."""
        return TaskResult(Outcome(task.job, "failed", error=error))

    def discard(self, task: PhotoTask) -> None:
        """Remove the temporary file."""
        task.temporary.unlink(missing_ok=True)


def _read(task: PhotoTask, settings: Settings) -> Picture | Exception:
    check = None if task.corrections is None else partial(require_digest, wanted=task.corrections.sha256)
    try:
        return read_image(task.job.source, root=task.job.root, keep_metadata=settings.keep_metadata, check=check)
    except Exception as error:
        return error


def _write(task: PhotoTask, picture: Picture | Exception, result: AnonymizationResult | Exception, *, mark: bool) -> TaskResult:
    """Write a finished picture under its temporary name; after an error nothing is left there."""
    if isinstance(picture, Exception) or isinstance(result, Exception):
        return TaskResult(error_outcome(task.job, picture if isinstance(picture, Exception) else result))
    faces = tuple(face.to_dict() for face in result.faces)
    picture = finished_picture(picture, result.image, faces, format_of(task.job.target) or "", mark=mark)
    try:
        task.job.target.parent.mkdir(parents=True, exist_ok=True)
        status = write_temporary(picture, task.job.target, task.temporary)
    except BaseException as error:
        task.temporary.unlink(missing_ok=True)
        if not isinstance(error, Exception):
            raise
        return TaskResult(error_outcome(task.job, error))
    done = Outcome(task.job, success(result), faces=faces, notes=picture.notes, seed=result.seed, marked=picture.marked)
    return TaskResult(done, status)


def finished_picture(picture: Picture, image: Any, faces: Sequence[Mapping[str, Any]], name: str, *, mark: bool) -> Picture:
    """The picture as it will be written; with ``mark`` it carries IPTC's digital source type where it holds a synthetic face.

    Args:
        picture: as it was read.
        image: the result's pixels.
        faces: reports of the result's faces; a photo without a replaced one, such as a mere copy, is not marked.
        name: of the format to write; one that has no place for the mark gets a note.
        mark: whether it was asked for.
    """
    marked = is_marked(faces, name, mark=mark)
    unmarkable = mark and not marked and is_marked(faces, MARKABLE[0], mark=mark)
    notes = (*picture.notes, f"{name} files cannot carry the mark") if unmarkable else picture.notes
    return dataclasses.replace(picture, image=image, notes=notes, marked=marked)


def is_marked(faces: Sequence[Mapping[str, Any]], name: str, *, mark: bool) -> bool:
    """Whether a result carries the mark; arguments as for :func:`finished_picture`."""
    return mark and name in MARKABLE and any(face["status"] == "replaced" for face in faces)


def success(result: AnonymizationResult) -> str:
    """``"ok"``, or ``"copied"`` where no face was found: such a photo must not be called anonymized."""
    return "ok" if result.faces else "copied"


def error_outcome(job: PhotoJob, error: object) -> Outcome:
    """An error as the outcome of a job."""
    status, reason = describe_error(error)
    if isinstance(error, NoFaceError):
        reason += NO_FACE_ADVICE
    return Outcome(job, status, error=reason.removeprefix(f"{printable(job.source)}: "))


def describe_error(error: object) -> tuple[str, str]:
    """Status and reason of an error: ``refused`` is the photo's fault, ``failed`` the machine's or the program's."""
    if isinstance(error, NoFaceError):
        return "refused", "no face was found"
    if isinstance(error, UnusableImageError | CorrectionError):
        return "refused", printable(error)
    if isinstance(error, Exception) and (problem := storage_problem(error)):
        return "failed", f"{problem}, so nothing was written for it"
    return "failed", printable(f"{type(error).__name__}: {error}")
