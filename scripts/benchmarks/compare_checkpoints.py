"""Compare generators on people they have never seen: told from real or not, detail, expression, faces found again, milliseconds.

    python scripts/benchmarks/compare_checkpoints.py CHECKPOINT... --pictures FILES.parquet... --output-dir DIR

Every checkpoint folder is run with both geometries and the same seeds, beside the "prior": the first one (or ``--prior-of``) with its
refinement switched off. Without a checkpoint the bundled one is looked at alone. Writes report.json, report.md and sheets/*.png (original,
prior, checkpoints); the sheets show real people and stay out of the repository. What each figure means: docs/evaluation.md.
"""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path
from typing import get_args

import torch
from tqdm import tqdm

from ganon_hf import __version__
from ganon_hf.core.detection import default_detector
from ganon_hf.core.options import Geometry
from ganon_hf.evaluation import comparison
from ganon_hf.evaluation.data import samples as pairs
from ganon_hf.evaluation.methods import ORIGINAL
from ganon_hf.evaluation.metrics.blendshapes import BlendshapeReader
from ganon_hf.evaluation.metrics.estimates import Estimate
from ganon_hf.evaluation.readings import Instruments
from ganon_hf.evaluation.report import report


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="*", type=Path, metavar="CHECKPOINT", help="folders; none: the bundled checkpoint alone")
    parser.add_argument("--pictures", nargs="+", type=Path, required=True, help="parquet files: image, source, person, emotion")
    parser.add_argument("--output-dir", type=Path, required=True)
    parser.add_argument("--prior-of", type=Path, help="folder whose prior, without refinement, is the row 'prior' (default: the first)")
    parser.add_argument("--geometry", choices=get_args(Geometry), nargs="+", default=["original", "anonymous"])
    parser.add_argument("--people", type=int, help="only the first N people of each file")
    parser.add_argument("--blendshape-model", type=Path, default=Path("../shared/models/face_landmarker.task"))
    parser.add_argument("--shown", type=int, default=12, help="pictures on a sheet")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=12, help="of the network that tells real from generated")
    parser.add_argument("--repeats", type=int, default=1000, help="bootstrap resamples")
    parser.add_argument("--threads", type=int, default=1, help="of torch; the milliseconds and the network's rounding depend on it")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    options = arguments(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    start, notes = time.perf_counter(), []
    try:
        reader = BlendshapeReader(options.blendshape_model)
    except (FileNotFoundError, ImportError) as error:
        reader = None
        notes.append(f"blendshapes: {error}")
    detector = default_detector()
    base = options.prior_of or (options.checkpoints[0] if options.checkpoints else None)
    engines = {"prior": comparison.load_engine(base, detector, refined=False)}
    for folder in options.checkpoints:
        engine = comparison.load_engine(folder, detector)
        if engine.model.refinement is None and folder == base:
            notes.append(f"{folder}: has no refinement, so it is the row 'prior'")
            continue
        name = folder.name if folder.name not in engines else str(folder)
        engines[name] = engine
    instruments = Instruments(detector, reader)
    data: dict[str, dict[str, dict[str, Estimate]]] = {}
    for path in options.pictures:
        samples = pairs.read_pictures(path, people=options.people)
        suite, compared = comparison.compare(samples, engines, instruments, geometries=options.geometry, seed=options.seed, progress=tqdm)
        title = f"{path.stem}: {len(samples)} pictures of {len({sample.person for sample in samples})} people"
        rows = data[title] = {}
        for name, row in tqdm(compared.items(), desc="judging"):
            scores = reader.names if reader is not None else ()
            rows[name] = comparison.comparison_measures(
                suite, row, scores, folds=options.folds, epochs=options.epochs, seed=options.seed, repeats=options.repeats
            )
        places = comparison.choose_shown(suite, options.shown)
        for geometry in options.geometry:
            names = [ORIGINAL, *(f"{name}, {geometry} geometry" for name in engines)]
            comparison.write_comparison_sheet(options.output_dir / "sheets" / f"{path.stem}-{geometry}.png", compared, names, places)
    settings = {
        "ganon-hf": __version__,
        "prior of": base or "bundled",
        "checkpoints": ", ".join(map(str, options.checkpoints)) or "none",
        "seed": options.seed,
        "folds, epochs": f"{options.folds}, {options.epochs}",
        "torch": f"{torch.__version__}, {options.threads} threads",
        "minutes": round((time.perf_counter() - start) / 60, 1),
    }
    settings = {name: value if isinstance(value, int | float) else str(value) for name, value in settings.items()}
    sets = tuple(report.SetReport(title, figures) for title, figures in data.items())
    report.write_report(options.output_dir, report.Report(sets, settings, tuple(notes)))
    logging.info("wrote %s", options.output_dir / "report.md")


if __name__ == "__main__":
    main()
