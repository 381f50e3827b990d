"""Options that several commands take, with the words of their help."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

Geometry = Annotated[
    Literal["anonymous", "original"],
    typer.Option(help="`original` keeps the shape of the face as in the paper: truer expression, but the shape can identify."),
]
Privacy = Annotated[
    Literal["low", "medium", "high"],
    typer.Option(help="How little of the face's shape passes: `low` keeps expressions best, `high` hides most."),
]
SkinTone = Annotated[
    Literal["match", "random"], typer.Option(help="`match` takes the tone from the photo, `random` from the synthetic person.")
]
MinScore = Annotated[float, typer.Option(min=0.0, max=1.0, help="Ignore faces the detector is less sure of; lower misses fewer.")]
Model = Annotated[str | None, typer.Option(help="Folder or Hub name of another model. Default: the one in the package.")]
Device = Annotated[str | None, typer.Option(help="Where the generator runs: cpu, cuda, cuda:1, mps.")]
