"""Pictures of known people: samples, Parquet files of them (columns image, person, emotion, source), and who is compared with whom."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...image_files import read_image

NEUTRAL, SMILING = "neutral", "happiness"
# Where a face fills its picture from edge to edge, a border of this share of the height lets it be detected.
FILLED_BORDER = 0.25


@dataclass(frozen=True)
class PictureFile:
    """A file below ``root``; links that leave that folder are not followed."""

    path: Path
    root: Path


@dataclass(frozen=True, eq=False)
class Sample:
    """One picture of a known person, decoded on access, so that thousands take little memory and can be sent to other processes.

    Attributes:
        content: RGB uint8 (height, width, 3), an encoded picture, or a file.
        person: number of who it shows.
        emotion: what it is labeled with; empty for none.
        border: added on every side, as a share of the height, see :func:`with_border`.
    """

    content: np.ndarray | bytes | PictureFile
    person: int
    emotion: str = ""
    border: float = 0.0

    @property
    def photo(self) -> np.ndarray:
        """RGB uint8 (height, width, 3), decoded anew on every access.

        Raises:
            UnusableImageError: the file is no usable picture.
        """
        if isinstance(self.content, PictureFile):
            photo = np.array(read_image(self.content.path, root=self.content.root).image)
        elif isinstance(self.content, bytes):
            photo = _decode(self.content)
        else:
            photo = self.content
        return with_border(photo, self.border)


def parquet_files(folder: str | Path, name: str) -> list[Path]:
    """The shards of a data set.

    Raises:
        FileNotFoundError: there are none.
    """
    paths = sorted(Path(folder).glob(f"{name}-*.parquet"))
    if not paths:
        raise FileNotFoundError(f"{folder} holds no {name}-*.parquet.")
    return paths


def _table(path: Path, columns: list[str]) -> Any:
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise ImportError("reading Parquet files needs pyarrow: pip install 'pyarrow<22' (the extra `train` brings it)") from error
    return parquet.read_table(path, columns=columns)


def _decode(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as picture:
        return np.array(picture.convert("RGB"))


def read_samples(folder: str | Path, name: str, *, people: int | None = None, border: float = 0.0) -> list[Sample]:
    """All pictures of a data set, or of its first ``people`` people, with a border if wanted."""
    samples: list[Sample] = []
    known: set[int] = set()
    for path in parquet_files(folder, name):
        for row in _table(path, ["image", "person", "emotion"]).to_pylist():
            if people is not None and row["person"] not in known and len(known) >= people:
                continue
            known.add(row["person"])
            samples.append(Sample(row["image"]["bytes"], int(row["person"]), row["emotion"] or "", border))
    return samples


def read_pictures(path: str | Path, *, people: int | None = None) -> list[Sample]:
    """All pictures of one Parquet file with columns image, source, person and emotion, or those of its first ``people`` people.

    Persons count within a source; the samples' numbers tell people of different sources apart. A row without a person is somebody else.
    """
    numbers: dict[tuple[str, int], int] = {}
    samples: list[Sample] = []
    for place, row in enumerate(_table(Path(path), ["image", "source", "person", "emotion"]).to_pylist()):
        key = (row["source"] or "", -1 - place if row["person"] is None else int(row["person"]))
        if people is not None and key not in numbers and len(numbers) >= people:
            continue
        samples.append(Sample(row["image"]["bytes"], numbers.setdefault(key, len(numbers)), row["emotion"] or ""))
    return samples


def to_grayscale(photo: np.ndarray) -> np.ndarray:
    """RGB uint8 (height, width, 3) -> gray uint8 (height, width), ITU-R 601 luma as Pillow rounds it."""
    return np.asarray(Image.fromarray(photo).convert("L"))


def fingerprint(samples: Sequence[Sample]) -> str:
    """16 hexadecimal digits that change with the pictures (files: with name, size and date), their people, labels and border."""
    digest = hashlib.sha256()
    for sample in samples:
        content = sample.content
        if isinstance(content, PictureFile):
            status = content.path.stat()
            content = repr((str(content.path), status.st_size, status.st_mtime_ns)).encode()
        digest.update(content if isinstance(content, bytes) else content.tobytes())
        digest.update(repr((sample.person, sample.emotion, sample.border)).encode())
    return digest.hexdigest()[:16]


def with_border(photo: np.ndarray, share: float) -> np.ndarray:
    """The picture with a border of ``share`` of its height on every side, the edge pixels repeated."""
    width = round(share * photo.shape[0])
    return np.pad(photo, ((width, width), (width, width), (0, 0)), mode="edge") if width else photo


def pair_rows(samples: Sequence[Sample]) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of the neutral and of the smiling picture of everybody who has both, in the same order of people."""
    neutral = {sample.person: row for row, sample in reversed(list(enumerate(samples))) if sample.emotion == NEUTRAL}
    smiling = {sample.person: row for row, sample in reversed(list(enumerate(samples))) if sample.emotion == SMILING}
    both = sorted(neutral.keys() & smiling.keys())
    return np.array([neutral[person] for person in both], int), np.array([smiling[person] for person in both], int)


@dataclass(frozen=True, eq=False)
class Pairing:
    """Which picture of everybody is known to the attacker, and which ones are to be recognized.

    Attributes:
        gallery: (p,) row numbers, one a person.
        probes: (m,) row numbers.
        target: (m,) place in ``gallery`` of the person whom each probe shows.
        by_emotion: the gallery is neutral and the probes smile; else the first picture is known and all others are probes.
    """

    gallery: np.ndarray
    probes: np.ndarray
    target: np.ndarray
    by_emotion: bool

    def __len__(self) -> int:
        return len(self.gallery)


def pair_up(samples: Sequence[Sample], usable: Sequence[bool]) -> Pairing:
    """By emotion where everybody with two pictures has a neutral and a smiling one, else in the order of the pictures.

    Args:
        samples: pictures of people.
        usable: which of them show a face that can be found; the others take no part.
    """
    rows_of: dict[int, list[int]] = {}
    for row, sample in enumerate(samples):
        if usable[row]:
            rows_of.setdefault(sample.person, []).append(row)
    rows_of = {person: rows for person, rows in sorted(rows_of.items()) if len(rows) >= 2}
    kept = [row for rows in rows_of.values() for row in rows]
    neutral, smiling = (np.asarray(kept, int)[part] for part in pair_rows([samples[row] for row in kept]))
    if len(neutral) and len(neutral) == len(rows_of):
        return Pairing(neutral, smiling, np.arange(len(neutral)), True)
    gallery = np.array([rows[0] for rows in rows_of.values()], int)
    probes = np.array([row for rows in rows_of.values() for row in rows[1:]], int)
    target = np.array([place for place, rows in enumerate(rows_of.values()) for _ in rows[1:]], int)
    return Pairing(gallery, probes, target, False)
