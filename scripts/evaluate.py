"""Measure the engine on people it has never seen: coverage, expression, identity, geometry; beside blur, mosaic and a solid cover.

    python scripts/evaluate.py --faces ../shared/faces --output-dir runs/report

writes report.json, report.md, plots/*.png and sheets/*.png for the project's own sets; `ganon-hf evaluate` does it for anybody's pictures.
What each figure means: docs/evaluation.md.
"""

from __future__ import annotations

import argparse
import logging
import sys
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from ganon_hf.evaluation.data.held_out import HELD_OUT, read_with_held_out
from ganon_hf.evaluation.data.picture_sets import PictureSet, open_pictures
from ganon_hf.evaluation.data.samples import FILLED_BORDER, Sample
from ganon_hf.evaluation.harness.options import ATTACKS, TRAINED_ATTACKS, EvaluationOptions, command_line_fields
from ganon_hf.evaluation.harness.toolkit import Toolkit
from ganon_hf.evaluation.report.report import read_coverage
from ganon_hf.evaluation.runner import EvaluationSet, evaluate

# Photos of the people who are held out of the training pictures, taken on different days.
ACROSS_DAYS = "across-days"
SETS = ("eval-pairs", "eval-expressions", ACROSS_DAYS)


def add_evaluation_options(parser: argparse.ArgumentParser) -> None:
    """One argument for each option of an evaluation."""
    for one, kind in command_line_fields():
        flag = one.metadata.get("flag", f"--{one.name.replace('_', '-')}")
        text = one.metadata["help"]
        if "parse" in one.metadata:
            parser.add_argument(flag, dest=one.name, action="append", metavar=one.metadata["metavar"], help=text)
        elif one.name == "attacks":
            parser.add_argument(flag, nargs="*", choices=ATTACKS, default=list(one.default), help=text)
        elif kind is bool:
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=one.default, help=text)
        else:
            parser.add_argument(flag, type=kind, default=one.default, help=text)


def parse_arguments(argv: list[str] | None = None) -> tuple[argparse.Namespace, EvaluationOptions]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, default=Path("../shared/faces"), help="folder with the Parquet files")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), help="which data sets")
    parser.add_argument("--people", type=int, help="only the first N people of each data set")
    parser.add_argument("--output-dir", type=Path, default=Path("runs/report"), help="folder for the report")
    parser.add_argument("--coverage", type=Path, help="result of scripts/benchmarks/coverage.py --json, shown with the rest")
    add_evaluation_options(parser)
    arguments = parser.parse_args(argv)
    try:
        return arguments, EvaluationOptions.from_command_line(vars(arguments))
    except ValueError as error:
        parser.error(str(error))


def across_days(folder: Path, people: int | None) -> PictureSet:
    """Two photos, the first ones, of everybody who is held out."""
    chosen: dict[int, list[Sample]] = {}
    for sample in read_with_held_out(folder):
        if sample.person in HELD_OUT and (sample.person in chosen or people is None or len(chosen) < people):
            chosen.setdefault(sample.person, []).append(sample)
    pairs = [replace(sample, emotion="") for samples in chosen.values() for sample in samples[:2]]
    return PictureSet(ACROSS_DAYS, tuple(pairs), {person: str(person) for person in chosen})


def training_samples(folder: Path) -> list[Sample]:
    """What attackers learn from."""
    return [sample for sample in read_with_held_out(folder) if sample.person not in HELD_OUT]


def read_set(name: str, arguments: argparse.Namespace) -> EvaluationSet:
    def pictures(border: float) -> PictureSet:
        return open_pictures(arguments.faces, set_name=name, people=arguments.people, border=border)

    if name == ACROSS_DAYS:
        return EvaluationSet(across_days(arguments.faces, arguments.people))
    if name == "eval-pairs":
        return EvaluationSet(pictures(0.0))
    return EvaluationSet(pictures(FILLED_BORDER), identity=False, without_border=pictures(0.0))


def main(argv: list[str] | None = None) -> int:
    arguments, options = parse_arguments(argv)
    logging.basicConfig(level=logging.WARNING)
    evaluate(
        [read_set(name, arguments) for name in arguments.sets],
        Toolkit.from_options(options),
        arguments.output_dir,
        options,
        training=training_samples(arguments.faces) if set(options.attacks) & set(TRAINED_ATTACKS) else None,
        coverage=read_coverage(arguments.coverage),
        progress=tqdm,
    )
    print((arguments.output_dir / "report.md").read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
