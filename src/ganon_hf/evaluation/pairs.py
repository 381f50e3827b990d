"""Pictures of known people from the Parquet files of the data folder (columns image, person, emotion, source)."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

NEUTRAL, SMILING = "neutral", "happiness"


@dataclass(frozen=True, eq=False)
class Sample:
    """One picture: RGB uint8 (height, width, 3), who it shows, and the emotion it is labelled with (empty: none)."""

    photo: np.ndarray
    person: int
    emotion: str


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


def _decode(cell: dict[str, Any]) -> np.ndarray:
    with Image.open(io.BytesIO(cell["bytes"])) as picture:
        return np.array(picture.convert("RGB"))


def read_persons(folder: str | Path, name: str) -> np.ndarray:
    """(n,) person of every picture, shards in order."""
    return np.concatenate([_table(path, ["person"])["person"].to_numpy() for path in parquet_files(folder, name)])


def read_photos(folder: str | Path, name: str, rows: Sequence[int]) -> Iterator[np.ndarray]:
    """The photos at the given row numbers (counted over all shards), in the order of ``rows`` within each shard, shard by shard."""
    first = 0
    for path in parquet_files(folder, name):
        table = _table(path, ["image"])
        for row in rows:
            if first <= row < first + len(table):
                yield _decode(table["image"][int(row) - first].as_py())
        first += len(table)


def read_samples(folder: str | Path, name: str, *, people: int | None = None, border: float = 0.0) -> list[Sample]:
    """All pictures of a data set, or of its first ``people`` people, with a border if wanted."""
    samples: list[Sample] = []
    for path in parquet_files(folder, name):
        for row in _table(path, ["image", "person", "emotion"]).to_pylist():
            known = {sample.person for sample in samples}
            if people is not None and row["person"] not in known and len(known) >= people:
                continue
            samples.append(Sample(with_border(_decode(row["image"]), border), int(row["person"]), row["emotion"] or ""))
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
        samples.append(Sample(_decode(row["image"]), numbers.setdefault(key, len(numbers)), row["emotion"] or ""))
    return samples


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
