"""Several generators over the same pictures with the same seeds: which one looks more like a photo, and what of the expression is kept.

The same face, seed and identity go through every generator, so a difference between two rows is the generators'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..core.alignment import align_face, crop_image
from ..core.anonymizer import Anonymizer
from ..core.detection_tiled import FaceDetector
from ..core.face_mesh import LEFT_EYE_OUTER, LIP_LOWER, LIP_UPPER, RIGHT_EYE_OUTER
from ..core.faces import Face
from ..core.options import AnonymizeOptions
from .baselines import encode_again
from .data.face_pairs import FacePairs, face_interior
from .data.samples import Sample
from .figures import coverage_measures, expression_measures
from .methods import NOISE, ORIGINAL
from .metrics.estimates import Estimate, bootstrap
from .metrics.realism import realism_measures
from .pool import Progress
from .readings import Instruments, Output, Subject, run_engine
from .report.report import write_sheet
from .suite import Run, Suite

# Side of the crops that are judged, and of the faces on the sheets.
JUDGED, SHOWN = 192, 256
BORDER = 0.25


def load_engine(folder: str | Path | None, detector: FaceDetector, *, refined: bool = True) -> Anonymizer:
    """An engine from a checkpoint folder (None: the bundled one); ``refined=False`` leaves its refinement network out.

    Raises:
        OSError, ValueError: as :meth:`Anonymizer.from_pretrained`.
    """
    engine = Anonymizer.from_pretrained(folder, detector=detector)
    if not refined:
        engine.model.refinement = None
    return engine


@dataclass
class Compared:
    """One row of the comparison.

    Attributes:
        run: outputs without their photos, and readings.
        crops: place of the sample -> (256, 256, 3) uint8 aligned crop of the output.
        insides: place of the sample -> real, generated, mask; see :func:`face_interior`.
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
    """The largest face of each sample; a picture that its face fills gets a border of a quarter of its height, edge pixels repeated."""
    placed, subjects = [], []
    for sample in progress(samples, desc="locating"):
        subject = instruments.locate(sample.photo)
        height, width = sample.photo.shape[:2]
        inside = False
        if subject.landmarks is not None:
            crop = align_face(subject.landmarks, SHOWN)
            corners = crop.to_photo(np.array([[0, 0], [SHOWN, 0], [0, SHOWN], [SHOWN, SHOWN]], float))
            inside = bool((corners >= 0).all() and (corners <= [width, height]).all())
        if not inside:
            sample = replace(sample, border=BORDER)
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
) -> tuple[Suite, dict[str, Compared]]:
    """Put every sample through every generator.

    Args:
        samples: pictures with one known person each; the largest face counts.
        engines: name -> engine.
        instruments: read the blendshapes and find the faces again.
        geometries: of the engine, each a row for every generator.
        seed: from which the photos' seeds are drawn, the same for all rows.
        progress: wraps an iterable, as ``tqdm`` does.

    Returns:
        the readings of all rows, and the crops of each; rows are "original", "original, encoded again" and "NAME, GEOMETRY geometry".
    """
    placed, subjects = locate(samples, instruments, progress)
    seeds = np.random.default_rng(seed).integers(2**62, size=len(placed)).tolist()
    rows: dict[str, tuple[Anonymizer | None, str]] = {ORIGINAL: (None, ""), NOISE: (None, "")}
    rows |= {f"{name}, {geometry} geometry": (engine, geometry) for geometry in geometries for name, engine in engines.items()}
    compared: dict[str, Compared] = {}
    for name, (engine, geometry) in rows.items():
        row = compared[name] = Compared()
        for place, (sample, subject) in enumerate(progress(list(zip(placed, subjects, strict=True)), desc=name)):
            if engine is None:
                photo = encode_again(sample.photo, subject.box) if name == NOISE else sample.photo
                output = Output(photo, "", asked=subject.landmarks)
            else:
                faces = [] if subject.landmarks is None else [Face(subject.box, 1.0, subject.landmarks)]
                options = AnonymizeOptions(seed=seeds[place], geometry=geometry)  # type: ignore[arg-type]  # it checks the name
                output = run_engine(engine, sample.photo, options, faces=faces)
            row.run.readings.append(instruments.read(output.photo, subject, identity=False))
            row.run.outputs.append(replace(output, photo=np.zeros((0, 0, 3), np.uint8)))
            if subject.landmarks is None or output.asked is None or output.status not in ("", "replaced"):
                continue
            row.crops[place] = crop_image(output.photo, align_face(subject.landmarks, SHOWN))
            inside = None if name == ORIGINAL else face_interior(sample.photo, output.photo, subject.landmarks, output.asked, JUDGED)
            if inside is not None:
                row.insides[place] = inside
    return Suite(placed, subjects, {name: row.run for name, row in compared.items()}), compared


def comparison_measures(
    suite: Suite, row: Compared, names: Sequence[str], *, folds: int = 3, epochs: int = 12, seed: int = 0, repeats: int = 1000
) -> dict[str, Estimate]:
    """Coverage, expression, realism (left out with fewer people than folds) and the generator's milliseconds per face of one row."""
    measures = coverage_measures(suite, row.run, repeats=repeats)
    measures |= expression_measures(suite, row.run, names, repeats=repeats)
    seconds = np.array([output.seconds if output.seconds else np.nan for output in row.run.outputs])
    if np.isfinite(seconds).any():  # the median: a busy machine must not count
        measures["generator_ms"] = bootstrap(
            suite.persons, lambda rows: 1000 * float(np.median(seconds[rows])), valid=np.isfinite(seconds), repeats=repeats
        )
    pairs = row.pairs(suite.persons)
    if pairs is not None and len(np.unique(pairs.persons)) >= folds:
        measures |= realism_measures(pairs, folds=folds, seed=seed, epochs=epochs, repeats=repeats)
    return measures


def choose_shown(suite: Suite, count: int) -> list[int]:
    """Places of the samples for a sheet: half of them the widest open mouths, the rest evenly spaced over the set."""
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


def write_comparison_sheet(path: Path, compared: Mapping[str, Compared], names: Sequence[str], places: Sequence[int]) -> None:
    """One line per picture: the rows of the given names side by side at 256 px, titles above; gray where a face was not replaced."""
    blank = np.full((SHOWN, SHOWN, 3), 127, np.uint8)
    write_sheet(path, [[compared[name].crops.get(place, blank) for name in names] for place in places], titles=names)
