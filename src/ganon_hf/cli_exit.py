"""How the command line ends: exit codes, and the way out with a message."""

from __future__ import annotations

from typing import NoReturn

import typer

USAGE = 2
INCOMPLETE = 3
INTERRUPTED = 130


def stop(message: str) -> NoReturn:
    """End with the exit code of a usage error."""
    from .files import printable

    typer.echo(f"Error: {printable(message)}", err=True)
    raise typer.Exit(USAGE)
