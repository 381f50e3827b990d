"""Many photos: which file goes where, what is already done, what happened to each. The work behind ``ganon-hf anonymize``.

A plan is made and checked before anything is written. Every finished output is remembered in a hidden state file in the output folder,
so that a second run skips it while input, options and model stay the same; an output that was not written by an earlier run is never
replaced unless that was asked for.
"""

from __future__ import annotations

import dataclasses
import glob
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from .faces import AnonymizeOptions, NoFaceError, UnusableImageError
from .files import FORMATS, TEMPORARY_PREFIX, format_of, printable, read_image, write_image

STATE_NAME = f"{TEMPORARY_PREFIX}state.jsonl"


class PlanError(ValueError):
    """The command line asks for something that cannot be done; nothing was touched."""


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


def plan(inputs: Sequence[str], output: str) -> tuple[list[Job], int]:
    """Turn what was typed into jobs, in a fixed order.

    Args:
        inputs: files, folders (walked; hidden files left out) and glob patterns.
        output: a folder; or, for exactly one file, a file name that ends like a picture.

    Returns:
        The jobs and the number of files in folders that do not look like pictures by their name.

    Raises:
        PlanError: nothing found, one name for two inputs, an output that is an input, an output that cannot be.
    """
    out = Path(output)
    found: dict[tuple[str, str], Job] = {}
    ignored = 0
    for text in inputs:
        for job, counts in _expand(text, out):
            if counts:
                found.setdefault((os.path.abspath(job.source), str(job.target)), job)
            else:
                ignored += 1
    jobs = list(found.values())
    if not jobs:
        raise PlanError(f"No picture was found in {', '.join(map(printable, inputs))} (looked for {', '.join(FORMATS)}).")
    if format_of(out) and not out.is_dir():
        if len(jobs) > 1 or Path(inputs[0]).is_dir():
            raise PlanError(f"{printable(output)} is one file, but there may be several results: name a folder.")
        jobs = [dataclasses.replace(jobs[0], target=out, problem="")]
    elif out.exists() and not out.is_dir():
        raise PlanError(f"{printable(output)} exists and is not a folder.")
    _check_targets(jobs)
    return jobs, ignored


def _expand(text: str, out: Path) -> Iterator[tuple[Job, bool]]:
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
                yield _job(match, root, root, out), format_of(match) is not None
    else:
        raise PlanError(f"{printable(text)} does not exist.")


def _walk(folder: Path, root: Path, out: Path) -> Iterator[tuple[Job, bool]]:
    """Everything below a folder in the order of the names' bytes, without hidden files and without the output folder."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        yield Job(folder, out / folder.relative_to(root), root, f"cannot be listed ({os.strerror(error.errno or 0).lower()})"), True
        return
    for entry in entries:
        path = folder / entry.name
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            if path.resolve() != out.resolve():
                yield from _walk(path, root, out)
        elif entry.is_symlink() and path.is_dir():
            yield Job(path, out / path.relative_to(root), root, "is a link to a folder, which is not followed"), True
        else:
            yield _job(path, root, root, out), format_of(path) is not None


def _job(source: Path, base: Path, root: Path | None, out: Path) -> Job:
    problem = "" if format_of(source) else f"the name does not end in one of {', '.join(FORMATS)}"
    return Job(source, out / source.relative_to(base), root, problem)


def _check_targets(jobs: Sequence[Job]) -> None:
    """No two results under one name, and no result over an input."""
    sources = {os.path.realpath(job.source): job.source for job in jobs}
    targets: dict[str, Job] = {}
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
    """The hidden file in an output folder that says which outputs are finished; holds no input names. One run at a time may use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._file = open(folder / STATE_NAME, "a+b")  # lives as long as the run; close() ends it
        try:
            lock(self._file)
        except OSError as error:
            self._file.close()
            raise PlanError(f"Another run is writing to {printable(folder)}.") from error
        self._file.seek(0)
        content = self._file.read()
        self._records: dict[str, dict[str, Any]] = {}
        for line in content.split(b"\n"):
            with suppress(ValueError, TypeError, KeyError):  # a torn line was not finished, so its output was not either
                record = json.loads(line)
                self._records[record["output"]] = record
        if content and not content.endswith(b"\n"):
            self._file.write(b"\n")

    def close(self) -> None:
        """Give the folder free for other runs."""
        self._file.close()

    def record(self, target: Path) -> dict[str, Any] | None:
        """What is known about an output that is still as it was written, else None."""
        record = self._records.get(self._name(target))
        try:
            status = os.stat(target, follow_symlinks=False)
        except OSError:
            return None
        return record if record and (record.get("size"), record.get("mtime_ns")) == (status.st_size, status.st_mtime_ns) else None

    def add(self, target: Path, fingerprint: str, faces: Sequence[dict[str, Any]], status: os.stat_result) -> None:
        """Remember an output just before it gets its name, so that no crash leaves one that nobody knows about."""
        record: dict[str, Any] = {
            "output": self._name(target),
            "fingerprint": fingerprint,
            "size": status.st_size,
            "mtime_ns": status.st_mtime_ns,
            "faces": list(faces),
        }
        self._records[record["output"]] = record
        append_line(self._file, record)

    def _name(self, target: Path) -> str:
        return target.relative_to(self.folder).as_posix()


def lock(file: IO[bytes]) -> None:
    """An advisory lock that goes away with the process; raises OSError when somebody holds it."""
    if os.name == "posix":
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def append_line(file: IO[bytes], record: dict[str, Any]) -> None:
    """One JSON object as one line, on disk before this returns."""
    file.write(json.dumps(record).encode("ascii") + b"\n")
    file.flush()
    os.fsync(file.fileno())


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


def run(
    jobs: Sequence[Job],
    settings: Settings,
    load_engine: Callable[[], Callable[..., Any]],
    state: State | None,
) -> Iterator[Outcome]:
    """Do the jobs one after another; one that goes wrong does not stop the others.

    Args:
        jobs: from :func:`plan`.
        settings: the same for all of them.
        load_engine: returns the Anonymizer; called once, when the first photo really needs it.
        state: finished outputs, or None to remember nothing.

    Yields:
        One outcome per job, as soon as it is done.
    """
    engine: Callable[..., Any] | None = None
    if state is not None:
        _remove_leftovers(jobs)
    for job in jobs:
        done = _finished(job, settings, state)
        if done is None and engine is None:
            engine = load_engine()
        started = time.perf_counter()
        outcome = done or _anonymize_file(job, settings, engine, state)
        yield dataclasses.replace(outcome, seconds=time.perf_counter() - started)


def _remove_leftovers(jobs: Sequence[Job]) -> None:
    """Temporary files of a run that was killed. The lock on the state file says that no other run owns them."""
    for folder in {job.target.parent for job in jobs}:
        for leftover in folder.glob(f"{TEMPORARY_PREFIX}*.tmp"):
            leftover.unlink(missing_ok=True)


def _finished(job: Job, settings: Settings, state: State | None) -> Outcome | None:
    """The outcome of a job that needs no work: refused by its name, done before, or its output is somebody else's."""
    if job.problem:
        return Outcome(job, "refused", error=job.problem)
    if settings.overwrite or not os.path.lexists(job.target):
        return None
    record = state.record(job.target) if state is not None else None
    if record is None:
        return Outcome(job, "refused", error=f"{printable(job.target)} exists already (--overwrite replaces it)")
    with suppress(OSError):  # an unreadable input is reported when it is read
        if record.get("fingerprint") == settings.fingerprint(job.source):
            return Outcome(job, "skipped", faces=tuple(record.get("faces", ())))
    return None


def _anonymize_file(job: Job, settings: Settings, engine: Any, state: State | None) -> Outcome:
    """Read, anonymize, write. Whatever goes wrong becomes an outcome, and then nothing was written."""
    try:
        fingerprint = settings.fingerprint(job.source) if state is not None else ""
        picture = read_image(job.source, root=job.root, keep_metadata=settings.keep_metadata)
        result = engine(picture.image, settings.options)
        faces = [face.to_dict() for face in result.faces]
        job.target.parent.mkdir(parents=True, exist_ok=True)
        write_image(
            dataclasses.replace(picture, image=result.image),
            job.target,
            before_rename=None if state is None else lambda status: state.add(job.target, fingerprint, faces, status),
        )
    except NoFaceError:
        return Outcome(job, "refused", error="no face was found (--on-no-face copy writes it all the same)")
    except UnusableImageError as error:
        return Outcome(job, "refused", error=str(error).removeprefix(f"{printable(job.source)}: "))
    except Exception as error:  # the rest of the batch goes on; the report and the exit code tell
        return Outcome(job, "failed", error=printable(f"{type(error).__name__}: {error}"))
    return Outcome(job, "ok", faces=tuple(faces), notes=picture.notes)
