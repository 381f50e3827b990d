"""Pictures before and after anonymization, as an attacker who has the program collects them.

Such an attacker can anonymize any number of pictures of known people. The parrot attack and the reconstruction train on these pairs; pairs
of the people under test are their test data.

Conventions: a crop is an aligned square as in ``alignment``, gray uint8 (S, S); landmarks are (478, 3) photo pixels.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from ..._atomic import atomic_file
from ...core.alignment import align_face, crop_image
from ...core.anonymizer import Anonymizer
from ...core.faces import Box, Face, FaceDetector
from ...core.options import AnonymizeOptions
from ..data.samples import to_grayscale
from ..harness.methods import in_pose_of
from ..harness.readings import overlapping_face, run_engine
from ..metrics.recognition import Recognizer

CROP_SIZE = 128
# Few pictures of many people train a recognizer better than many pictures of a few.
MAX_PER_PERSON = 4
PACKAGE = Path(__file__).resolve().parent.parent.parent

# (RGB uint8 photo, its face) -> the anonymized photo, or None where the face was not replaced
AnonymizeFace = Callable[[np.ndarray, Face], np.ndarray | None]


@dataclass(frozen=True, eq=False)
class AnonymizedPairs:
    """Pictures of known people before and after anonymization.

    Attributes:
        persons: (n,) int, who is shown.
        rows: (n,) int, index of the picture in the input; pictures without a face, or not anonymized, are left out.
        landmarks: (n, 478, 3) of the original, photo pixels.
        found: (n, 478, 3) detected in the anonymized picture, NaN where no face is detected.
        originals: (n, S, S) uint8, the original cropped at its own landmarks.
        anonymized: (n, S, S) uint8, the anonymized picture cropped at the landmarks detected in it; where there are none, at the
            original's: the attacker is told where the face was.
        targets: (n, S, S) uint8, the original in the same crop as ``anonymized``.

    Raises:
        ValueError: the arrays do not fit together.
    """

    persons: np.ndarray
    rows: np.ndarray
    landmarks: np.ndarray
    found: np.ndarray
    originals: np.ndarray
    anonymized: np.ndarray
    targets: np.ndarray

    def __post_init__(self) -> None:
        count = len(self.persons)
        for name in ("landmarks", "found"):
            if getattr(self, name).shape != (count, 478, 3):
                raise ValueError(f"{name} must be ({count}, 478, 3) for {count} persons, but got {getattr(self, name).shape}.")
        if self.rows.shape != (count,):
            raise ValueError(f"rows must be ({count},) for {count} persons, but got {self.rows.shape}.")
        for name in ("originals", "anonymized", "targets"):
            crops = getattr(self, name)
            if crops.ndim != 3 or len(crops) != count or crops.shape[1] != crops.shape[2] or crops.dtype != np.uint8:
                raise ValueError(f"{name} must be uint8 ({count}, S, S), but got {crops.dtype} {crops.shape}.")

    def __len__(self) -> int:
        return len(self.persons)

    def take(self, numbers: Sequence[int] | np.ndarray) -> AnonymizedPairs:
        """The pairs at these indices, in this order."""
        chosen = np.asarray(numbers, int)
        return AnonymizedPairs(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})

    def places(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """(len(rows),) indices of the pairs that come from these rows of the input, -1 where left out."""
        known = {int(row): number for number, row in enumerate(self.rows)}
        return np.array([known.get(int(row), -1) for row in rows], int)

    @classmethod
    def empty(cls, size: int = CROP_SIZE) -> AnonymizedPairs:
        """No pairs, with crops of ``size`` pixels."""
        number, points, crops = np.zeros(0, int), np.zeros((0, 478, 3), np.float32), np.zeros((0, size, size), np.uint8)
        return cls(number, number, points, points, crops, crops, crops)

    def save(self, path: Path) -> None:
        """Write the file in one step."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, path: Path) -> AnonymizedPairs:
        """Read what :meth:`save` wrote.

        Raises:
            ValueError: the file is damaged or holds something else.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                return cls(**{field.name: stored[field.name] for field in fields(cls)})
        except (KeyError, zipfile.BadZipFile, EOFError, OSError) as error:
            raise ValueError(f"{path} holds no anonymized pairs ({error}): delete it, and it is made again.") from error


def engine_anonymizer(engine: Anonymizer, options: AnonymizeOptions, seed: int, donor: np.ndarray | None = None) -> AnonymizeFace:
    """The engine with a fresh seed for every photo, drawn from ``seed``; ``options.seed`` is ignored.

    ``donor`` are (478, 3) landmarks of somebody else that every face gets, in its own pose and outline: a control.
    """
    generator = np.random.default_rng(seed)

    def anonymize(photo: np.ndarray, face: Face) -> np.ndarray | None:
        if donor is not None and face.landmarks is not None:
            face = replace(face, landmarks=in_pose_of(face.landmarks, donor))
        drawn = int(generator.integers(2**62))
        output = run_engine(engine, photo, replace(options, seed=drawn), faces=[face])
        return output.photo if output.status == "replaced" else None

    return anonymize


def box_anonymizer(method: Callable[[np.ndarray, Box], np.ndarray]) -> AnonymizeFace:
    """A method of ``baselines`` as an :data:`AnonymizeFace`."""
    return lambda photo, face: method(photo, face.box)


def redetect(detector: FaceDetector, photo: np.ndarray, box: Box, *, min_face_size: int = 24) -> np.ndarray | None:
    """Landmarks of the face that overlaps a box best (IoU 0.3 or more), or None."""
    faces = [face for face in detector(photo, min_face_size=min_face_size) if face.landmarks is not None]
    face = overlapping_face(faces, box)
    return None if face is None else face.landmarks


def _collect_one(
    photo: np.ndarray, anonymize: AnonymizeFace, detector: FaceDetector, size: int, min_face_size: int
) -> tuple[np.ndarray, ...] | None:
    faces = [face for face in detector(photo, min_face_size=min_face_size) if face.landmarks is not None]
    if not faces or faces[0].landmarks is None:
        return None
    anonymized = anonymize(photo, faces[0])
    if anonymized is None:
        return None
    own = faces[0].landmarks
    found = redetect(detector, anonymized, faces[0].box, min_face_size=min_face_size)
    before, after = to_grayscale(photo), to_grayscale(anonymized)
    try:
        straight, there = align_face(own, size), align_face(own if found is None else found, size)
    except ValueError:  # landmarks without a head pose cannot be aligned
        return None
    seen = np.full((478, 3), np.nan) if found is None else found
    return own, seen, crop_image(before, straight), crop_image(after, there), crop_image(before, there)


def collect_pairs(
    photos: Iterable[np.ndarray],
    persons: Sequence[int] | np.ndarray,
    anonymize: AnonymizeFace,
    detector: FaceDetector,
    *,
    size: int = CROP_SIZE,
    min_face_size: int = 24,
) -> AnonymizedPairs:
    """Anonymize the largest face of every photo and keep what an attacker sees before and after.

    Args:
        photos: RGB uint8 (height, width, 3), read once.
        persons: (n,) who each photo shows.
        anonymize: the method under attack.
        detector: finds the face before and after.
        size: side of the crops in pixels.
        min_face_size: smaller faces are not searched for, in pixels.

    Raises:
        ValueError: there are more or fewer photos than persons.
    """
    collected: list[tuple[np.ndarray, ...]] = []
    rows: list[int] = []
    seen = 0
    for photo in photos:
        one = _collect_one(photo, anonymize, detector, size, min_face_size)
        if one is not None:
            collected.append(one)
            rows.append(seen)
        seen += 1
    if seen != len(persons):
        raise ValueError(f"{len(persons)} persons were given for {seen} photos.")
    if not collected:
        return AnonymizedPairs.empty(size)
    columns = [np.stack(column) for column in zip(*collected, strict=True)]
    landmarks, found = (column.astype(np.float32) for column in columns[:2])
    return AnonymizedPairs(np.asarray(persons)[rows], np.array(rows, int), landmarks, found, *columns[2:])


def program_digest(engine: Anonymizer, options: AnonymizeOptions) -> str:
    """Hexadecimal digest of the weights, the options (without the seed) and the source of ``core``: pairs made by another version of the
    program are of no use against this one."""
    state = hashlib.sha256(repr(replace(options, seed=None)).encode())
    for path in sorted((PACKAGE / "core").glob("*.py")):
        state.update(path.name.encode() + path.read_bytes())
    state.update(engine.model.config.to_json_string().encode())
    for name, tensor in sorted(engine.model.state_dict().items()):
        state.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
    return state.hexdigest()[:16]


# Where dlib's HOG detects the face in an aligned crop, as shares of its side: median over originals. Detecting it in each crop would work
# for some reconstructions and not for others; the recognizer finds eyes and nose within the box itself.
FACE_IN_CROP = (0.12, 0.12, 0.82, 0.89)


def embed_crops(recognizer: Recognizer, crops: np.ndarray) -> list[np.ndarray | None]:
    """(n, S, S) uint8 gray crops -> n vectors of the recognizer, None where it cannot read the face."""
    x_min, y_min, x_max, y_max = (share * crops.shape[1] for share in FACE_IN_CROP)
    box = (x_min, y_min, x_max, y_max)
    return [recognizer(np.repeat(crop[..., None], 3, axis=2), box) for crop in crops]
