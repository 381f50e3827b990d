"""Corrections of a film: what they change, what they leave alone, and that the same ones give the same film again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from film_runs import COUNT, CUT, MISSED, missing_engine, scripted_film
from scripted import frame

from ganon_hf.bulk.correction_file import PhotoCorrections, read_corrections, write_corrections
from ganon_hf.core.faces import Box
from ganon_hf.core.options import AnonymizeOptions
from ganon_hf.video import FilmCorrectionError, FilmCorrections, TrackCorrection, VideoReport, anonymize_video, job
from ganon_hf.video.film_corrections import film_digest, read_film_corrections, write_film_corrections
from ganon_hf.video.reader import VideoReader

SEED = AnonymizeOptions(seed=3)
INSIDE = np.s_[50:70, 112:128]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scripted_film(tmp_path_factory.mktemp("film") / "film.mkv")


@pytest.fixture(scope="module")
def plain(source: Path) -> tuple[Path, VideoReport]:
    """The film without corrections."""
    target = source.parent / "plain.mkv"
    return target, run(source, target)


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "SEGMENT_SECONDS", 0.5)


def run(source: Path, target: Path, faces: Sequence[TrackCorrection] = (), options: AnonymizeOptions = SEED, **more: object) -> VideoReport:
    row = FilmCorrections("film.mkv", film_digest(source), tuple(faces))
    settings = {"codec": "lossless", "overwrite": True, "corrections": row, "anonymizer": missing_engine(), **more}
    return anonymize_video(source, target, options, **settings)  # type: ignore[arg-type]


def frames(path: Path) -> np.ndarray:
    with VideoReader(path) as reader:
        return np.stack([one.image for one in reader]).astype(int)


def first_box(report: VideoReport, track: int) -> tuple[int, Box]:
    rows = report.faces[report.faces["track"] == track]
    return int(rows["frame"][0]), tuple(float(value) for value in rows["box"][0])  # type: ignore[return-value]


ADD = TrackCorrection(20, tuple(round(value, 1) for value in MISSED.box), "replace", person=900)  # type: ignore[arg-type]


def test_a_drawn_face_is_followed_both_ways_to_where_it_comes_in_and_to_the_cut(
    source: Path, plain: tuple[Path, VideoReport], tmp_path: Path
) -> None:
    report = run(source, tmp_path / "after.mkv", [ADD])
    first, second = frames(plain[0]), frames(tmp_path / "after.mkv")
    changed = np.abs(second - first)[(slice(None), *INSIDE)].mean(axis=(1, 2, 3))
    assert (changed[8:CUT] > 5).all() and (changed[CUT:] == 0).all(), "not beyond the cut"
    drawn = next(track for track in report.tracks if track.track == -1)
    assert drawn.person == 900 and drawn.replaced >= CUT - 8 and drawn.last < CUT / 20
    rest = np.ones(first.shape[1:3], bool)
    rest[20:110, 85:] = False
    assert np.array_equal(first[:, rest], second[:, rest]), "everybody else stays as they were"
    assert [track for track in report.tracks if track.track >= 0] == list(plain[1].tracks)


def test_landmarks_that_do_not_fit_are_covered_and_followed_by_what_is_in_the_box(source: Path, tmp_path: Path) -> None:
    report = run(source, tmp_path / "out.mkv", [TrackCorrection(20, (60.0, 5.0, 80.0, 25.0), "replace", person=1)])
    drawn = next(track for track in report.tracks if track.track == -1)
    assert drawn.replaced == 0 and drawn.covered == CUT, "the picture stands still, so that it is in all frames of its scene"


def test_a_box_on_a_cover_makes_it_a_face(source: Path, tmp_path: Path) -> None:
    before = run(source, tmp_path / "before.mkv", anonymizer=missing_engine(bare=True))
    assert [(track.covered, track.replaced) for track in before.tracks if not track.look] == [(CUT, 0), (COUNT - CUT, 0)]
    report = run(source, tmp_path / "after.mkv", [ADD], anonymizer=missing_engine(bare=True))
    drawn = next(track for track in report.tracks if track.track == -1)
    assert drawn.replaced >= CUT - 8
    change = np.abs(frames(tmp_path / "after.mkv") - frames(tmp_path / "before.mkv"))[(slice(None), *INSIDE)].mean(axis=(1, 2, 3))
    assert (change[8:CUT] > 5).all(), "not only a cover any more"


def test_a_face_that_is_found_after_all_is_not_drawn_twice(source: Path, plain: tuple[Path, VideoReport], tmp_path: Path) -> None:
    on_the_found = TrackCorrection(20, first_box(plain[1], 0)[1], "cover")
    report = run(source, tmp_path / "after.mkv", [on_the_found])
    assert [track.track for track in report.tracks] == [0]
    assert np.array_equal(frames(plain[0]), frames(tmp_path / "after.mkv"))


@pytest.mark.parametrize(("do", "more"), [("leave", {}), ("cover", {}), ("replace", {"person": 77}), ("replace", {"look": "woman, old"})])
def test_what_was_found_is_left_covered_or_somebody_else(
    source: Path, plain: tuple[Path, VideoReport], tmp_path: Path, do: str, more: dict[str, object]
) -> None:
    before = plain[1]
    (track,) = before.tracks
    number, box = first_box(before, track.track)
    report = run(source, tmp_path / "after.mkv", [TrackCorrection(number, box, do, track.track, **more)])  # type: ignore[arg-type]
    first, second = frames(plain[0]), frames(tmp_path / "after.mkv")
    original = np.stack([frame(n) for n in range(CUT)]).astype(int)
    face = np.s_[:CUT, 45:75, 30:50]
    (after,) = report.tracks
    if do == "leave":
        assert np.array_equal(second[:CUT], original) and after.left == CUT
    else:
        assert (np.abs(second - original[:1])[face].mean() > 5) and np.abs(second - first)[face].mean() > 3
        assert (after.covered, after.replaced) == ((CUT, 0) if do == "cover" else (0, CUT))
        assert after.reasons == ({"covered by hand": CUT} if do == "cover" else {})
    assert after.person == more.get("person", track.person if do != "leave" else -1)


def test_only_the_parts_that_are_touched_are_done_again_and_the_bytes_are_those_of_a_fresh_run(
    source: Path, plain: tuple[Path, VideoReport], tmp_path: Path
) -> None:
    run(source, tmp_path / "out.mkv", keep_parts=True)
    late = TrackCorrection(45, (60.0, 5.0, 80.0, 25.0), "cover")
    done: list[int] = []
    report = run(source, tmp_path / "out.mkv", [late], keep_parts=True, progress=lambda number, total: done.append(number))
    assert min(done) > 25 and len(done) < 25, done
    fresh = run(source, tmp_path / "fresh.mkv", [late])
    assert (tmp_path / "out.mkv").read_bytes() == (tmp_path / "fresh.mkv").read_bytes()
    assert report == fresh and np.array_equal(report.faces, fresh.faces)
    done.clear()
    run(source, tmp_path / "out.mkv", keep_parts=True, progress=lambda number, total: done.append(number))
    assert 0 < len(done) < 25, "taken back"
    assert np.array_equal(frames(tmp_path / "out.mkv"), frames(plain[0]))
    run(source, tmp_path / "out.mkv")
    assert not list(tmp_path.glob(".*")), "a run that is not told to keep parts removes them"


def test_a_run_without_a_seed_keeps_its_people(source: Path, tmp_path: Path) -> None:
    first = run(source, tmp_path / "out.mkv", options=AnonymizeOptions(), keep_parts=True)
    again = run(source, tmp_path / "out.mkv", [ADD], AnonymizeOptions(), keep_parts=True)
    assert again.seed == first.seed


WRONG = {
    "a track that is not there": (TrackCorrection(5, (20.0, 30.0, 60.0, 80.0), "leave", 9), "track 9 is not where"),
    "a track elsewhere": (TrackCorrection(5, (100.0, 30.0, 140.0, 80.0), "leave", 0), "track 0 is not where"),
    "a box behind the end": (TrackCorrection(500, (20.0, 30.0, 60.0, 80.0), "cover"), "film ends before"),
    "a track behind the end": (TrackCorrection(500, (20.0, 30.0, 60.0, 80.0), "cover", 0), "another film"),
    "a box that leaves the film": (TrackCorrection(5, (150.0, 30.0, 190.0, 80.0), "cover"), "leaves the film of 160 x 120"),
}


@pytest.mark.parametrize("row", WRONG)
def test_a_correction_that_means_nothing_is_an_error_and_nothing_is_written(row: str, source: Path, tmp_path: Path) -> None:
    correction, message = WRONG[row]
    with pytest.raises(FilmCorrectionError, match=message):
        run(source, tmp_path / "out.mkv", [correction])
    assert not (tmp_path / "out.mkv").exists()


def test_another_film_is_an_error(source: Path, tmp_path: Path) -> None:
    with pytest.raises(FilmCorrectionError, match="has changed"):
        run(source, tmp_path / "out.mkv", corrections=FilmCorrections("film.mkv", "0" * 64, (ADD,)))


def test_films_and_photos_share_a_file(tmp_path: Path) -> None:
    path, film = tmp_path / "corrections.jsonl", FilmCorrections("film.mkv", "0" * 64, (ADD,), 5)
    photo = PhotoCorrections("a.jpg", "1" * 64, ())
    write_corrections(path, [photo])
    write_film_corrections(path, [film])
    write_corrections(path, [photo])
    assert read_corrections(path) == {"a.jpg": photo} and read_film_corrections(path) == [film]
    write_film_corrections(path, [])
    assert read_corrections(path) == {"a.jpg": photo} and read_film_corrections(path) == []


LINE = {"film": "film.mkv", "sha256": "0" * 64, "faces": [ADD.to_dict()]}
MALFORMED = {
    "neither track nor drawn": LINE | {"faces": [{"frame": 1, "box": [0, 0, 9, 9], "do": "cover"}]},
    "both": LINE | {"faces": [{"frame": 1, "box": [0, 0, 9, 9], "do": "cover", "track": 1, "drawn": True}]},
    "a drawn face that is nobody": LINE | {"faces": [{"frame": 1, "box": [0, 0, 9, 9], "do": "replace", "drawn": True}]},
    "a frame before the first": LINE | {"faces": [{"frame": -1, "box": [0, 0, 9, 9], "do": "cover", "track": 1}]},
    "two for one track": LINE | {"faces": 2 * [{"frame": 1, "box": [0, 0, 9, 9], "do": "cover", "track": 1}]},
    "no digest": LINE | {"sha256": "abc"},
    "something else": LINE | {"run": "rm"},
}


@pytest.mark.parametrize("row", MALFORMED)
def test_a_malformed_line_is_named(row: str, tmp_path: Path) -> None:
    (tmp_path / "corrections.jsonl").write_text("\n" + json.dumps(MALFORMED[row]) + "\n")
    with pytest.raises(ValueError, match=r"corrections\.jsonl, line 2: "):
        read_film_corrections(tmp_path / "corrections.jsonl")
