"""Frames per second and what an anonymized video still shows, beside another program on the same film.

python scripts/benchmarks/video.py --peer deface            # 1080p, two people; the peer is any `COMMAND in.mp4 -o out.mp4`
python scripts/benchmarks/video.py --size 1280x720 --seconds 10

The film is composed from pictures (tests/support/films.py), so it is known where faces are and which are still visible. Both programs run
as processes of their own, taking turns, once on the whole film and once on its first frames: the difference is what frames take.
"""

from __future__ import annotations

import math
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from benchmark_support import make_parser, run_process, write_json

from ganon_hf.core.detection_search import YuNetDetector
from ganon_hf.core.face_mesh import LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS
from ganon_hf.core.faces import Box, Face, box_overlap, clip_box, scale_box
from ganon_hf.core.opencv import cv2
from ganon_hf.evaluation.metrics.recognition import DlibRecognizer
from ganon_hf.video.mux import concatenate_segments
from ganon_hf.video.reader import VideoFrame, VideoReader
from ganon_hf.video.writer import SegmentWriter, VideoFormat, VideoProperties

import films  # isort: skip  (benchmark_support says where it is)

START = 10  # frames of the short film
# A face counts as visible where the fine structure of its inner part correlates with the original's by this much. A synthetic face has eyes
# and mouth in the same places: 0.72 at most in films of 100-pixel faces, 0.76 at 50 pixels; encoded once more a face keeps 0.9.
VISIBLE_CORRELATION = 0.85
# Standard deviations in pixels between which structure is fine, in faces of the third number or more; in smaller ones it is finer, down to
# a half of that.
_FINE, _COARSE, _FULL_HEIGHT = 1.0, 4.0, 100.0
_INNER = 0.7  # share of the box that is certainly face
# Standard deviation of the blur before a face's flicker is measured, as a share of the picture's side: finer structure is camera noise.
_NOISE = 0.012


def correlation(before: np.ndarray, after: np.ndarray, box: Box) -> float:
    """Correlation of the structure of a face before and after, from -1 to 1; 0 where the patch is of one color."""
    region = clip_box(scale_box(box, _INNER), height=before.shape[0], width=before.shape[1])
    if region is None:
        return 0.0
    x_min, y_min, x_max, y_max = region
    patches = [cv2.cvtColor(image[y_min:y_max, x_min:x_max], cv2.COLOR_RGB2GRAY).astype(np.float32) for image in (before, after)]
    scale = min(max((box[3] - box[1]) / _FULL_HEIGHT, 0.5), 1.0)
    bands = [(cv2.GaussianBlur(one, (0, 0), scale * _FINE) - cv2.GaussianBlur(one, (0, 0), scale * _COARSE)).ravel() for one in patches]
    if min(float(band.std()) for band in bands) < 0.1:
        return 0.0
    return float(np.corrcoef(*bands)[0, 1])


@dataclass(frozen=True)
class VisibleFace:
    """A known face that is still visible in a frame of the anonymized video.

    Attributes:
        frame: its number.
        name: whose face.
        correlation: see :func:`correlation`.
    """

    frame: int
    name: str
    correlation: float


def visible_faces(
    before: Iterable[np.ndarray], after: Iterable[np.ndarray], truth: Callable[[int], Mapping[str, Box]]
) -> tuple[list[VisibleFace], int]:
    """The faces that are still visible, and the number of faces in all frames.

    Args:
        before, after: RGB uint8 (height, width, 3) frames of the two videos.
        truth: frame -> boxes of its known faces by name, in pixels.

    Raises:
        ValueError: one video has more frames than the other.
    """
    visible, count = [], 0
    for number, (source, result) in enumerate(zip(before, after, strict=True)):
        for name, box in truth(number).items():
            count += 1
            value = correlation(source, result, box)
            if value >= VISIBLE_CORRELATION:
                visible.append(VisibleFace(number, name, value))
    return visible, count


def identity_spread(vectors: Mapping[str, Sequence[np.ndarray]]) -> tuple[float, float]:
    """Mean distance of embeddings to their person's mean, and the smallest distance between the means of two people.

    Raises:
        ValueError: fewer than two people, or one without vectors.
    """
    if len(vectors) < 2 or not all(len(some) for some in vectors.values()):
        raise ValueError("the spread needs two people or more with a vector each.")
    means = {name: np.mean(some, axis=0) for name, some in vectors.items()}
    within = max(float(np.mean([np.linalg.norm(one - means[name]) for one in some])) for name, some in vectors.items())
    names = list(means)
    between = min(float(np.linalg.norm(means[one] - means[other])) for i, one in enumerate(names) for other in names[:i])
    return within, between


def landmark_jitter(frames: Iterable[np.ndarray], boxes: Sequence[Box | None], detector: YuNetDetector) -> float:
    """Jitter of a face's landmarks: mean second difference over time, in shares of the distance of the outer eye corners.

    Args:
        frames: in a row.
        boxes: where the face is in each, or None.
        detector: fits the meshes.

    Returns:
        the mean; not a number where no three frames in a row could be read.
    """
    points: list[np.ndarray | None] = []
    last: Face | None = None
    for frame, box in zip(frames, boxes, strict=True):
        last = None if box is None else _read(frame, box, last, detector)
        points.append(None if last is None or last.landmarks is None else last.landmarks[:, :2])
    values = []
    for here, change in _second_differences(points):
        eyes = np.linalg.norm(here[LEFT_EYE_CORNERS[1]] - here[RIGHT_EYE_CORNERS[0]])
        values.append(float(np.linalg.norm(change, axis=1).mean() / eyes))
    return float(np.mean(values)) if values else float("nan")


def _second_differences(values: Sequence[np.ndarray | None]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Where three in a row are known: the middle one, and the second difference of the three."""
    for before, here, after in zip(values, values[1:], values[2:], strict=False):
        if before is not None and here is not None and after is not None:
            yield here, after - 2 * here + before


def flicker(frames: Iterable[np.ndarray], film: films.Film, name: str) -> float:
    """Flicker of a face: mean second difference over time of its luma, in pixel values, where it is moved back to one place.

    Args:
        frames: in a row, from the film's first one on.
        film: says where the face is.
        name: whose.

    Returns:
        the mean; not a number where the actor is not there in three frames in a row.
    """
    faces: list[np.ndarray | None] = []
    for number, frame in enumerate(frames):
        face = film.follow(frame, number, name)
        if face is not None:
            side = len(face)
            inner = slice(round((1 - _INNER) / 2 * side), round((1 + _INNER) / 2 * side))
            luma = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY).astype(np.float32)
            face = cv2.GaussianBlur(luma, (0, 0), _NOISE * side)[inner, inner]
        faces.append(face)
    values = [float(np.abs(change).mean()) for _, change in _second_differences(faces)]
    return float(np.mean(values)) if values else float("nan")


def _read(frame: np.ndarray, box: Box, last: Face | None, detector: YuNetDetector) -> Face | None:
    """The mesh of the face in a box, followed from the frame before where that works."""
    followed = detector.follow(frame, [last])[0] if last is not None else None
    if followed is not None:
        return followed
    size = max(24, round((box[3] - box[1]) / 2))
    found = [face for face in detector(frame, min_face_size=size) if box_overlap(box, np.array([face.box]))[0][0] > 0.3]
    return found[0] if found else None


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
    """Seconds that a process takes."""
    started = time.perf_counter()
    run_process(command)
    return time.perf_counter() - started


def spread(film: films.Film, path: Path) -> tuple[float, float]:
    """Within and between people, by dlib's recognizer in every fifth frame in which the face is whole."""
    recognizer, vectors = DlibRecognizer(), dict[str, list[np.ndarray]]()
    for number, image in enumerate(frames(path)):
        for name, box in film.truth(number).items() if number % 5 == 0 else ():
            if box[2] < image.shape[1] - 2 and box[0] > 2:
                vectors.setdefault(name, []).append(recognizer(image, box))
    return identity_spread(vectors)


def measure(film: films.Film, source: Path, result: Path, detector: YuNetDetector) -> dict[str, Any]:
    """Privacy and smoothness of a result.

    Jitter and flicker are those of the source, of a still result and of the result. In the still one, the first frame's faces of the result
    move as those of the film do and change in nothing else: some faces are easier to read than others.
    """
    visible, faces = visible_faces(frames(source), frames(result), film.truth)
    within, between = spread(film, result)
    still = result.with_name(f"{result.stem}-still.mp4")
    write(film.recast(next(iter(frames(result)))), still, film.num_frames)
    videos = {"before": source, "still": still, "after": result}
    jitter, flickers = {}, {}
    for actor in film.actors:
        boxes = [film.truth(number).get(actor.name) for number in range(film.num_frames)]
        jitter[actor.name] = {name: landmark_jitter(frames(path), boxes, detector) for name, path in videos.items()}
        flickers[actor.name] = {name: flicker(frames(path), film, actor.name) for name, path in videos.items()}
    return {"faces": faces, "visible": len(visible), "within": within, "between": between, "jitter": jitter, "flicker": flickers}


def main() -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--size", default="1920x1080", help="WIDTHxHEIGHT")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=2, help="runs of each program, taking turns")
    parser.add_argument("--min-face-size", type=int, default=24)
    parser.add_argument("--peer", help="another program: COMMAND in.mp4 -o out.mp4")
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
        detector = YuNetDetector()
        for program, runs in seconds.items():
            entry = {
                "frames_per_second": statistics.median((film.num_frames - START) / (long - short) for long, short in runs),
                "seconds": statistics.median(long for long, _ in runs),
            }
            summary["programs"][program] = entry | measure(film, folder / "film.mp4", folder / f"{program}.mp4", detector)
    print(f"{film.num_frames} frames, {options.size}")
    columns = "frames/s | whole run, s | faces visible | within / between people | jitter of the landmarks: before, still, after | flicker"
    print(f"| | {columns} |")
    print("|---|---|---|---|---|---|---|")
    for program, entry in summary["programs"].items():
        jitters = ", ".join(
            "-" if math.isnan(one["after"]) else " -> ".join(f"{n:.2%}" for n in one.values()) for one in entry["jitter"].values()
        )
        flickers = ", ".join(" -> ".join(f"{value:.2f}" for value in one.values()) for one in entry["flicker"].values())
        cells = (f"{entry['frames_per_second']:.2f}", f"{entry['seconds']:.1f}", f"{entry['visible']} of {entry['faces']}")
        print(f"| {program} | {' | '.join(cells)} | {entry['within']:.2f} / {entry['between']:.2f} | {jitters} | {flickers} |")
    if options.peer:
        rates = [entry["frames_per_second"] for entry in summary["programs"].values()]
        print(f"ratio of the frame rates: {rates[0] / rates[1]:.2f}")
    write_json(options.json, summary)
    return 0


if __name__ == "__main__":
    sys.exit(main())
