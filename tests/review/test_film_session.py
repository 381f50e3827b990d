"""A review of a film without a browser: what it shows, what is saved when, doing it again, what is refused."""

from __future__ import annotations

import http.client
import io
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from film_runs import COUNT, CUT, MISSED, FilmRun, make_film_run, missing_engine, scripted_film, write_film
from PIL import Image
from review_runs import serving
from scripted import frame

from ganon_hf.core.options import AnonymizeOptions
from ganon_hf.review.film_frames import STRIP_PICTURES, STRIP_SIDE, FilmFrames
from ganon_hf.review.film_session import FilmSession
from ganon_hf.review.finished_film import read_film
from ganon_hf.review.finished_run import ReportError
from ganon_hf.review.server import HEADERS
from ganon_hf.review.session import ReviewError
from ganon_hf.video import anonymize_video, read_film_corrections
from ganon_hf.video.reader import UnusableVideoError, VideoReader

ADD = {"frame": 20, "box": [round(value, 1) for value in MISSED.box], "do": "replace", "drawn": True, "person": 900}
INSIDE = np.s_[50:70, 112:128]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> FilmRun:
    root = tmp_path_factory.mktemp("film")
    return make_film_run(scripted_film(root / "film.mkv"), root / "out.mkv", missing_engine, options=AnonymizeOptions())


@pytest.fixture
def run(finished: FilmRun, tmp_path: Path) -> FilmRun:
    """A copy that a test may change."""
    copies = [Path(shutil.copy(path, tmp_path)) for path in (finished.target, finished.report)]
    return FilmRun(finished.source, *copies, missing_engine)


def picture(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content))).astype(int)


def redo(session: FilmSession) -> dict[str, Any]:
    session.start_redo()
    while (details := session.details())["redo"]["running"]:
        time.sleep(0.05)
    return details


def test_tracks_frames_and_strips_are_shown(run: FilmRun) -> None:
    with run.session() as session:
        details = session.details()
        (track,) = details["tracks"]
        assert (details["frames"], details["width"], details["height"]) == (COUNT, 160, 120) and details["seconds"] == pytest.approx(2.45)
        assert track["concern"] == "rest" and track["stretches"] == [(0, CUT - 1, "replaced", True)] and track["look"]
        assert [face["track"] for face in session.frame(5)["faces"]] == [0] and session.frame(45)["faces"] == []
        assert picture(session.strip(0)).shape == (STRIP_SIDE, STRIP_PICTURES * STRIP_SIDE, 3)
        asked = picture(session.original(12))
        face = np.s_[45:75, 30:50]
        assert np.abs(asked - frame(12))[face].mean() < 10 < np.abs(picture(session.picture(12)) - frame(12))[face].mean()


@pytest.mark.parametrize(("codec", "suffix"), [("lossless", ".mkv"), ("h264", ".mp4")])
def test_frames_come_in_any_order(codec: str, suffix: str, tmp_path: Path) -> None:
    path = write_film(tmp_path / f"film{suffix}", map(frame, range(COUNT)), 20, codec)
    with VideoReader(path) as reader:
        known = [one.image for one in reader]
    frames = FilmFrames(path)
    assert len(frames) == COUNT and frames.seconds(10) == pytest.approx(0.5)
    for number in (30, 31, 7, 49, 48, 0, 49):
        assert np.array_equal(frames.image(number), known[number]), number
    with pytest.raises(IndexError):
        frames.image(COUNT)
    frames.close()
    with pytest.raises(UnusableVideoError, match="closed"):  # and no memory is read that FFmpeg has given back
        frames.image(7)


def test_a_missed_face_is_gone_after_redo_and_a_fresh_run_gives_the_same_film(run: FilmRun, tmp_path: Path) -> None:
    with run.session() as session:
        before = picture(session.picture(30, large=True))
        session.set_corrections([ADD])
        assert session.details()["stale"] and session.details()["corrections"][0]["shown"] is None
        details = redo(session)
        assert not details["stale"] and details["redo"]["error"] == "" and details["corrections"][0]["shown"] == -1
        assert [(track["track"], track["concern"]) for track in details["tracks"]] == [(-1, "covered"), (0, "rest")]
        assert np.abs(picture(session.picture(30, large=True)) - before)[INSIDE].mean() > 5
        seed = session.film.seed
    (row,) = read_film_corrections(run.corrections)
    assert row.seed == seed, "drawn by the run"
    anonymize_video(run.source, tmp_path / "fresh.mkv", AnonymizeOptions(), anonymizer=missing_engine(), codec="lossless", corrections=row)
    assert (tmp_path / "fresh.mkv").read_bytes() == run.target.read_bytes()


def test_what_was_saved_is_there_again_and_what_has_changed_was_not_looked_at(run: FilmRun) -> None:
    with run.session() as session:
        session.set_fine(0, True)
        session.set_corrections([ADD])
    with run.session() as session:
        details = session.details()
        assert details["tracks"][0]["fine"] and details["stale"] and len(details["corrections"]) == 1
        redo(session)
        fine = {track["track"]: track["fine"] for track in session.details()["tracks"]}
        assert fine == {0: True, -1: False}, "the other face is as it was"
        box = next(face["box"] for face in session.frame(5)["faces"] if face["track"] == 0)
        session.set_corrections([{"frame": 5, "box": box, "track": 0, "do": "cover"}])
        with pytest.raises(ReviewError, match="redo comes first"):
            session.set_fine(0, True)
        redo(session)
        assert [(track["track"], track["concern"], track["fine"]) for track in session.details()["tracks"]] == [(0, "covered", False)]


WRONG: dict[str, tuple[Callable[[FilmSession], object], str]] = {
    "no such frame": (lambda s: s.frame(COUNT), "no frame 50"),
    "no such track": (lambda s: s.strip(7), "no track 7"),
    "a box outside": (lambda s: s.set_corrections([ADD | {"box": [150, 20, 190, 60]}]), "leaves the film"),
    "a frame behind the end": (lambda s: s.set_corrections([ADD | {"frame": 99}]), "no frame 99"),
    "no list": (lambda s: s.set_corrections({}), "must be a list"),
    "a look that is none": (lambda s: s.set_corrections([ADD | {"look": "nobody I know"}]), "look"),
}


@pytest.mark.parametrize("row", WRONG)
def test_what_makes_no_sense_is_refused(row: str, read_only_session: FilmSession) -> None:
    action, message = WRONG[row]
    with pytest.raises(ReviewError, match=message):
        action(read_only_session)
    assert read_only_session.corrections == ()


@pytest.fixture(scope="module")
def read_only_session(finished: FilmRun) -> Iterator[FilmSession]:
    with finished.session() as session:
        yield session


def test_a_redo_that_fails_leaves_the_film_and_says_why(run: FilmRun) -> None:
    before = run.target.read_bytes()
    with run.session() as session:
        session.set_corrections([{"frame": 5, "box": [100, 30, 140, 80], "track": 0, "do": "leave"}])
        assert "track 0 is not where a correction says" in redo(session)["redo"]["error"]
    assert run.target.read_bytes() == before


def test_the_server_keeps_nothing_and_shows_originals_only_when_asked(read_only_session: FilmSession) -> None:
    with serving(read_only_session) as server:
        address = urlsplit(server.url)
        connection = http.client.HTTPConnection(address.netloc, timeout=60)
        wanted = {"": 200, "film.js": 200, "common.js": 200, "api/film": 200, "api/frame/3": 200, "result/view/3": 200, "strip/0": 200}
        wanted |= {"original/3": 200, "strip/-1": 422, "result/view/999": 422, "index.html": 404, "api/photo/0": 404, "original/-1": 404}
        for name, status in wanted.items():
            connection.request("GET", address.path + name)
            answer = connection.getresponse()
            content = answer.read()
            assert (answer.status, {key: answer.headers[key] for key in HEADERS}) == (status, HEADERS), (name, content)
            assert name or b'id="redo"' in content, "with the part that photos and films share"


BROKEN: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "an older report": lambda v: {name: value for name, value in v.items() if name != "faces"},
    "frames of another film": lambda v: v | {"frames": 3},
    "a letter that means nothing": lambda v: v | {"faces": [v["faces"][0] | {"done": "x" * CUT}]},
    "a box too few": lambda v: v | {"faces": [v["faces"][0] | {"boxes": v["faces"][0]["boxes"][1:]}]},
    "options of another version": lambda v: v | {"options": {"colour": "red"}},
    "no film at all": lambda v: {"input": 5},
}


@pytest.mark.parametrize("row", BROKEN)
def test_a_report_that_is_none_is_an_error(row: str, read_only_session: FilmSession, tmp_path: Path) -> None:
    target = read_only_session.film.target
    values = json.loads(target.with_suffix(".json").read_text())
    (tmp_path / "broken.json").write_text(json.dumps(BROKEN[row](values)))
    with pytest.raises(ReportError, match=r"broken\.json"):
        read_film(tmp_path / "broken.json", target)
