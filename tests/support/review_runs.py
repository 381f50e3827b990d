"""Finished runs for tests of the review: photos with a tiny engine, or composed ones with the real engine and mistakes by script."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from standins import save
from tiny import KnownFaces, face_at, noise_photo, tiny_model, tiny_processor

from ganon_hf.bulk import folder
from ganon_hf.bulk.tasks import Settings
from ganon_hf.core.anonymizer import Anonymizer
from ganon_hf.core.faces import Box, Face
from ganon_hf.core.options import AnonymizeOptions
from ganon_hf.review.finished_run import read_run
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


def make_run(root: Path, *, load_engine: Any = tiny_engine, options: AnonymizeOptions | None = None, model: str = "tiny@0 0") -> Run:
    """Anonymize ``root/in`` into ``root/out``, as the command line does."""
    run = Run(root / "in", root / "out", root / "report.jsonl")
    settings = Settings(options or AnonymizeOptions(seed=7), model=model)
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
