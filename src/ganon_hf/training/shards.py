"""Prepared training faces: parquet shards of aligned crops, as ``scripts/prepare_dataset.py`` writes and training reads them."""

from __future__ import annotations

import io
import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ..core.face_mesh import FACE_OVAL
from .textures import FaceSample

_PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
# Features for `datasets`, so that it decodes the columns as pictures.
_FEATURES = {
    "image": {"_type": "Image"},
    "matte": {"_type": "Image"},
    "landmarks": {"feature": {"dtype": "float32", "_type": "Value"}, "length": 478 * 3, "_type": "List"},
    "person": {"dtype": "int64", "_type": "Value"},
    "source": {"dtype": "string", "_type": "Value"},
    "emotion": {"dtype": "string", "_type": "Value"},
    "grayscale": {"dtype": "bool", "_type": "Value"},
    "resolution": {"dtype": "float32", "_type": "Value"},
    "sharpness": {"dtype": "float32", "_type": "Value"},
}
SCHEMA = pa.schema(
    [
        ("image", _PICTURE),
        ("matte", _PICTURE),
        ("landmarks", pa.list_(pa.float32(), 478 * 3)),
        ("person", pa.int64()),
        ("source", pa.string()),
        ("emotion", pa.string()),
        ("grayscale", pa.bool_()),
        ("resolution", pa.float32()),
        ("sharpness", pa.float32()),
    ],
    metadata={"huggingface": json.dumps({"info": {"features": _FEATURES}})},
)


@dataclass(frozen=True, eq=False)
class FaceShards:
    """Aligned faces of one split. The pictures stay encoded until they are used.

    Attributes:
        images: encoded RGB crops (S, S, 3).
        mattes: encoded person masks (S, S).
        landmarks: (n, 478, 3) float32 crop pixels.
        persons: (n,) int64, the same number for the same person, -1 for unknown.
        emotions: labels, None for unknown.
        grayscale: (n,) bool, the picture has no color.
        resolution: (n,) float32 photo pixels per crop pixel before resampling; below 1 the crop was enlarged and is soft.
        image_size: side S of the crops.
    """

    images: tuple[bytes, ...]
    mattes: tuple[bytes, ...]
    landmarks: np.ndarray
    persons: np.ndarray
    emotions: tuple[str | None, ...]
    grayscale: np.ndarray
    resolution: np.ndarray
    image_size: int

    @classmethod
    def from_table(cls, table: pa.Table) -> FaceShards:
        """The rows of a table of :data:`SCHEMA` with at least one row.

        Raises:
            ValueError: landmarks are not finite.
        """
        landmarks = np.stack(table["landmarks"].to_numpy(zero_copy_only=False)).reshape(-1, 478, 3).astype(np.float32)
        if not np.isfinite(landmarks).all():
            raise ValueError("the landmarks of prepared faces must be finite: the file is damaged, prepare the faces again.")
        images = tuple(row["bytes"] for row in table["image"].to_pylist())
        with Image.open(io.BytesIO(images[0])) as first:
            size = first.size[0]
        return cls(
            images,
            tuple(row["bytes"] for row in table["matte"].to_pylist()),
            landmarks,
            table["person"].to_numpy(),
            tuple(table["emotion"].to_pylist()),
            table["grayscale"].to_numpy(zero_copy_only=False).astype(bool),
            table["resolution"].to_numpy().astype(np.float32),
            size,
        )

    def __len__(self) -> int:
        return len(self.images)

    def image(self, number: int) -> np.ndarray:
        """(S, S, 3) uint8 RGB."""
        return self._decode(self.images[number], "RGB", number)

    def matte(self, number: int) -> np.ndarray:
        """(S, S) uint8, 255 where the person is."""
        return self._decode(self.mattes[number], "L", number)

    def sample(self, number: int) -> FaceSample:
        """A face as the unwrapping of textures takes it."""
        return FaceSample(
            self.image(number),
            self.landmarks[number].astype(np.float64),
            int(self.persons[number]),
            bool(self.grayscale[number]),
            self.emotions[number] == "neutral",
            float(self.resolution[number]),
        )

    def _decode(self, data: bytes, mode: str, number: int) -> np.ndarray:
        picture = np.array(Image.open(io.BytesIO(data)).convert(mode))
        if picture.shape[:2] != (self.image_size, self.image_size):
            raise ValueError(
                f"face {number} is {picture.shape[1]}x{picture.shape[0]} px, but all faces must be {self.image_size} px, as the first is."
            )
        return picture

    def take(self, numbers: Sequence[int] | np.ndarray) -> FaceShards:
        """The faces with these indices, in this order."""
        rows = np.asarray(numbers, dtype=np.int64)
        return FaceShards(
            tuple(self.images[i] for i in rows),
            tuple(self.mattes[i] for i in rows),
            self.landmarks[rows],
            self.persons[rows],
            tuple(self.emotions[i] for i in rows),
            self.grayscale[rows],
            self.resolution[rows],
            self.image_size,
        )

    @property
    def tight(self) -> bool:
        """Whether the face ovals fill the crops (``--tight``), judged by the landmarks; with a margin they span about four fifths."""
        oval = self.landmarks[:, FACE_OVAL, :2]
        return bool(np.median(np.ptp(oval, axis=1).max(axis=1)) > 0.97 * self.image_size)

    @property
    def digest(self) -> str:
        """Checksum of faces, labels and order, eight hexadecimal digits; part of the names of cached results."""
        value = zlib.crc32(repr(self.emotions).encode())
        for array in (self.landmarks, self.persons, self.grayscale, self.resolution):
            value = zlib.crc32(array.tobytes(), value)
        for data in self.images:
            value = zlib.crc32(data[-64:], value)
        return f"{value:08x}"


def find_shards(folder: str | Path, split: str) -> list[Path]:
    """The files of one split in a prepared folder.

    Raises:
        FileNotFoundError: there are none.
    """
    found = sorted(Path(folder).glob(f"{split}-*-of-*.parquet"))
    if not found:
        raise FileNotFoundError(f"{folder} holds no {split}-*-of-*.parquet: prepare the faces with scripts/prepare_dataset.py.")
    return found


def check_columns(path: str | Path, names: Sequence[str]) -> None:
    """Raise ValueError unless these are the columns of a prepared shard."""
    missing = [name for name in SCHEMA.names if name not in names]
    if missing:
        raise ValueError(
            f"{os.fspath(path)} has no column {', '.join(missing)}: it is no shard of prepared faces. "
            "Prepare the pictures with scripts/prepare_dataset.py."
        )


def read_shards(paths: Sequence[str | Path]) -> FaceShards:
    """Read all prepared faces into memory, about 15 kB each at 256 px.

    Args:
        paths: parquet files of :data:`SCHEMA`.

    Raises:
        ValueError: there is no file or no row, or the files are no prepared shards.
    """
    if not paths:
        raise ValueError("no parquet file was given.")
    tables = []
    for path in paths:
        check_columns(path, pq.read_schema(path).names)
        tables.append(pq.read_table(path, columns=SCHEMA.names).cast(SCHEMA))
    table = pa.concat_tables(tables).combine_chunks()
    if not len(table):
        raise ValueError(f"{len(paths)} file(s) hold no face.")
    return FaceShards.from_table(table)
