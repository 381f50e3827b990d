"""What the commands share: exit codes, ending with a message, and loading the engine."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from ..bulk.engine import read_engine

if TYPE_CHECKING:
    from ..core.anonymizer import Anonymizer

USAGE = 2
INCOMPLETE = 3
INTERRUPTED = 130
# Doubtful covers, or photos with some, that a closing line names.
MAX_LISTED = 5


def open_closed_streams() -> None:
    """Give standard streams that the caller has closed (``2>&-``) to nobody.

    Otherwise the next file that is opened gets the number of one, and what a library prints lands in it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False, encoding="utf-8"))


def stop(message: str) -> NoReturn:
    """End with the exit code of a usage error."""
    from ..image_files import printable

    line = " ".join(part.strip() for part in message.splitlines())  # libraries spread their messages over several
    typer.echo(f"Error: {printable(line)}", err=True)
    raise typer.Exit(USAGE)


def stop_because(error: Exception) -> NoReturn:
    """End because of an error: :data:`INCOMPLETE` where the disk takes no more, which another command cannot mend, else as :func:`stop`."""
    from .._atomic import storage_problem
    from ..image_files import printable

    problem = storage_problem(error)
    if problem is None:
        stop(str(error))
    place = getattr(error, "filename", None)
    typer.echo(f"failed: {problem}{f' ({printable(place)})' if place else ''}; nothing unfinished was left behind.", err=True)
    raise typer.Exit(INCOMPLETE)


@contextmanager
def interruptible(advice: str = "Finished photos are kept; run the same command again to go on.") -> Iterator[None]:
    """Ctrl-C and SIGTERM end the command with a message and :data:`INTERRUPTED`, after temporary files have been removed."""

    def interrupt(signum: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"Interrupted. {advice}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def load_engine(model: str | None, device: str | None) -> Anonymizer:
    """The engine, or the end of the command with a message."""
    try:
        return read_engine(model, device)
    except (OSError, ValueError, RuntimeError) as error:
        stop_unloadable(model, error)


@contextmanager
def needing_extra(command: str, extra: str) -> Iterator[None]:
    """An import that fails inside ends the command with a line that names the extra to install."""
    try:
        yield
    except ImportError as error:
        stop(f"`ganon-hf {command}` needs the extra `{extra}` (pip install 'ganon-hf[{extra}]'): {error}")


def check_device(device: str | None) -> None:
    """End the command where there is no such device, before anything is read or written."""
    if device in (None, "cpu"):
        return  # without importing torch
    from ..core.model_loading import require_device

    try:
        require_device(device)
    except ValueError as error:
        stop(f"--device: {error}.")


def fetch_model(model: str | None) -> str | None:
    """The folder of the model that is named, so that worker processes need not fetch it; the end of the command where there is none."""
    if model is None:
        return None
    from ..core.model_location import locate_model

    try:
        return locate_model(model)
    except OSError as error:
        stop(f"--model: {error}.")


def stop_unloadable(model: str | None, error: Exception) -> NoReturn:
    """End the command because the engine cannot be loaded."""
    stop(f"The model {model or 'of the package'} cannot be loaded: {error}")


def list_first(names: Sequence[str], *, reported: bool = False) -> str:
    """The first few, and how many more there are: a report, where there is one already, or would be one, lists them."""
    more = len(names) - MAX_LISTED
    return "; ".join(names[:MAX_LISTED]) + (
        f"; and {more} more, which {'the report' if reported else '--report'} lists" if more > 0 else ""
    )
