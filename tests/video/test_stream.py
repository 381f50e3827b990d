"""Frames in, frames out: who is followed, what hides a face that was lost, who is whom, and that a restart changes nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from scripted import Script, frame, scripted_engine
from tiny import face_at, same

from ganon_hf.core.faces import Face, box_overlap
from ganon_hf.core.options import AnonymizeOptions
from ganon_hf.video.gap_filling import GapFiller
from ganon_hf.video.reader import VideoFrame
from ganon_hf.video.snapshots import load_snapshot, save_snapshot
from ganon_hf.video.stream import AnonymizedFrame, FrameStream, anonymize_frames
from ganon_hf.video.tracking import Track

RATE = 20.0  # a search in every fifth frame, a second ahead
SEED = AnonymizeOptions(seed=3, min_face_size=9)  # 36 pixels and more are found by every search


@pytest.fixture(autouse=True)
def large_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """In frames as small as these every look could be for the smallest faces."""
    monkeypatch.setattr("ganon_hf.video.tracking.LOOK_PIXELS", 1)


def still(number: int) -> Face:
    return face_at(50, 60, 60)


def walking(number: int) -> Face:
    return face_at(40 + 0.8 * number, 60, 50)


def play(script: Script, count: int = 50, *, cut: int | None = None, **arguments: object) -> list[AnonymizedFrame]:
    frames = (frame(number, scene=int(cut is not None and number >= cut)) for number in range(count))
    return list(anonymize_frames(frames, SEED, anonymizer=scripted_engine(script), **{"frame_rate": RATE, **arguments}))  # type: ignore[arg-type]


def hidden(shown: AnonymizedFrame, face: Face) -> bool:
    """Whether the middle of a face shows nothing of what was there."""
    before = frame(shown.index)
    x_min, y_min, x_max, y_max = (round(value) for value in face.box)
    width, height = x_max - x_min, y_max - y_min
    here = (slice(y_min + height // 4, y_max - height // 4), slice(max(0, x_min + width // 4), x_max - width // 4))
    changed = np.abs(before[here].astype(int) - shown.image[here]).max(axis=2) > 2
    correlation = np.corrcoef(before[here].ravel(), shown.image[here].ravel())[0, 1] if shown.image[here].std() else 0.0
    return bool(changed.mean() > 0.9 and abs(correlation) < 0.3)


def kinds(shown: list[AnonymizedFrame]) -> str:
    """One letter a frame: s seen, f filled, h held, - nobody."""
    return "".join(one.faces[0].kind[0] if one.faces else "-" for one in shown)


# -- nobody is seen


def test_every_frame_comes_out_once_in_order_with_its_faces_hidden() -> None:
    script = Script({"a": still, "b": lambda n: face_at(120, 50 + n % 7, 40)})
    shown = play(script)
    assert [one.index for one in shown] == list(range(50))
    for one in shown:
        assert [face.report.status for face in one.faces] == ["replaced"] * 2
        assert all(hidden(one, script.face(name, one.index)) for name in "ab")


def test_searches_are_rare_and_following_does_the_rest() -> None:
    script = Script({"a": walking})
    assert kinds(play(script)) == "s" * 50
    assert script.searches == [4, 9, 14, 19, 24, 29, 34, 39, 44, 49]
    assert script.sizes == [36, 36, 36, 9, 36, 36, 36, 9, 36, 9], "the smallest are looked for once in a look-ahead, and at the end"


@pytest.mark.parametrize(
    ("appears", "mesh", "reason"),
    [
        (1, True, "long before the first search that can see it"),
        (21, True, "just after such a search"),
        (21, False, "without a mesh nobody can follow it: it is covered where it may have been"),
    ],
)
def test_a_small_face_is_found_late_and_hidden_from_the_start(appears: int, mesh: bool, reason: str) -> None:
    script = Script({"a": lambda n: face_at(60, 60, 20, landmarks=mesh) if n >= appears else None})
    shown = play(script, 60)
    assert all(one.faces and one.faces[0].report.status == ("replaced" if mesh else "covered") for one in shown[appears:]), reason
    assert len({face.track for one in shown for face in one.faces}) == 1


def test_a_small_face_that_a_search_overlooks_is_followed_on() -> None:
    script = Script({"a": lambda n: face_at(60, 60, 20)})
    looked = script.__class__.__call__

    def overlooks(image: np.ndarray, **limits: object) -> list[Face]:
        faces = looked(script, image, **limits)  # type: ignore[arg-type]
        return [] if len(script.searches) in (8, 12) else faces

    engine = scripted_engine(script)
    engine._detector = type(
        "Overlooking", (), {"__call__": lambda self, image, **limits: overlooks(image, **limits), "follow": script.follow}
    )()
    shown = list(anonymize_frames((frame(n) for n in range(90)), SEED, frame_rate=RATE, anonymizer=engine))
    assert kinds(shown) == "s" * 90 and len({face.track for one in shown for face in one.faces}) == 1


def test_a_detector_that_cannot_follow_searches_every_frame() -> None:
    script = Script({"a": walking}, follows=False)
    shown = play(script, 12)
    assert script.searches == list(range(12)) and kinds(shown) == "s" * 12
    assert len({face.track for one in shown for face in one.faces}) == 1


@pytest.mark.parametrize(
    ("appears", "reason"),
    [(0, "in the first frame"), (21, "two frames after a search"), (25, "just after a search"), (24, "with a search")],
)
def test_a_face_that_appears_between_two_searches_is_followed_back(appears: int, reason: str) -> None:
    script = Script({"a": lambda n: still(n) if n >= appears else None})
    shown = play(script, 50)
    assert all(hidden(one, still(one.index)) for one in shown[appears:]), reason
    assert set(kinds(shown)[appears:]) == {"s"}
    assert not any(one.faces for one in shown[: max(0, appears - 8)]), "long before nobody is there"


@pytest.mark.parametrize(
    ("missing", "kind", "status", "reason"),
    [
        (range(22, 24), "f", "replaced", "a blink of the detector"),
        (range(17, 31), "f", "replaced", "lost for longer, but the face has not moved"),
    ],
)
def test_a_gap_is_filled(missing: range, kind: str, status: str, reason: str) -> None:
    script = Script({"a": still}, {("a", number) for number in missing})
    shown = play(script)
    assert kinds(shown) == "".join(kind if number in missing else "s" for number in range(50)), reason
    assert {face.report.status for number in missing for face in shown[number].faces} == {status}
    assert all(hidden(one, still(one.index)) for one in shown)
    assert len({(face.track, face.person) for one in shown for face in one.faces}) == 1


def test_a_gap_in_which_the_face_moved_far_is_covered_all_the_way() -> None:
    missing = range(22, 38)
    fast = Script({"a": lambda n: face_at(35 + 2.2 * max(0, n - 20), 60, 40)}, {("a", number) for number in missing})
    shown = play(fast, 48)
    assert {face.report.status for number in missing for face in shown[number].faces} == {"covered"}
    assert all(hidden(shown[number], fast.face("a", number)) for number in range(48))
    assert len({face.track for one in shown for face in one.faces}) == 1


def test_both_ends_of_a_track_are_covered_where_the_face_should_be() -> None:
    # from the detector's view: it is lost at 40 and first seen at 12, but it is there from 8 to 48
    script = Script({"a": walking}, {("a", number) for number in (*range(12), *range(40, 60))})
    shown = play(script, 60)
    assert kinds(shown)[:5] == "-----" and kinds(shown)[-8:] == "--------"
    for number in (*range(6, 12), *range(40, 50)):
        (face,) = shown[number].faces
        assert (face.kind, face.report.status, face.report.reason) == ("held", "covered", "the face was lost in this frame")
        assert hidden(shown[number], script.face("a", number)), number


def test_a_face_without_a_mesh_is_covered_in_every_frame_between_two_searches() -> None:
    bare = Face(still(0).box, 0.9)
    shown = play(Script({"a": lambda n: bare}), 40)
    assert all(face.report.status == "covered" for one in shown for face in one.faces)
    assert all(hidden(one, bare) for one in shown)


def test_what_may_be_no_face_is_doubtful_in_every_frame_also_after_a_restart() -> None:
    bare = Face(still(0).box, 0.5, doubtful=True)
    script = Script({"a": lambda n: bare if n < 30 else None})
    first = FrameStream(scripted_engine(script), AnonymizeOptions(seed=7), frame_rate=RATE, snapshot_every=20)
    shown = list(first.run(frame(number) for number in range(50)))
    statuses = [{face.report.status for face in one.faces} for one in shown]
    assert all(one <= {"doubtful"} for one in statuses) and statuses[:30] == [{"doubtful"}] * 30
    (number,) = [number for number in range(10, 30) if first.snapshot(number) is not None][:1]
    again = FrameStream(scripted_engine(script), AnonymizeOptions(seed=7), frame_rate=RATE, snapshot_every=20)
    again.restore(first.snapshot(number))  # type: ignore[arg-type]
    rest = list(again.run(frame(number) for number in range(number, 50)))
    assert [{face.report.status for face in one.faces} for one in rest] == statuses[number:]


def test_a_gap_beside_a_credible_sighting_is_not_doubtful() -> None:
    box = still(0).box
    gap = [Face(box, 0.5, doubtful=True), Face(box, 0.9)]
    for first, second, doubtful in ((gap[0], gap[0], True), (gap[0], gap[1], False), (gap[1], gap[1], False)):
        (shown,) = GapFiller(RATE).faces_at([Track(0, {0: first, 4: second})], 2)
        assert (shown.kind, shown.face.doubtful) == ("filled", doubtful)


def test_nothing_is_held_across_a_cut() -> None:
    script = Script({"a": lambda n: still(n) if n < 33 else None})
    shown = play(script, cut=33)
    assert kinds(shown) == "s" * 33 + "-" * 17
    before = np.stack([frame(number, scene=1) for number in range(33, 50)])
    assert np.array_equal(before, np.stack([one.image for one in shown[33:]])), "frames without faces are untouched"


def test_a_face_in_the_last_frames_of_a_scene_is_found_before_the_cut() -> None:
    script = Script({"a": lambda n: still(n) if 31 <= n < 33 else None})
    shown = play(script, cut=33)
    assert kinds(shown)[31:33] == "ss"


# -- who is whom


def somebody(number: int, x: float, y: float = 60, height: float = 60) -> Face:
    """A face of a shape of its own."""
    face = face_at(x, y, height)
    change = np.random.default_rng(number).normal(0, 0.03 * height, (478, 1)) * [1.0, 1.0, 0.0]
    return Face(face.box, face.score, np.array(face.landmarks, dtype=float) + change)


def test_people_differ_and_keep_their_numbers() -> None:
    script = Script({"a": lambda n: face_at(40, 60, 60), "b": lambda n: face_at(118, 60, 60)})
    shown = play(script)
    people = {face.track: face.person for one in shown for face in one.faces}
    assert sorted(people.values()) == [0, 1], "two at once are never one person, even if they look the same"
    first, last = shown[0].image, shown[-1].image
    assert np.abs(first[45:75, 25:55].astype(int) - last[45:75, 25:55]).mean() < 3, "the same face in the same place"


def test_who_comes_back_keeps_the_synthetic_face() -> None:
    away = range(20, 60)
    shown = play(Script({"a": lambda n: None if n in away else somebody(1, 50) if n < 20 else somebody(1, 100, 55, 50)}), 80)
    tracks = {face.track: face.person for one in shown for face in one.faces}
    assert tracks == {0: 0, 1: 0}


def test_somebody_else_gets_another_one() -> None:
    script = Script({"a": lambda n: somebody(1, 50) if n < 20 else None, "b": lambda n: somebody(2, 60) if n >= 60 else None})
    assert {face.track: face.person for one in play(script, 80) for face in one.faces} == {0: 0, 1: 1}


def test_two_tracks_never_share_a_face() -> None:
    def passing(n: int) -> Face | None:
        return None if 25 <= n < 32 else face_at(20 + 3 * n, 60, 60)  # behind b

    shown = play(Script({"a": passing, "b": lambda n: face_at(100, 60, 62)}), 45)
    for one in shown:
        seen = [face.report.box for face in one.faces if face.kind == "seen"]
        assert all(box_overlap(box, np.array([other]))[0][0] < 0.9 for i, box in enumerate(seen) for other in seen[:i])


# -- the stream as a machine


def test_live_pictures_come_out_at_once() -> None:
    script, given = Script({"a": still}), []

    def frames() -> Iterator[np.ndarray]:
        for number in range(6):
            given.append(number)
            yield frame(number)

    stream = anonymize_frames(frames(), SEED, frame_rate=RATE, look_ahead=0, anonymizer=scripted_engine(script))
    for number in range(6):
        one = next(stream)
        assert one.index == number and hidden(one, still(number)) and len(given) <= number + 6
    assert script.searches == list(range(6))


def test_callers_may_reuse_their_buffer() -> None:
    script, buffer = Script({"a": still}), np.zeros((120, 160, 3), np.uint8)

    def frames() -> Iterator[np.ndarray]:
        for number in range(30):
            buffer[:] = frame(number)
            yield buffer

    shown = list(anonymize_frames(frames(), SEED, frame_rate=RATE, anonymizer=scripted_engine(script)))
    assert all(same(one.image, other.image) for one, other in zip(shown, play(script, 30), strict=True))


@pytest.mark.parametrize("look_ahead", [0.3, 1.0])
def test_a_stream_goes_on_from_any_snapshot_as_if_nothing_had_happened(look_ahead: float, tmp_path) -> None:  # type: ignore[no-untyped-def]
    def path(n: int) -> Face | None:
        return None if 22 <= n < 45 else walking(n % 25)

    script = Script({"a": path, "b": lambda n: still(n) if n % 30 < 22 else None}, {("a", number) for number in (12, 13, 18, 19)})

    def stream() -> FrameStream:
        return FrameStream(scripted_engine(script), AnonymizeOptions(), frame_rate=RATE, look_ahead=look_ahead, snapshot_every=15)

    def frames(first: int) -> Iterator[np.ndarray]:
        return (frame(number, scene=number // 55) for number in range(first, 70))

    whole, states, first_run = [], {}, stream()
    for one in first_run.run(frames(0)):
        whole.append(one)
        state = first_run.snapshot(one.index)
        if state is not None:
            save_snapshot(tmp_path / f"{one.index}.npz", state)
            states[one.index] = load_snapshot(tmp_path / f"{one.index}.npz")
    assert len(states) >= 3
    for index, state in states.items():
        assert state is not None
        again = stream()
        again.restore(state)
        assert again.planned == index and again.seed == first_run.seed
        rest = list(again.run(frames(index)))
        assert [one.index for one in rest] == list(range(index, 70))
        for one, other in zip(whole[index:], rest, strict=True):
            assert same(one.image, other.image) and [f.report for f in one.faces] == [f.report for f in other.faces], one.index
            assert [(f.person, f.track, f.kind) for f in one.faces] == [(f.person, f.track, f.kind) for f in other.faces]


def stamped(number: int) -> VideoFrame:
    """Frame ``number`` of a film with cuts, whose clock is uneven so that no time stamp can be told from the number alone."""
    return VideoFrame(frame(number, scene=number // 33), 7 + 40 * number + number % 3, 38 + number % 5)


@pytest.mark.parametrize("look_ahead", [0, 0.3, 1.0])
def test_time_stamps_stay_with_their_frames(look_ahead: float) -> None:
    """Over cuts, over a restart from any snapshot, and live; whatever order the rendering threads finish in."""
    script = Script({"a": lambda n: walking(n % 25), "b": lambda n: still(n) if n % 30 < 22 else None})

    def stream() -> FrameStream:
        return FrameStream(scripted_engine(script), SEED, frame_rate=RATE, look_ahead=look_ahead, workers=3, snapshot_every=15)

    def check(shown: AnonymizedFrame) -> int:
        source = stamped(shown.index)
        assert (shown.pts, shown.duration) == (source.pts, source.duration), shown.index
        # its first pixel holds its number; the faces and what is bent around them begin further right
        assert np.array_equal(shown.image[0, :20], source.image[0, :20]), "and it is this frame"
        return shown.index

    first, snapshots, seen = stream(), {}, []
    for one in first.run(stamped(number) for number in range(70)):
        seen.append(check(one))
        if (snapshot := first.snapshot(one.index)) is not None:
            snapshots[one.index] = snapshot
    assert seen == list(range(70)) and len(snapshots) >= 3
    for index, snapshot in snapshots.items():
        again = stream()
        again.restore(snapshot)
        assert [check(one) for one in again.run(stamped(number) for number in range(index, 70))] == list(range(index, 70))


def test_plain_arrays_are_numbered() -> None:
    assert [(one.pts, one.duration) for one in play(Script({"a": still}), 8)] == [(number, 1) for number in range(8)]


def test_the_result_does_not_depend_on_the_number_of_threads() -> None:
    script = Script({"a": walking, "b": lambda n: face_at(120, 40, 40)})
    runs = [
        list(FrameStream(scripted_engine(script), SEED, frame_rate=RATE, workers=workers).run(frame(n) for n in range(40)))
        for workers in (1, 4)
    ]
    assert all(same(one.image, other.image) for one, other in zip(*runs, strict=True))


def test_an_error_ends_the_stream_and_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = scripted_engine(Script({"a": still}))
    monkeypatch.setattr(engine, "paint", lambda plan, images: (_ for _ in ()).throw(MemoryError("no more")))
    with pytest.raises(MemoryError):
        list(anonymize_frames((frame(n) for n in range(60)), SEED, frame_rate=RATE, anonymizer=engine))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ganon-frames")]


def test_a_stream_may_be_left_in_the_middle() -> None:
    stream = anonymize_frames((frame(n) for n in range(60)), SEED, frame_rate=RATE, anonymizer=scripted_engine(Script({"a": still})))
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ganon-frames")]


@pytest.mark.parametrize(
    ("frames", "arguments", "message"),
    [
        ([frame(0).astype(float)], {}, "uint8 arrays"),
        ([frame(0)[..., 0]], {}, "uint8 arrays"),
        ([frame(0), frame(1, width=80)], {}, "one size"),
        ([frame(0)], {"frame_rate": 0}, "frame_rate must be"),
        ([frame(0)], {"frame_rate": float("nan")}, "frame_rate must be"),
        ([frame(0)], {"look_ahead": -1}, "look_ahead must be"),
        ([frame(0)], {"options": AnonymizeOptions(output="crop")}, "output='photo'"),
    ],
)
def test_what_cannot_be_is_refused(frames: list[np.ndarray], arguments: dict[str, object], message: str) -> None:
    everything = {"frame_rate": RATE, "anonymizer": scripted_engine(Script({"a": still})), **arguments}
    with pytest.raises(ValueError, match=message):
        list(anonymize_frames(frames, **everything))  # type: ignore[arg-type]


def test_memory_is_bounded_by_bytes_not_by_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganon_hf.video.stream.MAX_BUFFER", 10 * 160 * 120 * 3)
    given = []

    def frames() -> Iterator[np.ndarray]:
        for number in range(60):
            given.append(number)
            yield frame(number)

    stream = anonymize_frames(frames(), SEED, frame_rate=RATE, anonymizer=scripted_engine(Script({"a": still})))
    next(stream)
    assert len(given) < 30, "a second ahead would be 20 frames and more in work"
    assert len(list(stream)) == 59
