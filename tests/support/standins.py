"""A world in which faces are magenta squares: lets tests about files, plans and exit codes run without a model.

:class:`SquareEngine` does what the real engine does with its input and output types (and really looks at the pixels), in microseconds.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import Result
from PIL import Image, ImageDraw

from ganon_hf.bulk.folder import STATE_NAME
from ganon_hf.core.faces import AnonymizationResult, FaceReport, NoFaceError, box_of_points
from ganon_hf.core.options import AnonymizeOptions

Run = Callable[..., Result]  # the fixture `run`
MAGENTA, GREEN = (255, 0, 255), (0, 200, 0)


def square_photo(size: tuple[int, int] = (96, 64), box: tuple[int, int, int, int] | None = (24, 16, 56, 48), seed: int = 0) -> Image.Image:
    """A soft gray-blue background with one magenta "face", or none."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[1], : size[0]]
    background = np.stack([x, y, x + y], axis=-1) * 80.0 / (sum(size)) + rng.integers(60, 120)
    image = Image.fromarray(background.astype(np.uint8))
    if box is not None:
        ImageDraw.Draw(image).rectangle((box[0], box[1], box[2] - 1, box[3] - 1), fill=MAGENTA)
    return image


def face_pixels(image: Image.Image) -> np.ndarray:
    """(n, 2) centers of the pixels that still look like a "face"."""
    pixels = np.asarray(image.convert("RGB")).astype(int)
    y, x = np.nonzero((pixels[..., 0] > 170) & (pixels[..., 1] < 90) & (pixels[..., 2] > 170))
    return np.stack([x, y], axis=-1) + 0.5


@dataclass(frozen=True)
class SquarePlan:
    """A photo and its "face", in the shape of the real engine's plan."""

    image: Image.Image
    box: tuple[int, int, int, int] | None

    @property
    def inputs(self) -> list[tuple[int, int, int]]:
        return [] if self.box is None else [GREEN]


class SquareEngine:
    """Paints every magenta pixel's bounding box green, in the three steps of the real engine. Takes what a loader is given."""

    def __init__(self, *_: object) -> None:
        self.calls = 0

    def plan(self, image: Image.Image, options: AnonymizeOptions | None = None) -> SquarePlan:
        self.calls += 1
        options = options or AnonymizeOptions()
        points = face_pixels(image)
        if len(points) == 0:
            if options.on_no_face == "raise":
                raise NoFaceError("no face")
            return SquarePlan(image, None)
        box = box_of_points(points)  # JPEG smears the edge
        return SquarePlan(image, (int(box[0] - 3.5), int(box[1] - 3.5), int(box[2] + 3.5), int(box[3] + 3.5)))

    def generate(self, inputs: Sequence[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
        return list(inputs)

    def compose(self, plan: SquarePlan, images: Sequence[tuple[int, int, int]]) -> AnonymizationResult:
        if plan.box is None:
            return AnonymizationResult(plan.image, ())
        image = plan.image.copy()
        ImageDraw.Draw(image).rectangle(plan.box, fill=images[0])
        return AnonymizationResult(image, (FaceReport(tuple(map(float, plan.box)), 1.0, "replaced"),))  # type: ignore[arg-type]


CRASH, BROKEN, ENDLESS = (98, 64), (99, 64), (101, 64)  # sizes of photos that go wrong


class TroubledEngine(SquareEngine):
    """Dies with its process at one size of photo, and raises at another."""

    def plan(self, image: Image.Image, options: AnonymizeOptions | None = None) -> SquarePlan:
        if image.size == CRASH:
            os.kill(os.getpid(), signal.SIGKILL)
        if image.size == BROKEN:
            raise RuntimeError("broken")
        return super().plan(image, options)


class EndlessEngine(SquareEngine):
    """Never comes back from one size of photo; interruptible, as Python is."""

    def plan(self, image: Image.Image, options: AnonymizeOptions | None = None) -> SquarePlan:
        while image.size == ENDLESS:
            time.sleep(0.01)
        return super().plan(image, options)


class DoubtfulEngine(SquareEngine):
    """Reports a doubtful cover for every row of pixels that a photo is higher than 64."""

    def compose(self, plan: SquarePlan, images: Sequence[tuple[int, int, int]]) -> AnonymizationResult:
        result, count = super().compose(plan, images), plan.image.height - 64
        doubtful = [FaceReport((10.4 * n, 5, 10.4 * n + 20, 30), 0.5, "doubtful", "it may be no face") for n in range(count)]
        return AnonymizationResult(result.image, (*result.faces, *doubtful))


class SlowEngine(SquareEngine):
    """Leaves time to interrupt it."""

    def plan(self, image: Image.Image, options: AnonymizeOptions | None = None) -> SquarePlan:
        time.sleep(0.3)
        return super().plan(image, options)


def unloadable(threads: int | None) -> SquareEngine:
    """A loader without a model."""
    raise OSError("no such model")


def exploding(threads: int | None) -> SquareEngine:
    """A loader that takes its process with it."""
    os._exit(7)


def save(path: Path, image: Image.Image | None = None, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (image or square_photo()).save(path, **options)
    return path


def names(folder: Path) -> list[str]:
    """Relative names of everything but the state file, in order."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != STATE_NAME)


def is_anonymized(path: Path) -> bool:
    with Image.open(path) as image:
        return len(face_pixels(image)) == 0 and max(image.convert("RGB").getpixel((40, 32))) == max(GREEN)  # type: ignore[arg-type]


def report_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def cpu_seconds(command: list[str]) -> float:
    """What a command costs warm: the best of four runs in processor time, which a busy machine disturbs less than the clock."""
    costs = []
    for _ in range(4):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        costs.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(costs)
