"""A detector that can glance: every frame is looked at, and what it sees there begins, confirms or ends a track."""

from __future__ import annotations

import numpy as np
import pytest
from scripted import Script, frame
from tiny import face_at

from ganon_hf.core.faces import Face
from ganon_hf.video.gap_filling import GapFiller, ShownFace
from ganon_hf.video.tracking import MAX_UNCONFIRMED, FaceTracker, Track, center_of

RATE = 30.0


@pytest.fixture(autouse=True)
def large_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """In frames as small as these every look could be for the smallest faces."""
    monkeypatch.setattr("ganon_hf.video.tracking.LOOK_PIXELS", 1)


def track(script: Script, count: int = 48, *, chunk: int = 8) -> FaceTracker:
    """The tracker after so many frames."""
    tracker, frames = FaceTracker(script, frame_rate=RATE, min_face_size=9, min_score=0.5), [frame(number) for number in range(count)]
    for first in range(0, count, chunk):
        tracker.analyze(frames[first : first + chunk], frames[max(0, first - 16) : first])
    return tracker


def shown(tracker: FaceTracker, count: int = 48) -> list[list[ShownFace]]:
    """What is done in each frame."""
    gaps = GapFiller(RATE)
    return [gaps.faces_at(tracker.tracks, number) for number in range(count)]


def states(tracker: FaceTracker, count: int = 48) -> str:
    """One letter a frame: r replaced, c covered, - nobody."""
    return "".join("-" if not some else "r" if some[0].face.landmarks is not None else "c" for some in shown(tracker, count))


def test_every_frame_is_looked_at_once() -> None:
    script = Script({"a": lambda n: face_at(50, 60, 60)}, glances=True)
    tracker = track(script)
    assert script.searches == [7, 15, 23, 31, 39, 47]
    assert sorted(script.searches + script.glances) == list(range(48))
    assert [sorted(one.faces) for one in tracker.tracks] == [list(range(48))]


@pytest.mark.parametrize("mesh", [True, False])
@pytest.mark.parametrize("there", [range(9, 15), range(11, 12), range(16, 23)])
def test_who_comes_and_goes_between_two_searches_is_hidden(there: range, mesh: bool) -> None:
    def path(number: int) -> Face | None:
        return face_at(30 + number, 60, 60, landmarks=mesh) if number in there else None

    assert set(states(track(Script({"a": path})))) == {"-"}, "without glances nobody has seen it"
    found = states(track(Script({"a": path}, glances=True)))
    assert {found[number] for number in there} == {"r" if mesh else "c"}


def test_a_face_that_only_a_late_glance_recognizes_is_followed_back() -> None:
    script = Script({"a": lambda n: face_at(50, 60, 60) if n >= 9 else None}, {("a", number) for number in range(9, 13)}, glances=True)
    script.follow = lambda image, faces: [face_at(50, 60, 60) if script._number(image) >= 9 else None for _ in faces]  # type: ignore
    assert sorted(track(script).tracks[0].faces) == list(range(9, 48))


def test_a_face_without_a_mesh_is_where_it_is_seen_in_every_frame() -> None:
    """It turns back between two searches: no line between them would hide it."""

    def path(number: int) -> Face:
        return face_at(60 + 25 * np.sin(number / 2), 60, 40, landmarks=False)

    script = Script({"a": path}, glances=True)
    tracker = track(script)
    assert len(tracker.tracks) == 1
    for number, (one,) in enumerate(shown(tracker)):
        assert one.kind == "seen" and one.face.box == pytest.approx(path(number).box, abs=2)
    assert all(len(some) == 1 for number, some in script.expected.items() if number), "glances know about where it is"
    near = [np.linalg.norm(center_of(some[0].box) - center_of(path(number).box)) for number, some in script.expected.items() if number > 2]
    assert max(near) < 16, "in pixels, of a face of 40 that swings by 50 in 6 frames"


def test_a_mesh_that_the_detector_does_not_see_is_soon_lost() -> None:
    """It sticks to something after the face has gone."""
    script = Script({"a": lambda n: face_at(50, 60, 60) if n < 20 else None}, glances=True)
    script.follow = lambda image, faces: list(faces)  # type: ignore[method-assign]
    assert max(track(script).tracks[0].faces) == 19 + MAX_UNCONFIRMED


def test_small_faces_are_confirmed_by_searches_only() -> None:
    script = Script({"a": lambda n: face_at(50, 60, 20)}, glances=True)
    (one,) = track(script).tracks
    assert sorted(one.faces) == list(range(48)) and one.missed == 0


@pytest.mark.parametrize(
    ("height", "width", "smallest", "size", "reason"),
    [
        (1080, 1920, 24, 96, "the most that it may be"),
        (2160, 3840, 24, 96, "also in larger frames"),
        (720, 1280, 24, 64, "what costs as much as at 1080p"),
        (360, 640, 24, 32, "and so on"),
        (240, 320, 24, 24, "as small as is asked for"),
        (1080, 1920, 200, 200, "and not smaller"),
    ],
)
def test_looks_are_as_fine_as_they_may_cost(
    height: int, width: int, smallest: int, size: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    tracker = FaceTracker(Script({}, glances=True), frame_rate=RATE, min_face_size=smallest, min_score=0.5)
    assert tracker._coarse_size(np.zeros((height, width, 3), np.uint8)) == size, reason


def made(pattern: str) -> FaceTracker:
    """A tracker of a still face that had a mesh (m), a box only (b) or was not seen (-) in each frame."""
    faces = {n: face_at(50, 60, 60, landmarks=letter == "m") for n, letter in enumerate(pattern) if letter != "-"}
    tracker = FaceTracker(Script({}), frame_rate=RATE, min_face_size=9, min_score=0.5)
    tracker.tracks = [Track(0, faces)]
    return tracker


@pytest.mark.parametrize(
    ("pattern", "expected", "reason"),
    [
        ("mmmmmmmmbmmmmmmmmm", "rrrrrrrrrrrrrrrrrr", "one box among meshes"),
        ("mmmmmmmm-b-mmmmmmm", "rrrrrrrrrrrrrrrrrr", "and with gaps"),
        ("bbbbbbbbmbbbbbbbbb", "cccccccccccccccccc", "one mesh among boxes"),
        ("mbmmbmmbmmbmmbmmbm", "rrrrrrrrrrrrrrrrrr", "mostly meshes"),
        ("bmbbmbbmbbmbbmbbmb", "cccccccccccccccccc", "mostly boxes"),
        ("mmmmmmmmmbbbbbbbbb", "rrrrrrrrrccccccccc", "it turns away"),
    ],
)
def test_a_mesh_that_comes_and_goes_does_not_make_the_picture_flicker(pattern: str, expected: str, reason: str) -> None:
    assert states(made(pattern), len(pattern)) == expected, reason


def test_an_interpolated_face_is_not_drawn_where_the_face_is_not() -> None:
    tracker = made("mmmmmmmmbmmmmmmmmm")
    tracker.tracks[0].faces[8] = face_at(85, 60, 60, landmarks=False)
    one = shown(tracker, 18)[8][0]
    assert (one.kind, one.face) == ("seen", tracker.tracks[0].faces[8])
