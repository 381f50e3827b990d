"""Finished runs for tests of the review: photos with a tiny engine, or composed ones with the real engine and mistakes by script."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter
from standins import save
from tiny import KnownFaces, face_at, noise_photo, tiny_model, tiny_processor

from ganon_hf.bulk import folder
from ganon_hf.bulk.tasks import Settings
from ganon_hf.core.anonymizer import Anonymizer
from ganon_hf.core.detection_search import YuNetDetector
from ganon_hf.core.faces import Box, Face
from ganon_hf.core.options import AnonymizeOptions
from ganon_hf.review.film_routes import FilmRoutes
from ganon_hf.review.film_session import FilmSession
from ganon_hf.review.finished_run import read_run
from ganon_hf.review.routes import PhotoRoutes
from ganon_hf.review.server import ReviewServer
from ganon_hf.review.session import ReviewSession

FOUND, MISSED = face_at(50, 60, 60), face_at(120, 60, 50)
DOUBTFUL = Face((100.0, 70.0, 150.0, 110.0), 0.55, doubtful=True)
# By size: a face, a face and a doubtful one, nothing, a face of which no mesh is known, a face with a low score.
PLAIN, UNCERTAIN, EMPTY, PROFILE, WEAK = (160, 120), (162, 120), (164, 120), (166, 120), (168, 120)


class MissingOne(KnownFaces):
    """Finds faces by the size of the photo; landmarks where :data:`MISSED` is."""

    def landmarks(self, image: np.ndarray, box: Box) -> np.ndarray | None:
        return MISSED.landmarks if np.allclose(box, MISSED.box, atol=2) else None


def tiny_engine(threads: int | None = None) -> Anonymizer:
    """Picklable as a loader of the engine."""
    bare, weak = face_at(50, 60, 60, landmarks=False), face_at(50, 60, 60, score=0.6)
    faces = {PLAIN: [FOUND], UNCERTAIN: [FOUND, DOUBTFUL], PROFILE: [bare], WEAK: [weak]}
    return Anonymizer(tiny_model(), tiny_processor(), MissingOne(faces))


@dataclass(frozen=True)
class Run:
    """Folders and files of a run."""

    photos: Path
    out: Path
    report: Path

    @property
    def corrections(self) -> Path:
        return self.report.parent / "corrections.jsonl"

    @contextmanager
    def session(self, load_engine: Any = tiny_engine, redo_problem: str = "") -> Iterator[ReviewSession]:
        """A review of it."""
        session = ReviewSession(read_run(self.report, self.out), self.report, self.out, load_engine, redo_problem)
        try:
            yield session
        finally:
            session.close()


def make_run(
    root: Path, *, load_engine: Any = tiny_engine, options: AnonymizeOptions | None = None, model: str = "tiny@0 0", mark: bool = False
) -> Run:
    """Anonymize ``root/in`` into ``root/out``, as the command line does."""
    run = Run(root / "in", root / "out", root / "report.jsonl")
    settings = Settings(options or AnonymizeOptions(seed=7), model=model, mark=mark)
    jobs, _ = folder.plan([str(run.photos)], str(run.out))
    state = folder.State(run.out)
    lines = [outcome.to_dict() | settings.to_dict() for outcome in folder.run(jobs, settings, load_engine, state)]
    state.close()
    run.report.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return run


def tiny_run(root: Path, sizes: Sequence[tuple[int, int]] = (PLAIN, UNCERTAIN, EMPTY, PROFILE, WEAK), **settings: Any) -> Run:
    """A run of one photo of each size: ``0.png``, ``1.png`` and so on."""
    for number, (width, height) in enumerate(sizes):
        save(root / "in" / f"{number}.png", Image.fromarray(noise_photo(width, height, seed=number)))
    return make_run(root, **settings)


# ---- composed photos and the real engine ------------------------------------------------------------------------------------------

# Where faces are pasted, by their centers and height in pixels, into photos of 480 x 320; the third is only in some.
PLACES = ((110, 130, 110), (300, 190, 90), (420, 100, 64))
FALSE_FIND = (20.0, 240.0, 90.0, 310.0)
GOOD, MISSES, INVENTS = 0, 1, 2  # what the detector does with a photo, told by its first pixel


class Mistaken:
    """The real detector, which overlooks the smallest face of some photos and sees one more in others."""

    def __init__(self) -> None:
        self._real = YuNetDetector(threads=1)

    def __call__(self, image: np.ndarray, *, min_face_size: int = 24, min_score: float = 0.5) -> list[Face]:
        found, mistake = self._real(image, min_face_size=min_face_size, min_score=min_score), int(image[0, 0, 0]) % 8
        if mistake == MISSES:
            return found[:-1]
        return [*found, Face(FALSE_FIND, 0.55, doubtful=True)] if mistake == INVENTS else found

    def landmarks(self, image: np.ndarray, box: Box) -> np.ndarray | None:
        return self._real.landmarks(image, box)


@functools.cache
def mistaken_engine(threads: int | None = None) -> Anonymizer:
    return Anonymizer.from_pretrained(detector=Mistaken())


def composed_photo(astronaut: Image.Image, number: int, mistake: int) -> Image.Image:
    """Two or three faces of the astronaut on a soft background; the number turns and lights them, so that no two photos are the same."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:320, :480] / 320
    colors = rng.uniform(50, 200, (3, 3))
    background = colors[0] * (1 - y[..., None]) + colors[1] * y[..., None] + 25 * np.sin(3 * x + number)[..., None]
    photo = Image.fromarray(background.clip(0, 255).astype(np.uint8))
    head = astronaut.crop((140, 20, 310, 215))  # 170 x 195 around a face of 130
    for left, top, height in PLACES[: 3 if mistake == MISSES else 2]:
        scale = height / 130
        small = head.resize((round(170 * scale), round(195 * scale)), Image.Resampling.LANCZOS)
        small = small.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.integers(2) else small
        small = ImageEnhance.Brightness(small).enhance(rng.uniform(0.8, 1.1))
        mask = Image.new("L", small.size)
        ImageDraw.Draw(mask).ellipse((1, 1, small.width - 2, small.height - 2), fill=255)
        photo.paste(small, (left - small.width // 2, top - small.height // 2), mask.filter(ImageFilter.GaussianBlur(2)))
    pixels = np.array(photo)
    pixels[0, 0] = mistake
    return Image.fromarray(pixels)


def composed_run(root: Path, astronaut: Image.Image, count: int = 30) -> Run:
    """A run in which the detector overlooks a face in photos 5, 15, 25 and invents one in 0, 10, 20."""
    for number in range(count):
        mistake = {0: INVENTS, 5: MISSES}.get(number % 10, GOOD)
        save(root / "in" / f"{number:02d}.png", composed_photo(astronaut, number, mistake))
    return make_run(root, load_engine=mistaken_engine)


@contextmanager
def serving(session: ReviewSession | FilmSession) -> Iterator[ReviewServer]:
    """The page of a review, served by a thread."""
    with ReviewServer(FilmRoutes(session) if isinstance(session, FilmSession) else PhotoRoutes(session)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()
