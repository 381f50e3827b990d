"""Prepared shards are read as they were written, and broken ones are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from training_faces import encoded, face_rows, write_faces

from ganon_hf.training.shards import SCHEMA, FaceShards, find_shards, read_shards


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> FaceShards:
    return read_shards(find_shards(write_faces(tmp_path_factory.mktemp("faces"), 6, 2), "train"))


def test_shards_come_back_as_they_were_written(shards: FaceShards) -> None:
    rows = face_rows(6)
    assert len(shards) == 6 and shards.image_size == 64
    assert np.allclose(shards.landmarks[3].ravel(), rows[3]["landmarks"])
    taken = shards.take([4, 1])
    assert taken.images == (shards.images[4], shards.images[1]) and taken.emotions[1] == "neutral" and taken.digest != shards.digest


@pytest.mark.parametrize("broken", ["size", "columns", "empty", "landmarks"])
def test_broken_shards_are_refused(tmp_path: Path, broken: str) -> None:
    rows = face_rows(2)
    if broken == "size":
        rows[1]["image"] = encoded(np.zeros((32, 32, 3), np.uint8), "PNG")
    if broken == "landmarks":
        rows[1]["landmarks"][7] = float("nan")  # type: ignore[index]
    table = pa.Table.from_pylist([] if broken == "empty" else rows, schema=SCHEMA)
    path = tmp_path / "train-00000-of-00001.parquet"
    pq.write_table(table.drop_columns(["matte"]) if broken == "columns" else table, path)
    message = {"size": "is 32x32 px", "columns": "no column matte", "empty": "hold no face", "landmarks": "finite"}[broken]
    with pytest.raises(ValueError, match=message):
        read_shards([path]).image(1)
