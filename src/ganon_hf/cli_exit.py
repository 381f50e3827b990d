"""How the command line ends: exit codes, and the way out with a message."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer

USAGE = 2
INCOMPLETE = 3
INTERRUPTED = 130


def stop(message: str) -> NoReturn:
    """End with the exit code of a usage error."""
    from .files import printable

    typer.echo(f"Error: {printable(message)}", err=True)
    raise typer.Exit(USAGE)


@contextmanager
def interruptible(advice: str = "Finished photos are kept; run the same command again to go on.") -> Iterator[None]:
    """Ctrl-C and a polite kill end the run between two instructions: temporary files are removed on the way out."""

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
