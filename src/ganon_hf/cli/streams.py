"""One photo from standard input or to standard output: ``ganon-hf anonymize - -o -``. Nothing is written to disk on the way."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from .common import stop

if TYPE_CHECKING:
    from ..bulk.tasks import Outcome, Settings
    from ..bulk.worker_pool import LoadEngine

STANDARD = "-"


def uses_streams(inputs: Sequence[str], out: str) -> bool:
    """Whether ``-`` stands for a standard stream; a file of that name is ``./-``."""
    return STANDARD in inputs or out == STANDARD


def check_streams(inputs: Sequence[str], out: str) -> None:
    """End the command where ``-`` cannot mean one photo."""
    from ..image_files import FORMATS, format_of, printable

    if len(inputs) != 1:
        stop(f"{STANDARD} stands for one photo, but {len(inputs)} inputs are named.")
    (source,) = inputs
    if source != STANDARD and not Path(source).is_file():
        stop(f"-o {STANDARD} writes one photo to standard output, but {printable(source)} is not a file.")
    if out != STANDARD and (format_of(out) is None or Path(out).is_dir()):
        stop(
            f"A photo from standard input has no name, so -o must name a file that ends in one of {', '.join(FORMATS)}, or be {STANDARD}, "
            f"but is {printable(out)}."
        )
    if out == STANDARD and typer.get_binary_stream("stdout").isatty():
        stop(f"-o {STANDARD} writes a picture, and standard output is a terminal: send it to a file or another program.")


def anonymize_stream(
    source: str, out: str, settings: Settings, load_engine: LoadEngine, photo_seconds: float
) -> Generator[Outcome, None, None]:
    """The one outcome, like those of :func:`ganon_hf.bulk.folder.run`.

    Args:
        source, out: checked by :func:`check_streams`. On standard output the photo keeps its format where it is JPEG or WebP, is JPEG
            where it was HEIC or AVIF, and PNG otherwise.
        settings: as for folders.
        load_engine: called where there is something to anonymize.
        photo_seconds: a photo that takes longer is given up.

    Raises:
        EngineError: the engine cannot be loaded.
    """
    from ..bulk.rows import RowTask, RowTaskHandler
    from ..bulk.tasks import NO_FACE_ADVICE, Outcome, PhotoJob
    from ..bulk.worker_pool import SerialPool
    from ..image_files import format_of, printable

    job, started = PhotoJob(Path(source), Path(out)), time.perf_counter()
    if out != STANDARD and os.path.lexists(out) and not settings.overwrite:
        yield Outcome(job, "refused", error=f"{printable(out)} exists already (--overwrite replaces it)")
        return
    name = "" if out == STANDARD else format_of(out) or ""
    handler = RowTaskHandler(settings.options, settings.keep_metadata, name, settings.mark)
    with closing(SerialPool(load_engine, handler, photo_seconds=photo_seconds)) as pool:
        pool.submit([RowTask(source, _content(source), settings.options.seed)])
        ((_, row),) = pool.collect()
    status, reason = row.status, row.reason
    if row.image is not None:
        try:
            _write(out, row.image)
        except OSError as error:
            status, reason = "failed", f"cannot be written ({error.strerror or error})"
    elif reason == "no face was found":
        reason += NO_FACE_ADVICE
    yield Outcome(job, status, row.faces, reason, row.notes, time.perf_counter() - started, row.seed, row.marked)


def _content(source: str) -> bytes | str:
    """A photo's bytes, or why it cannot be read."""
    from ..core.faces import UnusableImageError
    from ..core.picture_reading import MAX_FILE_BYTES, open_file

    try:
        if source == STANDARD:
            return typer.get_binary_stream("stdin").read(MAX_FILE_BYTES + 1)  # one more is too many, as the reader says
        with open_file(Path(source)) as file:
            return file.read()
    except (OSError, UnusableImageError) as error:
        return str(error)


def _write(out: str, content: bytes) -> None:
    from .._atomic import write_atomically

    if out == STANDARD:
        stream = typer.get_binary_stream("stdout")
        stream.write(content)
        stream.flush()
        return
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, content)
