"""Folders cut into shards, rows that never get lost, and shards that appear complete or not at all."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import fsspec
import pyarrow
import pyarrow.parquet as parquet
import pytest

from ganon_hf.bulk.parquet_shards import MANIFEST, JobError, Manifest, Shard, Storage, plan_shards, read_counts, read_rows, write_shard
from ganon_hf.bulk.rows import RowResult

PICTURES = ("b.jpg", "a.png", "sub/c.jpeg", "sub/d.PNG", "e.webp")


def folder_of(root: Path, *names: str) -> Storage:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return Storage(str(root))


def table(path: Path, cells: list[object], row_group_size: int = 2, column: str = "image") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.table({column: cells, "person": list(range(len(cells)))}), path, row_group_size=row_group_size)


def row(number: int, *, ok: bool = True) -> RowResult:
    face = {"box": {"xmin": 1.0, "ymin": 2.0, "xmax": 3.0, "ymax": 4.0}, "score": 0.9, "status": "replaced", "reason": ""}
    face |= {"look": "woman, young", "kept": ["cloth"]}
    if not ok:
        return RowResult(f"{number}.jpg", None, "refused", "is empty")
    return RowResult(f"{number}.jpg", bytes([number]) * 9, "ok", faces=(face,), notes=("a note",))


# ---- cutting ---------------------------------------------------------------------------------------------------------------------


def test_pictures_are_cut_in_the_order_of_their_names(tmp_path: Path) -> None:
    source = folder_of(tmp_path, *PICTURES, ".hidden.jpg", ".folder/x.jpg", "notes.txt")
    shards, digest = plan_shards(source, 2, "image")
    assert [shard.files for shard in shards] == [("a.png", "b.jpg"), ("e.webp", "sub/c.jpeg"), ("sub/d.PNG",)]
    assert [shard.name for shard in shards] == [f"part-00000{i}-of-000003.parquet" for i in range(3)]
    assert [shard.rows for shard in shards] == [2, 2, 1]
    assert plan_shards(Storage(f"file://{tmp_path}"), 2, "image") == (shards, digest), "the same photos, the same shards"
    (tmp_path / "f.jpg").touch()
    assert plan_shards(source, 2, "image")[1] != digest


def test_row_groups_are_joined_but_not_divided(tmp_path: Path) -> None:
    table(tmp_path / "a.parquet", [b"x"] * 7, row_group_size=2)  # groups of 2, 2, 2, 1
    table(tmp_path / "b.parquet", [b"x"] * 9, row_group_size=9)
    shards, _ = plan_shards(Storage(str(tmp_path)), 4, "image")
    assert [(shard.files[0], shard.groups, shard.first, shard.rows) for shard in shards] == [
        ("a.parquet", (0, 1), 0, 4),
        ("a.parquet", (2, 3), 4, 3),
        ("b.parquet", (0,), 0, 9),
    ]
    assert [Shard.from_json(shard.to_json()) for shard in shards] == shards


@pytest.mark.parametrize(
    ("names", "column", "message"),
    [
        ((), "image", "neither"),  # nothing there
        (("a.txt",), "image", "neither"),  # nothing of use there
        (("a.jpg", "t.parquet"), "image", "pictures and Parquet"),  # which one is meant?
        (("t.parquet",), "photo", "needs a column 'photo'"),  # the column is missing
        (("t.parquet",), "person", "needs a column 'person' of bytes"),  # the column is no picture
    ],
)
def test_what_cannot_be_cut_is_refused_before_anything_runs(names: tuple[str, ...], column: str, message: str, tmp_path: Path) -> None:
    source = folder_of(tmp_path, *(name for name in names if not name.endswith(".parquet")))
    if "t.parquet" in names:
        table(tmp_path / "t.parquet", [b"x"])
    with pytest.raises(JobError, match=message):
        plan_shards(source, 2, column)


def test_rows_with_doubtful_covers_are_counted(target: Storage) -> None:
    face = row(1).faces[0] | {"status": "doubtful", "reason": "it may be no face"}
    rows = [row(1), replace(row(2), faces=(face, face)), row(3, ok=False)]
    counts = {"ok": 2, "copied": 0, "refused": 1, "failed": 0, "doubtful": 1}
    assert write_shard(target, "part.parquet", rows) == counts == read_counts(target, "part.parquet")
    with target.open("part.parquet") as file:
        assert parquet.read_table(file).to_pylist()[1]["faces"] == [face, face]


# ---- reading ---------------------------------------------------------------------------------------------------------------------


def test_every_row_of_a_shard_of_pictures_is_there_readable_or_not(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    source = folder_of(tmp_path / "in", "a.jpg", "b.jpg", "d.jpg")
    (tmp_path / "in" / "c.jpg").symlink_to(tmp_path / "secret.jpg")
    (shard,), _ = plan_shards(source, 10, "image")
    (tmp_path / "in" / "b.jpg").unlink()
    rows = dict(read_rows(source, shard, "image"))
    assert list(rows) == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"] and (rows["a.jpg"], rows["d.jpg"]) == (b"a.jpg", b"d.jpg")
    assert "FileNotFoundError" in rows["b.jpg"] and "leaves the input folder" in rows["c.jpg"]  # type: ignore[operator]


def test_rows_of_tables_have_their_numbers_and_the_empty_ones_a_reason(tmp_path: Path) -> None:
    table(tmp_path / "t.parquet", [{"bytes": bytes([i]) if i != 3 else None, "path": "x"} for i in range(5)])
    source = Storage(str(tmp_path))
    rows = [row for shard in plan_shards(source, 2, "image")[0] for row in read_rows(source, shard, "image")]
    no_photo = "the row holds no photo"
    assert rows == [(f"t.parquet#{i}", bytes([i]) if i != 3 else no_photo) for i in range(5)]


def test_a_table_that_breaks_while_it_is_read_loses_no_row(tmp_path: Path) -> None:
    table(tmp_path / "t.parquet", [bytes([i]) * 40_000 for i in range(24)], row_group_size=12)
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 this is not a table")
    source = Storage(str(tmp_path))
    first, second, torn = plan_shards(source, 12, "image")[0]
    content = bytearray((tmp_path / "t.parquet").read_bytes())
    content[60:2000] = bytes(1940)  # pages of the first group
    (tmp_path / "t.parquet").write_bytes(content)
    rows = list(read_rows(source, first, "image"))
    assert [key for key, _ in rows] == [f"t.parquet#{i}" for i in range(12)]
    assert any(isinstance(value, str) and "cannot be read" in value for _, value in rows)
    assert [value for _, value in read_rows(source, second, "image")] == [bytes([i]) * 40_000 for i in range(12, 24)]
    ((key, reason),) = read_rows(source, torn, "image")
    assert key == "torn.parquet" and "cannot be read as Parquet" in reason  # type: ignore[operator]


# ---- writing ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["local", "memory"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    if request.param == "local":
        yield Storage(str(tmp_path / "new" / "target"))
        return
    yield Storage("memory://target/deep")
    fsspec.filesystem("memory").store.clear()


def listing(target: Storage) -> list[str]:
    return sorted(path.rsplit("/", 1)[1] for path in target.fs.find(target.root)) if target.fs.exists(target.root) else []


def test_a_shard_holds_every_row_and_the_same_rows_give_the_same_bytes(target: Storage) -> None:
    rows = [row(number, ok=number % 3 > 0) for number in range(70)]  # more than a row group
    assert write_shard(target, "part.parquet", rows) == {"ok": 46, "copied": 0, "refused": 24, "failed": 0, "doubtful": 0}
    assert read_counts(target, "part.parquet") == {"ok": 46, "copied": 0, "refused": 24, "failed": 0, "doubtful": 0}
    with target.open("part.parquet") as file:
        content = file.read()
        read = parquet.read_table(file).to_pylist()
    assert [one["key"] for one in read] == [one.key for one in rows]
    assert read[0]["image"] is None and read[0]["reason"] == "is empty"
    assert read[1]["image"]["bytes"] == rows[1].image and read[1]["faces"] == list(rows[1].faces) and read[1]["notes"] == ["a note"]
    write_shard(target, "part.parquet", rows)
    with target.open("part.parquet") as file:
        assert file.read() == content
    assert listing(target) == ["part.parquet"]


def test_a_shard_that_fails_on_the_way_leaves_nothing(target: Storage) -> None:
    def rows() -> Iterator[RowResult]:
        yield row(1)
        raise RuntimeError("the worker is gone")

    with pytest.raises(RuntimeError, match="gone"):
        write_shard(target, "part.parquet", rows())
    assert listing(target) == []


def test_leftovers_of_a_killed_job_are_removed_and_nothing_else(target: Storage) -> None:
    for name in (".ganon-hf-12ab.tmp", "mine.tmp", ".ganon-hf-state.jsonl"):
        target.fs.makedirs(target.root, exist_ok=True)
        target.fs.pipe_file(target.path(name), b"x")
    target.remove_leftovers()
    assert listing(target) == [".ganon-hf-state.jsonl", "mine.tmp"]


# ---- whose results ---------------------------------------------------------------------------------------------------------------

MINE = Manifest("in", "abc", 3, 9, 4, "image", {"seed": None, "privacy": "medium"}, ("date",), "bundled@1")


def test_a_job_is_taken_up_again_with_its_key(target: Storage) -> None:
    first = MINE.claim(target)
    assert len(bytes.fromhex(first.key)) == 32
    assert MINE.claim(target) == first
    dataclasses.replace(first, key="").write(target)
    assert MINE.claim(target).key == ""
    assert listing(target) == [MANIFEST]


@pytest.mark.parametrize("field", ["source", "digest", "rows_per_shard", "options", "keep_metadata", "model", "mark"])
def test_another_job_does_not_write_over_results(field: str, target: Storage) -> None:
    MINE.claim(target)
    other = {"rows_per_shard": 5, "options": {"seed": 1}, "keep_metadata": (), "mark": True}.get(field, "other")
    with pytest.raises(JobError, match=f"\\({field} differ"):
        dataclasses.replace(MINE, **{field: other}).claim(target)


def test_a_job_of_a_version_without_corrections_and_mark_goes_on(target: Storage) -> None:
    older = {name: value for name, value in dataclasses.asdict(MINE.claim(target)).items() if name not in ("corrections", "mark")}
    target.fs.pipe_file(target.path(MANIFEST), json.dumps(older).encode())
    assert MINE.claim(target).key == older["key"]


def test_a_folder_with_somebody_elses_tables_is_left_alone(target: Storage) -> None:
    target.fs.makedirs(target.root, exist_ok=True)
    target.fs.pipe_file(target.path("data.parquet"), b"x")
    with pytest.raises(JobError, match="something else"):
        MINE.claim(target)
    assert listing(target) == ["data.parquet"]


def test_the_manifest_can_be_read_by_people(target: Storage) -> None:
    MINE.claim(target)
    with target.open(MANIFEST) as file:
        assert json.load(file)["options"]["privacy"] == "medium"
