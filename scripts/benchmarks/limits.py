"""Limits: the generator beside the published one, time over faces and pixels, memory, cold start, photos beside a peer.

    python scripts/benchmarks/limits.py --json limits.json            # everything but the peer
    python scripts/benchmarks/limits.py --peer deface                 # and photos a second of any `COMMAND in.jpg -o out.jpg`

All ratios come from one run; what is compared takes turns, and medians are given. Each part runs in a fresh process. Scenes are composed
from faces of the data folder (the astronaut's without it).
"""

from __future__ import annotations

import json
import multiprocessing
import shutil
import statistics
import sys
import tempfile
import time
from argparse import SUPPRESS
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from benchmark_support import (
    make_parser,
    measure_in_fresh_process,
    run_process,
    scene_with_faces,
    verdict,
    write_json,
)

from peak_memory import peak_bytes  # isort: skip  (benchmark_support says where it is)

SIZES = {"640x480": (640, 480), "1080p": (1920, 1080), "4K": (3840, 2160)}
FACES = (1, 6, 12, 30)
AT_LEAST = {"times the published generator": 12.0}
BELOW = {"4K, 30 faces, GB": 1.2, "cold start, s": 8.0, "of it ours, s": 2.0}
PEER_SIZES = (24, 64)
PEER_TARGETS = {24: 1.0, 64: 1.2}
PEER_HEIGHTS = (320, 220, 160, 110, 70, 40)


def crowd(size: tuple[int, int], heights: Sequence[int]) -> np.ndarray:
    """(h, w, 3) uint8 photo with faces in rows of six, the first cells of five rows."""
    import scenes

    heads = scenes.load_heads("eval-pairs", 12)
    canvas = scenes.photo_backgrounds(size[1], size[0])["coffee"].copy()
    for number, height in enumerate(heights):
        row, column = divmod(number, 6)
        center = (size[0] * (column + 0.5) / 6, size[1] * (row + 0.5) / 5)
        scenes.paste(canvas, heads[number % len(heads)], center=center, height=float(height))
    return canvas


def in_turn(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median seconds of each call; the first round warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def generator(rounds: int) -> dict[str, Any]:
    """One face by this generator and by the published one at 512 px."""
    import torch

    from ganon_hf import AnonymizeOptions, Anonymizer, GanonConfig, GanonModel

    engine = Anonymizer.from_pretrained()
    published = GanonModel(GanonConfig(conditioning="landmarks", image_size=512)).eval()
    inputs = engine.plan(scene_with_faces(SIZES["640x480"], (220,)), AnonymizeOptions(seed=1)).inputs[0]
    dots = torch.zeros(1, 3, 512, 512)
    with torch.inference_mode():
        seconds = in_turn({"ganon-hf": lambda: engine.model(**inputs), "published, 512 px": lambda: published(dots)}, rounds)
    return {
        "ms": {name: 1000 * value for name, value in seconds.items()},
        "times the published generator": seconds["published, 512 px"] / seconds["ganon-hf"],
    }


def slopes(rounds: int) -> dict[str, Any]:
    """Whole calls over numbers of faces at 1080p, and over sizes with one face; least-squares slopes and how straight they are (R2)."""
    from ganon_hf import AnonymizeOptions, Anonymizer

    engine, options = Anonymizer.from_pretrained(), AnonymizeOptions(seed=1)
    by_faces = {str(count): crowd(SIZES["1080p"], (100,) * count) for count in FACES}
    by_size = {name: crowd(size, (90,)) for name, size in SIZES.items()}
    faces = in_turn({name: lambda photo=photo: engine(photo, options) for name, photo in by_faces.items()}, rounds)
    sizes = in_turn({name: lambda photo=photo: engine(photo, options) for name, photo in by_size.items()}, rounds)
    megapixels = [width * height / 1e6 for width, height in SIZES.values()]
    return {
        "faces": {"ms": {k: 1000 * v for k, v in faces.items()}, **_line(FACES, list(faces.values()))},
        "megapixels": {"ms": {k: 1000 * v for k, v in sizes.items()}, **_line(megapixels, list(sizes.values()))},
    }


def _line(places: Any, seconds: list[float]) -> dict[str, float]:
    """Slope in ms per unit, and the share of the variance that the line explains."""
    slope = float(np.polyfit(places, seconds, 1)[0])
    return {"ms_per_unit": 1000 * slope, "r2": float(np.corrcoef(places, seconds)[0, 1] ** 2)}


def memory(rounds: int) -> dict[str, Any]:
    """The peak of a process that puts a 4K photo with 30 faces through the engine again and again."""
    heights = [int(height) for height in np.linspace(60, 320, 30)]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:  # composing takes more memory than the engine
        photo = pool.submit(crowd, SIZES["4K"], heights).result()
    from ganon_hf import AnonymizeOptions, Anonymizer

    engine, options = Anonymizer.from_pretrained(), AnonymizeOptions(seed=1)
    peaks, seconds, replaced = [], [], 0
    for _ in range(rounds):
        start = time.perf_counter()
        replaced = engine(photo, options).num_replaced
        seconds.append(time.perf_counter() - start)
        peaks.append(peak_bytes() / 1e9)
    return {"replaced": replaced, "seconds": statistics.median(seconds), "first_peak_gb": peaks[0], "4K, 30 faces, GB": peaks[-1]}


def cold_start(rounds: int, folder: Path) -> dict[str, Any]:
    """Seconds of whole processes: the first result from nothing, beside the import of torch and transformers alone."""
    from PIL import Image

    path = folder / "cold.jpg"
    Image.fromarray(scene_with_faces(SIZES["640x480"], (220,))).save(path, quality=92)
    ours = f"from ganon_hf import Anonymizer, AnonymizeOptions; Anonymizer.from_pretrained()({str(path)!r}, AnonymizeOptions(seed=1)).image"
    # transformers loads its parts lazily: these two are what a model package needs
    theirs = (
        "import torch; from transformers import AutoModel, PreTrainedModel; "
        "from transformers.image_processing_utils import BaseImageProcessor"
    )
    seconds = in_turn(
        {name: lambda code=code: run_process([sys.executable, "-c", code]) for name, code in (("ours", ours), ("theirs", theirs))}, rounds
    )
    return {
        "cold start, s": seconds["ours"],
        "torch and transformers, s": seconds["theirs"],
        "of it ours, s": seconds["ours"] - seconds["theirs"],
    }


def peer(command: str, rounds: int, folder: Path) -> dict[str, Any]:
    """Seconds for a 1080p photo with six faces, start-up taken off: five copies against one, in one process each time."""
    from PIL import Image

    from ganon_hf import AnonymizeOptions, Anonymizer

    path = folder / "photo.jpg"
    Image.fromarray(scene_with_faces(SIZES["1080p"], PEER_HEIGHTS)).save(path, quality=92)
    copies = [folder / f"copy{number}.jpg" for number in range(5)]
    for copy in copies:
        shutil.copy(path, copy)

    def theirs(photos: list[Path]) -> None:
        run_process([command, *map(str, photos)])

    engine = Anonymizer.from_pretrained()
    calls: dict[str, Callable[[], Any]] = {"peer, 1": lambda: theirs(copies[:1]), "peer, 5": lambda: theirs(copies)}
    for size in PEER_SIZES:
        options = AnonymizeOptions(seed=1, min_face_size=size)
        calls[f"ganon-hf, {size} px"] = lambda options=options: engine(path, options).image.save(folder / "out.jpg", quality=95)
    seconds = in_turn(calls, rounds)
    each = (seconds["peer, 5"] - seconds["peer, 1"]) / 4
    ratios = {str(size): each / seconds[f"ganon-hf, {size} px"] for size in PEER_SIZES}
    found = {str(size): engine(path, AnonymizeOptions(seed=1, min_face_size=size)).num_replaced for size in PEER_SIZES}
    return {"peer_s": each, "seconds": seconds, "times as fast": ratios, "replaced": found, "faces": len(PEER_HEIGHTS)}


def measure(name: str, rounds: int, command: str | None) -> dict[str, Any]:
    """One part, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        if name == "peer":
            return peer(str(command), rounds, Path(folder))
        if name == "cold start":
            return cold_start(rounds, Path(folder))
        return {"generator": generator, "slopes": slopes, "memory": memory}[name](rounds)


def verdicts(parts: dict[str, Any]) -> list[str]:
    """One line per target."""
    lines = []
    for name, target in (AT_LEAST | BELOW).items():
        value = next(part[name] for part in parts.values() if name in part)
        good = value >= target if name in AT_LEAST else value < target
        lines.append(f"{verdict(good)}: {name}: {value:.2f}, target {target:g}")
    for size, target in PEER_TARGETS.items() if "peer" in parts else ():
        value = parts["peer"]["times as fast"][str(size)]
        lines.append(f"{verdict(value >= target)}: {value:.2f} times as fast as the peer from {size} px, target {target:g}")
    return lines


def main() -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer", metavar="COMMAND", help="another program that writes an anonymized copy of each photo it is given")
    parser.add_argument("--child", help=SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(*json.loads(options.child))))
        return 0
    if options.peer and shutil.which(options.peer) is None:
        parser.error(f"--peer {options.peer}: no such command")
    names = ["generator", "slopes", "memory", "cold start"] + (["peer"] if options.peer else [])
    parts = {}
    for name in names:
        parts[name] = measure_in_fresh_process(__file__, [name, options.rounds, options.peer])
        print(f"{name}: {json.dumps(parts[name], indent=1)}", flush=True)
    print("\n".join(verdicts(parts)))
    write_json(options.json, parts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
