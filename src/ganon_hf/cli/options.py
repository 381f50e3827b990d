"""Flags that several commands take: those of the anonymization options, made from the fields of ``AnonymizeOptions``, and two more."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from dataclasses import Field, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from ..core.options import AnonymizeOptions
from .common import stop

Model = Annotated[str | None, typer.Option(help="Folder or Hub name of another model. Default: the one in the package.")]
Device = Annotated[str | None, typer.Option(help="Where the generator runs: cpu, cuda, cuda:1, mps. Default: cpu.")]

Corrections = Annotated[
    Path | None, typer.Option(metavar="FILE.jsonl", help="Corrections of individual faces, as written by `ganon-hf review`.")
]
Mark = Annotated[
    bool,
    typer.Option("--mark", help="Mark photos with a synthetic face as such: IPTC's 'composite with trained algorithmic media', in XMP."),
]


def anonymize_flags(*, without: Collection[str] = (), **defaults: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorator: in place of its parameter ``options: AnonymizeOptions`` a command gets one flag for each field.

    The flags have the names of the fields with dashes, and their help, choices and ranges.

    Args:
        without: fields that the command does not offer; they keep the library's defaults.
        defaults: where the command's default is another one than the library's.
    """
    offered = [option for option in fields(AnonymizeOptions) if option.name not in without]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)

        @functools.wraps(command)
        def run(**arguments: Any) -> None:
            values = {option.name: arguments.pop(option.name) for option in offered}
            try:
                options = AnonymizeOptions(**values)
            except ValueError as error:  # NaN passes the range check of older versions of typer
                stop(str(error))
            command(options=options, **arguments)

        parameters: list[inspect.Parameter] = []
        for parameter in signature.parameters.values():
            flags = [_flag(option, defaults.get(option.name, option.default)) for option in offered]
            parameters += flags if parameter.name == "options" else [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # typer reads it
        return run

    return decorate


def _flag(option: Field[Any], default: Any) -> inspect.Parameter:
    """One field as a parameter that typer understands."""
    low, high = option.metadata.get("range", (None, None))
    annotation = Annotated[option.type, typer.Option(min=low, max=high, help=option.metadata["help"])]  # type: ignore[name-defined]
    return inspect.Parameter(option.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
