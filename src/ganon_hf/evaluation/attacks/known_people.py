"""What an attacker who owns the program collects: pictures of people he knows, before and after.

He runs the anonymization himself, so he has any number of such pairs; the parrot recognizers and the reconstruction learn from them. The
same pairs of people he does not know are what he is tried on.

Conventions: a crop is an aligned square as in ``alignment``, gray uint8 (S, S); landmarks are (478, 3) photo pixels.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..._atomic import atomic_file
from ...core.alignment import align_face, crop_image
from ...core.anonymizer import Anonymizer
from ...core.detection_tiled import FaceDetector
from ...core.faces import Box, Face, box_overlap
from ...core.options import AnonymizeOptions
from ..metrics.recognition import Recognizer
from ..readings import run_engine

CROP_SIZE = 128
MIN_IOU = 0.3
# Few pictures of many people teach more about telling people apart than many of a few.
MAX_PER_PERSON = 4
PACKAGE = Path(__file__).resolve().parent.parent.parent

# (RGB uint8 photo, the face that is known) -> the photo anonymized, or None where it came to nothing and nothing can be learned
Change = Callable[[np.ndarray, Face], np.ndarray | None]
Progress = Callable[..., Iterable[Any]]


@dataclass(frozen=True, eq=False)
class Exposures:
    """Pictures of known people before and after anonymization.

    Attributes:
        persons: (n,) int, who is shown.
        rows: (n,) int, place of the picture among those handed in; pictures without a face, or not anonymized, are left out.
        landmarks: (n, 478, 3) of the original, photo pixels.
        found: (n, 478, 3) found anew in the anonymized picture, NaN where no face is found.
        originals: (n, S, S) uint8, the original cut at its own landmarks.
        anonymized: (n, S, S) uint8, the anonymized picture cut at the landmarks found in it; where there are none, at the original's:
            the attacker is told where the face was.
        targets: (n, S, S) uint8, the original cut where ``anonymized`` was.

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

    def take(self, numbers: Sequence[int] | np.ndarray) -> Exposures:
        """The pictures with these numbers, in this order."""
        chosen = np.asarray(numbers, int)
        return Exposures(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})

    def places(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """(len(rows),) numbers of the pictures that were handed in at these places, -1 where left out."""
        known = {int(row): number for number, row in enumerate(self.rows)}
        return np.array([known.get(int(row), -1) for row in rows], int)

    def save(self, path: Path) -> None:
        """Write the file in one step."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, path: Path) -> Exposures:
        """Read what :meth:`save` wrote.

        Raises:
            ValueError: the file is damaged or holds something else.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                return cls(**{field.name: stored[field.name] for field in fields(cls)})
        except (KeyError, zipfile.BadZipFile, EOFError, OSError) as error:
            raise ValueError(f"{path} holds no exposures ({error}): delete it, and it is made again.") from error


def engine_change(engine: Anonymizer, options: AnonymizeOptions, seed: int) -> Change:
    """The engine with a fresh seed for every photo, drawn from ``seed``; ``options.seed`` does not count."""
    generator = np.random.default_rng(seed)

    def change(photo: np.ndarray, face: Face) -> np.ndarray | None:
        drawn = int(generator.integers(2**62))
        output = run_engine(engine, photo, replace(options, seed=drawn), faces=[face])
        return output.photo if output.status == "replaced" else None

    return change


def box_change(method: Callable[[np.ndarray, Box], np.ndarray]) -> Change:
    """A method of ``baselines`` as a :data:`Change`."""
    return lambda photo, face: method(photo, face.box)


def luma(picture: np.ndarray) -> np.ndarray:
    """RGB uint8 (h, w, 3) -> gray uint8 (h, w), ITU-R 601."""
    return np.asarray(Image.fromarray(picture).convert("L"))


def find_again(detector: FaceDetector, photo: np.ndarray, box: Box, *, min_face_size: int = 24) -> np.ndarray | None:
    """Landmarks of the face that overlaps a box best (IoU 0.3 or more), or None."""
    faces = [face for face in detector(photo, min_face_size=min_face_size) if face.landmarks is not None]
    if not faces:
        return None
    union, _ = box_overlap(box, np.array([face.box for face in faces]))
    best = int(np.argmax(union))
    return faces[best].landmarks if union[best] >= MIN_IOU else None


def _expose_one(photo: np.ndarray, change: Change, detector: FaceDetector, size: int, min_face_size: int) -> tuple[np.ndarray, ...] | None:
    faces = [face for face in detector(photo, min_face_size=min_face_size) if face.landmarks is not None]
    if not faces or faces[0].landmarks is None:
        return None
    anonymized = change(photo, faces[0])
    if anonymized is None:
        return None
    own = faces[0].landmarks
    found = find_again(detector, anonymized, faces[0].box, min_face_size=min_face_size)
    before, after = luma(photo), luma(anonymized)
    try:
        straight, there = align_face(own, size), align_face(own if found is None else found, size)
    except ValueError:  # landmarks without a head pose: nobody can align such a face
        return None
    seen = np.full((478, 3), np.nan) if found is None else found
    return own, seen, crop_image(before, straight), crop_image(after, there), crop_image(before, there)


def expose(
    photos: Iterable[np.ndarray],
    persons: Sequence[int] | np.ndarray,
    change: Change,
    detector: FaceDetector,
    *,
    size: int = CROP_SIZE,
    min_face_size: int = 24,
    progress: Progress = lambda items, **_: items,
    desc: str = "exposing",
) -> Exposures:
    """Anonymize the largest face of every photo and keep what an attacker would.

    Args:
        photos: RGB uint8 (height, width, 3), read once.
        persons: (n,) who each photo shows.
        change: what anonymizes.
        detector: finds the face before and after.
        size: side of the crops in pixels.
        min_face_size: smaller faces are not searched for.
        progress: wraps the iterable, as ``tqdm`` does.
        desc: handed to ``progress``.

    Raises:
        ValueError: there are more or fewer photos than persons.
    """
    collected: list[tuple[np.ndarray, ...]] = []
    rows: list[int] = []
    seen = 0
    for photo in progress(photos, desc=desc, total=len(persons)):
        one = _expose_one(photo, change, detector, size, min_face_size)
        if one is not None:
            collected.append(one)
            rows.append(seen)
        seen += 1
    if seen != len(persons):
        raise ValueError(f"{len(persons)} persons were given for {seen} photos.")
    shapes = ((0, 478, 3), (0, 478, 3), *[(0, size, size)] * 3)
    columns = [np.stack(c) for c in zip(*collected, strict=True)] if collected else [np.zeros(shape, np.uint8) for shape in shapes]
    landmarks, found = (column.astype(np.float32) for column in columns[:2])
    return Exposures(np.asarray(persons)[rows], np.array(rows, int), landmarks, found, *columns[2:])


def program_digest(engine: Anonymizer, options: AnonymizeOptions) -> str:
    """Hexadecimal digits that change with the weights, the options (but for the seed) and the program's source: what was anonymized by
    another program teaches an attacker of this one the wrong thing."""
    state = hashlib.sha256(repr(replace(options, seed=None)).encode())
    for path in sorted((PACKAGE / "core").glob("*.py")):
        state.update(path.name.encode() + path.read_bytes())
    state.update(engine.model.config.to_json_string().encode())
    for name, tensor in sorted(engine.model.state_dict().items()):
        state.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
    return state.hexdigest()[:16]


# Where dlib's HOG sees the face in an aligned crop, as shares of its side: median over originals. Looking for it anew in each crop would
# find some reconstructions and not others, and the recognizer's own search for eyes and nose makes up for what is off.
FACE_IN_CROP = (0.12, 0.12, 0.82, 0.89)


def embed_crops(
    recognizer: Recognizer, crops: np.ndarray, *, progress: Progress = lambda items, **_: items, desc: str = "embedding"
) -> list[np.ndarray | None]:
    """(n, S, S) uint8 gray crops -> n vectors of the recognizer, None where it cannot read the face."""
    x_min, y_min, x_max, y_max = (share * crops.shape[1] for share in FACE_IN_CROP)
    box = (x_min, y_min, x_max, y_max)
    return [recognizer(np.repeat(crop[..., None], 3, axis=2), box) for crop in progress(crops, desc=desc)]
