"""Targets of ``ganon-hf scale`` that hold damaged or hostile files, and disks that take no more."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest
from limited_disk import largest_file

from ganon_hf.bulk.parquet_shards import COUNTS, MANIFEST, JobError, Manifest, Storage, read_counts, write_shard
from ganon_hf.bulk.rows import RowResult

pytestmark = pytest.mark.attack
SHARD = "part-000000-of-000001.parquet"
JOB = Manifest("photos", "digest", 1, 1, 1, "image", {}, (), "model")


@pytest.mark.parametrize("size", [0, 3, 1000, 1 << 20, 5 << 20])
def test_a_shard_that_does_not_fit_leaves_nothing(size: int, tmp_path: Path) -> None:
    photos = np.random.default_rng(0)
    rows = [RowResult(f"{number}.jpg", photos.bytes(1 << 16), "ok") for number in range(80)]  # two row groups, 5 MiB
    with largest_file(size), pytest.raises(OSError, match="large"):
        write_shard(Storage(str(tmp_path)), SHARD, iter(rows))
    assert list(tmp_path.iterdir()) == []
    assert write_shard(Storage(str(tmp_path)), SHARD, iter(rows)) == dict.fromkeys(COUNTS, 0) | {"ok": 80}
    assert [path.name for path in tmp_path.iterdir()] == [SHARD]


def test_a_manifest_that_does_not_fit_leaves_nothing(tmp_path: Path) -> None:
    with largest_file(10), pytest.raises(OSError, match="large"):
        JOB.claim(Storage(str(tmp_path)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", [b"", b"[]", b'"x"', b"{}", b"[" * 100_000, b"\xff\xfe", b'{"key": 5}'], ids=range(7))
def test_a_manifest_that_is_none_is_an_error_that_names_it(text: bytes, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_bytes(text)
    with pytest.raises(JobError, match="no manifest of a job.*name another target"):
        JOB.claim(Storage(str(tmp_path)))
    assert (tmp_path / MANIFEST).read_bytes() == text


def stored(counts: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        table = pyarrow.table({"key": ["a"]})
        parquet.write_table(table.replace_schema_metadata({"ganon_hf": json.dumps(counts)}), path)

    return write


SHARDS: dict[str, Callable[[Path], Any]] = {
    "empty": lambda path: path.touch(),
    "cut": lambda path: path.write_bytes(b"PAR1" * 10),
    "of another program": lambda path: parquet.write_table(pyarrow.table({"key": ["a"]}), path),
    "counts that are a list": stored([1]),
    "counts that are words": stored({"ok": "many"}),
    "counts without end": stored({"ok": float("inf")}),
}


@pytest.mark.parametrize("row", SHARDS)
def test_a_finished_shard_that_is_none_is_an_error_that_names_it(row: str, tmp_path: Path) -> None:
    SHARDS[row](tmp_path / SHARD)
    with pytest.raises(JobError, match=f"{SHARD} is no finished shard.*remove it"):
        read_counts(Storage(str(tmp_path)), SHARD)
