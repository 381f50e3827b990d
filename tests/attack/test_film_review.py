"""Hostile files beside a film that is reviewed, reviews at the same time, kills and full disks while the film is done again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from film_runs import COUNT, MISSED, FilmRun, make_film_run, missing_engine, scripted_film
from limited_disk import largest_file
from typer.testing import CliRunner

from ganon_hf.cli.main import app
from ganon_hf.core.options import AnonymizeOptions
from ganon_hf.review.film_session import FilmSession
from ganon_hf.review.finished_film import read_film
from ganon_hf.review.finished_run import ReportError
from ganon_hf.review.session import ReviewError
from ganon_hf.video import anonymize_video
from ganon_hf.video.film_corrections import film_digest
from ganon_hf.video.parts import PartsFolder
from ganon_hf.video.snapshots import load_snapshot, save_snapshot

pytestmark = pytest.mark.attack
ADD: dict[str, Any] = {"frame": 20, "box": [round(value, 1) for value in MISSED.box], "do": "replace", "drawn": True, "person": 900}
COVER: dict[str, Any] = {"frame": 20, "box": [20, 30, 60, 90], "do": "cover", "track": 0}
SUPPORT = str(Path(__file__).parents[1] / "support")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> FilmRun:
    root = tmp_path_factory.mktemp("film")
    return make_film_run(scripted_film(root / "film.mkv"), root / "out.mkv", missing_engine)


@pytest.fixture
def run(finished: FilmRun, tmp_path: Path) -> FilmRun:
    """A copy that a test may change."""
    folder = tmp_path / "run"
    folder.mkdir()
    copies = [folder / path.name for path in (finished.target, finished.report)]
    for path in copies:
        path.write_bytes((finished.target.parent / path.name).read_bytes())
    return FilmRun(finished.source, *copies, missing_engine)


def redo(session: FilmSession) -> str:
    """Its error, empty where there was none."""
    session.start_redo()
    while (details := session.details())["redo"]["running"]:
        time.sleep(0.02)
    return str(details["redo"]["error"])


# ---- the hidden folder of the parts ---------------------------------------------------------------------------------------------------


def test_a_parts_folder_that_is_a_link_is_not_touched(run: FilmRun, tmp_path: Path) -> None:
    """Whatever is no part is removed from it: through a link, somebody's documents."""
    elsewhere = tmp_path / "documents"
    elsewhere.mkdir()
    (elsewhere / "thesis.txt").write_text("years of work")
    link = PartsFolder(run.target, "").folder
    link.symlink_to(elsewhere)
    before = run.target.read_bytes()
    with run.session() as session:
        session.set_corrections([ADD])
        assert "is a link" in redo(session) and run.target.read_bytes() == before
    with pytest.raises(FileExistsError):
        anonymize_video(run.source, run.target, anonymizer=missing_engine(), codec="lossless")
    with pytest.raises(ValueError, match="is a link"):
        anonymize_video(run.source, run.target, anonymizer=missing_engine(), codec="lossless", overwrite=True)
    assert [path.name for path in elsewhere.iterdir()] == ["thesis.txt"] and link.is_symlink()


def test_links_and_folders_among_the_parts_are_removed_and_not_followed(run: FilmRun, tmp_path: Path) -> None:
    parts, precious = PartsFolder(run.target, ""), tmp_path / "precious"
    precious.write_text("somebody's")
    parts.folder.mkdir()
    for name in ("lock", "segment-000000", "record-000000.npz", "whole.mkv", "state-000001.npz"):
        (parts.folder / name).symlink_to(precious)
    (parts.folder / "folder").mkdir()
    (parts.folder / "folder" / "file").touch()
    with run.session() as session:
        session.set_corrections([ADD])
        assert redo(session) == ""
    assert precious.read_text() == "somebody's"


DEEP = "[" * 100_000


@pytest.mark.parametrize("record", [{}, DEEP, b"no archive"], ids=["empty", "deep", "no archive"])
def test_records_that_are_none_are_made_again(record: Any, run: FilmRun) -> None:
    folder = PartsFolder(run.target, "").folder
    folder.mkdir()
    (folder / "segment-000000").write_bytes(run.source.read_bytes())
    path = folder / "record-000000.npz"
    if isinstance(record, dict):
        save_snapshot(path, record)
    elif isinstance(record, bytes):
        path.write_bytes(record)
    else:
        np.savez(path, text=np.frombuffer(DEEP.encode(), np.uint8))
        assert load_snapshot(path) is None
    with run.session() as session:
        session.set_corrections([ADD])
        assert redo(session) == ""
    assert run.target.read_bytes() != run.source.read_bytes()


# ---- reports and corrections ----------------------------------------------------------------------------------------------------------

REPORTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a list": lambda v: [v],
    "a frame that no integer holds": lambda v: v | {"faces": [v["faces"][0] | {"frames": [*v["faces"][0]["frames"][:-1], 10**30]}]},
    "a frame before the first": lambda v: v | {"faces": [v["faces"][0] | {"frames": [-1, *v["faces"][0]["frames"][1:]]}]},
    "a box of no numbers": lambda v: v | {"faces": [v["faces"][0] | {"boxes": [[float("nan")] * 4 for _ in v["faces"][0]["boxes"]]}]},
    "a box without end": lambda v: v | {"faces": [v["faces"][0] | {"boxes": [[0, 0, float("inf"), 9] for _ in v["faces"][0]["boxes"]]}]},
    "a track that is a word": lambda v: v | {"tracks": [v["tracks"][0] | {"track": "x"}], "faces": [v["faces"][0] | {"track": "x"}]},
    "a track without end": lambda v: (
        v | {"tracks": [v["tracks"][0] | {"track": float("inf")}], "faces": [v["faces"][0] | {"track": float("inf")}]}
    ),
    "a track that is a list": lambda v: v | {"tracks": [v["tracks"][0] | {"track": []}]},
    "reasons that are a number": lambda v: v | {"tracks": [v["tracks"][0] | {"reasons": 5}]},
    "faces of a track that is not there": lambda v: v | {"tracks": []},
    "a seed that is none": lambda v: v | {"seed": -1},
    "more frames than the film": lambda v: v | {"frames": COUNT + 1},
}


def test_hostile_reports_are_one_line(run: FilmRun) -> None:
    values = json.loads(run.report.read_text())
    for row, change in REPORTS.items():
        run.report.write_text(json.dumps(change(values)))
        done = CliRunner().invoke(app, ["review", str(run.target), "--no-browser"])
        assert done.exit_code == 2 and isinstance(done.exception, SystemExit), (row, done.exception)
        assert len(done.stderr.splitlines()) == 1, (row, done.stderr)


def test_a_report_nested_without_end_is_one_line(run: FilmRun) -> None:
    run.report.write_text('{"input": ' + DEEP)
    with pytest.raises(ReportError):
        read_film(run.report, run.target)


CORRECTIONS: dict[str, Any] = {
    "a frame behind the end": [ADD | {"frame": 10**6}],
    "a frame below the first": [ADD | {"frame": -1}],
    "a frame that is a word": [ADD | {"frame": "20"}],
    "a frame between two": [ADD | {"frame": 20.5}],
    "a frame that no integer holds": [ADD | {"frame": 10**400}],
    "a box of no numbers": [ADD | {"box": [float("nan")] * 4}],
    "a box without end": [ADD | {"box": [0, 0, float("inf"), 9]}],
    "a box that is a word": [ADD | {"box": "0123"}],
    "a box of boxes": [ADD | {"box": [[0, 0, 9, 9]] * 4}],
    "a box that leaves the film": [ADD | {"box": [100, 20, 400, 60]}],
    "a box upside down": [ADD | {"box": [60, 60, 20, 20]}],
    "a track that is a word": [COVER | {"track": "0"}],
    "a track that is true": [COVER | {"track": True}],
    "a track that is not there": [COVER | {"track": 99}],
    "a track and a drawn box": [COVER | {"drawn": True}],
    "one track twice": [COVER, COVER],
    "a person that is a word": [ADD | {"person": "1"}],
    "an action that is a list": [ADD | {"do": ["cover"]}],
    "a look that is a number": [ADD | {"look": 5}],
    "a look that is an object": [ADD | {"look": {}}],
    "a face that is none": [7],
    "no list": {"faces": 1},
    "too many": [ADD] * 2001,
    "another name": [ADD | {"path": "/etc/passwd"}],
}


def video(run: FilmRun, *more: str) -> Result:
    command = ["video", str(run.source), "-o", str(run.target), "--codec", "lossless", "--overwrite", "-q", *more]
    done = CliRunner().invoke(app, command)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def test_hostile_corrections_are_refused_by_the_review(run: FilmRun) -> None:
    with run.session() as session:
        for row, faces in CORRECTIONS.items():
            try:
                session.set_corrections(faces)
            except ReviewError:
                continue
            assert row == "a track that is not there" and "track 99" in redo(session), "only the film tells that"
            session.set_corrections([])
        assert session.corrections == () and not run.corrections.read_bytes()


def test_hostile_corrections_are_one_line_of_the_command(run: FilmRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganon_hf.cli.video.load_engine", lambda model, device: missing_engine())
    before, digest = (run.target.read_bytes(), run.report.read_bytes()), film_digest(run.source)
    for row, faces in CORRECTIONS.items():
        run.corrections.write_text(json.dumps({"film": "film.mkv", "sha256": digest, "faces": faces, "seed": 3}))
        done = video(run, "--seed", "3", "--corrections", str(run.corrections))
        assert done.exit_code in (2, 3) and len(done.stderr.splitlines()) == 1, (row, done.output)
        assert (run.target.read_bytes(), run.report.read_bytes()) == before, row
    assert {path.name for path in run.target.parent.iterdir()} == {"out.mkv", "out.json", "corrections.jsonl"}


FILES: dict[str, Callable[[FilmRun], bytes]] = {
    "of another film": lambda run: json.dumps({"film": "film.mkv", "sha256": "0" * 64, "faces": [COVER]}).encode(),
    "with a digest that is none": lambda run: json.dumps({"film": "film.mkv", "sha256": "x", "faces": []}).encode(),
    "twice the film": lambda run: 2 * json.dumps({"film": "f", "sha256": film_digest(run.source), "faces": [COVER]}).encode() + b"\n",
    "a name twice": lambda run: b'{"film": "a", "film": "b", "sha256": "' + b"0" * 64 + b'", "faces": []}',
    "nested without end": lambda run: DEEP.encode(),
    "no text": lambda run: b"\xff\xfe\0" * 50,
    "larger than anybody corrects": lambda run: b" " * ((64 << 20) + 1),
}


@pytest.mark.parametrize("row", FILES)
def test_a_hostile_file_of_corrections_is_one_line(row: str, run: FilmRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganon_hf.cli.video.load_engine", lambda model, device: missing_engine())
    run.corrections.write_bytes(FILES[row](run))
    before = run.target.read_bytes()
    done = video(run, "--corrections", str(run.corrections))
    assert done.exit_code == 2 and len(done.stderr.splitlines()) == 1 and run.target.read_bytes() == before
    if row != "of another film":  # of which a review makes nothing, either
        with pytest.raises(ValueError, match=r"corrections\.jsonl"), run.session():
            pass


# ---- at the same time, kills, full disks ----------------------------------------------------------------------------------------------


def test_of_redos_at_the_same_time_one_is_done(run: FilmRun) -> None:
    with run.session() as session:
        session.set_corrections([ADD])
        refused: list[str] = []

        def press() -> None:
            try:
                session.start_redo()
            except ReviewError as error:
                refused.append(str(error))

        threads = [threading.Thread(target=press) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with pytest.raises(ReviewError, match="being done again"):
            session.set_corrections([])
        while (details := session.details())["redo"]["running"]:
            time.sleep(0.02)
        assert len(refused) == 7 and details["redo"]["error"] == "" and not details["stale"]


def test_two_reviews_of_one_film_do_not_mix(run: FilmRun) -> None:
    """The second one is refused while the first one writes, and the film is whole."""
    with run.session() as one, run.session() as other:
        one.set_corrections([ADD])
        with PartsFolder(run.target, "first"):
            assert "Another run is working" in redo(other)
        assert redo(one) == "" and not one.is_stale
        assert [track.number for track in one.film.tracks] == [-1, 0]


KILLED = """
import sys, time
from pathlib import Path
from film_runs import FilmRun, missing_engine

def slow():
    engine = missing_engine()
    paint = engine.paint
    def painting(*arguments):
        time.sleep(0.05)
        return paint(*arguments)
    engine.paint = painting
    return engine

with FilmRun(*map(Path, sys.argv[1:4]), slow).session() as session:
    session.start_redo()
    print("started", flush=True)
    while session.details()["redo"]["running"]:
        time.sleep(0.01)
"""


def test_a_redo_that_is_killed_leaves_the_film_and_is_done_next_time(run: FilmRun, rng: np.random.Generator) -> None:
    before = run.target.read_bytes(), run.report.read_bytes()
    with run.session() as session:
        session.set_corrections([ADD])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([SUPPORT, *sys.path])}
    command = [sys.executable, "-c", KILLED, str(run.source), str(run.target), str(run.report)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "started\n"
    time.sleep(float(rng.uniform(0.0, 2.0)))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (run.target.read_bytes(), run.report.read_bytes()) == before
    with run.session() as session:
        assert session.is_stale and redo(session) == "" and not session.is_stale
    anonymize_video(
        run.source,
        run.target.parent / "fresh.mkv",
        AnonymizeOptions(seed=3),
        anonymizer=missing_engine(),
        codec="lossless",
        corrections=session._row,
    )
    assert (run.target.parent / "fresh.mkv").read_bytes() == run.target.read_bytes()


def test_a_redo_on_a_full_disk_says_what_stands(run: FilmRun) -> None:
    before = run.target.read_bytes(), run.report.read_bytes()
    with run.session() as session:
        session.set_corrections([ADD])
        with largest_file(len(before[0]) // 2):
            error = redo(session)
        assert "became larger" in error and "stands as before" in error
        assert (run.target.read_bytes(), run.report.read_bytes()) == before
        run.report.unlink()
        run.report.mkdir()  # the report cannot be written, the film can
        assert "is done again, but its report is not written" in redo(session) and session.is_stale
        run.report.rmdir()
        run.report.write_bytes(before[1])
        assert redo(session) == "" and not session.is_stale
