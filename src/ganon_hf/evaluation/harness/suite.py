"""Every method over the same pictures: from samples to outputs and readings. The figures come from ``report.figures``."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ...core.alignment import align_face
from ...core.faces import UnusableImageError
from ..data.picture_sets import PictureSet, without
from ..data.samples import Pairing, Sample, pair_up
from ..metrics.emotion import EmotionClassifier
from ..metrics.recognition import EmbeddingCache
from ..metrics.seam import seam_energy
from .methods import Method, apply, outlines
from .pool import Pool, Tools
from .readings import Output, Reading, Subject

# Side of the aligned crop in which seams are measured, in pixels.
SEAM_CROP = 256


@dataclass
class Run:
    """One method over all samples, several times where it draws: the samples in order, then again for the next draw.

    Attributes:
        outputs: of each picture.
        readings: likewise.
    """

    outputs: list[Output] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)


@dataclass
class Suite:
    """All methods over one set of samples."""

    samples: Sequence[Sample]
    subjects: list[Subject]
    runs: dict[str, Run]

    @property
    def persons(self) -> np.ndarray:
        return np.array([sample.person for sample in self.samples])

    @property
    def emotions(self) -> np.ndarray:
        return np.array([sample.emotion for sample in self.samples])

    @property
    def pairing(self) -> Pairing:
        """Gallery and probes; pictures in whose original no face is found are left out."""
        return pair_up(self.samples, [subject.landmarks is not None for subject in self.subjects])

    def draws(self, run: Run) -> list[np.ndarray]:
        """Per draw of a run the (n,) indices of its outputs and readings, in the order of the samples."""
        count = len(self.samples)
        return [np.arange(first, first + count) for first in range(0, len(run.readings), count)]


@dataclass(frozen=True, eq=False)
class _SuiteItem:
    """One picture and one method; see :func:`_measure`."""

    sample: Sample
    subject: Subject
    method: Method
    seed: int
    donor: np.ndarray | None
    identity: bool
    keep_photo: bool
    emotions: Path | None


def locate(tools: Tools, sample: Sample) -> Subject | str:
    """Detect the face of one original; a string says why the picture cannot be read."""
    try:
        return tools.instruments.locate(sample.photo)
    except UnusableImageError as error:
        return str(error)


def _measure(tools: Tools, job: _SuiteItem) -> tuple[Output, Reading]:
    """Apply a method to one picture and read the result."""
    if job.emotions is not None and tools.instruments.emotions is None:
        tools.instruments.emotions = EmotionClassifier.load(job.emotions)
    photo = job.sample.photo
    output = apply(job.method, tools.engine, photo, job.subject, seed=job.seed, donor=job.donor)
    if job.subject.landmarks is not None:
        crop = align_face(job.subject.landmarks, SEAM_CROP)
        edges = outlines(job.method, job.subject, output, crop)
        if edges is not None:
            output = replace(output, seam=seam_energy(photo, output.photo, crop, edges))
    reading = tools.instruments.read(output.photo, job.subject, identity=job.identity)
    return output if job.keep_photo else replace(output, photo=np.zeros((0, 0, 3), np.uint8)), reading


def locate_all(pictures: PictureSet, pool: Pool) -> tuple[PictureSet, list[Subject]]:
    """Detect the faces of all originals; unreadable pictures are left out and named in the set's notes.

    Raises:
        NoPeopleError: nobody has two readable pictures.
    """
    found = pool.map(locate, pictures.samples, desc="locating")
    unreadable = {place: reason for place, reason in enumerate(found) if isinstance(reason, str)}
    left = without(pictures, unreadable)
    places = {id(sample): place for place, sample in enumerate(pictures.samples)}
    subjects = [found[places[id(sample)]] for sample in left.samples]
    return left, [subject for subject in subjects if isinstance(subject, Subject)]


def _seeds(method: Method, samples: Sequence[Sample], draw: int, seed: int) -> list[int]:
    """One seed a photo: fresh, the same in every evaluation and for every method; or shared as the method says."""
    drawn = np.random.default_rng([seed, draw]).integers(2**62, size=len(samples)).tolist()
    if method.seeds == "one":
        return [drawn[0]] * len(samples)
    if method.seeds == "person":
        first: dict[int, int] = {}
        return [first.setdefault(sample.person, value) for sample, value in zip(samples, drawn, strict=True)]
    return drawn


def draw_donors(
    samples: Sequence[Sample], landmarks: Sequence[np.ndarray | None], generator: np.random.Generator
) -> list[np.ndarray | None]:
    """Landmarks of somebody else for each sample, of a picture with the same label where there is one; None where there is nobody."""
    known = [row for row, points in enumerate(landmarks) if points is not None]
    donors: list[np.ndarray | None] = []
    for sample in samples:
        others = [row for row in known if samples[row].person != sample.person]
        alike = [row for row in others if samples[row].emotion == sample.emotion] or others
        donors.append(landmarks[alike[int(generator.integers(len(alike)))]] if alike else None)
    return donors


def run_suite(
    samples: Sequence[Sample],
    subjects: list[Subject],
    pool: Pool,
    methods: Sequence[Method],
    *,
    identity: bool = True,
    draws: int = 1,
    seed: int = 0,
    caches: dict[str, EmbeddingCache] | None = None,
    keep_rows: Collection[int] = (),
    emotions: Path | None = None,
) -> Suite:
    """Put every sample through every method and read the results.

    Args:
        samples: pictures with one known person each; the largest face counts.
        subjects: their faces, see :func:`locate_all`.
        pool: works in as many processes as it has.
        methods: with different names; figures need the untouched original among them.
        identity: run the recognizers.
        draws: how often each method that draws goes over all samples, with fresh seeds.
        seed: from which the photos' seeds are drawn.
        caches: name of a recognizer -> cache for new embeddings.
        keep_rows: indices of the samples whose output photos are kept (for sheets); the others are dropped to save memory.
        emotions: file of an emotion classifier; None leaves it out.
    """
    shown, caches = set(keep_rows), caches or {}
    runs: dict[str, Run] = {}
    for method in methods:
        jobs = []
        for draw in range(draws if method.options is not None else 1):
            seeds = _seeds(method, samples, draw, seed)
            donors: list[np.ndarray | None] = [None] * len(samples)
            if method.swap_landmarks:
                points = [subject.landmarks for subject in subjects]
                donors = draw_donors(samples, points, np.random.default_rng([seed, draw, 1]))
            for row, (sample, subject, one_seed, donor) in enumerate(zip(samples, subjects, seeds, donors, strict=True)):
                jobs.append(_SuiteItem(sample, subject, method, one_seed, donor, identity, draw == 0 and row in shown, emotions))
        done = pool.map(_measure, jobs, desc=method.name)
        run = runs[method.name] = Run([output for output, _ in done], [reading for _, reading in done])
        for reading in run.readings:
            for name, key in reading.keys.items():
                vector = reading.embeddings[name]
                if vector is not None and name in caches:
                    caches[name].add(key, vector)
    for cache in caches.values():
        cache.save()
    return Suite(samples, subjects, runs)
