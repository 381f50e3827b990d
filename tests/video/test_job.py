"""A video file to a video file: what is written, what is refused, and what a killed run leaves behind."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scripted import Script, film_script, frame, scripted_engine

from ganon_hf.core.faces import NoFaceError
from ganon_hf.core.options import AnonymizeOptions
from ganon_hf.video import UnusableVideoError, VideoReport, anonymize_video, job
from ganon_hf.video.mux import concatenate_segments
from ganon_hf.video.reader import VideoFrame, VideoReader
from ganon_hf.video.snapshots import load_snapshot, save_snapshot
from ganon_hf.video.writer import SegmentWriter, VideoFormat, VideoProperties

COUNT = 60
SEED = AnonymizeOptions(seed=3)
TIMES = [n * 50 + (n % 3) * 7 for n in range(COUNT)]  # milliseconds, not evenly spaced


def write_source(path: Path, count: int = COUNT) -> Path:
    """A lossless film, so that the script can read the frames' numbers."""
    like = VideoProperties(160, 120, Fraction(1, 1000), Fraction(20))
    segment = path.parent / "segment"
    with SegmentWriter(segment, VideoFormat("lossless"), like) as writer:
        for number in range(count):
            writer.write(VideoFrame(frame(number), TIMES[number], 50))
    concatenate_segments([segment], path, VideoFormat("lossless"))
    segment.unlink()
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_source(tmp_path_factory.mktemp("film") / "film.mkv")


@pytest.fixture(scope="module")
def undisturbed(source: Path) -> tuple[bytes, VideoReport]:
    """The result of a run that nothing happened to."""
    before, job.SEGMENT_SECONDS = job.SEGMENT_SECONDS, 0.5
    try:
        report = run(source, source.parent / "undisturbed.mp4")
    finally:
        job.SEGMENT_SECONDS = before
    return (source.parent / "undisturbed.mp4").read_bytes(), report


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "SEGMENT_SECONDS", 0.5)


def run(source: Path, target: Path, options: AnonymizeOptions = SEED, **arguments: object) -> VideoReport:
    return anonymize_video(source, target, options, **{"anonymizer": scripted_engine(film_script()), **arguments})  # type: ignore[arg-type]


def hidden_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def test_a_video_has_all_frames_at_their_times_and_an_account_of_each_track(source: Path, undisturbed: tuple[bytes, VideoReport]) -> None:
    report = undisturbed[1]
    with VideoReader(source.parent / "undisturbed.mp4") as result:
        frames = list(result)
        assert [round(one.pts * result.time_base * 1000) for one in frames] == TIMES
        assert not result.has_audio
    assert report.frames == COUNT and report.seed == 3
    assert report.seconds == pytest.approx(TIMES[-1] / 1000)
    tracks = {(track.person, track.first, track.last) for track in report.tracks}
    assert len({person for person, _, _ in tracks}) <= len(report.tracks) and len(report.tracks) >= 2
    assert any(track.filled for track in report.tracks) and any(track.held for track in report.tracks)
    assert sum(track.covered for track in report.tracks) == sum(sum(track.reasons.values()) for track in report.tracks)
    assert json.loads(json.dumps(report.to_dict()))["frames"] == COUNT
    assert hidden_files(source.parent) == []


def test_only_faces_are_changed(source: Path, tmp_path: Path) -> None:
    run(source, tmp_path / "out.mkv", codec="lossless")
    with VideoReader(tmp_path / "out.mkv") as result:
        image = list(result)[5].image
    assert np.array_equal(image[:20, :15], frame(5)[:20, :15]) and np.abs(image.astype(int) - frame(5))[45:75, 35:55].mean() > 10


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_killed_run_goes_on_and_ends_as_if_nothing_had_happened(
    source: Path, undisturbed: tuple[bytes, VideoReport], tmp_path: Path
) -> None:
    target, segments = tmp_path / "out.mp4", []
    kills = -1
    while not target.exists():
        kills += 1
        child = subprocess.Popen(
            [sys.executable, str(Path(__file__).parents[1] / "support" / "video_child.py"), str(source), str(target)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1] / "support"), *sys.path[1:]])},
        )
        already = len(segments)
        while child.poll() is None and len(segments) <= already:
            assert not target.exists() or target.read_bytes() == undisturbed[0], "nothing unfinished stands under the final name"
            segments = sorted(tmp_path.glob(".*/segment-*"))
            time.sleep(0.01)
        if child.poll() is not None:
            break
        child.send_signal(signal.SIGKILL)
        child.wait()
        segments = sorted(tmp_path.glob(".*/segment-*"))
    assert kills >= 2
    assert target.read_bytes() == undisturbed[0]
    if child.returncode:  # killed between its last two steps: a further run finds the result and cleans up
        with pytest.raises(FileExistsError):
            run(source, target)
    assert hidden_files(tmp_path) == []


def test_a_run_that_goes_on_does_only_what_is_left_and_reports_all(
    source: Path, undisturbed: tuple[bytes, VideoReport], tmp_path: Path
) -> None:
    def interrupt(done: int, total: int | None) -> None:
        if done == 45:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path / "out.mp4", progress=interrupt)
    (folder,) = tmp_path.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700, "it holds landmarks"
    done: list[int] = []
    report = run(source, tmp_path / "out.mp4", progress=lambda number, total: done.append(number))
    assert 10 < done[0] <= 45 and done[-1] == COUNT
    assert (tmp_path / "out.mp4").read_bytes() == undisturbed[0]
    assert report == undisturbed[1]


@pytest.mark.parametrize("what", ["options", "source", "torn state"])
def test_parts_of_something_else_are_thrown_away(what: str, source: Path, undisturbed: tuple[bytes, VideoReport], tmp_path: Path) -> None:
    def interrupt(done: int, total: int | None) -> None:
        if done == 35:
            raise KeyboardInterrupt

    other = write_source(tmp_path / "other.mkv", 50) if what == "source" else source
    with pytest.raises(KeyboardInterrupt):
        run(other, tmp_path / "out.mp4", AnonymizeOptions(seed=4) if what == "options" else SEED, progress=interrupt)
    if what == "torn state":
        for state in tmp_path.glob(".*/state-*.npz"):
            state.write_bytes(state.read_bytes()[:-100])
    done: list[int] = []
    run(source, tmp_path / "out.mp4", progress=lambda number, total: done.append(number))
    assert done[0] == 1
    assert (tmp_path / "out.mp4").read_bytes() == undisturbed[0]


def test_a_target_that_is_there_is_kept_unless_asked_for(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    target.write_bytes(b"precious")
    (tmp_path / ".ganon-hf-out.mp4.parts").mkdir()
    with pytest.raises(FileExistsError, match="exists already"):
        run(source, target)
    assert target.read_bytes() == b"precious" and hidden_files(tmp_path) == []
    run(source, target, overwrite=True)
    assert len(target.read_bytes()) > 1000


def test_the_source_is_never_overwritten(tmp_path: Path) -> None:
    path = write_source(tmp_path / "film.mkv", 5)
    before = path.read_bytes()
    (tmp_path / "link.mkv").symlink_to(path)
    for target in (path, tmp_path / "link.mkv"):
        with pytest.raises(ValueError, match="originals are never overwritten"):
            run(path, target, overwrite=True)
    assert path.read_bytes() == before


def test_a_video_without_faces_is_refused_or_kept_on_request(source: Path, tmp_path: Path) -> None:
    nobody = scripted_engine(Script({}))
    with pytest.raises(NoFaceError, match=r"film\.mkv: no face"):
        run(source, tmp_path / "out.mp4", anonymizer=nobody)
    assert list(tmp_path.iterdir()) == []
    report = run(source, tmp_path / "out.mp4", AnonymizeOptions(seed=3, on_no_face="keep"), anonymizer=nobody)
    assert report.tracks == () and (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("out.avi", {}, "change the name or the codec"),
        ("out.mp4", {"codec": "vp9"}, "change the name or the codec"),
        ("out.mp4", {"codec": "theora"}, "codec must be one of"),
        ("out.mp4", {"audio": "louder"}, "audio must be one of 'remove', 'keep'"),
        ("out.mp4", {"options": AnonymizeOptions(output="crop")}, "output='photo'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    source: Path, tmp_path: Path, name: str, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        run(source, tmp_path / name, **arguments)  # type: ignore[arg-type]
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "lock"]


def test_a_file_that_is_no_video_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(UnusableVideoError, match=r"text\.mp4"):
        run(tmp_path / "text.mp4", tmp_path / "out.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["text.mp4"]


def test_one_run_at_a_time(source: Path, tmp_path: Path) -> None:
    def second(done: int, total: int | None) -> None:
        if done == 5:
            with pytest.raises(ValueError, match="Another run"):
                run(source, tmp_path / "out.mp4")

    run(source, tmp_path / "out.mp4", progress=second)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"number": 3, "text": "ä", "none": None, "list": [1, [2.5, "x"]], "nested": {"deep": {"array": np.arange(6.0).reshape(2, 3)}}},
        {"arrays": [np.zeros(0), np.array([1, 2], np.int16)]},
    ],
)
def test_states_come_back_as_they_were(tmp_path: Path, state: dict[str, object]) -> None:
    save_snapshot(tmp_path / "state.npz", state)
    again = load_snapshot(tmp_path / "state.npz")
    assert repr(again) == repr(state)


@pytest.mark.parametrize("content", [b"", b"PK", b"\x80\x04pickle", b"[]"])
def test_what_is_no_state_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state.npz").write_bytes(content)
    assert load_snapshot(tmp_path / "state.npz") is None
    assert load_snapshot(tmp_path / "absent.npz") is None
