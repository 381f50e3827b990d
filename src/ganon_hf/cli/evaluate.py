"""The command ``ganon-hf evaluate``: arguments become one evaluation."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from ..bulk.engine import quiet
from .common import interruptible, stop
from .options import Device, Model


def evaluate_command(
    originals: Annotated[
        Path,
        typer.Argument(
            help="Photos of known people: a folder with one sub-folder a person (two photos or more in each), a .csv or .jsonl listing "
            "(file, person, and where known emotion), or with --set a folder of Parquet files."
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="Folder for the report. Its sheets show original faces.")],
    set_name: Annotated[str | None, typer.Option("--set", metavar="NAME", help="Read NAME-*.parquet in the folder.")] = None,
    training: Annotated[
        Path | None, typer.Option(help="Photos of other people, in the same form: attackers learn from them. Without: no such attack.")
    ] = None,
    training_set: Annotated[str | None, typer.Option(metavar="NAME", help="Likewise NAME-*.parquet in the training folder.")] = None,
    rows: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="NAME=VALUE,...", help="A row with these options instead of the default rows; may be repeated."),
    ] = None,
    recognizers: Annotated[
        list[str] | None,
        typer.Option("--recognizer", metavar="dlib|MODULE:NAME", help="Who tries to recognize people; may be repeated. Default: dlib."),
    ] = None,
    attacks: Annotated[
        str, typer.Option(metavar="LIST", help="Long parts, by commas: seeds, geometry, parrot, reconstruction, emotion; or `none`.")
    ] = "seeds,geometry,parrot,reconstruction,emotion",
    blendshape_model: Annotated[
        Path | None, typer.Option(metavar="face_landmarker.task", help="MediaPipe's bundle. Without: no blendshapes, no smile.")
    ] = None,
    people: Annotated[int | None, typer.Option(min=2, help="Only the first so many people.")] = None,
    draws: Annotated[int, typer.Option(min=1, max=100, help="Anonymize everything so many times with fresh seeds, and average.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="From which the photos' seeds are drawn.")] = 0,
    sheets: Annotated[int, typer.Option(min=0, max=10_000, help="People to show side by side.")] = 8,
    baselines: Annotated[bool, typer.Option(help="Also blur, mosaic, solid cover, and somebody else's landmarks.")] = True,
    coverage: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Of scripts/benchmarks/coverage.py, to be shown with the rest.")
    ] = None,
    processes: Annotated[int | None, typer.Option(min=1, max=256, help="Default: one per core.")] = None,
    model: Model = None,
    device: Device = None,
) -> None:
    """Measure on your own photos what is kept and what still identifies: report.json, report.md, plots and sheets.

    Exit code 0: done; whatever was left out is named in the report. 2: the command cannot be carried out.
    """
    with interruptible():
        try:
            echo = run_command(
                originals,
                output,
                set_name=set_name,
                training=training,
                training_set=training_set,
                rows=tuple(rows or ()),
                recognizers=tuple(recognizers or ("dlib",)),
                attacks=attacks,
                blendshape_model=blendshape_model,
                people=people,
                draws=draws,
                seed=seed,
                sheets=sheets,
                baselines=baselines,
                coverage=coverage,
                processes=processes,
                model=model,
                device=device,
            )
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            stop(str(error))
    typer.echo(echo)


def parse_attacks(text: str) -> tuple[str, ...]:
    """``"seeds,geometry"`` or ``"none"`` -> names; :class:`EvaluationOptions` says which there are."""
    return () if text.strip() == "none" else tuple(name for part in text.split(",") if (name := part.strip()))


def read_coverage(path: Path | None) -> dict[str, Any] | None:
    """What ``scripts/benchmarks/coverage.py --json`` wrote.

    Raises:
        ValueError: it is no JSON object.
    """
    if path is None:
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON ({error}).") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold the tables of scripts/benchmarks/coverage.py, but holds a {type(content).__name__}.")
    return content


def run_command(
    originals: Path,
    output: Path,
    *,
    set_name: str | None,
    training: Path | None,
    training_set: str | None,
    rows: tuple[str, ...],
    recognizers: tuple[str, ...],
    attacks: str,
    blendshape_model: Path | None,
    people: int | None,
    draws: int,
    seed: int,
    sheets: int,
    baselines: bool,
    coverage: Path | None,
    processes: int | None,
    model: str | None,
    device: str | None,
) -> str:
    """Everything ``ganon-hf evaluate`` does; the arguments are its options.

    Returns:
        what to tell the user.

    Raises:
        ImportError, OSError, RuntimeError, ValueError: the evaluation cannot be carried out.
    """
    from tqdm import tqdm

    from ..evaluation.data.picture_sets import open_pictures
    from ..evaluation.methods import parse_options
    from ..evaluation.runner import EvaluationOptions, Task, evaluate
    from ..evaluation.toolkit import Toolkit

    quiet()
    names = parse_attacks(attacks)
    options = EvaluationOptions(
        engine_options=tuple(parse_options(row) for row in rows) or EvaluationOptions().engine_options,
        baselines=baselines,
        attacks=names,
        draws=draws,
        seed=seed,
        sheets=sheets,
        processes=processes or os.cpu_count() or 1,
    )
    pictures = open_pictures(originals, set_name=set_name, people=people)
    others = None if training is None else open_pictures(training, set_name=training_set).samples
    kit = Toolkit(model, blendshape_model, recognizers, second=True, device=device)
    report = evaluate([Task(pictures)], kit, output, options, training=others, coverage=read_coverage(coverage), progress=tqdm)
    notes = [*report.notes, *(note for part in report.sets for note in part.notes)]
    return "\n".join([*notes, f"Report: {output / 'report.md'}, figures: {output / 'report.json'}"])
