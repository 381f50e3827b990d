"""Measure the engine on people it has never seen: coverage, expression, identity, geometry; beside blur, mosaic and a solid cover.

    python scripts/evaluate.py --faces ../shared/faces --blendshape-model ../shared/models/face_landmarker.task --output-dir runs/report

writes report.json, report.md, plots/*.png and sheets/*.png for the project's own sets; `ganon-hf evaluate` does it for anybody's pictures.
What each figure means: docs/evaluation.md.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from pathlib import Path

from tqdm import tqdm

from ganon_hf.evaluation.data.picture_sets import open_pictures
from ganon_hf.evaluation.data.samples import read_samples
from ganon_hf.evaluation.methods import parse_options
from ganon_hf.evaluation.runner import ATTACKS, EvaluationOptions, Task, evaluate
from ganon_hf.evaluation.toolkit import Toolkit

# Faces fill the pictures of the `expressions` sets from edge to edge; a border of this share of the height lets them be found.
BORDER = 0.25
SETS = ("eval-pairs", "eval-expressions")
TRAINING = "train-expressions"


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    defaults = EvaluationOptions()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, default=Path("../shared/faces"), help="folder with the Parquet files")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), help="which data sets")
    parser.add_argument("--people", type=int, help="only the first N people of each data set")
    parser.add_argument("--output-dir", type=Path, default=Path("runs/report"))
    parser.add_argument("--model", help="folder or Hub name of the weights; the bundled ones otherwise")
    parser.add_argument("--blendshape-model", type=Path, default=Path("../shared/models/face_landmarker.task"))
    parser.add_argument("--recognizer", action="append", help="dlib (default) or module:name; may be given several times")
    parser.add_argument(
        "--with", dest="rows", action="append", metavar="NAME=VALUE,...", help="a row with these options instead of the default rows"
    )
    parser.add_argument("--attacks", nargs="*", choices=ATTACKS, default=list(ATTACKS), help="which of the long parts")
    parser.add_argument("--attack-pictures", type=int, default=defaults.attack_pictures, help="that the geometry attack learns from")
    parser.add_argument(
        "--exposed-pictures", type=int, default=defaults.exposed_pictures, help="that parrots and reconstruction learn from"
    )
    parser.add_argument("--no-baselines", action="store_true", help="without blur, mosaic, solid cover and somebody else's landmarks")
    parser.add_argument("--draws", type=int, default=1, help="fresh seeds for every picture so many times")
    parser.add_argument("--sheets", type=int, default=defaults.sheets, help="side-by-side sheets for so many people")
    parser.add_argument("--seed", type=int, default=0, help="from which the photos' seeds are drawn")
    parser.add_argument("--repeats", type=int, default=defaults.repeats, help="bootstrap resamples")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--coverage", type=Path, help="what scripts/benchmarks/coverage.py --json wrote, to be shown with the rest")
    return parser.parse_args(argv)


def task(name: str, options: argparse.Namespace) -> Task:
    if name == "eval-pairs":
        return Task(open_pictures(options.faces, set_name=name, people=options.people))
    bare, bordered = (open_pictures(options.faces, set_name=name, people=options.people, border=border) for border in (0.0, BORDER))
    return Task(bordered, identity=False, bare=bare)


def main(argv: list[str] | None = None) -> int:
    options = arguments(argv)
    logging.basicConfig(level=logging.WARNING)
    defaults = EvaluationOptions()
    learning = set(options.attacks) - {"seeds"}
    evaluate(
        [task(name, options) for name in options.sets],
        Toolkit(options.model, options.blendshape_model, tuple(options.recognizer or ["dlib"]), second=True),
        options.output_dir,
        EvaluationOptions(
            tuple(parse_options(row) for row in options.rows) if options.rows else defaults.engine_options,
            not options.no_baselines,
            tuple(options.attacks),
            options.draws,
            options.seed,
            options.repeats,
            options.sheets,
            options.attack_pictures,
            options.exposed_pictures,
            options.processes,
        ),
        training=read_samples(options.faces, TRAINING, border=BORDER) if learning else None,
        coverage=json.loads(options.coverage.read_text(encoding="utf-8")) if options.coverage else None,
        progress=tqdm,
    )
    print((options.output_dir / "report.md").read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
