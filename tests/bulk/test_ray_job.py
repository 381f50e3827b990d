"""Rows of tables, the actor with its worker, and the Ray job as a whole: nothing lost, nothing twice, nothing uncovered."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest
import tiny
from PIL import Image
from standins import BROKEN, CRASH, TroubledEngine, face_pixels, save, square_photo

from ganon_hf.bulk import folder as batch
from ganon_hf.bulk.correction_file import PhotoCorrections
from ganon_hf.bulk.parquet_shards import MANIFEST, JobError, Storage, plan_shards
from ganon_hf.bulk.ray_job import ShardJob, ShardWorker, anonymize_dataset
from ganon_hf.bulk.rows import AnonymizeRows, RowTask, RowTaskHandler
from ganon_hf.core.corrections import FaceCorrection
from ganon_hf.core.options import AnonymizeOptions
from ganon_hf.image_files import SOURCE_TYPE

WORK = RowTaskHandler(AnonymizeOptions(on_no_face="raise"))


def encoded(photo: np.ndarray | Image.Image, name: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    (photo if isinstance(photo, Image.Image) else Image.fromarray(photo)).save(file, name, **options)
    return file.getvalue()


# ---- rows ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        (encoded(tiny.noise_photo()), "ok", ""),
        (encoded(tiny.noise_photo(90, 70)), "refused", "no face was found"),
        (encoded(tiny.noise_photo())[:5000], "refused", "cannot be decoded"),  # cut off
        (b"", "refused", "is empty"),
        (b"GET / HTTP/1.1", "refused", "is not a picture"),
        ("the storage is gone", "failed", "the storage is gone"),  # not read at all
    ],
)
def test_a_row_has_a_picture_or_a_reason(content: bytes | str, status: str, reason: str) -> None:
    (row,) = WORK(tiny.tiny_engine(), [RowTask("a", content, seed=1)])
    assert row.status == status and reason in row.reason and bool(row.reason) == (status != "ok")
    assert (row.image is not None) == (status == "ok") == bool(row.faces)
    assert row.image != content


def test_a_row_without_a_face_that_may_stay_is_copied() -> None:
    (row,) = RowTaskHandler(AnonymizeOptions(on_no_face="keep"))(tiny.tiny_engine(), [RowTask("a", encoded(tiny.noise_photo(90, 70)))])
    assert row.status == "copied" and row.image is not None and row.faces == () and row.reason == ""


@pytest.mark.parametrize(("name", "kept"), [("JPEG", "JPEG"), ("WEBP", "WEBP"), ("PNG", "PNG"), ("BMP", "PNG"), ("TIFF", "PNG")])
def test_formats_are_kept_where_they_lose_little(name: str, kept: str) -> None:
    (row,) = WORK(tiny.tiny_engine(), [RowTask("a", encoded(tiny.noise_photo(), name), seed=1)])
    assert row.image is not None and Image.open(io.BytesIO(row.image)).format == kept


def test_metadata_does_not_pass_unless_asked_for() -> None:
    exif = Image.Exif()
    exif[0x0110] = "EOS R5"
    task = RowTask("a", encoded(tiny.noise_photo(), "JPEG", exif=exif, comment=b"SECRET"), seed=1)
    for keep, expected in (((), {}), (("camera",), {0x0110: "EOS R5"})):
        (row,) = RowTaskHandler(AnonymizeOptions(), keep)(tiny.tiny_engine(), [task])
        assert row.image is not None and b"SECRET" not in row.image
        assert dict(Image.open(io.BytesIO(row.image)).getexif()) == expected


def test_rows_are_marked_on_request() -> None:
    for mark in (False, True):
        (row,) = RowTaskHandler(AnonymizeOptions(), mark=mark)(tiny.tiny_engine(), [RowTask("a", encoded(tiny.noise_photo()), seed=1)])
        assert row.image is not None and row.marked == mark
        assert ("xmp" in Image.open(io.BytesIO(row.image)).info) == mark
    cell = {"bytes": encoded(tiny.noise_photo(), "JPEG")}
    rows = AnonymizeRows(mark=True)
    rows._engine = tiny.tiny_engine()
    assert SOURCE_TYPE.encode() in rows({"image": [cell]})["image"][0]["bytes"]


def test_seeds_belong_to_rows_and_to_the_job() -> None:
    def job(key: str, seed: int | None = None) -> ShardJob:
        return ShardJob("", "", "image", RowTaskHandler(AnonymizeOptions(seed=seed)), key, TroubledEngine)

    one, same, other = job("aa" * 32), job("aa" * 32), job("bb" * 32)
    assert one.task("x", b"").seed == same.task("x", b"").seed, "a second run"
    assert len({one.task("x", b"").seed, one.task("y", b"").seed, other.task("x", b"").seed}) == 3
    assert job("aa" * 32, seed=7).task("x", b"").seed == 7, "on request the same person everywhere"


def test_corrections_go_by_the_key_of_a_row(tmp_path: Path) -> None:
    """A row's own, with its seed where the run has none; and none for a row that is not there."""
    row = PhotoCorrections("p.parquet#1", "0" * 64, (FaceCorrection((5, 5, 50, 50), "cover", drawn=True),), 3)
    job = ShardJob("", "", "image", WORK, "aa" * 32, TroubledEngine, corrections={row.photo: row})
    assert job.task("p.parquet#1", b"").corrections == row and job.task("p.parquet#0", b"").corrections is None
    (tmp_path / "in").mkdir()
    pictures = [{"image": encoded(tiny.noise_photo())} for _ in range(2)]
    parquet.write_table(pyarrow.Table.from_pylist(pictures), tmp_path / "in" / "p.parquet")
    for missing in ("p.parquet#2", "p.parquet", "q.parquet#0"):
        with pytest.raises(ValueError, match="not among the photos"):
            anonymize_dataset(str(tmp_path / "in"), str(tmp_path / "out"), corrections={missing: replace(row, photo=missing)})
    assert not (tmp_path / "out").exists()


# ---- a column of a data set ------------------------------------------------------------------------------------------------------


def rows_function(**options: object) -> AnonymizeRows:
    function = AnonymizeRows(**options)  # type: ignore[arg-type]
    function._engine = tiny.tiny_engine()
    return function


def test_a_column_is_replaced_and_what_failed_is_null(tmp_path: Path) -> None:
    listed = tmp_path / "a.png"
    listed.write_bytes(encoded(tiny.noise_photo(seed=1)))
    cells = [
        Image.fromarray(tiny.noise_photo(seed=1)),
        {"bytes": encoded(tiny.noise_photo(seed=1)), "path": None},
        {"bytes": None, "path": str(listed)},
        {"bytes": b"junk", "path": None},
        {"bytes": None, "path": None},
        None,
        Image.fromarray(tiny.noise_photo(90, 70)),
    ]
    out = rows_function(options=AnonymizeOptions(seed=3, on_no_face="raise"), column="photo")({"photo": cells, "label": list(range(7))})
    assert set(out) == {"photo", "status", "reason", "faces"}
    assert out["status"] == ["ok"] * 3 + ["refused", "failed", "failed", "refused"]
    assert [cell is None for cell in out["photo"]] == [False] * 3 + [True] * 4
    pictures = [Image.open(io.BytesIO(cell["bytes"])) for cell in out["photo"][:3]]
    expected = tiny.tiny_engine()(tiny.noise_photo(seed=1), AnonymizeOptions(seed=3)).image
    assert all(tiny.same(picture, expected) for picture in pictures)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(KeyError, match="no column 'image', but photo"):
        rows_function()({"photo": []})


def test_the_function_travels_without_its_engine() -> None:
    function = rows_function(options=AnonymizeOptions(seed=3))
    assert len(pickle.dumps(function)) < 1000 and pickle.loads(pickle.dumps(function))._engine is None
    assert pickle.dumps(function) == pickle.dumps(AnonymizeRows(AnonymizeOptions(seed=3))), "datasets knows finished work by this"


# ---- the actor -------------------------------------------------------------------------------------------------------------------


def test_an_actor_survives_what_its_worker_does_not(tmp_path: Path) -> None:
    sizes = {2: CRASH, 3: BROKEN}
    for number in range(6):
        save(tmp_path / "in" / f"{number}.png", square_photo(sizes.get(number, (96, 64)), box=None if number == 4 else (24, 16, 56, 48)))
    source, target = Storage(str(tmp_path / "in")), Storage(str(tmp_path / "out"))
    (shard,), _ = plan_shards(source, 10, "image")
    actor = ShardWorker(ShardJob(source.url, target.url, "image", WORK, "aa" * 32, TroubledEngine, photos_per_call=3))
    try:
        done = actor({"shard": np.array([shard.to_json()])})
        assert done == {"name": [shard.name], "ok": [3], "copied": [0], "refused": [1], "failed": [2], "doubtful": [0]}
        before = (tmp_path / "out" / shard.name).stat()
        assert actor({"shard": np.array([shard.to_json()])}) == done
        assert (tmp_path / "out" / shard.name).stat().st_mtime_ns == before.st_mtime_ns, "a finished shard is not done again"
    finally:
        actor.close()
    rows = parquet.read_table(tmp_path / "out" / shard.name).to_pylist()
    assert [row["key"] for row in rows] == [f"{i}.png" for i in range(6)]
    assert [row["status"] for row in rows] == ["ok", "ok", "failed", "failed", "refused", "ok"]
    assert "exit code -9" in rows[2]["reason"] and "broken" in rows[3]["reason"]
    for row in rows:
        assert (row["image"] is None) == (row["status"] != "ok")
        assert row["image"] is None or len(face_pixels(Image.open(io.BytesIO(row["image"]["bytes"])))) == 0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"workers": 0}, ValueError, "at least 1"),
        ({"rows_per_shard": 0}, ValueError, "at least 1"),
        ({"gpus_per_worker": -1.0}, ValueError, "not negative"),
        ({"keep_metadata": ("gps",)}, ValueError, "takes date, camera"),
        ({}, JobError, "neither pictures nor"),  # an empty folder
        ({"target": "in/out"}, JobError, "lies in"),  # results would become photos
        ({"target": "in"}, JobError, "lies in"),
    ],
)
def test_what_cannot_be_done_is_said_before_ray_is_started(
    arguments: dict[str, object], error: type[Exception], message: str, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    target = tmp_path / str(arguments.get("target", "out"))
    others = {name: value for name, value in arguments.items() if name != "target"}
    with pytest.raises(error, match=message):
        anonymize_dataset(str(tmp_path / "in"), str(target), **others)  # type: ignore[arg-type]
    assert list(tmp_path.rglob("*")) == [tmp_path / "in"]


# ---- Ray and datasets ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def ray_here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ray on this machine with two cores, ended afterwards."""
    ray = pytest.importorskip("ray")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def faces_folder(folder: Path, astronaut: Image.Image, count: int) -> Path:
    """Small photos of one person, all different, and two that are none."""
    face = astronaut.crop((150, 30, 310, 190))
    for number in range(count - 2):
        save(folder / f"{number:03d}.png", face.resize((112 + number % 16, 112 + number // 16)))
    (folder / "junk.jpg").write_bytes(b"junk")
    save(folder / "nobody.png", Image.new("RGB", (64, 64), "gray"))
    return folder


def digests(target: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in target.glob("*.parquet")}


def actors_of_this_process() -> list[int]:
    """Process ids of Ray Data's actors that descend from this process."""
    parents, names = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            names[int(folder.name)] = (folder / "cmdline").read_text()
            parents[int(folder.name)] = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue  # gone

    def ours(pid: int) -> bool:
        while pid > 1 and pid != os.getpid():
            pid = parents.get(pid, 0)
        return pid == os.getpid()

    return [pid for pid, name in names.items() if name.startswith("ray::MapWorker") and ours(pid)]


@pytest.mark.slow
@pytest.mark.scale
@pytest.mark.detection
def test_a_killed_actor_loses_nothing_and_does_nothing_twice(astronaut: Image.Image, tmp_path: Path, ray_here: None) -> None:
    source, options = faces_folder(tmp_path / "in", astronaut, 64), AnonymizeOptions(seed=7, on_no_face="raise")
    calm = anonymize_dataset(str(source), str(tmp_path / "calm"), options, workers=2, rows_per_shard=4)
    assert (calm.shards, calm.skipped, calm.ok + calm.refused + calm.failed) == (16, 0, 64) and calm.refused == 2 and calm.failed == 0
    killed: list[int] = []

    def kill_one() -> None:
        deadline = time.monotonic() + 300
        while not killed and time.monotonic() < deadline:
            if len(list((tmp_path / "out").glob("*.parquet"))) >= 3 and (actors := actors_of_this_process()):
                os.kill(actors[0], 9)
                killed.append(actors[0])
            time.sleep(0.02)

    watcher = threading.Thread(target=kill_one)
    watcher.start()
    done = anonymize_dataset(str(source), str(tmp_path / "out"), options, workers=2, rows_per_shard=4)
    watcher.join()
    assert killed, "an actor was killed in the middle"
    assert (done.ok, done.refused, done.failed, done.shards) == (calm.ok, 2, 0, 16)
    assert digests(tmp_path / "out") == digests(tmp_path / "calm") and len(digests(tmp_path / "out")) == 16
    keys = [row["key"] for path in sorted((tmp_path / "out").glob("*.parquet")) for row in parquet.read_table(path).to_pylist()]
    assert keys == sorted(os.listdir(source)), "every photo once, in order"
    again = anonymize_dataset(str(source), str(tmp_path / "out"), options, workers=2, rows_per_shard=4)
    assert again.skipped == 16 and (again.ok, again.refused) == (done.ok, 2)


@pytest.mark.slow
@pytest.mark.scale
@pytest.mark.detection
def test_without_a_seed_a_stopped_job_still_ends_like_an_undisturbed_one(astronaut: Image.Image, tmp_path: Path, ray_here: None) -> None:
    source, target = faces_folder(tmp_path / "in", astronaut, 8), tmp_path / "out"
    first = anonymize_dataset(str(source), str(target), workers=1, rows_per_shard=2)
    undisturbed, manifest = digests(target), json.loads((target / MANIFEST).read_text())
    assert first.ok == 6 and manifest["key"] == "", "who knows the seed knows what was added to hide a face"
    rows = [row for path in sorted(target.glob("*.parquet")) for row in parquet.read_table(path).to_pylist()]
    assert len({row["image"]["bytes"] for row in rows if row["image"]}) == 6
    lost = sorted(undisturbed)[1]
    (target / lost).unlink()
    with pytest.raises(JobError, match="was finished before"):
        anonymize_dataset(str(source), str(target), workers=1, rows_per_shard=2)
    for path in target.iterdir():
        path.unlink()
    (target / MANIFEST).write_text(json.dumps(manifest | {"key": "ab" * 32}))  # a job that had just begun, stopped
    anonymize_dataset(str(source), str(target), workers=1, rows_per_shard=2)
    with_key = digests(target)
    assert with_key.keys() == undisturbed.keys() and with_key != undisturbed
    (target / lost).unlink()
    (target / MANIFEST).write_text(json.dumps(manifest | {"key": "ab" * 32}))  # the same, stopped later
    assert anonymize_dataset(str(source), str(target), workers=1, rows_per_shard=2).skipped == 3
    assert digests(target) == with_key


MAP = """
import sys
from datasets import Image, load_dataset
from ganon_hf import AnonymizeOptions
from ganon_hf.bulk import AnonymizeRows

if __name__ == "__main__":
    photos = load_dataset("imagefolder", data_dir=sys.argv[1], split="train").cast_column("image", Image(decode=False))
    done = photos.map(AnonymizeRows(AnonymizeOptions(seed=7, on_no_face="raise")), batched=True, batch_size=4, num_proc=2)
    done.to_parquet(sys.argv[2])
"""


@pytest.mark.slow
@pytest.mark.scale
@pytest.mark.detection
def test_datasets_map_in_two_processes(astronaut: Image.Image, tmp_path: Path) -> None:
    folder = faces_folder(tmp_path / "in", astronaut, 10)
    script = tmp_path / "map.py"
    script.write_text(MAP)
    environment = os.environ | {"HF_HOME": str(tmp_path / "cache")}
    subprocess.run([sys.executable, str(script), str(folder), str(tmp_path / "out.parquet")], check=True, env=environment)
    rows = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert sorted(row["status"] for row in rows) == ["ok"] * 8 + ["refused"] * 2
    jobs, _ = batch.plan([str(folder)], str(tmp_path / "out"))
    assert len(jobs) == len(rows) and all((row["image"] is None) == (row["status"] == "refused") for row in rows)
