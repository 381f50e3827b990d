"""Finished films for tests of corrections and of the review: of a few pixels with faces by script, or composed with the real engine."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from scripted import Script, frame, scripted_engine
from tiny import face_at

from ganon_hf.core.anonymizer import Anonymizer
from ganon_hf.core.detection_search import YuNetDetector
from ganon_hf.core.faces import Box, Face
from ganon_hf.core.options import AnonymizeOptions
from ganon_hf.review.film_session import FilmSession
from ganon_hf.video import anonymize_video
from ganon_hf.video.mux import concatenate_segments
from ganon_hf.video.reader import VideoFrame
from ganon_hf.video.report import describe_run, write_video_report
from ganon_hf.video.tracking import center_of
from ganon_hf.video.writer import SegmentWriter, VideoFormat, VideoProperties

COUNT, CUT = 50, 40
MISSED = face_at(120, 60, 44)


class Missing(Script):
    """Two faces, of which one is never found, but has landmarks where somebody draws a box; ``bare``: it is found without landmarks."""

    def __init__(self, *, bare: bool = False) -> None:
        paths = {"found": lambda n: face_at(40, 60, 50) if n < CUT else None}
        paths |= {"bare": lambda n: face_at(120, 60, 44, landmarks=False)} if bare else {}
        super().__init__(paths)

    def landmarks(self, image: np.ndarray, box: Box) -> np.ndarray | None:
        there = self._missed(self._number(image))
        return there.landmarks if there is not None and abs(box[0] - there.box[0]) < 6 else None

    def follow(self, image: np.ndarray, faces: Sequence[Face]) -> list[Face | None]:
        there = self._missed(self._number(image))
        near = [there is not None and abs(face.box[0] - there.box[0]) < 15 for face in faces]
        return [there if own else found for own, found in zip(near, super().follow(image, faces), strict=True)]

    @staticmethod
    def _missed(number: int) -> Face | None:
        return MISSED if 8 <= number < CUT else None


def write_film(path: Path, images: Iterable[np.ndarray], rate: int, codec: str = "lossless") -> Path:
    """A film; in a lossless one a detector by script can read the frames' numbers."""
    writer, form = None, VideoFormat(codec)
    for number, image in enumerate(images):
        if writer is None:
            like = VideoProperties(image.shape[1], image.shape[0], Fraction(1, rate), Fraction(rate))
            writer = SegmentWriter(path.parent / "segment", form, like).__enter__()
        writer.write(VideoFrame(image, number, 1))
    assert writer is not None
    writer.__exit__(None, None, None)
    concatenate_segments([path.parent / "segment"], path, form)
    (path.parent / "segment").unlink()
    return path


def scripted_film(path: Path) -> Path:
    """Fifty frames, with a cut."""
    return write_film(path, (frame(number, scene=int(number >= CUT)) for number in range(COUNT)), 20)


def missing_engine(*, bare: bool = False) -> Anonymizer:
    return scripted_engine(Missing(bare=bare))


@dataclass(frozen=True)
class FilmRun:
    """Files of a film that was anonymized."""

    source: Path
    target: Path
    report: Path
    load_engine: Any

    @property
    def corrections(self) -> Path:
        return self.report.parent / "corrections.jsonl"

    @contextmanager
    def session(self) -> Iterator[FilmSession]:
        """A review of it."""
        session = FilmSession(self.report, self.target, self.load_engine)
        try:
            yield session
        finally:
            session.close()


def make_film_run(
    source: Path, target: Path, load_engine: Any, *, codec: str = "lossless", options: AnonymizeOptions | None = None, **more: Any
) -> FilmRun:
    """Anonymize a film, as the command line does."""
    options = options or AnonymizeOptions(seed=3)
    report = anonymize_video(source, target, options, anonymizer=load_engine(), codec=codec, **more)
    run = FilmRun(source, target, target.with_suffix(".json"), load_engine)
    write_video_report(run.report, report, describe_run(source, target, codec, "remove", options, "tiny@0 0"))
    return run


# ---- a composed film and the real engine ---------------------------------------------------------------------------------------------

RATE, FRAMES = 10, 30
# Where the two faces are, by their centers and height in pixels, and how far they go in a frame; the second is overlooked.
FIRST, SECOND, STEP = (130, 150, 130), (360, 130, 84), (1.5, 0.6)
FALSE_FIND, FALSE_FRAMES = (24.0, 236.0, 94.0, 306.0), range(8, 18)


class MistakenInFilm:
    """The real detector, which overlooks the smaller face of the composed film, and for a while sees one that is none."""

    def __init__(self) -> None:
        self._real = YuNetDetector(threads=1)

    def __call__(self, image: np.ndarray, **settings: Any) -> list[Face]:
        found = self._without_second(self._real(image, **settings), image)
        return [*found, Face(FALSE_FIND, 0.55, doubtful=True)] if int(image[0, 0, 1]) in FALSE_FRAMES else found

    def glance(self, image: np.ndarray, **settings: Any) -> list[Face]:
        return self._without_second(self._real.glance(image, **settings), image)

    def follow(self, image: np.ndarray, faces: Sequence[Face]) -> list[Face | None]:
        return self._real.follow(image, faces)

    def landmarks(self, image: np.ndarray, box: Box) -> np.ndarray | None:
        return self._real.landmarks(image, box)

    @staticmethod
    def _without_second(faces: Sequence[Face], image: np.ndarray) -> list[Face]:
        x, y, height = second_at(int(image[0, 0, 1]))
        return [face for face in faces if np.abs(center_of(face.box) - (x, y)).max() > height / 2]


def second_at(number: int) -> tuple[float, float, int]:
    """Center and height of the face that is overlooked."""
    return SECOND[0] - STEP[0] * number, SECOND[1] + STEP[1] * number, SECOND[2]


@functools.cache
def mistaken_film_engine() -> Anonymizer:
    return Anonymizer.from_pretrained(detector=MistakenInFilm())


def composed_frame(astronaut: Image.Image, number: int) -> np.ndarray:
    """Two faces of the astronaut that move over a soft background."""
    y, x = np.mgrid[:320, :480] / 320
    background = np.stack([70 + 60 * y, 110 + 40 * x, 150 - 40 * y + 12 * np.sin(5 * x)], axis=2)
    picture = Image.fromarray(background.clip(0, 255).astype(np.uint8))
    head = astronaut.crop((140, 20, 310, 215))  # 170 x 195 around a face of 130
    places = [(FIRST[0] + STEP[0] * number, FIRST[1] - STEP[1] * number / 2, FIRST[2], False), (*second_at(number), True)]
    for left, top, height, mirrored in places:
        small = head.resize((round(170 * height / 130), round(195 * height / 130)), Image.Resampling.LANCZOS)
        small = small.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else small
        mask = Image.new("L", small.size)
        ImageDraw.Draw(mask).ellipse((1, 1, small.width - 2, small.height - 2), fill=255)
        picture.paste(small, (round(left) - small.width // 2, round(top) - small.height // 2), mask.filter(ImageFilter.GaussianBlur(2)))
    pixels = np.array(picture)
    pixels[0, 0] = (number // 256, number % 256, 77)
    return pixels


def composed_film_run(root: Path, astronaut: Image.Image) -> FilmRun:
    """Three seconds in which a face is overlooked, and something is covered that is none."""
    source = write_film(root / "film.mkv", (composed_frame(astronaut, number) for number in range(FRAMES)), RATE)
    return make_film_run(source, root / "out.mp4", mistaken_film_engine, codec="h264")
