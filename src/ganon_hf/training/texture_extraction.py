"""Unwrapping of all faces of prepared shards to textures, in parallel and resumable."""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from tqdm import tqdm

from ..bulk.process_pool import ProcessPool, usable_cores
from ..core.face_mesh import UV_MAP
from .shards import SCHEMA, FaceShards, check_columns
from .textures import TextureSet, unwrap_samples


@dataclass(frozen=True)
class RowGroup:
    """One row group of one shard."""

    path: str
    index: int


@dataclass(frozen=True)
class _Target:
    """Where textures go, and their size in pixels."""

    folder: str
    texture_size: int


def _unwrap_part(target: _Target, row_group: RowGroup) -> str:
    faces = FaceShards.from_table(pq.ParquetFile(row_group.path).read_row_group(row_group.index, columns=SCHEMA.names))
    # the name changes with the faces, their labels, the texture's size and the UV map
    name = f"textures-{target.texture_size}-{len(faces)}-{zlib.crc32(UV_MAP.tobytes()):08x}-{faces.digest}.npz"
    path = os.path.join(target.folder, name)
    if not os.path.exists(path):
        unwrap_samples(map(faces.sample, range(len(faces))), target.texture_size).save(path)
    return path


def _join(paths: Sequence[str]) -> TextureSet:
    """Join all files to one set. Each is read twice, so that memory holds the result and one file instead of everything twice."""
    lengths, colored, first = [], [], TextureSet.load(paths[0])
    for path in paths:
        with np.load(path, allow_pickle=False) as arrays:
            lengths.append(len(arrays["weights"]))
            colored.append(len(arrays["color_rows"]))
    starts, color_starts = np.cumsum([0, *lengths]), np.cumsum([0, *colored])
    per_color_picture = ("chroma", "color_rows")
    joined = {
        name: np.empty(((color_starts if name in per_color_picture else starts)[-1], *value.shape[1:]), value.dtype)
        for name, value in first.__dict__.items()
    }
    for number, path in enumerate(paths):
        for name, value in TextureSet.load(path).__dict__.items():
            begin = (color_starts if name in per_color_picture else starts)[number]
            joined[name][begin : begin + len(value)] = value + starts[number] if name == "color_rows" else value
    return TextureSet(**joined)


def unwrap_shards(
    paths: Sequence[str | Path], texture_size: int, *, work_dir: str | Path | None = None, processes: int | None = None
) -> TextureSet:
    """Unwrap all faces of prepared shards.

    Args:
        paths: parquet files of ``shards.SCHEMA``.
        texture_size: side of the textures in texels.
        work_dir: folder that keeps the textures (about 75 kB per face at 192 texels). Textures of the same faces at the same size that are
            already there are used again. None keeps nothing.
        processes: number of worker processes; None starts one per core, 1 works in this process.

    Raises:
        ValueError: there is no file or no face in them, or a file is no prepared shard.
    """
    parts: list[RowGroup] = []
    for path in sorted(os.fspath(path) for path in paths):
        file = pq.ParquetFile(path)
        check_columns(path, file.schema_arrow.names)
        parts += [RowGroup(path, index) for index in range(file.num_row_groups) if file.metadata.row_group(index).num_rows]
    if not parts:
        raise ValueError("no face to unwrap: no parquet file was given, or none holds a row.")
    processes = min(processes or usable_cores(), len(parts))
    with ExitStack() as stack:
        folder = work_dir or stack.enter_context(tempfile.TemporaryDirectory())
        os.makedirs(folder, exist_ok=True)
        pool = stack.enter_context(ProcessPool(partial(_Target, str(folder), texture_size), processes))
        made = pool.imap(_unwrap_part, parts)
        return _join(list(tqdm(made, total=len(parts), unit="part", desc="unwrapping")))
