"""One photo on disk: what is to be done, the work itself, and what became of it. Workers do this, batches plan and record it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..core.faces import AnonymizationResult, NoFaceError, UnusableImageError
from ..core.options import AnonymizeOptions
from ..image_files import Picture, printable, read_image, write_temporary


class Engine(Protocol):
    """The three steps of :class:`~ganon_hf.core.anonymizer.Anonymizer`."""

    def plan(self, image: Any, options: AnonymizeOptions | None = None) -> Any:
        """Photo -> a plan with ``inputs``, one for each face to replace."""
        ...

    def generate(self, inputs: Sequence[Any]) -> list[Any]:
        """Inputs of one or several photos -> as many faces."""
        ...

    def compose(self, plan: Any, images: Sequence[Any]) -> AnonymizationResult:
        """Plan and faces -> picture and report."""
        ...


@dataclass(frozen=True)
class Job:
    """One input and where its result goes.

    Attributes:
        source: the photo.
        target: the output file.
        root: the folder that ``source`` must not leave through links, or None for a file that was named itself.
        problem: why it is refused without being opened; empty for a job that can be tried.
    """

    source: Path
    target: Path
    root: Path | None = None
    problem: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of one job; ``to_dict`` is a line of the report."""

    job: Job
    status: str  # ok, skipped, refused (the input's fault) or failed (the machine's or the program's)
    faces: tuple[dict[str, Any], ...] = ()
    error: str = ""
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form. ``output`` is None unless the file stands."""
        return {
            "input": str(self.job.source),
            "output": str(self.job.target) if self.status in ("ok", "skipped") else None,
            "status": self.status,
            "faces": list(self.faces),
            "error": self.error or None,
            "notes": list(self.notes),
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True)
class Settings:
    """What decides about a result besides the photo.

    Attributes:
        options: passed to the engine; ``on_no_face="raise"`` refuses photos without a face.
        keep_metadata: names from ``files.METADATA_GROUPS``.
        overwrite: replace outputs whatever they are, and redo finished ones.
        model: whatever names weights and program version; finished outputs of another one are redone.
    """

    options: AnonymizeOptions
    keep_metadata: tuple[str, ...] = ()
    overwrite: bool = False
    model: str = ""

    def fingerprint(self, source: Path) -> str:
        """Changes when the photo or anything that decides about its result does."""
        status = source.stat()
        parts = [os.path.abspath(source), status.st_size, status.st_mtime_ns]
        parts += [dataclasses.asdict(self.options), sorted(self.keep_metadata), self.model]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Task:
    """A job on its way through a worker.

    Attributes:
        number: its place among the jobs.
        job: what is to be done.
        temporary: where the finished picture waits for its name.
        pixels: of the photo, by its header.
        fingerprint: of the photo and the settings, taken before it was read.
    """

    number: int
    job: Job
    temporary: Path
    pixels: int
    fingerprint: str


@dataclass(frozen=True)
class Attempt:
    """What a worker made of a task: with ``status`` the picture stands complete under its temporary name, else nothing does."""

    outcome: Outcome
    status: os.stat_result | None = None


def anonymize_together(engine: Engine, photos: Iterable[tuple[Any, AnonymizeOptions]]) -> list[AnonymizationResult | Exception]:
    """Several photos whose faces go through the generator in one call; each succeeds or fails alone.

    Args:
        engine: the engine. On a CPU it draws faces one by one, so that company does not change them; batches are for a GPU.
        photos: (what ``engine.plan`` takes, or the error that kept it from being read; options).
    """
    plans: list[Any] = []
    for image, options in photos:
        try:
            plans.append(image if isinstance(image, Exception) else engine.plan(image, options))
        except Exception as error:
            plans.append(error)
    ready = [plan for plan in plans if not isinstance(plan, Exception)]
    try:
        faces = iter(engine.generate([one for plan in ready for one in plan.inputs]))
    except Exception:  # of which photo is not known: each alone tells
        faces = None
    return [plan if isinstance(plan, Exception) else _compose(engine, plan, faces) for plan in plans]


def _compose(engine: Engine, plan: Any, faces: Iterator[Any] | None) -> AnonymizationResult | Exception:
    """The last step with this photo's share of the faces; without faces they are generated for it alone."""
    try:
        return engine.compose(plan, engine.generate(plan.inputs) if faces is None else [next(faces) for _ in plan.inputs])
    except Exception as error:
        return error


@dataclass(frozen=True)
class FileWork:
    """Read, anonymize, write beside the final name: what workers do with tasks."""

    settings: Settings

    def __call__(self, engine: Engine, tasks: Sequence[Task]) -> Iterator[Attempt]:
        """One attempt for each task, in order; whatever goes wrong becomes an outcome, and then nothing was written.

        ``seconds`` is a task's share of the group's time.
        """
        started = time.perf_counter()
        pictures = [_read(task.job, self.settings) for task in tasks]
        photos = [(picture.image if isinstance(picture, Picture) else picture, self.settings.options) for picture in pictures]
        results = anonymize_together(engine, photos)
        share = (time.perf_counter() - started) / len(tasks)
        for task, picture, result in zip(tasks, pictures, results, strict=True):
            started = time.perf_counter()
            attempt = _write(task, picture, result)
            seconds = share + time.perf_counter() - started
            yield dataclasses.replace(attempt, outcome=dataclasses.replace(attempt.outcome, seconds=seconds))

    def crashed(self, task: Task, error: str) -> Attempt:
        """A photo that its process did not survive."""
        return Attempt(Outcome(task.job, "failed", error=error))

    def discard(self, task: Task) -> None:
        """Remove the temporary file."""
        task.temporary.unlink(missing_ok=True)


def _read(job: Job, settings: Settings) -> Picture | Exception:
    try:
        return read_image(job.source, root=job.root, keep_metadata=settings.keep_metadata)
    except Exception as error:
        return error


def _write(task: Task, picture: Picture | Exception, result: AnonymizationResult | Exception) -> Attempt:
    """The finished picture under its temporary name; without one, or when it cannot be written, nothing stands there."""
    if isinstance(picture, Exception) or isinstance(result, Exception):
        return Attempt(outcome_of(task.job, picture if isinstance(picture, Exception) else result))
    try:
        task.job.target.parent.mkdir(parents=True, exist_ok=True)
        status = write_temporary(dataclasses.replace(picture, image=result.image), task.job.target, task.temporary)
    except BaseException as error:
        task.temporary.unlink(missing_ok=True)
        if not isinstance(error, Exception):
            raise
        return Attempt(outcome_of(task.job, error))
    faces = tuple(face.to_dict() for face in result.faces)
    return Attempt(Outcome(task.job, "ok", faces=faces, notes=picture.notes), status)


def outcome_of(job: Job, error: object) -> Outcome:
    """An error as an outcome: the rest of the batch goes on; the report and the exit code tell."""
    status, reason = explain(error)
    if isinstance(error, NoFaceError):
        reason += " (--on-no-face keep writes it all the same)"
    return Outcome(job, status, error=reason.removeprefix(f"{printable(job.source)}: "))


def explain(error: object) -> tuple[str, str]:
    """An error as status and reason: refused is the input's fault, failed the machine's or the program's."""
    if isinstance(error, NoFaceError):
        return "refused", "no face was found"
    if isinstance(error, UnusableImageError):
        return "refused", str(error)
    return "failed", printable(f"{type(error).__name__}: {error}")
