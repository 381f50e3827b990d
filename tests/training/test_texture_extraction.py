"""Prepared faces become textures once, and again only when the faces or the size change."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tiny import face_at, noise_photo

from ganon_hf._atomic import TEMPORARY_PREFIX
from ganon_hf.training.shards import SCHEMA
from ganon_hf.training.texture_extraction import unwrap_shards
from ganon_hf.training.textures import FaceSample, TextureSet, unwrap_samples

TEXTURE = 32
SIZE = 64


def encode(photo: np.ndarray) -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def face(seed: int, **values: Any) -> dict[str, Any]:
    landmarks = face_at(32, 32, 48).landmarks
    assert landmarks is not None
    row = {
        "image": encode(noise_photo(SIZE, SIZE, seed)),
        "matte": encode(np.full((SIZE, SIZE), 255, np.uint8)),
        "landmarks": landmarks.ravel().tolist(),
        "person": seed,
        "source": "a",
        "emotion": "neutral" if seed % 2 else None,
        "grayscale": seed % 3 == 0,
        "resolution": 1.0,
        "sharpness": 0.5,
    }
    return row | values


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Two rows to a row group."""
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), path, row_group_size=2)
    return path


def same(first: TextureSet, second: TextureSet) -> bool:
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in TextureSet.__dataclass_fields__)


@pytest.fixture
def shards(tmp_path: Path) -> list[Path]:
    return [write(tmp_path / "1.parquet", [face(number) for number in (4, 5)]), write(tmp_path / "0.parquet", [face(n) for n in range(4)])]


def test_shards_become_textures(shards: list[Path]) -> None:
    textures = unwrap_shards(shards, TEXTURE, processes=1)
    assert textures.persons.tolist() == [0, 1, 2, 3, 4, 5], "in the order of the files' names"
    assert textures.neutral.tolist() == [False, True] * 3
    assert textures.color_rows.tolist() == [1, 2, 4, 5], "places among all pictures, not within a part"
    assert textures.luma.shape == (6, TEXTURE, TEXTURE) and textures.chroma.shape == (4, TEXTURE // 2, TEXTURE // 2, 2)
    landmarks = face_at(32, 32, 48).landmarks
    assert landmarks is not None
    alone = unwrap_samples([FaceSample(noise_photo(SIZE, SIZE, 4), landmarks, 4, False, False, 1.0)], TEXTURE)
    assert np.array_equal(textures.luma[4], alone.luma[0]) and np.array_equal(textures.chroma[2], alone.chroma[0])
    assert np.allclose(textures.shapes[4], alone.shapes[0])


def test_unwrapped_parts_are_kept(shards: list[Path], tmp_path: Path) -> None:
    work = tmp_path / "work"
    made = unwrap_shards(shards, TEXTURE, work_dir=work, processes=1)
    parts = sorted(work.iterdir())
    assert len(parts) == 3 and not [path for path in parts if TEMPORARY_PREFIX in path.name]
    times = {path: path.stat().st_mtime_ns for path in parts}
    parts[1].unlink()
    assert same(unwrap_shards(shards, TEXTURE, work_dir=work, processes=1), made)
    assert [path.stat().st_mtime_ns == times[path] for path in parts] == [True, False, True]


@pytest.mark.parametrize(
    "change",
    [{"image": encode(noise_photo(SIZE, SIZE, 99))}, {"person": 77}, {"grayscale": True}, {"emotion": "anger"}, {"resolution": 0.3}],
    ids=lambda change: next(iter(change)),
)
def test_other_faces_are_noticed(tmp_path: Path, change: dict[str, Any]) -> None:
    """The same file name with other contents must not bring back the old textures."""
    path = write(tmp_path / "shard.parquet", [face(1)])
    before = unwrap_shards([path], TEXTURE, work_dir=tmp_path / "work", processes=1)
    write(path, [face(1, **change)])
    after = unwrap_shards([path], TEXTURE, work_dir=tmp_path / "work", processes=1)
    assert not same(before, after) and same(after, unwrap_shards([path], TEXTURE, processes=1))


def test_another_size_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "shard.parquet", [face(1)])
    unwrap_shards([path], TEXTURE, work_dir=tmp_path / "work", processes=1)
    assert unwrap_shards([path], 48, work_dir=tmp_path / "work", processes=1).luma.shape == (1, 48, 48)


@pytest.mark.slow
def test_workers_make_no_difference(shards: list[Path]) -> None:
    assert same(unwrap_shards(shards, TEXTURE, processes=1), unwrap_shards(shards, TEXTURE, processes=2))


def test_nothing_to_unwrap(tmp_path: Path) -> None:
    """Nothing to fit on is an error at once."""
    with pytest.raises(ValueError, match="no face to unwrap"):
        unwrap_shards([], TEXTURE)
    with pytest.raises(ValueError, match="no face to unwrap"):
        unwrap_shards([write(tmp_path / "empty.parquet", [])], TEXTURE)
    pq.write_table(pa.table({"image": [b""]}), tmp_path / "raw.parquet")
    with pytest.raises(ValueError, match="raw.parquet has no column matte, landmarks.*prepare_dataset"):
        unwrap_shards([tmp_path / "raw.parquet"], TEXTURE)
