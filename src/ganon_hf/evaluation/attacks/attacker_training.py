"""The attackers' schooling: what they learn from pictures of other people before they are tried on those under test.

Everything here is about organization: which pictures, on all cores, kept from run to run. The attacks themselves are in
``geometry_attack``, ``parrot``, ``reconstruction`` and ``emotion``.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from ..._atomic import atomic_file
from ...core.detection_tiled import FaceDetector
from ...core.faces import Box, Face, UnusableImageError, box_of_points
from ...core.options import AnonymizeOptions
from ..data.samples import Sample, fingerprint
from ..methods import Method
from ..metrics.emotion import MAX_PER_EMOTION, EmotionOptions, choose_labeled_rows, emotion_crop, train_classifier
from ..metrics.recognition import EmbeddingCache, Recognizer
from ..pool import Pool, Tools
from .known_people import FACE_IN_CROP, MAX_PER_PERSON, MIN_IOU, Exposures, box_change, engine_change, expose, program_digest
from .landmark_attack import Discriminants, choose_training_rows, landmark_features

# Pictures that the geometry attack and the parrots learn from, unless told otherwise.
GEOMETRY_PICTURES, EXPOSED_PICTURES = 3000, 1500


def find_landmarks(tools: Tools, sample: Sample) -> np.ndarray | None:
    """(478, 3) of the largest face, or None; faces under 64 px are not searched for: they teach nothing."""
    try:
        faces = tools.instruments.detector(sample.photo, min_face_size=64)
    except UnusableImageError:
        return None
    return next((face.landmarks for face in faces if face.landmarks is not None), None)


class Schooling:
    """Pictures of people who are not under test, with the landmarks that were found in them.

    Args:
        samples: two pictures or more of each person.
        pool: finds the landmarks.
        cache: folder in which they are kept.
    """

    def __init__(self, samples: Sequence[Sample], pool: Pool, cache: Path) -> None:
        self.samples, self.pool, self.cache = samples, pool, cache
        self.persons = np.array([sample.person for sample in samples])
        self._path = cache / f"training-landmarks-{fingerprint(samples)}.npz"
        self._found: dict[int, np.ndarray] = {}
        if self._path.is_file():
            try:
                with np.load(self._path, allow_pickle=False) as stored:
                    self._found = dict(zip(stored["rows"].tolist(), stored["landmarks"], strict=True))
            except (KeyError, ValueError, EOFError, OSError, zipfile.BadZipFile):  # it holds nothing that cannot be found again
                self._found = {}

    def landmarks(self, rows: np.ndarray) -> list[np.ndarray | None]:
        """(478, 3) float32 of each of these pictures, None where there is no face."""
        missing = [int(row) for row in rows if int(row) not in self._found]
        if missing:
            nothing = np.full((478, 3), np.nan, np.float32)
            found = self.pool.map(find_landmarks, [self.samples[row] for row in missing], desc="other people: landmarks")
            self._found |= {row: nothing if points is None else points for row, points in zip(missing, found, strict=True)}
            self._save()
        return [points if np.isfinite(points := self._found[int(row)]).all() else None for row in rows]

    def _save(self) -> None:
        rows = sorted(self._found)
        with atomic_file(self._path) as temporary, temporary.open("wb") as file:
            np.savez(file, rows=np.array(rows), landmarks=np.array([self._found[row] for row in rows], np.float32))

    def rows(self, limit: int | None) -> np.ndarray:
        """Places of pictures to learn from, few of many people; a larger limit holds all those of a smaller one."""
        return np.sort(choose_training_rows(self.persons, limit, per_person=MAX_PER_PERSON))


def learn_geometry(schooling: Schooling, *, limit: int | None = GEOMETRY_PICTURES) -> Discriminants:
    """Discriminants of the landmarks of people who are not under test.

    Raises:
        ValueError: fewer than two people have two pictures with a face.
    """
    rows = schooling.rows(limit)
    features = landmark_features(schooling.landmarks(rows))
    usable = np.isfinite(features).all(axis=1)
    return Discriminants.fit(features[usable], schooling.persons[rows][usable])


@dataclass(frozen=True, eq=False)
class _Cut:
    sample: Sample
    landmarks: np.ndarray


def _cut(tools: Tools, job: _Cut) -> np.ndarray | None:
    return emotion_crop(job.sample.photo, job.landmarks)


def _emotions_at_hand(schooling: Schooling) -> list[str]:
    """Label of each picture; of an emotion with plenty of pictures only those whose landmarks other attacks need anyway keep theirs."""
    labels = np.array([sample.emotion for sample in schooling.samples])
    known = np.isin(np.arange(len(labels)), schooling.rows(GEOMETRY_PICTURES))
    for emotion in np.unique(labels):
        if (known & (labels == emotion)).sum() >= MAX_PER_EMOTION // 2:
            labels[~known & (labels == emotion)] = ""
    return labels.tolist()


def learn_emotions(schooling: Schooling, options: EmotionOptions | None = None) -> Path:
    """File of the classifier that learned the labels of other people's pictures; ``options`` None takes the defaults.

    Raises:
        ValueError: an emotion has no picture.
    """
    rows, labels = choose_labeled_rows(_emotions_at_hand(schooling))
    digest = hashlib.sha256(f"{fingerprint([schooling.samples[row] for row in rows])} {options}".encode()).hexdigest()[:16]
    path = schooling.cache / f"emotion-{digest}.safetensors"
    if not path.is_file():
        points = schooling.landmarks(rows)
        known = [place for place, some in enumerate(points) if some is not None]
        jobs = [_Cut(schooling.samples[rows[place]], some) for place in known if (some := points[place]) is not None]
        crops = schooling.pool.map(_cut, jobs, desc="other people: emotions")
        usable = [place for place, crop in enumerate(crops) if crop is not None]
        kept = [crop for crop in crops if crop is not None]
        empty = np.zeros((0, 64, 64), np.uint8)
        train_classifier(np.stack(kept) if kept else empty, labels[np.array(known, int)[usable]], options).save(path)
    return path


@dataclass(frozen=True, eq=False)
class _Exposure:
    sample: Sample
    options: AnonymizeOptions | None
    change: Callable[[np.ndarray, Box], np.ndarray] | None
    seed: int
    landmarks: np.ndarray | None


@dataclass(frozen=True, eq=False)
class _Knowing:
    """A detector that need not look for the face of one photo, because it was found before."""

    detector: FaceDetector
    photo: np.ndarray
    landmarks: np.ndarray

    def __call__(self, image: np.ndarray, *, min_face_size: int = 24, min_score: float = 0.5) -> list[Face]:
        if image is self.photo:
            return [Face(box_of_points(self.landmarks), 1.0, self.landmarks)]
        return self.detector(image, min_face_size=min_face_size, min_score=min_score)


def _expose(tools: Tools, job: _Exposure) -> Exposures | None:
    """One picture before and after; None where it cannot be read or shows no face."""
    if job.landmarks is None:
        return None
    change = box_change(job.change) if job.change is not None else engine_change(tools.engine, job.options or AnonymizeOptions(), job.seed)
    try:
        photo = job.sample.photo
    except UnusableImageError:
        return None
    height = float(np.ptp(job.landmarks[:, 1]))  # a face found anew overlaps the known one by 0.3
    size = max(24, min(4096, int(MIN_IOU * height)))
    return expose([photo], [job.sample.person], change, _Knowing(tools.instruments.detector, photo, job.landmarks), min_face_size=size)


def _program(tools: Tools, options: AnonymizeOptions) -> str:
    return program_digest(tools.engine, options)


def expose_all(samples: Sequence[Sample], landmarks: Sequence[np.ndarray | None], method: Method, pool: Pool, *, seed: int) -> Exposures:
    """Every picture with a known face anonymized by a method, each with a seed of its own."""
    seeds = np.random.default_rng([seed, 2]).integers(2**62, size=len(samples)).tolist()
    known = zip(samples, seeds, landmarks, strict=True)
    jobs = [_Exposure(sample, method.options, method.change, one, points) for sample, one, points in known]
    found = pool.map(_expose, jobs, desc=f"exposing: {method.name}")
    parts = [(row, part) for row, part in enumerate(found) if part is not None and len(part)]
    empty = expose([], [], lambda photo, face: None, _nothing)
    columns = {f.name: np.concatenate([getattr(empty, f.name), *(getattr(part, f.name) for _, part in parts)]) for f in fields(Exposures)}
    columns["persons"], columns["rows"] = columns["persons"].astype(int), np.array([row for row, _ in parts], int)
    return Exposures(**columns)


def _nothing(image: np.ndarray, *, min_face_size: int = 24, min_score: float = 0.5) -> list:  # type: ignore[type-arg]
    return []


def training_exposures(schooling: Schooling, method: Method, *, limit: int | None = EXPOSED_PICTURES, seed: int = 0) -> Exposures:
    """What an attacker collects about a method, kept under a digest of the program, the options and the pictures."""
    rows = schooling.rows(limit)
    samples = [schooling.samples[row] for row in rows]
    program = method.name if method.options is None else schooling.pool.map(_program, [method.options], desc="digest")[0]
    digest = hashlib.sha256(f"{fingerprint(samples)} {program} {seed}".encode()).hexdigest()[:16]
    path = schooling.cache / f"exposures-{digest}.npz"
    if path.is_file():
        return Exposures.load(path)
    exposures = expose_all(samples, schooling.landmarks(rows), method, schooling.pool, seed=seed)
    exposures.save(path)
    return exposures


def _embed(tools: Tools, job: tuple[str, np.ndarray]) -> tuple[str, np.ndarray | None]:
    name, crop = job
    recognizer = next(r for r in tools.instruments.recognizers if r.name == name)
    photo, box = crop_as_photo(crop)
    cache = tools.instruments.caches.get(name)
    return cache.get(recognizer, photo, box) if cache is not None else (EmbeddingCache.key(photo, box), recognizer(photo, box))


def crop_as_photo(crop: np.ndarray) -> tuple[np.ndarray, Box]:
    """A gray (S, S) crop as ``exposures.embed_crops`` hands it to a recognizer: RGB photo and box."""
    x_min, y_min, x_max, y_max = (share * crop.shape[0] for share in FACE_IN_CROP)
    return np.repeat(crop[..., None], 3, axis=2), (x_min, y_min, x_max, y_max)


class Remembering:
    """A recognizer that was asked about many crops before, in all processes.

    Args:
        recognizer: asked about what is new.
        cache: its stored vectors, also those of this run.
        pool: asks it about ``crops``.
        crops: (n, S, S) uint8 gray each.
    """

    def __init__(self, recognizer: Recognizer, cache: EmbeddingCache, pool: Pool, crops: Sequence[np.ndarray]) -> None:
        self.name, self.metric = recognizer.name, recognizer.metric
        self._recognizer, self._cache = recognizer, cache
        jobs = [(recognizer.name, crop) for some in crops for crop in some]
        for key, vector in pool.map(_embed, jobs, desc=f"crops: {recognizer.name}"):
            if vector is not None:
                cache.add(key, vector)

    def __call__(self, photo: np.ndarray, box: Box) -> np.ndarray | None:
        """Stored or new vector."""
        return self._cache.get(self._recognizer, photo, box)[1]
