"""Training of the attackers on pictures of people who are not under test: which pictures, on all cores, cached from run to run.

The models themselves are in ``landmark_attack``, ``parrot``, ``reconstruction`` and ``metrics.emotion``.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from ..._atomic import atomic_file
from ...core.faces import Box, Face, FaceDetector, UnusableImageError, box_of_points
from ...core.options import AnonymizeOptions
from ..data.samples import Sample, fingerprint
from ..harness.methods import Method
from ..harness.pool import Pool, Tools
from ..harness.suite import draw_donors
from ..metrics.emotion import MAX_PER_EMOTION, EmotionOptions, choose_labeled_rows, emotion_crop, train_classifier
from ..metrics.recognition import MIN_IOU, EmbeddingCache, Recognizer
from .anonymized_pairs import (
    FACE_IN_CROP,
    MAX_PER_PERSON,
    AnonymizedPairs,
    box_anonymizer,
    collect_pairs,
    engine_anonymizer,
    program_digest,
)
from .landmark_attack import Discriminants, choose_training_rows, landmark_features

# A frequent emotion is learned from pictures whose landmarks the landmark attack needs anyway: as many as that trains on by default.
GEOMETRY_PICTURES = 3000


def find_landmarks(tools: Tools, sample: Sample) -> np.ndarray | None:
    """(478, 3) of the largest face, or None; faces below 64 px are not searched for: their landmarks are too coarse to train on."""
    try:
        faces = tools.instruments.detector(sample.photo, min_face_size=64)
    except UnusableImageError:
        return None
    return next((face.landmarks for face in faces if face.landmarks is not None), None)


class TrainingPictures:
    """Pictures of people who are not under test, and their landmarks, which are cached in a file.

    Args:
        samples: two or more pictures of each person.
        pool: detects the landmarks.
        cache: folder of the cache file.
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
        """Indices of pictures to train on, few of many people; a larger limit contains all those of a smaller one."""
        return np.sort(choose_training_rows(self.persons, limit, per_person=MAX_PER_PERSON))


def train_geometry_attack(pictures: TrainingPictures, *, limit: int | None = None) -> Discriminants:
    """Fit discriminants to the landmarks of people who are not under test.

    Raises:
        ValueError: fewer than two people have two pictures with a face.
    """
    rows = pictures.rows(limit)
    features = landmark_features(pictures.landmarks(rows))
    usable = np.isfinite(features).all(axis=1)
    return Discriminants.fit(features[usable], pictures.persons[rows][usable])


@dataclass(frozen=True, eq=False)
class _CropItem:
    sample: Sample
    landmarks: np.ndarray


def _crop_in_worker(tools: Tools, job: _CropItem) -> np.ndarray | None:
    return emotion_crop(job.sample.photo, job.landmarks)


def _affordable_labels(pictures: TrainingPictures) -> list[str]:
    """Label of each picture; of a frequent emotion only pictures whose landmarks other attacks need anyway keep it, to save time."""
    labels = np.array([sample.emotion for sample in pictures.samples])
    known = np.isin(np.arange(len(labels)), pictures.rows(GEOMETRY_PICTURES))
    for emotion in np.unique(labels):
        if (known & (labels == emotion)).sum() >= MAX_PER_EMOTION // 2:
            labels[~known & (labels == emotion)] = ""
    return labels.tolist()


def train_emotion_classifier(pictures: TrainingPictures, options: EmotionOptions | None = None) -> Path:
    """Train the emotion classifier on the labels of other people's pictures and return its file; ``options`` None takes the defaults.

    Raises:
        ValueError: an emotion has no picture.
    """
    rows, labels = choose_labeled_rows(_affordable_labels(pictures))
    digest = hashlib.sha256(f"{fingerprint([pictures.samples[row] for row in rows])} {options}".encode()).hexdigest()[:16]
    path = pictures.cache / f"emotion-{digest}.safetensors"
    if not path.is_file():
        points = pictures.landmarks(rows)
        known = [place for place, some in enumerate(points) if some is not None]
        jobs = [_CropItem(pictures.samples[rows[place]], some) for place in known if (some := points[place]) is not None]
        crops = pictures.pool.map(_crop_in_worker, jobs, desc="other people: emotions")
        usable = [place for place, crop in enumerate(crops) if crop is not None]
        kept = [crop for crop in crops if crop is not None]
        empty = np.zeros((0, 64, 64), np.uint8)
        train_classifier(np.stack(kept) if kept else empty, labels[np.array(known, int)[usable]], options).save(path)
    return path


@dataclass(frozen=True, eq=False)
class _PairItem:
    sample: Sample
    options: AnonymizeOptions | None
    change: Callable[[np.ndarray, Box], np.ndarray] | None
    seed: int
    landmarks: np.ndarray | None
    donor: np.ndarray | None


@dataclass(frozen=True, eq=False)
class _KnownFaceDetector:
    """A detector that returns the already known face of one photo, and detects in all others."""

    detector: FaceDetector
    photo: np.ndarray
    landmarks: np.ndarray

    def __call__(self, image: np.ndarray, *, min_face_size: int = 24, min_score: float = 0.5) -> list[Face]:
        if image is self.photo:
            return [Face(box_of_points(self.landmarks), 1.0, self.landmarks)]
        return self.detector(image, min_face_size=min_face_size, min_score=min_score)


def _collect_in_worker(tools: Tools, job: _PairItem) -> AnonymizedPairs | None:
    """One picture before and after; None where it cannot be read or shows no face."""
    if job.landmarks is None:
        return None
    if job.change is not None:
        anonymize = box_anonymizer(job.change)
    else:
        anonymize = engine_anonymizer(tools.engine, job.options or AnonymizeOptions(), job.seed, job.donor)
    try:
        photo = job.sample.photo
    except UnusableImageError:
        return None
    height = float(np.ptp(job.landmarks[:, 1]))  # a face detected again must reach the IoU
    size = max(24, min(4096, int(MIN_IOU * height)))
    return collect_pairs(
        [photo], [job.sample.person], anonymize, _KnownFaceDetector(tools.instruments.detector, photo, job.landmarks), min_face_size=size
    )


def _program(tools: Tools, options: AnonymizeOptions) -> str:
    return program_digest(tools.engine, options)


def anonymize_samples(
    samples: Sequence[Sample], landmarks: Sequence[np.ndarray | None], method: Method, pool: Pool, *, seed: int
) -> AnonymizedPairs:
    """Anonymize every picture with a known face by a method, each with its own seed; with ``swap_landmarks`` as somebody else of them."""
    seeds = np.random.default_rng([seed, 2]).integers(2**62, size=len(samples)).tolist()
    donors: list[np.ndarray | None] = [None] * len(samples)
    if method.swap_landmarks:
        donors = draw_donors(samples, landmarks, np.random.default_rng([seed, 3]))
    known = zip(samples, seeds, landmarks, donors, strict=True)
    jobs = [_PairItem(sample, method.options, method.change, one, points, donor) for sample, one, points, donor in known]
    found = pool.map(_collect_in_worker, jobs, desc=f"anonymizing: {method.name}")
    parts = [(row, part) for row, part in enumerate(found) if part is not None and len(part)]
    empty = AnonymizedPairs.empty()
    columns = {
        f.name: np.concatenate([getattr(empty, f.name), *(getattr(part, f.name) for _, part in parts)]) for f in fields(AnonymizedPairs)
    }
    columns["persons"], columns["rows"] = columns["persons"].astype(int), np.array([row for row, _ in parts], int)
    return AnonymizedPairs(**columns)


def training_pairs(pictures: TrainingPictures, method: Method, *, limit: int | None = None, seed: int = 0) -> AnonymizedPairs:
    """An attacker's training pairs of a method, cached under a digest of the program, the options and the pictures."""
    rows = pictures.rows(limit)
    samples = [pictures.samples[row] for row in rows]
    program = method.name if method.options is None else pictures.pool.map(_program, [method.options], desc="digest")[0]
    how = f"{program} {method.name}" if method.swap_landmarks else program  # the options do not tell it
    digest = hashlib.sha256(f"{fingerprint(samples)} {how} {seed}".encode()).hexdigest()[:16]
    path = pictures.cache / f"anonymized-pairs-{digest}.npz"
    if path.is_file():
        return AnonymizedPairs.load(path)
    pairs = anonymize_samples(samples, pictures.landmarks(rows), method, pictures.pool, seed=seed)
    pairs.save(path)
    return pairs


def _embed(tools: Tools, job: tuple[str, np.ndarray]) -> tuple[str, np.ndarray | None]:
    name, crop = job
    recognizer = next(r for r in tools.instruments.recognizers if r.name == name)
    photo, box = crop_as_photo(crop)
    cache = tools.instruments.caches.get(name)
    return cache.get(recognizer, photo, box) if cache is not None else (EmbeddingCache.key(photo, box), recognizer(photo, box))


def crop_as_photo(crop: np.ndarray) -> tuple[np.ndarray, Box]:
    """A gray (S, S) crop as :func:`embed_crops` hands it to a recognizer: RGB photo and box."""
    x_min, y_min, x_max, y_max = (share * crop.shape[0] for share in FACE_IN_CROP)
    return np.repeat(crop[..., None], 3, axis=2), (x_min, y_min, x_max, y_max)


class PrecomputedRecognizer:
    """A recognizer whose embeddings of many crops were computed before, in all processes.

    Args:
        recognizer: computes what is not in the cache.
        cache: its stored embeddings, including those of this run.
        pool: embeds ``crops``.
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
        """Stored or new embedding."""
        return self._cache.get(self._recognizer, photo, box)[1]
