"""Time and memory by stage: one face in a 640 px photo, and six faces in a 1080p photo.

    python scripts/benchmarks/stages.py --json benchmark.json            # a table, and the numbers
    python scripts/benchmarks/stages.py --compare benchmark.json         # the same, beside an earlier run

Everything is measured in fresh processes. The photos take turns, so that whatever else the machine does meets both of them alike;
on a machine that is busy with other things the processor times (summed over threads) are the ones to compare.
Targets: 1080p with six faces in 1.0 s after loading with less than 1.5 GB, one face in 640 px in 0.35 s.
"""

from __future__ import annotations

import io
import json
import os
import platform
import sys
import tempfile
import time
from argparse import SUPPRESS
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmark_support import load_average, make_parser, measure_in_fresh_process, scene_with_faces, verdict, write_json

from peak_memory import peak_bytes  # isort: skip  (benchmark_support says where it is)

STAGES = ("decode", "detect + mesh", "geometry + condition", "generator", "composite", "encode")
TARGET_SECONDS = {"640 px, 1 face": 0.35, "1080p, 6 faces": 1.0}
TARGET_GIGABYTES = 1.5
# Heights of the six faces in pixels.
HEIGHTS = (320, 220, 160, 110, 70, 40)


def write_scenes(folder: Path) -> dict[str, str]:
    """The two photos as JPEG files; faces from the data folder, or the astronaut's where that is absent."""
    import scenes
    from PIL import Image

    small = scenes.photo_backgrounds(640, 640)["coffee"]
    scenes.paste(small, scenes.load_heads("eval-pairs", 12)[0], center=(320, 330), height=300, portrait=True)
    paths = {}
    for name, image in zip(TARGET_SECONDS, (small, scene_with_faces((1920, 1080), HEIGHTS)), strict=True):
        paths[name] = str(folder / f"{len(paths)}.jpg")
        Image.fromarray(image).save(paths[name], quality=92)
    return paths


def time_stages(engine: Any, path: str, options: Any) -> dict[str, Any]:
    """One photo: seconds and processor seconds (of all threads) by stage, faces found, faces replaced.

    The detector fits the meshes itself; ``mesh alone`` fits them once more and is part of ``detect + mesh``.
    """
    from ganon_hf.core.image_loading import load_photo

    seconds: dict[str, float] = {}
    processor: dict[str, float] = {}

    def timed(stage: str, call: Callable[[], Any]) -> Any:
        start, busy = time.perf_counter(), time.process_time()
        result = call()
        seconds[stage], processor[stage] = time.perf_counter() - start, time.process_time() - busy
        return result

    photo = timed("decode", lambda: load_photo(path))
    faces = timed("detect + mesh", lambda: engine.detector(photo, min_face_size=options.min_face_size, min_score=options.min_score))
    plan = timed("geometry + condition", lambda: engine.plan(photo, options, faces=faces))
    images = timed("generator", lambda: engine.generate(plan.inputs))
    result = timed("composite", lambda: engine.compose(plan, images))
    timed("encode", lambda: result.image.save(io.BytesIO(), "JPEG", quality=95, subsampling=0))
    timed("mesh alone", lambda: [engine.detector.landmarks(photo, face.box) for face in faces])
    timed("whole call", lambda: engine(path, options).image.save(io.BytesIO(), "JPEG", quality=95, subsampling=0))
    return {"seconds": seconds, "processor": processor, "faces": len(faces), "replaced": result.num_replaced}


def child(paths: dict[str, str], repeats: int, min_face_size: int) -> dict[str, Any]:
    """What a fresh process measures."""
    start = time.perf_counter()
    import torch

    from ganon_hf import AnonymizeOptions, Anonymizer

    imported = time.perf_counter()
    engine = Anonymizer.from_pretrained()
    loaded = time.perf_counter()
    options = AnonymizeOptions(seed=1, min_face_size=min_face_size, on_no_face="keep")
    engine(next(iter(paths.values())), options)
    first = time.perf_counter()
    startup = {
        "import": imported - start,
        "load": loaded - imported,
        "first result": first - loaded,
        "start to first result": first - start,
    }
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in paths}
    for number in range(repeats + 1):
        for name, path in paths.items():
            measured = time_stages(engine, path, options)
            if number:  # the first round warms up
                runs[name].append(measured)
    return {"startup": startup, "runs": runs, "peak_bytes": peak_bytes(), "torch": torch.__version__, "threads": torch.get_num_threads()}


def summarize(raw: list[dict[str, Any]]) -> dict[str, Any]:
    """Results of the fresh processes -> medians and minima of all their rounds, in milliseconds, and the largest memory peak."""
    scenes: dict[str, Any] = {}
    for name in raw[0]["runs"]:
        rounds = [measured for one in raw for measured in one["runs"][name]]
        steps = list(rounds[0]["seconds"])
        stages = {stage: median([1000 * measured["seconds"][stage] for measured in rounds]) for stage in steps}
        processor = {stage: median([1000 * measured["processor"][stage] for measured in rounds]) for stage in steps}
        total = sum(stages[stage] for stage in STAGES)
        scenes[name] = {
            "faces": rounds[0]["faces"],
            "replaced": rounds[0]["replaced"],
            "ms": stages,
            "fastest_ms": {stage: min(1000 * measured["seconds"][stage] for measured in rounds) for stage in steps},
            "processor_ms": processor,
            "share": {stage: stages[stage] / total for stage in STAGES},
            "rounds": len(rounds),
        }
    startup = {step: median([1000 * one["startup"][step] for one in raw]) for step in raw[0]["startup"]}
    return {
        "scenes": scenes,
        "startup_ms": startup,
        "peak_gigabytes": max(one["peak_bytes"] for one in raw) / 1e9,
        "processes": len(raw),
        "machine": {"system": platform.system(), "processor": platform.machine(), "cores": os.cpu_count(), "threads": raw[0]["threads"]},
        "load_average": load_average(),
        "python": platform.python_version(),
        "torch": raw[0]["torch"],
    }


def verdicts(summary: dict[str, Any]) -> list[str]:
    """One line per target."""
    lines = []
    for name, limit in TARGET_SECONDS.items():
        seconds = summary["scenes"][name]["ms"]["whole call"] / 1000
        lines.append(f"{verdict(seconds <= limit)}: {name} in {seconds:.2f} s, target {limit} s")
    peak = summary["peak_gigabytes"]
    lines.append(f"{verdict(peak < TARGET_GIGABYTES)}: peak memory {peak:.2f} GB, target {TARGET_GIGABYTES} GB")
    return lines


def table(summary: dict[str, Any], old: dict[str, Any] | None = None) -> str:
    """Markdown; with an earlier summary a column of ratios (below 1 is faster now)."""
    lines = []
    for name, scene in summary["scenes"].items():
        before = (old or {}).get("scenes", {}).get(name)
        more, rule = ("| before, ms | ratio ", "---|---|") if before else ("", "")
        lines += [f"\n**{name}** ({scene['faces']} found, {scene['replaced']} replaced, {scene['rounds']} rounds)\n"]
        lines += [f"| stage | median, ms | fastest, ms | processor, ms | share {more}|", f"|---|---|---|---|---|{rule}"]
        for stage, value in scene["ms"].items():
            share = f"{scene['share'][stage]:.0%}" if stage in scene["share"] else ""
            line = f"| {stage} | {value:.1f} | {scene['fastest_ms'][stage]:.1f} | {scene['processor_ms'][stage]:.1f} | {share} |"
            if before:
                earlier = before["ms"].get(stage)
                line += f" {earlier:.1f} | {value / max(earlier, 1e-9):.2f} |" if earlier is not None else " - | - |"
            lines.append(line)
    lines.append("\n| start-up | ms |" + (" before, ms |" if old else ""))
    lines.append("|---|---|" + ("---|" if old else ""))
    for step, value in summary["startup_ms"].items():
        lines.append(f"| {step} | {value:.0f} |" + (f" {old['startup_ms'].get(step, float('nan')):.0f} |" if old else ""))
    return "\n".join(lines)


def main() -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--repeats", type=int, default=7, help="rounds over both photos in each process")
    parser.add_argument("--processes", type=int, default=3, help="fresh processes")
    parser.add_argument("--min-face-size", type=int, default=24)
    parser.add_argument("--compare", type=Path, help="numbers of an earlier run")
    parser.add_argument(
        "--peer", metavar="COMMAND", help="instead: a film, beside `COMMAND in.mp4 -o out.mp4`; see scripts/benchmarks/video.py --help"
    )
    parser.add_argument("--child", help=SUPPRESS)
    options, others = parser.parse_known_args()
    if options.peer:
        import video

        return video.main()
    if others:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    if options.child:
        print(json.dumps(child(*json.loads(options.child))))
        return 0
    if options.repeats < 1 or options.processes < 1:
        parser.error("--repeats and --processes must be at least 1")
    old = json.loads(options.compare.read_text(encoding="utf-8")) if options.compare else None
    with tempfile.TemporaryDirectory() as folder:
        paths = write_scenes(Path(folder))
        summary = summarize(
            [measure_in_fresh_process(__file__, [paths, options.repeats, options.min_face_size]) for _ in range(options.processes)]
        )
    print(table(summary, old))
    print()
    print("\n".join(verdicts(summary)))
    write_json(options.json, summary)
    return 0


if __name__ == "__main__":
    sys.exit(main())
