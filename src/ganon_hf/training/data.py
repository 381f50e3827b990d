"""Pictures on disk -> aligned samples -> unwrapped textures, in parallel and resumable."""

from __future__ import annotations

import io
import multiprocessing
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image
from tqdm import tqdm

from ..alignment import align_face, crop_image
from ..detection import FaceDetector, default_detector
from ..photos import to_rgb
from .textures import FaceSample, TextureSet, unwrap_samples

_COLUMNS = ["image", "source", "person", "emotion", "grayscale"]
_ROWS = 250
# Faces smaller than this share of the picture are bystanders.
_MIN_SHARE = 0.2
_workers_detector: FaceDetector | None = None


@dataclass(frozen=True)
class Part:
    """A run of rows of one parquet file."""

    path: str
    start: int
    count: int
    number: int


def read_samples(part: Part, detector: FaceDetector, crop_size: int) -> Iterator[FaceSample]:
    """Aligned samples of the pictures in which the detector finds a face with landmarks.

    Args:
        part: which rows. Columns: image (struct with bytes), source, person, emotion, grayscale.
        detector: finds the face; the largest one counts.
        crop_size: side of the crops in pixels.
    """
    rows = pq.read_table(part.path, columns=_COLUMNS).slice(part.start, part.count).to_pylist()
    for row in rows:
        photo = np.array(to_rgb(Image.open(io.BytesIO(row["image"]["bytes"])))[0])
        smallest = max(24, int(_MIN_SHARE * min(photo.shape[:2])))
        meshes = [face.landmarks for face in detector(photo, min_face_size=smallest) if face.landmarks is not None]
        if not meshes:
            continue
        landmarks = max(meshes, key=lambda points: float(np.prod(np.ptp(points[:, :2], axis=0))))
        try:
            crop = align_face(landmarks, crop_size)
        except ValueError:
            continue  # landmarks without a head pose teach nothing
        # person numbers count within a source: the source's name makes them unique
        person = -1 if row["person"] is None else row["person"] + ((zlib.crc32(row["source"].encode()) >> 2) << 32)
        yield FaceSample(
            crop_image(photo, crop),
            crop.to_crop(landmarks),
            person,
            bool(row["grayscale"]),
            row["emotion"] == "neutral",
            1 / crop.scale,
        )


def _unwrap_part(part: Part, folder: str, crop_size: int, texture_size: int) -> str:
    global _workers_detector
    target = os.path.join(folder, f"part-{part.number:05d}.npz")
    if not os.path.exists(target):
        if _workers_detector is None:
            _workers_detector = default_detector()
        textures = unwrap_samples(read_samples(part, _workers_detector, crop_size), texture_size)
        textures.save(target + ".partial.npz")
        os.replace(target + ".partial.npz", target)
    return target


def unwrap_files(
    paths: Sequence[str | Path], folder: str | Path, *, crop_size: int, texture_size: int, processes: int | None = None
) -> TextureSet:
    """Unwrap all pictures of parquet files; parts that lie in ``folder`` already are not made again.

    Args:
        paths: parquet files.
        folder: where the parts are kept.
        crop_size, texture_size: sides in pixels.
        processes: workers; None takes one per core. They are spawned, because MediaPipe does not survive a fork.

    Raises:
        ValueError: there is no file or no usable picture.
    """
    parts: list[Part] = []
    for path in sorted(map(str, paths)):
        rows = pq.ParquetFile(path).metadata.num_rows
        parts += [Part(path, start, min(_ROWS, rows - start), len(parts) + i) for i, start in enumerate(range(0, rows, _ROWS))]
    if not parts:
        raise ValueError("no parquet file was given.")
    os.makedirs(folder, exist_ok=True)
    work = partial(_unwrap_part, folder=str(folder), crop_size=crop_size, texture_size=texture_size)
    with multiprocessing.get_context("spawn").Pool(processes or os.cpu_count()) as pool:
        made = list(tqdm(pool.imap(work, parts), total=len(parts), unit="part", desc="unwrapping"))
    sets = [TextureSet.load(path) for path in made]
    if not any(map(len, sets)):
        raise ValueError(f"no face with landmarks was found in {len(paths)} file(s).")
    offsets = np.cumsum([0, *(len(part) for part in sets[:-1])])
    joined = {
        name: np.concatenate([getattr(part, name) for part in sets]) for name in TextureSet.__dataclass_fields__ if name != "color_rows"
    }
    return TextureSet(**joined, color_rows=np.concatenate([part.color_rows + offset for part, offset in zip(sets, offsets, strict=True)]))
