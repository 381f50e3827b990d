"""Compare generators on people they have never seen: realism, detail, expression, faces found again, milliseconds.

    python scripts/benchmarks/compare_checkpoints.py CHECKPOINT... --pictures FILES.parquet... --output-dir DIR

Every checkpoint folder is run with both geometries and the same seeds, beside the "prior": the first one (or ``--prior-of``) with its
refinement switched off. The same face, seed and identity go through every generator, so a difference between two rows comes from the
generators. Without a checkpoint only the bundled one is measured. Writes report.json, report.md and sheets/*.png (original, prior,
checkpoints); the sheets show real people and stay out of the repository. What each figure means: docs/evaluation.md.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from tqdm import tqdm

from ganon_hf import __version__
from ganon_hf.core.alignment import align_face, crop_image
from ganon_hf.core.anonymizer import Anonymizer
from ganon_hf.core.detection_search import YuNetDetector
from ganon_hf.core.face_mesh import LEFT_EYE_OUTER, LIP_LOWER, LIP_UPPER, RIGHT_EYE_OUTER
from ganon_hf.core.faces import Face, FaceDetector
from ganon_hf.core.options import AnonymizeOptions, Geometry
from ganon_hf.evaluation.data.face_pairs import FacePairs, face_interior
from ganon_hf.evaluation.data.samples import FILLED_BORDER, Sample, read_pictures
from ganon_hf.evaluation.harness.baselines import reencode
from ganon_hf.evaluation.harness.methods import ORIGINAL, REENCODED
from ganon_hf.evaluation.harness.pool import Progress
from ganon_hf.evaluation.harness.readings import Instruments, Output, Subject, run_engine
from ganon_hf.evaluation.harness.suite import Run, Suite
from ganon_hf.evaluation.metrics.blendshapes import BlendshapeReader
from ganon_hf.evaluation.metrics.estimates import Estimate, bootstrap
from ganon_hf.evaluation.metrics.realism import realism_measures
from ganon_hf.evaluation.report.figures import blendshape_names, coverage_measures, expression_measures
from ganon_hf.evaluation.report.report import Report, SetReport, write_report, write_sheet

# Side of the crops for realism, and of the faces on the sheets, in pixels.
REALISM_SIZE, SHEET_SIZE = 192, 256


def load_engine(folder: Path | None, detector: FaceDetector, *, refined: bool = True) -> Anonymizer:
    """An engine from a checkpoint folder (None: the bundled one); ``refined=False`` leaves its refinement network out.

    Raises:
        OSError, ValueError: as :meth:`Anonymizer.from_pretrained`.
    """
    engine = Anonymizer.from_pretrained(folder, detector=detector)
    if not refined:
        engine.model.refinement = None
    return engine


@dataclass
class ComparedRow:
    """One row of the comparison.

    Attributes:
        run: outputs without their photos, and readings.
        crops: index of the sample -> (256, 256, 3) uint8 aligned crop of the output.
        insides: index of the sample -> real, generated, mask; see :func:`face_interior`.
    """

    run: Run = field(default_factory=Run)
    crops: dict[int, np.ndarray] = field(default_factory=dict)
    insides: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=dict)

    def pairs(self, persons: np.ndarray) -> FacePairs | None:
        """Real and generated faces; None without any."""
        if not self.insides:
            return None
        real, generated, masks = (np.stack(arrays) for arrays in zip(*self.insides.values(), strict=True))
        return FacePairs(real, generated, masks, persons[list(self.insides)])


def locate(samples: Sequence[Sample], instruments: Instruments, progress: Progress) -> tuple[list[Sample], list[Subject]]:
    """Detect the largest face of samples; a picture that its face fills gets a border (:data:`FILLED_BORDER`), edge pixels repeated."""
    placed, subjects = [], []
    for sample in progress(samples, desc="locating"):
        subject = instruments.locate(sample.photo)
        height, width = sample.photo.shape[:2]
        inside = False
        if subject.landmarks is not None:
            crop = align_face(subject.landmarks, SHEET_SIZE)
            corners = crop.to_photo(np.array([[0, 0], [SHEET_SIZE, 0], [0, SHEET_SIZE], [SHEET_SIZE, SHEET_SIZE]], float))
            inside = bool((corners >= 0).all() and (corners <= [width, height]).all())
        if not inside:
            sample = replace(sample, border=FILLED_BORDER)
            subject = instruments.locate(sample.photo)
        placed.append(sample)
        subjects.append(subject)
    return placed, subjects


def compare(
    samples: Sequence[Sample],
    engines: Mapping[str, Anonymizer],
    instruments: Instruments,
    *,
    geometries: Sequence[str],
    seed: int = 0,
    progress: Progress = lambda items, **_: items,
) -> tuple[Suite, dict[str, ComparedRow]]:
    """Put every sample through every generator.

    Args:
        samples: pictures with one known person each; the largest face counts.
        engines: name -> engine.
        instruments: detector and blendshape reader.
        geometries: of the engine, each a row for every generator.
        seed: from which the photos' seeds are drawn, the same for all rows.
        progress: wraps an iterable, as ``tqdm`` does.

    Returns:
        the readings of all rows, and the crops of each; rows are "original", "original, encoded again" and "NAME, GEOMETRY geometry".
    """
    placed, subjects = locate(samples, instruments, progress)
    seeds = np.random.default_rng(seed).integers(2**62, size=len(placed)).tolist()
    rows: dict[str, tuple[Anonymizer | None, str]] = {ORIGINAL: (None, ""), REENCODED: (None, "")}
    rows |= {f"{name}, {geometry} geometry": (engine, geometry) for geometry in geometries for name, engine in engines.items()}
    compared: dict[str, ComparedRow] = {}
    for name, (engine, geometry) in rows.items():
        row = compared[name] = ComparedRow()
        for place, (sample, subject) in enumerate(progress(list(zip(placed, subjects, strict=True)), desc=name)):
            if engine is None:
                photo = reencode(sample.photo, subject.box) if name == REENCODED else sample.photo
                output = Output(photo, "", target_landmarks=subject.landmarks)
            else:
                faces = [] if subject.landmarks is None else [Face(subject.box, 1.0, subject.landmarks)]
                output = run_engine(engine, sample.photo, AnonymizeOptions(seed=seeds[place], geometry=geometry), faces=faces)
            row.run.readings.append(instruments.read(output.photo, subject, identity=False))
            row.run.outputs.append(replace(output, photo=np.zeros((0, 0, 3), np.uint8)))
            if subject.landmarks is None or output.target_landmarks is None or output.status not in ("", "replaced"):
                continue
            row.crops[place] = crop_image(output.photo, align_face(subject.landmarks, SHEET_SIZE))
            inside = (
                None
                if name == ORIGINAL
                else face_interior(sample.photo, output.photo, subject.landmarks, output.target_landmarks, REALISM_SIZE)
            )
            if inside is not None:
                row.insides[place] = inside
    return Suite(placed, subjects, {name: row.run for name, row in compared.items()}), compared


def comparison_measures(
    suite: Suite, row: ComparedRow, names: Sequence[str], *, folds: int = 3, epochs: int = 12, seed: int = 0, repeats: int = 1000
) -> dict[str, Estimate]:
    """Coverage, expression, realism (left out with fewer people than folds) and the generator's milliseconds per face of one row."""
    measures = coverage_measures(suite, row.run, repeats=repeats)
    measures |= expression_measures(suite, row.run, names, repeats=repeats)
    seconds = np.array([output.seconds if output.seconds else np.nan for output in row.run.outputs])
    if np.isfinite(seconds).any():  # the median: robust on a busy machine
        measures["generator_ms"] = bootstrap(
            suite.persons, lambda rows: 1000 * float(np.median(seconds[rows])), valid=np.isfinite(seconds), repeats=repeats
        )
    pairs = row.pairs(suite.persons)
    if pairs is not None and len(np.unique(pairs.persons)) >= folds:
        measures |= realism_measures(pairs, folds=folds, seed=seed, epochs=epochs, repeats=repeats)
    return measures


def choose_sheet_rows(suite: Suite, count: int) -> list[int]:
    """Indices of the samples for a sheet: half of them the widest open mouths, the rest evenly spaced over the set."""
    openings = []
    for place, subject in enumerate(suite.subjects):
        if subject.landmarks is not None:
            points = subject.landmarks[:, :2]
            width = max(float(np.linalg.norm(points[RIGHT_EYE_OUTER] - points[LEFT_EYE_OUTER])), 1e-6)
            openings.append((-float(np.linalg.norm(points[LIP_UPPER] - points[LIP_LOWER])) / width, place))
    wide = [place for _, place in sorted(openings)[: count // 2]]
    rest = sorted({place for _, place in openings} - set(wide))
    spread = [rest[i] for i in np.unique(np.linspace(0, len(rest) - 1, min(count - len(wide), len(rest))).astype(int))] if rest else []
    return wide + spread


def write_comparison_sheet(path: Path, compared: Mapping[str, ComparedRow], names: Sequence[str], places: Sequence[int]) -> None:
    """One line per picture: the rows of the given names side by side at 256 px, titles above; gray where a face was not replaced."""
    blank = np.full((SHEET_SIZE, SHEET_SIZE, 3), 127, np.uint8)
    write_sheet(path, [[compared[name].crops.get(place, blank) for name in names] for place in places], titles=names)


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="*", type=Path, metavar="CHECKPOINT", help="folders; none: the bundled checkpoint alone")
    parser.add_argument("--pictures", nargs="+", type=Path, required=True, help="parquet files: image, source, person, emotion")
    parser.add_argument("--output-dir", type=Path, required=True)
    parser.add_argument("--prior-of", type=Path, help="folder whose prior, without refinement, is the row 'prior' (default: the first)")
    parser.add_argument("--geometry", choices=get_args(Geometry), nargs="+", default=["original", "anonymous"])
    parser.add_argument("--people", type=int, help="only the first N people of each file")
    parser.add_argument("--shown", type=int, default=12, help="pictures on a sheet")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=12, help="of the network that classifies real and generated")
    parser.add_argument("--repeats", type=int, default=1000, help="bootstrap resamples")
    parser.add_argument("--threads", type=int, default=1, help="of torch; the milliseconds and the network's rounding depend on it")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    options = arguments(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    start, notes = time.perf_counter(), []
    detector = YuNetDetector()
    base = options.prior_of or (options.checkpoints[0] if options.checkpoints else None)
    engines = {"prior": load_engine(base, detector, refined=False)}
    for folder in options.checkpoints:
        engine = load_engine(folder, detector)
        if engine.model.refinement is None and folder == base:
            notes.append(f"{folder}: has no refinement, so it is the row 'prior'")
            continue
        name = folder.name if folder.name not in engines else str(folder)
        engines[name] = engine
    instruments = Instruments(detector, BlendshapeReader())
    data: dict[str, dict[str, dict[str, Estimate]]] = {}
    for path in options.pictures:
        samples = read_pictures(path, people=options.people)
        suite, compared = compare(samples, engines, instruments, geometries=options.geometry, seed=options.seed, progress=tqdm)
        title = f"{path.stem}: {len(samples)} pictures of {len({sample.person for sample in samples})} people"
        rows = data[title] = {}
        for name, row in tqdm(compared.items(), desc="measuring"):
            rows[name] = comparison_measures(
                suite, row, blendshape_names(suite), folds=options.folds, epochs=options.epochs, seed=options.seed, repeats=options.repeats
            )
        places = choose_sheet_rows(suite, options.shown)
        for geometry in options.geometry:
            names = [ORIGINAL, *(f"{name}, {geometry} geometry" for name in engines)]
            write_comparison_sheet(options.output_dir / "sheets" / f"{path.stem}-{geometry}.png", compared, names, places)
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
    sets = tuple(SetReport(title, figures) for title, figures in data.items())
    write_report(options.output_dir, Report(sets, settings, tuple(notes)))
    logging.info("wrote %s", options.output_dir / "report.md")


if __name__ == "__main__":
    main()
