"""Arguments of ``ganon-hf evaluate`` -> one evaluation."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..loading import quiet
from .evaluate import EvaluationOptions, Task, evaluate
from .methods import parse_options
from .people_files import open_pictures
from .toolkit import Toolkit


def parse_attacks(text: str) -> tuple[str, ...]:
    """``"seeds,geometry"`` or ``"none"`` -> names; :class:`EvaluationOptions` says which there are."""
    return () if text.strip() == "none" else tuple(name for part in text.split(",") if (name := part.strip()))


def read_coverage(path: Path | None) -> dict[str, Any] | None:
    """What ``scripts/coverage.py --json`` wrote.

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
        raise ValueError(f"{path} must hold the tables of scripts/coverage.py, but holds a {type(content).__name__}.")
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
