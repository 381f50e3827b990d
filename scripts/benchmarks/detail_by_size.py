"""Detail of faces of several sizes: energy of every octave, anonymized over photo, at the photo's own resolution.

    python scripts/benchmarks/detail_by_size.py --pictures ../shared/faces/eval-pairs-*.parquet FOLDER... [--heights 256 400 600]

The largest face of every picture is brought to each height by scaling the photo, anonymized there, and compared at that size: the inside
of the face without the blended rim, as in compare_checkpoints.py, which looks at all faces at 192 px. A photo that is made smaller, or
larger by 10 % at most, is "native"; others are "enlarged": they have hardly any detail of the finest octaves, and an output that looks as
its photo has as little. With --enlarge 1.1 only native ones are measured. 1 means as much detail as the photo.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmark_support import make_parser, write_json
from PIL import Image

from ganon_hf.core.alignment import CROP_SIDE
from ganon_hf.core.anonymizer import Anonymizer
from ganon_hf.core.detection_search import YuNetDetector
from ganon_hf.core.faces import MAX_PIXELS, Face, FaceDetector
from ganon_hf.core.geometry import normalize_pose
from ganon_hf.core.options import AnonymizeOptions
from ganon_hf.evaluation.data.face_pairs import face_interior, octave_energies
from ganon_hf.evaluation.data.samples import PictureFile, Sample, read_pictures
from ganon_hf.evaluation.harness.options import parse_engine_options
from ganon_hf.evaluation.harness.readings import run_engine
from ganon_hf.evaluation.metrics.estimates import Estimate
from ganon_hf.evaluation.metrics.realism import detail_measures
from ganon_hf.image_files import FORMATS

NATIVE = 1.1  # largest factor of a photo that still counts as such


@dataclass(frozen=True)
class FaceDetail:
    """One face at one height.

    Attributes:
        person: who it is.
        height: of the face's box, in pixels.
        factor: by which the photo was scaled.
        real, generated: energies of the octaves, finest first.
    """

    person: int
    height: int
    factor: float
    real: list[float]
    generated: list[float]

    @property
    def native(self) -> bool:
        return self.factor <= NATIVE


def read_sources(sources: Sequence[Path], people: int | None) -> Iterator[Sample]:
    """Pictures of Parquet files and of folders; persons are numbered throughout, a file in a folder is somebody of its own."""
    first = 0
    for source in sources:
        if source.is_dir():
            files = sorted(path for path in source.iterdir() if path.suffix.lower() in FORMATS)[:people]
            samples = [Sample(PictureFile(path, source), number) for number, path in enumerate(files)]
        else:
            samples = read_pictures(source, people=people)
        yield from (replace(sample, person=first + sample.person) for sample in samples)
        first += 1 + max((sample.person for sample in samples), default=0)


def scaled(photo: np.ndarray, factor: float) -> np.ndarray:
    """The photo, scaled with an antialiasing filter."""
    height, width = photo.shape[:2]
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.array(Image.fromarray(photo).resize(size, Image.Resampling.LANCZOS))


def native_size(landmarks: np.ndarray) -> int:
    """Side of the aligned crop in which a face is as large as in the photo, a multiple of 32."""
    return max(64, 32 * round(CROP_SIDE * normalize_pose(landmarks)[1].scale / 32))


def largest_face(photo: np.ndarray, detector: FaceDetector) -> Face | None:
    """The largest face with landmarks."""
    return next((face for face in detector(photo) if face.landmarks is not None), None)


def measure_face(photo: np.ndarray, face: Face, engine: Anonymizer, options: AnonymizeOptions, factor: float) -> list[list[float]] | None:
    """Energies of the octaves, real and generated, of a face in the scaled photo; None where it is not replaced."""
    if face.landmarks is None:
        raise ValueError("the face must have landmarks.")
    small, points = scaled(photo, factor), face.landmarks * factor
    x_min, y_min, x_max, y_max = (factor * value for value in face.box)
    output = run_engine(engine, small, options, faces=[Face((x_min, y_min, x_max, y_max), face.score, points)])
    if output.status != "replaced" or output.target_landmarks is None:
        return None
    inside = face_interior(small, output.photo, points, output.target_landmarks, native_size(points))
    if inside is None:
        return None
    return [octave_energies(picture[None], inside[2][None])[0].tolist() for picture in inside[:2]]


def table(measured: Sequence[FaceDetail], repeats: int) -> list[tuple[str, dict[str, Estimate]]]:
    """Title and figures for each height, native and enlarged faces apart."""
    rows = []
    for height in sorted({one.height for one in measured}):
        for title, native in (("native", True), ("enlarged", False)):
            some = [one for one in measured if one.height == height and one.native == native]
            if some:
                real, generated = (np.array([getattr(one, name) for one in some]) for name in ("real", "generated"))
                persons = np.array([one.person for one in some])
                rows.append((f"{height} px, {title}, {len(some)} faces", detail_measures(real, generated, persons, repeats=repeats)))
    return rows


def main(argv: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--pictures", type=Path, nargs="+", required=True, help="Parquet files (image, source, person, emotion) or folders")
    parser.add_argument("--heights", type=int, nargs="+", default=[256, 400, 600], help="of the face's box, in pixels")
    parser.add_argument("--people", type=int, help="only the first N of each file or folder")
    parser.add_argument("--enlarge", type=float, default=math.inf, help="largest factor by which photos are scaled (default: any)")
    parser.add_argument("--checkpoint", help="folder or Hub name of other weights than the bundled ones")
    parser.add_argument("--with", dest="options", type=parse_engine_options, default=AnonymizeOptions(), metavar="NAME=VALUE,...")
    parser.add_argument("--seed", type=int, default=0, help="from which the photos' seeds are drawn")
    parser.add_argument("--repeats", type=int, default=1000, help="bootstrap resamples")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    detector = YuNetDetector()
    engine = Anonymizer.from_pretrained(arguments.checkpoint, detector=detector)
    measured: list[FaceDetail] = []
    for number, sample in enumerate(read_sources(arguments.pictures, arguments.people)):
        options = replace(arguments.options, seed=int(np.random.default_rng([arguments.seed, number]).integers(2**62)))
        photo = sample.photo
        face = largest_face(photo, detector)
        for height in arguments.heights if face is not None else ():
            factor = height / (face.box[3] - face.box[1])
            if factor <= arguments.enlarge and photo.shape[0] * photo.shape[1] * factor**2 <= MAX_PIXELS:
                energies = measure_face(photo, face, engine, options, factor)
                measured += [] if energies is None else [FaceDetail(sample.person, height, factor, *energies)]
    rows: dict[str, Any] = {}
    print("| face | finest octave | 2nd | 3rd | 4th | 5th |\n|---|---|---|---|---|---|")
    for title, figures in table(measured, arguments.repeats):
        print(f"| {title} | " + " | ".join(f"{one.value:.2f} ({one.low:.2f} to {one.high:.2f})" for one in figures.values()) + " |")
        rows[title] = {name: asdict(one) for name, one in figures.items()}
    write_json(arguments.json, rows)


if __name__ == "__main__":
    main()
