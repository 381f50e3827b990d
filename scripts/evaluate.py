"""Measure the engine on people it has never seen: coverage, expression, identity, geometry; beside blur, mosaic and a solid cover.

    python scripts/evaluate.py --faces ../shared/faces --blendshape-model ../shared/models/face_landmarker.task --output-dir runs/report

writes report.json, report.md and sheets/*.png. What each figure means: docs/evaluation.md.
"""

from __future__ import annotations

import argparse
import collections
import platform
import sys
import time
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ganon_hf import Anonymizer, __version__
from ganon_hf.detection import default_detector
from ganon_hf.evaluation import geometry_attack, pairs, report, suite
from ganon_hf.evaluation.blendshapes import BlendshapeReader
from ganon_hf.evaluation.identity import DlibRecognizer, EmbeddingCache
from ganon_hf.evaluation.measures import Estimate
from ganon_hf.evaluation.readings import Instruments
from ganon_hf.faces import GEOMETRIES

# Faces fill the pictures of the `expressions` sets from edge to edge; a border of this share of the height lets them be found.
BORDER = 0.25
SETS = ("eval-pairs", "eval-expressions")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, default=Path("../shared/faces"), help="folder with the Parquet files")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), help="which data sets")
    parser.add_argument("--people", type=int, help="only the first N people of each data set")
    parser.add_argument("--geometry", choices=GEOMETRIES, nargs="+", default=list(GEOMETRIES))
    parser.add_argument("--output-dir", type=Path, default=Path("runs/report"))
    parser.add_argument("--model", help="folder or Hub name of the weights; the bundled ones otherwise")
    parser.add_argument("--blendshape-model", type=Path, default=Path("../shared/models/face_landmarker.task"))
    parser.add_argument("--attack-pictures", type=int, help="training pictures of the geometry attack (default: all; 0: none)")
    parser.add_argument("--no-baselines", action="store_true", help="without blur, mosaic and solid cover")
    parser.add_argument("--sheets", type=int, default=8, help="side-by-side sheets for so many people")
    parser.add_argument("--seed", type=int, default=0, help="from which the photos' seeds are drawn")
    parser.add_argument("--repeats", type=int, default=1000, help="bootstrap resamples")
    return parser.parse_args()


def learn_attack(options: argparse.Namespace) -> geometry_attack.Discriminants | None:
    if options.attack_pictures == 0:
        return None
    persons = pairs.read_persons(options.faces, "train-expressions")
    rows = np.sort(geometry_attack.choose_training_rows(persons, options.attack_pictures))
    detector = default_detector()

    def make() -> tuple[list[np.ndarray | None], np.ndarray]:
        photos = tqdm(pairs.read_photos(options.faces, "train-expressions", rows.tolist()), total=len(rows), desc="attack: landmarks")
        bordered = (pairs.with_border(photo, BORDER) for photo in photos)
        return geometry_attack.detect_landmarks(bordered, lambda photo: detector(photo, min_face_size=64)), persons[rows]

    path = options.output_dir / "cache" / f"attack-landmarks-{len(rows)}.npz"
    points, labels = geometry_attack.cached_training_landmarks(path, make)
    features = geometry_attack.landmark_features(list(points))
    usable = np.isfinite(features).all(axis=1)
    return geometry_attack.Discriminants.fit(features[usable], labels[usable])


def write_sheets(options: argparse.Namespace, result: suite.Suite) -> None:
    neutral, smiling = pairs.pair_rows(result.samples)
    names = [name for name in result.runs if name.startswith("ganon-hf")]
    for place in np.unique(np.linspace(0, len(neutral) - 1, min(options.sheets, len(neutral))).astype(int)):
        shown = neutral[place], smiling[place]
        rows = [[result.samples[row].photo, *(result.runs[name].outputs[row].photo for name in names)] for row in shown]
        report.write_sheet(options.output_dir / "sheets" / f"person-{result.samples[neutral[place]].person:03d}.png", rows)


def evaluate(
    name: str, options: argparse.Namespace, engine: Anonymizer, instruments: Instruments, attack: geometry_attack.Discriminants | None
) -> dict[str, dict[str, dict[str, Estimate]]]:
    identity = name == "eval-pairs"
    data: dict[str, dict[str, dict[str, Estimate]]] = {}
    samples = pairs.read_samples(options.faces, name, people=options.people)
    people = len({sample.person for sample in samples})
    title = f"{name}: {len(samples)} pictures of {people} people"
    if not identity:  # the faces fill these pictures, which is a case of its own
        found = suite.find_only(samples, instruments, repeats=options.repeats, progress=tqdm)
        data[f"{title}, as they are"] = {"detector": found}
        samples = pairs.read_samples(options.faces, name, people=options.people, border=BORDER)
        title += f", with a border of {BORDER:.0%}"
    path = options.output_dir / "cache" / f"{name}-{DlibRecognizer.name}.npz"
    result = suite.run_suite(
        samples,
        engine,
        instruments,
        geometries=options.geometry,
        baselines=identity and not options.no_baselines,
        identity=identity,
        cache=EmbeddingCache(path, DlibRecognizer.size) if identity else None,
        seed=options.seed,
        progress=tqdm,
        keep_photos=identity and options.sheets > 0,
    )
    names = instruments.blendshapes.names if instruments.blendshapes is not None else ()
    rows = data[title] = {}
    for method, run in tqdm(result.runs.items(), desc="intervals"):
        rows[method] = suite.coverage_measures(result, run, repeats=options.repeats)
        rows[method] |= suite.expression_measures(result, run, names, repeats=options.repeats)
        if identity:
            rows[method] |= suite.identity_measures(result, run, attack, repeats=options.repeats)
    if identity and options.sheets > 0:
        write_sheets(options, result)
    failed = collections.Counter((method, output.reason) for method, run in result.runs.items() for output in run.outputs if output.reason)
    for (method, reason), count in sorted(failed.items()):
        print(f"{name}, {method}: {count} x {reason}")
    return data


def main() -> int:
    options = arguments()
    start, notes = time.perf_counter(), []
    try:
        recognizer = DlibRecognizer()
    except ImportError as error:
        recognizer = None
        notes.append(f"recogniser and second detector: {error}")
    try:
        reader = BlendshapeReader(options.blendshape_model)
    except (FileNotFoundError, ImportError) as error:
        reader = None
        notes.append(f"blendshapes: {error}")
    for note in notes:
        print(f"left out: {note}", file=sys.stderr)
    engine = Anonymizer.from_pretrained(options.model)
    instruments = Instruments(default_detector(), reader, recognizer)
    attack = learn_attack(options)
    if attack is None:
        notes.append("geometry attack: --attack-pictures 0")
    data: dict[str, dict[str, dict[str, Estimate]]] = {}
    for name in options.sets:
        data |= evaluate(name, options, engine, instruments, attack)
    settings = {
        "ganon-hf": __version__,
        "model": options.model or "bundled",
        "seed": options.seed,
        "training pictures of the geometry attack": options.attack_pictures if options.attack_pictures is not None else "all",
        "torch": torch.__version__,
        "python": platform.python_version(),
        "minutes": round((time.perf_counter() - start) / 60, 1),
    }
    report.write_report(options.output_dir, data, settings, notes)
    print((options.output_dir / "report.md").read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
