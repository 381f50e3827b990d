"""The Space's work on a video without its page: limits, turns, words, and nothing left behind."""

from __future__ import annotations

import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from scripted import Script, film_script, frame, scripted_engine

from ganon_hf.video.report import TrackReport, VideoReport

pytest.importorskip("av")
from clips import picture, write_clip  # noqa: E402

SPACE = Path(__file__).parents[2] / "spaces"
LOSSLESS = {"codec": "ffv1", "pixel_format": "bgr0"}


@pytest.fixture
def work_video(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SPACE))
    import work_video

    return work_video


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Its frames carry their numbers, for the script."""
    return write_clip(tmp_path / "film.mkv", [frame(number) for number in range(12)], **LOSSLESS)


@pytest.fixture
def ask(work_video: ModuleType, tmp_path: Path) -> Any:
    """One video through the work; ``told`` collects the progress."""
    folders = {name: tmp_path / name for name in ("unfinished", "results")}
    for folder in folders.values():
        folder.mkdir()

    def call(path: Path, *, engine: Any = None, queue: Any = None, **choices: Any) -> Any:
        call.told = []  # type: ignore[attr-defined]
        import work

        try:
            return work_video.anonymize(
                engine or scripted_engine(film_script()),
                str(path),
                work.make_options(5, **choices),
                queue=queue or work_video.VideoQueue(),
                progress=lambda *numbers: call.told.append(numbers),  # type: ignore[attr-defined]
                **folders,
            )
        finally:
            assert not list(folders["unfinished"].iterdir()), "nothing unfinished stays"

    return call


def test_a_video_and_its_account(work_video: ModuleType, ask: Any, film: Path, tmp_path: Path) -> None:
    made = ask(film)
    assert Path(made.path).parent.parent == tmp_path / "results" and Path(made.path).read_bytes()[4:8] == b"ftyp"
    assert made.report.frames == 12 and ask.told[0] == (0, None) and ask.told[-1][0] == 12
    said, table = work_video.summary(made), work_video.people_table(made.report)
    assert said.startswith("12 frames, ") and "Seed 5." in said and "sound" not in said
    assert table.count("<tr>") == 1 + len(made.report.tracks) >= 2
    film.unlink()
    import work

    with pytest.raises(work.Refusal, match="deleted here already"):
        ask(film)


def test_it_is_said_what_happened(work_video: ModuleType) -> None:
    tracks = (
        TrackReport(0, 0, 0.0, 1.0, replaced=20, covered=5, reasons={"<turned away>": 5}),
        TrackReport(1, 1, 0.2, 0.9, replaced=9, covered=3, doubtful=3),
        TrackReport(2, 0, 2.0, 3.0, replaced=4),
    )
    film = work_video.AnonymizedVideo("x.mp4", VideoReport(40, 3.0, 8, tracks, ()), True)
    assert work_video.summary(film).startswith(
        "40 frames, 2 people, 33 faces replaced, 5 covered, because they could not be replaced, 3 covered, although"
    )
    assert work_video.NO_SOUND in work_video.summary(film)
    table = work_video.people_table(film.report)
    assert "&lt;turned away&gt; (5)" in table and "<span>2.0 to 3.0 s</span>" in table and "<turned" not in table


def large(folder: Path) -> Path:
    return write_clip(folder / "large.mp4", [picture(height=1088, width=1936)])


def long_by_the_clock(folder: Path) -> Path:
    return write_clip(folder / "long.mp4", [picture()] * 3, pts=[0, 1, 25 * 14])


def long_by_frames(folder: Path) -> Path:
    return write_clip(folder / "frames.mkv", [frame(number) for number in range(330)], **LOSSLESS)


def text(folder: Path) -> Path:
    (folder / "text.mp4").write_text("no video")
    return folder / "text.mp4"


def empty(folder: Path) -> Path:
    (folder / "empty.mp4").write_bytes(b"")
    return folder / "empty.mp4"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (large, "has 1936 x 1088 pixels. At most 2,073,600"),
        (long_by_the_clock, r"lasts 14.0 seconds and has 3 frames. At most 10 seconds and 300 frames"),
        (long_by_frames, "lasts 13.2 seconds|has more frames than its file says"),
        (text, "cannot be used as a video: it is not a video that can be read"),
        (empty, "cannot be used as a video: it is empty"),
    ],
)
def test_what_is_too_much_or_no_video_is_refused_without_a_path(make: Any, words: str, ask: Any, tmp_path: Path) -> None:
    import work

    with pytest.raises(work.Refusal, match=words) as caught:
        ask(make(tmp_path))
    assert str(tmp_path) not in str(caught.value)


def test_a_file_that_lies_about_its_length(work_video: ModuleType, ask: Any, film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit counts what is worked on, not only what the file says."""
    import work

    monkeypatch.setattr(work_video, "_check", lambda source: False)
    monkeypatch.setattr(work_video, "MAX_FRAMES", -10)
    with pytest.raises(work.Refusal, match="more frames than its file says"):
        ask(film)
    assert len(ask.told) < 10


def test_nobody_in_it(ask: Any, film: Path) -> None:
    import work

    with pytest.raises(work.Refusal, match="No face was found in this video, so nothing was changed"):
        ask(film, engine=scripted_engine(Script({})))


def test_some_wait_and_the_others_are_sent_away(work_video: ModuleType) -> None:
    import work

    queue, inside, done = work_video.VideoQueue(waiting=1), threading.Event(), threading.Event()
    order: list[str] = []

    def hold() -> None:
        with queue.turn():
            inside.set()
            done.wait(10)
            order.append("first")

    def wait() -> None:
        with queue.turn():
            order.append("second")

    first, second = threading.Thread(target=hold), threading.Thread(target=wait)
    first.start()
    assert inside.wait(10)
    second.start()
    while queue._room._value:  # until the second one stands in line
        pass
    with pytest.raises(work.Refusal, match="try again in a few minutes"), queue.turn():
        pass
    done.set()
    first.join(10)
    second.join(10)
    assert order == ["first", "second"]
    with queue.turn():
        order.append("third")
