"""Folders of photos: which file goes where, what is finished already, what happened to each. Behind ``ganon-hf anonymize``.

A plan is made and checked before anything is written. Every finished output is recorded in a hidden state file in the output folder, so
that a second run skips it while input, options and model stay the same. An output that no earlier run has written is replaced only with
``overwrite``.
"""

from __future__ import annotations

import dataclasses
import glob
import json
import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import IO, Any

from .._atomic import TEMPORARY_PREFIX, LineLog, remove_leftovers, rename_into_place, temporary_name
from ..core.faces import UnusableImageError
from ..image_files import FORMATS, PICTURE_SUFFIXES, format_of, is_picture_name, picture_pixels, printable, result_name
from .tasks import Outcome, PhotoJob, PhotoTask, PhotoTaskHandler, Settings, TaskResult, error_outcome, is_marked
from .worker_pool import PHOTO_SECONDS, PIXELS_PER_PROCESS, LoadEngine, SerialPool, WorkerPool

STATE_NAME = f"{TEMPORARY_PREFIX}state.jsonl"


class PlanError(ValueError):
    """Inputs or output that cannot be used; nothing was written."""


def plan(inputs: Sequence[str], output: str) -> tuple[list[PhotoJob], list[Path]]:
    """Turn arguments of the command line into jobs, in a fixed order.

    Args:
        inputs: files, folders (walked; hidden files left out) and glob patterns.
        output: a folder; or, for exactly one file, a file name that ends like a picture.

    Returns:
        The jobs, and the files in folders that are left out because their names do not end like those of pictures.

    Raises:
        PlanError: nothing was found, two inputs have one output, or the output is an input or cannot be used.
    """
    out = Path(output)
    found: dict[tuple[str, str], PhotoJob] = {}
    ignored: list[Path] = []
    for text in inputs:
        for job, counts in _expand(text, out):
            if counts:
                found.setdefault((os.path.abspath(job.source), str(job.target)), job)
            else:
                ignored.append(job.source)
    jobs = list(found.values())
    if not jobs:
        raise PlanError(f"No picture was found in {', '.join(map(printable, inputs))} (looked for {', '.join(PICTURE_SUFFIXES)}).")
    if format_of(out) and not out.is_dir():
        if len(jobs) > 1 or Path(inputs[0]).is_dir():
            raise PlanError(f"{printable(output)} is one file, but there may be several results: name a folder.")
        jobs = [dataclasses.replace(jobs[0], target=out, problem="")]
    elif out.exists() and not out.is_dir():
        raise PlanError(f"{printable(output)} exists and is not a folder.")
    elif _is_like_a_file(output, inputs):
        raise PlanError(
            f"{printable(output)} looks like the name of a file, but pictures are written as {', '.join(FORMATS)} only. "
            f"For a folder of that name, end it in a slash: {printable(output)}/"
        )
    jobs = [dataclasses.replace(job, problem=job.problem or why_it_leaves(job.target, out)) for job in jobs]
    _check_targets(jobs)
    return jobs, ignored


def _is_like_a_file(output: str, inputs: Sequence[str]) -> bool:
    """Whether somebody who names one photo and this output expects one file."""
    one = len(inputs) == 1 and os.path.isfile(inputs[0])
    return one and bool(Path(output).suffix) and not output.endswith(("/", os.sep)) and not Path(output).is_dir()


def why_it_leaves(target: Path, out: Path) -> str:
    """Why a result must not be written: a folder on its way below ``out`` is a link, so it would appear somewhere else."""
    between = target.parent.relative_to(out).parts if target.is_relative_to(out) and target != out else ()
    for depth in range(len(between)):
        folder = out.joinpath(*between[: depth + 1])
        if folder.is_symlink():
            return f"{printable(folder)} is a link, and results are written below {printable(out)} only: remove the link"
    return ""


def _expand(text: str, out: Path) -> Iterator[tuple[PhotoJob, bool]]:
    """The jobs behind one argument; the flag is False for files that are left out because of their name."""
    path = Path(text)
    if path.is_dir():
        yield from _walk(path, path, out)
    elif os.path.lexists(path):
        yield _job(path, path.parent, None, out), True
    elif glob.has_magic(text):
        parts = path.parts
        fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
        root = Path(*parts[:fixed]) if fixed else Path(".")
        matches = sorted(glob.glob(text, recursive=True), key=os.fsencode)
        if not matches:
            raise PlanError(f"Nothing matches {printable(text)}.")
        for match in map(Path, matches):
            if match.resolve().is_relative_to(out.resolve()):
                continue  # results of an earlier run
            if match.is_dir() and not match.is_symlink():
                if "**" not in parts:  # the pattern lists what is inside by itself
                    yield from _walk(match, root, out)
            else:
                yield _job(match, root, root, out), is_picture_name(match)
    else:
        raise PlanError(f"{printable(text)} does not exist.")


def _walk(folder: Path, root: Path, out: Path) -> Iterator[tuple[PhotoJob, bool]]:
    """Everything below a folder in the order of the names' bytes, without hidden files and without the output folder."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        problem = f"cannot be listed ({os.strerror(error.errno or 0).lower()})"
        name = folder.relative_to(root)
        yield PhotoJob(folder, out / name, root, problem, name.as_posix()), True
        return
    for entry in entries:
        path = folder / entry.name
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            if path.resolve() != out.resolve():
                yield from _walk(path, root, out)
        elif entry.is_symlink() and path.is_dir():
            name = path.relative_to(root)
            yield PhotoJob(path, out / name, root, "is a link to a folder, which is not followed", name.as_posix()), True
        else:
            yield _job(path, root, root, out), is_picture_name(path)


def _job(source: Path, base: Path, root: Path | None, out: Path) -> PhotoJob:
    known = is_picture_name(source)
    problem = "" if known else f"the name does not end in one of {', '.join(PICTURE_SUFFIXES)}"
    name = source.relative_to(base)
    return PhotoJob(source, out / (result_name(name) if known else name), root, problem, name.as_posix())


def _check_targets(jobs: Sequence[PhotoJob]) -> None:
    """No two results under one name, and no result over an input."""
    sources = {os.path.realpath(job.source): job.source for job in jobs}
    targets: dict[str, PhotoJob] = {}
    for job in jobs:
        if job.problem:
            continue
        target = os.path.normcase(os.path.join(os.path.realpath(job.target.parent), job.target.name))
        if target in targets:
            both = f"{printable(targets[target].source)} and {printable(job.source)}"
            raise PlanError(f"{both} would both become {printable(job.target)}: anonymize them into different folders.")
        if target in sources or os.path.realpath(job.target) in sources:
            raise PlanError(f"{printable(job.target)} is an input; originals are never overwritten: name another output.")
        targets[target] = job


class State:
    """The hidden file in an output folder that records finished outputs, without the names of inputs. One run at a time may use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._log = LineLog(folder / STATE_NAME)  # lives as long as the run; close() ends it
        try:
            lock(self._log.file)
        except OSError as error:
            self._log.close()
            raise PlanError(f"Another run is writing to {printable(folder)}.") from error
        self._records: dict[tuple[str, int, int], dict[str, Any]] = {}
        for line in self._log.read().split(b"\n"):
            with suppress(ValueError, TypeError, KeyError):  # a torn line was not finished, so its output was not either
                record = json.loads(line)
                self._records[record["output"], record["size"], record["mtime_ns"]] = record

    def close(self) -> None:
        """Release the folder for other runs."""
        self._log.close()

    def record(self, target: Path) -> dict[str, Any] | None:
        """What is recorded about an output, or None where there is no record or the file has changed since."""
        try:
            status = os.stat(target, follow_symlinks=False)
        except OSError:
            return None
        return self._records.get((self._name(target), status.st_size, status.st_mtime_ns))

    def add(self, target: Path, fingerprint: str, faces: Sequence[dict[str, Any]], status: os.stat_result, corrections: str = "") -> None:
        """Record an output just before it gets its name, so that no crash leaves an unrecorded one; with the digest of its corrections."""
        record: dict[str, Any] = {
            "output": self._name(target),
            "fingerprint": fingerprint,
            "size": status.st_size,
            "mtime_ns": status.st_mtime_ns,
            "faces": list(faces),
        }
        record |= {"corrections": corrections} if corrections else {}
        append_record(self._log, record)
        # beside the earlier record, not over it: a kill between here and the renaming leaves the earlier output standing
        self._records[record["output"], status.st_size, status.st_mtime_ns] = record

    def _name(self, target: Path) -> str:
        return target.relative_to(self.folder).as_posix()


def lock(file: IO[bytes]) -> None:
    """Take an advisory lock, which ends with the process; OSError where another process holds it."""
    if os.name == "posix":
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def append_record(log: LineLog, record: dict[str, Any]) -> None:
    """Append a JSON object as one line; it is on disk when this returns, or after an error not there at all."""
    log.append(json.dumps(record).encode("ascii"))


def run(
    jobs: Sequence[PhotoJob],
    settings: Settings,
    load_engine: LoadEngine,
    state: State | None,
    *,
    processes: int = 1,
    photos_per_call: int = 1,
    photo_seconds: float = PHOTO_SECONDS,
) -> Generator[Outcome, None, None]:
    """Do the jobs; one that fails does not stop the others, and results do not depend on the number of processes.

    Close the generator if you leave it early: that ends the workers and removes unfinished files.

    Args:
        jobs: from :func:`plan`.
        settings: the same for all of them.
        load_engine: number of detection threads (None: one per core) -> the Anonymizer; called once in every process, when there is a
            photo to anonymize. With several processes it must be picklable.
        state: finished outputs, or None to record nothing.
        processes: number of worker processes; 1 works in this one.
        photos_per_call: faces of so many photos go through the generator in one batch, which is faster on a GPU only.
        photo_seconds: a photo that takes longer is given up.

    Yields:
        One outcome per job, in the order of the jobs, as soon as it and all before it are done.

    Raises:
        EngineError: the engine cannot be loaded.
        ValueError: a number below 1, or no time.
    """
    if processes < 1 or photos_per_call < 1 or not photo_seconds > 0:
        raise ValueError(
            f"processes and photos_per_call must be at least 1 and photo_seconds positive, but got {processes!r}, {photos_per_call!r} and "
            f"{photo_seconds!r}."
        )
    if state is not None:
        for target_folder in {job.target.parent for job in jobs if not job.problem}:
            remove_leftovers(target_folder)  # the lock on the state file says that no other run owns them
    serial, handler = processes == 1 or len(jobs) == 1, PhotoTaskHandler(settings)
    ready: dict[int, Outcome] = {}
    following = 0
    made: SerialPool[PhotoTask, TaskResult] | WorkerPool[PhotoTask, TaskResult] = (
        SerialPool(load_engine, handler, photo_seconds=photo_seconds)
        if serial
        else WorkerPool(load_engine, handler, processes, photo_seconds=photo_seconds)
    )
    with closing(made) as pool:
        for number, outcome in _as_completed(_tasks(jobs, settings, state), pool, state, photos_per_call):
            ready[number] = outcome
            while following in ready:
                yield ready.pop(following)
                following += 1


def _as_completed(
    tasks: Iterator[PhotoTask | tuple[int, Outcome]],
    pool: SerialPool[PhotoTask, TaskResult] | WorkerPool[PhotoTask, TaskResult],
    state: State | None,
    photos_per_call: int,
) -> Iterator[tuple[int, Outcome]]:
    """Keep the workers busy, and give finished pictures their names."""
    ahead = next(tasks, None)
    while ahead is not None or pool.busy:
        while isinstance(ahead, PhotoTask) and pool.has_room(ahead.pixels):
            group = [ahead]
            ahead = next(tasks, None)
            while isinstance(ahead, PhotoTask) and len(group) < photos_per_call and _fits(group, ahead):
                group.append(ahead)
                ahead = next(tasks, None)
            pool.submit(group)
        if isinstance(ahead, tuple):
            yield ahead
            ahead = next(tasks, None)
        elif pool.busy:
            for task, result in pool.collect():
                yield task.number, _finish(task, result, state)


def _fits(group: Sequence[PhotoTask], task: PhotoTask) -> bool:
    return sum(one.pixels for one in group) + task.pixels <= PIXELS_PER_PROCESS


def _tasks(jobs: Sequence[PhotoJob], settings: Settings, state: State | None) -> Iterator[PhotoTask | tuple[int, Outcome]]:
    """For every job, in order, its task, or its number and outcome where nothing is left to do."""
    for number, job in enumerate(jobs):
        outcome = _known_outcome(job, settings, state)
        if outcome is None:
            try:
                pixels = picture_pixels(job.source, root=job.root)
                fingerprint = settings.fingerprint(job)
            except (OSError, UnusableImageError) as error:
                outcome = error_outcome(job, error)
            else:
                yield PhotoTask(number, job, temporary_name(job.target), pixels, fingerprint, settings.corrections.get(job.name))
                continue
        yield number, outcome


def _finish(task: PhotoTask, result: TaskResult, state: State | None) -> Outcome:
    """Give a finished picture its name, once the state file has a record of it."""
    if result.status is None:
        return result.outcome
    try:
        if state is not None:
            corrections = "" if task.corrections is None else task.corrections.digest
            state.add(task.job.target, task.fingerprint, result.outcome.faces, result.status, corrections)
        rename_into_place(task.temporary, task.job.target)
    except OSError as error:
        return error_outcome(task.job, error)
    finally:
        task.temporary.unlink(missing_ok=True)  # gone after the rename; still there after an error or Ctrl-C
    return result.outcome


def _known_outcome(job: PhotoJob, settings: Settings, state: State | None) -> Outcome | None:
    """The outcome of a job that needs no work: refused by its name, finished before, or its output is in the way."""
    if job.problem:
        return Outcome(job, "refused", error=job.problem)
    if settings.overwrite or not os.path.lexists(job.target):
        return None
    record = state.record(job.target) if state is not None else None
    if record is None:
        return Outcome(job, "refused", error=f"{printable(job.target)} exists already (--overwrite replaces it)")
    with suppress(OSError):  # an unreadable input is reported when it is read
        if record.get("fingerprint") == settings.fingerprint(job):
            faces = tuple(record.get("faces", ()))
            return Outcome(job, "skipped", faces=faces, marked=is_marked(faces, format_of(job.target) or "", mark=settings.mark))
    if record.get("corrections") and job.name not in settings.corrections:
        error = f"{printable(job.target)} was corrected by hand (--corrections names the corrections, --overwrite drops them)"
        return Outcome(job, "refused", error=error)
    return None
