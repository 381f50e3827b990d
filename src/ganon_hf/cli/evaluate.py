"""The command ``ganon-hf evaluate``: arguments become one evaluation. Its options are the fields of :class:`EvaluationOptions`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from ..bulk.engine import quiet
from ..evaluation.harness.options import EvaluationOptions, command_line_fields
from .common import interruptible, needing_extra, stop_because

# Left to scripts/evaluate.py: they trade precision for time while the project itself is developed.
SCRIPT_ONLY = ("repeats", "attack_pictures", "exposed_pictures")


def _option_parameters() -> Iterator[inspect.Parameter]:
    """One parameter for each option of an evaluation, as typer reads them."""
    for one, kind in command_line_fields():
        if one.name in SCRIPT_ONLY:
            continue
        default: Any = one.default
        metavar = one.metadata.get("metavar")
        text = one.metadata["help"]
        if "parse" in one.metadata:
            kind, default = list[str], None
        elif one.name == "attacks":
            default, metavar, text = ",".join(default), "LIST", f"{text} Separated by commas; or `none`."
        low, high = one.metadata.get("range", (None, None))
        flags = [one.metadata["flag"]] if "flag" in one.metadata else []
        option = typer.Option(default, *flags, min=low, max=high, metavar=metavar, help=text)
        annotation: Any = kind | None if default is None else kind
        yield inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=annotation)


def _with_evaluation_options(command: Callable[..., None]) -> Callable[..., None]:
    """Put the options of an evaluation in the place of ``**options``."""
    signature = inspect.signature(command, eval_str=True)
    own = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
    command.__signature__ = signature.replace(parameters=[*own, *_option_parameters()])  # type: ignore[attr-defined]
    return command


@_with_evaluation_options
def evaluate_command(
    originals: Annotated[
        Path,
        typer.Argument(
            help="Photos of known people: a folder with one subfolder per person (two or more photos in each), a .csv or .jsonl listing "
            "(file, person, and emotion if known), or with --set a folder of Parquet files."
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="Folder for the report. Its sheets show original faces.")],
    set_name: Annotated[str | None, typer.Option("--set", metavar="NAME", help="Read NAME-*.parquet in the folder.")] = None,
    training: Annotated[
        Path | None, typer.Option(help="Photos of other people, in the same format, for attackers to train on. Default: no such attacks.")
    ] = None,
    training_set: Annotated[str | None, typer.Option(metavar="NAME", help="Read NAME-*.parquet in the training folder.")] = None,
    people: Annotated[int | None, typer.Option(min=2, help="Use only the first N people.")] = None,
    coverage: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Result of scripts/benchmarks/coverage.py, shown with the rest.")
    ] = None,
    **options: Any,
) -> None:
    """Measure on your own photos what is preserved and what still identifies people. Writes report.json, report.md, plots and sheets.

    Exit code 0: success; whatever was left out is listed in the report. 2: the command could not run.
    """
    with interruptible():
        with needing_extra("evaluate", "eval"):
            from tqdm import tqdm

            from ..evaluation.data.picture_sets import open_pictures
            from ..evaluation.harness.toolkit import Toolkit
            from ..evaluation.report.report import read_coverage
            from ..evaluation.runner import EvaluationSet, evaluate
        try:
            quiet()
            chosen = EvaluationOptions.from_command_line({**options, "attacks": parse_attacks(options["attacks"])})
            pictures = open_pictures(originals, set_name=set_name, people=people)
            others = None if training is None else open_pictures(training, set_name=training_set).samples
            tables = read_coverage(coverage)
            report = evaluate(
                [EvaluationSet(pictures)], Toolkit.from_options(chosen), output, chosen, training=others, coverage=tables, progress=tqdm
            )
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            stop_because(error)
    notes = [*report.notes, *(note for part in report.sets for note in part.notes)]
    typer.echo("\n".join([*notes, f"Report: {output / 'report.md'}, figures: {output / 'report.json'}"]))


def parse_attacks(text: str) -> tuple[str, ...]:
    """``"seeds,geometry"`` or ``"none"`` -> names; :class:`EvaluationOptions` checks them."""
    return () if text.strip() == "none" else tuple(name for part in text.split(",") if (name := part.strip()))
