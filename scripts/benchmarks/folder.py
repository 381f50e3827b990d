"""Many photos: `ganon-hf anonymize FOLDER` against the loop that everybody writes first; memory over a long run; very large photos.

    python scripts/benchmarks/folder.py                              # photos a second, both ways in turn, and their ratio
    python scripts/benchmarks/folder.py --memory --photos 1000       # resident size of all processes at photo 100 and at the end
    python scripts/benchmarks/folder.py --large 4 --min-face-size 400   # peak memory over photos of 200 megapixels

The loop is ``for path in paths: engine(path).image.save(...)`` with the engine loaded once and everything else left as it is. Both start in
fresh processes and take turns, so that whatever else the machine does meets both; loading and the first photos do not count. Photos are
composed from faces of the data folder (the astronaut's without it), 640 to 1280 pixels, one to three faces. Processor times, summed over
threads and processes, are the ones to compare where the machine is busy with other things.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from argparse import SUPPRESS
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmark_support import load_average, make_parser, measure_in_fresh_process, verdict, write_json

SIZES = ((640, 480), (800, 600), (960, 720), (1024, 768), (1280, 960), (1280, 720), (480, 640), (720, 960))
WARM_UP = 6  # photos
TARGET_RATIO = 1.7
TARGET_GROWTH = 100e6  # bytes, between photo 100 and the last one
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def write_photos(folder: Path, count: int) -> None:
    """Photos with faces at known sizes, drawn from a fixed seed."""
    import numpy as np
    import scenes
    from PIL import Image

    folder.mkdir(parents=True)
    heads = scenes.load_heads("train-color", 60) + scenes.load_heads("eval-pairs", 30)
    rng = np.random.default_rng(0)
    backgrounds = {size: list(scenes.photo_backgrounds(height=size[1], width=size[0]).values()) for size in SIZES}
    for number in range(count):
        size = SIZES[number % len(SIZES)]
        background = backgrounds[size][int(rng.integers(len(backgrounds[size])))]
        heights = tuple(int(h) for h in rng.integers(60, int(size[1] * 0.4), size=int(rng.choice([1, 1, 1, 2, 3]))))
        scene = scenes.compose(heads, background, heights, seed=number, max_tilt=10)
        Image.fromarray(scene.image).save(folder / f"{number:05d}.jpg", quality=92)


def write_large(folder: Path, count: int) -> None:
    """Photos of 200 megapixels, each with one face of 1,500 pixels."""
    import numpy as np
    import scenes
    from PIL import Image

    folder.mkdir(parents=True)
    background = Image.fromarray(scenes.photo_backgrounds(height=625, width=800)["coffee"])
    canvas = np.array(background.resize((16000, 12500)))
    around = canvas[4000:8000, 6000:10000]  # a view: pasting computes on all it is given
    scenes.paste(around, scenes.load_heads("eval-pairs", 4)[0], center=(2000, 2000), height=1500, portrait=True)
    for number in range(count):
        Image.fromarray(canvas).save(folder / f"{number}.jpg", quality=90)


def naive(folder: Path, out: Path, min_face_size: int) -> Iterator[None]:
    """The loop; one step a photo."""
    from ganon_hf import AnonymizeOptions, Anonymizer

    engine = Anonymizer.from_pretrained()
    for path in sorted(folder.iterdir()):
        engine(path, AnonymizeOptions(seed=7, min_face_size=min_face_size, on_no_face="keep")).image.save(
            out / path.name, quality=95, subsampling=0
        )
        yield


def pipeline(folder: Path, out: Path, processes: int | None, min_face_size: int) -> Iterator[None]:
    """What the command does; one step a photo."""
    from ganon_hf import AnonymizeOptions
    from ganon_hf.bulk import folder as batch
    from ganon_hf.bulk.engine import read_engine
    from ganon_hf.bulk.process_pool import usable_cores

    jobs, _ = batch.plan([str(folder)], str(out))
    settings = batch.Settings(AnonymizeOptions(seed=7, min_face_size=min_face_size, on_no_face="keep"))
    count = processes or usable_cores()
    for outcome in batch.run(jobs, settings, partial(read_engine, None, None), batch.State(out), processes=count):
        if outcome.status != "ok":
            raise RuntimeError(f"{outcome.job.source}: {outcome.error}")
        yield


def processor_seconds() -> float:
    """Of this process and its children alive, Linux: from /proc."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    ticks = sum(int(field) for pid in family()[1:] for field in stat_of(pid)[11:13])
    return own.ru_utime + own.ru_stime + ticks / os.sysconf("SC_CLK_TCK")


def stat_of(pid: int) -> list[str]:
    """Fields of /proc/PID/stat after the name."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def family() -> list[int]:
    """This process and its children."""
    return [os.getpid(), *map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())]


def resident_bytes() -> int:
    """Of this process and its children; pages that they share count once in each."""
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in family()) * os.sysconf("SC_PAGE_SIZE")


def peak_bytes() -> int:
    """Largest resident sizes of this process and its children so far, added up as if they had met."""
    lines = [line for pid in family() for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return sum(int(line.split()[1]) for line in lines) * 1024


def child(way: str, folder: str, out: str, processes: int | None, min_face_size: int) -> dict[str, Any]:
    """What a fresh process measures."""
    paths = Path(folder), Path(out)
    steps = naive(*paths, min_face_size) if way == "naive" else pipeline(*paths, processes, min_face_size)
    resident, peak, start = [], 0, (time.perf_counter(), processor_seconds())
    for number, _ in enumerate(steps, 1):
        if number == WARM_UP:
            start = (time.perf_counter(), processor_seconds())
        resident.append(resident_bytes())
        peak, end = max(peak, peak_bytes()), (time.perf_counter(), processor_seconds())
    counted = max(1, len(resident) - WARM_UP)
    return {
        "photos": len(resident),
        "photos_per_second": counted / (end[0] - start[0]),
        "processor_seconds_per_photo": (end[1] - start[1]) / counted,
        "resident_at_100": max(resident[90:110], default=0),
        "resident_at_end": max(resident[-20:]),
        "peak": peak,
    }


def run_child(way: str, folder: Path, scratch: Path, *settings: int | None) -> dict[str, Any]:
    """``child`` in a fresh process with the environment as a user has it.

    Raises:
        RuntimeError: it failed; the message holds the end of what it said.
    """
    with tempfile.TemporaryDirectory(dir=scratch) as out:
        environment = {name: value for name, value in os.environ.items() if name not in THREADS}
        result = measure_in_fresh_process(__file__, [way, str(folder), out, *settings], environment)
    return result | {"load": load_average()}


def compare(folder: Path, scratch: Path, rounds: int, *settings: int | None) -> dict[str, Any]:
    """Both ways in turn."""
    results: dict[str, list[dict[str, Any]]] = {"naive": [], "pipeline": []}
    for _ in range(rounds):
        for way, done in results.items():
            done.append(run_child(way, folder, scratch, *settings))
            last = done[-1]
            print(
                f"{way:9s} {last['photos_per_second']:6.2f} photos/s  {last['processor_seconds_per_photo']:.3f} processor s/photo  "
                f"peak {last['peak'] / 1e6:.0f} MB  load {last['load']:.1f}",
                flush=True,
            )
    ratios = sorted(
        new["photos_per_second"] / old["photos_per_second"] for old, new in zip(results["naive"], results["pipeline"], strict=True)
    )
    ratio = median(ratios)
    each = ", ".join(f"{one:.2f}" for one in ratios)
    print(f"{verdict(ratio >= TARGET_RATIO)}: {ratio:.2f} times the loop (rounds: {each}), target {TARGET_RATIO}")
    return {"rounds": results, "ratio": ratio, "cores": os.cpu_count()}


def main() -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--photos", type=int, default=60, help="how many are composed, or taken from --folder")
    parser.add_argument("--folder", type=Path, help="photos to use (kept and used again when composed before); default: a temporary one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, help="of the pipeline; default: one per core")
    parser.add_argument("--min-face-size", type=int, default=24, help="larger means fewer tiles: for long runs that ask about memory only")
    parser.add_argument("--memory", action="store_true", help="one long run of the pipeline instead")
    parser.add_argument("--large", type=int, metavar="N", help="N photos of 200 megapixels instead")
    parser.add_argument("--child", help=SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(*json.loads(options.child))))
        return 0
    if options.photos <= WARM_UP or options.rounds < 1:
        parser.error(f"--photos must be more than {WARM_UP}, --rounds at least 1")
    settings = options.processes, options.min_face_size
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch) / "in"
        if not folder.exists():
            write_large(folder, options.large) if options.large else write_photos(folder, options.photos)
        if options.large or options.memory:
            result = run_child("pipeline", folder, Path(scratch), *settings)
            growth = result["resident_at_end"] - result["resident_at_100"]
            print(f"{result['photos']} photos, peak of all processes {result['peak'] / 1e9:.2f} GB")
            if options.memory:
                met = verdict(growth < TARGET_GROWTH)
                print(f"{met}: {growth / 1e6:.0f} MB growth from photo 100 to {result['photos']}, target {TARGET_GROWTH / 1e6:.0f} MB")
        else:
            result = compare(folder, Path(scratch), options.rounds, *settings)
    write_json(options.json, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
