"""Frames per second and what an anonymized video still shows, beside another program on the same film.

python scripts/benchmarks/video.py --peer deface            # 1080p, two people; the peer is any `COMMAND in.mp4 -o out.mp4`
python scripts/benchmarks/video.py --size 1280x720 --seconds 10

The film is composed from pictures (tests/films.py), so that it is known where faces are and can be said which of them show. Both programs
run as processes of their own, taking turns, once on the whole film and once on its first frames: the difference is what frames take.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "support"))
import films  # noqa: E402  (the composer lives with the tests, which need it without the scripts)

from ganon_hf.core.detection import MediaPipeDetector  # noqa: E402
from ganon_hf.evaluation.metrics.recognition import DlibRecognizer  # noqa: E402
from ganon_hf.evaluation.metrics.video import exposures, identity_spread, tremor  # noqa: E402
from ganon_hf.video.mux import concatenate_segments  # noqa: E402
from ganon_hf.video.reader import VideoFrame, VideoReader  # noqa: E402
from ganon_hf.video.writer import SegmentWriter, VideoFormat, VideoProperties  # noqa: E402

START = 10  # frames of the short film


def write(film: films.Film, path: Path, count: int) -> None:
    """The first frames of a film as H.264."""
    first = film.frame(0)
    rate = Fraction(film.frame_rate).limit_denominator(1001)
    like = VideoProperties(first.shape[1], first.shape[0], 1 / rate, rate)
    with SegmentWriter(path.with_suffix(".segment"), VideoFormat(), like) as writer:
        for number in range(count):
            writer.write(VideoFrame(film.frame(number), number, 1))
    concatenate_segments([path.with_suffix(".segment")], path, VideoFormat())


def frames(path: Path) -> Iterator[np.ndarray]:
    """(h, w, 3) RGB uint8, one after another."""
    with VideoReader(path) as reader:
        for frame in reader:
            yield frame.image


def timed(command: list[str]) -> float:
    """Seconds that a process takes; its error output is shown if it fails."""
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return time.perf_counter() - started


def spread(film: films.Film, path: Path) -> tuple[float, float]:
    """Within and between people, by dlib's recognizer in every fifth frame in which the face is whole."""
    recognizer, vectors = DlibRecognizer(), dict[str, list[np.ndarray]]()
    for number, image in enumerate(frames(path)):
        for name, box in film.truth(number).items() if number % 5 == 0 else ():
            if box[2] < image.shape[1] - 2 and box[0] > 2:
                vectors.setdefault(name, []).append(recognizer(image, box))
    return identity_spread(vectors)


def measure(film: films.Film, source: Path, result: Path, detector: MediaPipeDetector) -> dict[str, Any]:
    """Everything that a result shows."""
    shown, faces = exposures(frames(source), frames(result), film.truth)
    within, between = spread(film, result)
    trembling = {}
    for actor in film.actors:
        boxes = [film.truth(number).get(actor.name) for number in range(film.num_frames)]
        trembling[actor.name] = [tremor(frames(path), boxes, detector) for path in (source, result)]
    return {"faces": faces, "shown": len(shown), "within": within, "between": between, "tremor": trembling}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="1920x1080", help="WIDTHxHEIGHT")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=2, help="runs of each program, taking turns")
    parser.add_argument("--min-face-size", type=int, default=24)
    parser.add_argument("--peer", help="another program: COMMAND in.mp4 -o out.mp4")
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    options = parser.parse_args()
    width, height = (int(value) for value in options.size.split("x"))
    film = films.leaving_and_returning(height, width, seconds=options.seconds)
    ours = [str(Path(sys.executable).with_name("ganon-hf")), "video", "--seed", "5", "--quiet", "--overwrite"]
    commands = {"ganon-hf": [*ours, "--min-face-size", str(options.min_face_size)]}
    if options.peer:
        if shutil.which(options.peer) is None:
            parser.error(f"--peer {options.peer}: no such command")
        commands["peer"] = [options.peer]
    summary: dict[str, Any] = {"size": options.size, "frames": film.num_frames, "programs": {}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(film, folder / "film.mp4", film.num_frames)
        write(film, folder / "start.mp4", START)
        seconds: dict[str, list[tuple[float, float]]] = {program: [] for program in commands}
        for _ in range(options.rounds):
            for program, command in commands.items():
                long = timed([*command, str(folder / "film.mp4"), "-o", str(folder / f"{program}.mp4")])
                short = timed([*command, str(folder / "start.mp4"), "-o", str(folder / f"{program}-start.mp4")])
                seconds[program].append((long, short))
        detector = MediaPipeDetector()
        for program, runs in seconds.items():
            entry = {
                "frames_per_second": statistics.median((film.num_frames - START) / (long - short) for long, short in runs),
                "seconds": statistics.median(long for long, _ in runs),
            }
            summary["programs"][program] = entry | measure(film, folder / "film.mp4", folder / f"{program}.mp4", detector)
    print(f"{film.num_frames} frames, {options.size}")
    print("| | frames/s | whole run, s | faces shown | within / between people | tremor of the landmarks: before, after |")
    print("|---|---|---|---|---|---|")
    for program, entry in summary["programs"].items():
        tremors = ", ".join("-" if math.isnan(a) else f"{b:.2%} -> {a:.2%}" for b, a in entry["tremor"].values())
        cells = (f"{entry['frames_per_second']:.2f}", f"{entry['seconds']:.1f}", f"{entry['shown']} of {entry['faces']}")
        print(f"| {program} | {' | '.join(cells)} | {entry['within']:.2f} / {entry['between']:.2f} | {tremors} |")
    if options.peer:
        rates = [entry["frames_per_second"] for entry in summary["programs"].values()]
        print(f"ratio of the frame rates: {rates[0] / rates[1]:.2f}")
    if options.json:
        options.json.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
