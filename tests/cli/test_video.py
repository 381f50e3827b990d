"""The commands ``video`` and ``webcam``: exit codes, messages, the report. The engine is the tiny one with scripted faces."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import Result
from scripted import Script, film_script, frame, scripted_engine
from tiny import face_at
from typer.testing import CliRunner

from ganon_hf.cli.main import app
from ganon_hf.video import FilmCorrections, TrackCorrection
from ganon_hf.video.film_corrections import film_digest, write_film_corrections
from ganon_hf.video.mux import concatenate_segments
from ganon_hf.video.reader import VideoFrame, VideoReader
from ganon_hf.video.writer import SegmentWriter, VideoFormat, VideoProperties


@pytest.fixture
def film(tmp_path: Path) -> Path:
    like = VideoProperties(160, 120, Fraction(1, 20), Fraction(20))
    with SegmentWriter(tmp_path / "segment", VideoFormat("lossless"), like) as writer:
        for number in range(25):
            writer.write(VideoFrame(frame(number), number, 1))
    concatenate_segments([tmp_path / "segment"], tmp_path / "film.mkv", VideoFormat("lossless"))
    (tmp_path / "segment").unlink()
    return tmp_path / "film.mkv"


@pytest.fixture
def faces(monkeypatch: pytest.MonkeyPatch) -> dict[str, Script]:
    """What the engine sees; a test may exchange it."""
    script = {"now": film_script()}
    monkeypatch.setattr("ganon_hf.cli.video.load_engine", lambda model, device: scripted_engine(script["now"]))
    return script


def command(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_video_becomes_a_video_and_a_report(film: Path, faces: dict[str, Script], tmp_path: Path) -> None:
    out, report = tmp_path / "out.mp4", tmp_path / "report.json"
    result = command("video", film, "-o", out, "--seed", 7, "--report", report)
    assert result.exit_code == 0, result.stderr
    assert "25 frames" in result.stdout and "faces replaced" in result.stdout and str(out) in result.stdout
    with VideoReader(out) as reader:
        assert len(list(reader)) == 25
    told = json.loads(report.read_text())
    assert told["frames"] == 25 and told["seed"] == 7 and {track["person"] for track in told["tracks"]} == {0, 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.mkv", "out.mp4", "report.json"]


def test_doubtful_covers_are_counted_and_where_they_are_is_said(film: Path, faces: dict[str, Script], tmp_path: Path) -> None:
    doubtful = replace(face_at(60, 60, landmarks=False, score=0.5), doubtful=True)
    faces["now"] = Script({"a": lambda n: doubtful})
    report = tmp_path / "report.json"
    result = command("video", film, "-o", tmp_path / "out.mp4", "--seed", 7, "--report", report)
    assert result.exit_code == 0, result.stderr
    done, doubts = result.stdout.splitlines()
    assert "0 faces replaced, 25 covered" in done
    assert doubts == "25 of the covers are doubtful: there may be no face under them (0.0 to 1.2 s). Look at them."
    (track,) = json.loads(report.read_text())["tracks"]
    assert (track["covered"], track["doubtful"]) == (25, 25) and track["reasons"]["it may be no face"] > 1


def test_quiet_says_nothing(film: Path, faces: dict[str, Script], tmp_path: Path) -> None:
    result = command("video", film, "-o", tmp_path / "out.webm", "--codec", "vp9", "-q")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


def test_a_video_without_a_face_is_refused_or_copied(film: Path, faces: dict[str, Script], tmp_path: Path) -> None:
    faces["now"] = Script({})
    result = command("video", film, "-o", tmp_path / "out.mp4")
    assert result.exit_code == 3 and "refused" in result.stderr and "--on-no-face keep" in result.stderr
    assert not (tmp_path / "out.mp4").exists()
    assert command("video", film, "-o", tmp_path / "out.mp4", "--on-no-face", "keep").exit_code == 0
    assert (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("film.mkv", "-o", "out.avi"), 2, "change the name or the codec"),
        (("film.mkv", "-o", "film.mkv", "--codec", "lossless", "--overwrite"), 2, "originals are never overwritten"),
        (("film.mkv", "-o", "there.mp4"), 2, "exists already"),
        (("film.mkv", "-o", "out.mp4", "--report", "there.mp4"), 2, "ends in .json"),
        (("absent.mp4", "-o", "out.mp4"), 3, "absent.mp4"),
        (("text.mp4", "-o", "out.mp4"), 3, "is not a video"),
    ],
)
def test_what_cannot_be_done_is_said(
    film: Path, faces: dict[str, Script], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int, message: str
) -> None:
    monkeypatch.chdir(film.parent)
    (film.parent / "there.mp4").write_bytes(b"precious")
    (film.parent / "text.mp4").write_text("no video")
    before = film.read_bytes()
    result = command("video", *arguments)
    assert result.exit_code == code and message in result.stderr, result.stderr
    assert film.read_bytes() == before and (film.parent / "there.mp4").read_bytes() == b"precious"
    assert sorted(path.name for path in film.parent.iterdir()) == ["film.mkv", "text.mp4", "there.mp4"]


def test_corrections_of_a_review_are_heeded_and_those_of_another_film_are_an_error(
    film: Path, faces: dict[str, Script], tmp_path: Path
) -> None:
    corrections, report = tmp_path / "corrections.jsonl", tmp_path / "report.json"
    leave = TrackCorrection(5, film_script().face("a", 5).box, "leave", 0)
    write_film_corrections(corrections, [FilmCorrections("film.mkv", "0" * 64, (leave,))])
    refused = command("video", film, "-o", tmp_path / "out.mp4", "--corrections", corrections)
    assert refused.exit_code == 2 and "there are no corrections for" in refused.stderr and not (tmp_path / "out.mp4").exists()
    write_film_corrections(corrections, [FilmCorrections("another name.mkv", film_digest(film), (leave,), seed=7)])
    result = command("video", film, "-o", tmp_path / "out.mp4", "--corrections", corrections, "--report", report, "--keep-parts")
    assert result.exit_code == 0, result.stderr
    told = json.loads(report.read_text())
    assert (told["tracks"][0]["left"], told["tracks"][0]["replaced"], told["seed"]) == (25, 0, 7)
    assert (tmp_path / ".ganon-hf-out.mp4.parts").is_dir()


def test_webcam_without_a_display_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    result = command("webcam")
    assert result.exit_code == 2 and "no display" in result.stderr


class OneFrame:
    """A camera that gives one picture."""

    def __init__(self, number: int) -> None:
        self.left = 1

    def get(self, name: int) -> float:
        return 25.0

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.left -= 1
        return (True, np.zeros((48, 64, 3), np.uint8)) if self.left >= 0 else (False, None)

    def release(self) -> None:
        pass


def test_webcam_without_windows_names_the_remedy(monkeypatch: pytest.MonkeyPatch, faces: dict[str, Script]) -> None:
    def no_window(name: str, image: np.ndarray) -> None:
        raise cv2.error("The function is not implemented.")

    monkeypatch.setenv("DISPLAY", ":99")
    monkeypatch.setattr(cv2, "VideoCapture", OneFrame)
    monkeypatch.setattr(cv2, "imshow", no_window)
    result = command("webcam")
    assert result.exit_code == 2 and "pip install opencv-python." in result.stderr, result.stderr


def test_webcam_without_a_camera_says_so(monkeypatch: pytest.MonkeyPatch, faces: dict[str, Script]) -> None:
    monkeypatch.setenv("DISPLAY", ":99")
    result = command("webcam", "--camera", 93)
    assert result.exit_code == 2 and "Camera 93 gives no picture" in result.stderr
