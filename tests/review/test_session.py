"""A review without a browser: order, what is saved when, doing a photo again, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from review_runs import DOUBTFUL, FOUND, MISSED, PLAIN, Run, make_run, tiny_engine, tiny_run
from standins import names, save, unloadable
from tiny import noise_photo

from ganon_hf.bulk import folder
from ganon_hf.bulk.correction_file import read_corrections
from ganon_hf.bulk.tasks import Settings
from ganon_hf.core.options import AnonymizeOptions
from ganon_hf.review.finished_run import ReportError, read_run
from ganon_hf.review.session import ReviewError, ReviewSession

ADD = {"box": [round(value, 1) for value in MISSED.box], "do": "replace", "drawn": True}
LEAVE = {"box": list(DOUBTFUL.box), "do": "leave"}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return tiny_run(tmp_path)


def number_of(session: ReviewSession, name: str) -> int:
    return [photo.name for photo in session.run.photos].index(name)


def replay(run: Run, out: Path, options: AnonymizeOptions | None = None) -> dict[str, bytes]:
    """A fresh run with the corrections that a review has left: name -> content."""
    jobs, _ = folder.plan([str(run.photos)], str(out))
    settings = Settings(options or AnonymizeOptions(seed=7), corrections=read_corrections(run.corrections))
    list(folder.run(jobs, settings, tiny_engine, None))
    return {name: (out / name).read_bytes() for name in names(out)}


def test_photos_come_in_the_order_in_which_they_need_looking_at(run: Run) -> None:
    with run.session() as session:
        concerns = {photo.name: photo.concern for photo in session.run.photos}
        assert concerns == {"1.png": "doubtful", "3.png": "covered", "4.png": "unsure", "0.png": "rest", "2.png": "missing"}
        assert list(concerns) == ["1.png", "3.png", "4.png", "0.png", "2.png"]
        counts = {"all": 5, "open": 5, "doubtful": 1, "covered": 1, "unsure": 1, "rest": 1, "missing": 1, "corrected": 0}
        assert session.counts() == counts
        details = session.details(0)
        assert (details["width"], details["height"], details["written"]) == (162, 120, True)
        assert [face["status"] for face in details["faces"]] == ["replaced", "doubtful"]
        missing = session.details(number_of(session, "2.png"))
        assert (missing["written"], missing["width"]) == (False, 164) and "no face was found" in missing["error"]


def test_a_missed_face_is_gone_after_redo_and_a_false_cover_too(run: Run, tmp_path: Path) -> None:
    with run.session() as session:
        plain, uncertain = number_of(session, "0.png"), number_of(session, "1.png")
        original = np.asarray(Image.open(run.photos / "0.png"))
        before = {name: (run.out / name).read_bytes() for name in names(run.out)}
        session.set_corrections(plain, [ADD])
        session.set_corrections(uncertain, [LEAVE])
        assert session.details(plain)["stale"] and {name: (run.out / name).read_bytes() for name in names(run.out)} == before
        session.redo(plain)
        session.redo(uncertain)
        assert [face["status"] for face in session.details(plain)["faces"]] == ["replaced", "replaced"]
        assert not session.details(plain)["stale"] and session.numbers("corrected") == [uncertain, plain]
        assert session.run.photos[uncertain].concern == "rest", "the filters follow"
    result = np.asarray(Image.open(run.out / "0.png"))
    assert (result[50:70, 110:130] != original[50:70, 110:130]).any(axis=2).mean() > 0.9
    cover = np.s_[95:105, 110:140]
    left = np.asarray(Image.open(run.out / "1.png"))[cover], np.asarray(Image.open(run.photos / "1.png"))[cover]
    assert np.array_equal(*left), "as it is in the photo"
    assert replay(run, tmp_path / "fresh") == {name: (run.out / name).read_bytes() for name in names(run.out)}


def test_a_photo_in_which_no_face_was_found_can_be_done_after_all(run: Run, tmp_path: Path) -> None:
    with run.session() as session:
        number = number_of(session, "2.png")
        session.set_corrections(number, [ADD])
        session.redo(number)
        assert session.details(number)["written"] and session.counts()["missing"] == 0
    assert replay(run, tmp_path / "fresh")["2.png"] == (run.out / "2.png").read_bytes()


def test_a_run_without_a_seed_is_the_same_again_where_it_was_corrected(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, [PLAIN, PLAIN], options=AnonymizeOptions())
    with run.session() as session:
        session.set_corrections(0, [ADD])
        session.redo(0)
        seed = read_corrections(run.corrections)["0.png"].seed
        session.set_corrections(0, [ADD | {"seed": str(2**62 + 1)}])
        session.redo(0)
    row = read_corrections(run.corrections)["0.png"]
    assert row.seed == seed is not None, "drawn once"
    assert row.faces[0].seed == 2**62 + 1, "more than a browser's numbers hold"
    assert replay(run, tmp_path / "fresh", AnonymizeOptions())["0.png"] == (run.out / "0.png").read_bytes()


def test_the_other_people_of_a_photo_stay_the_same_in_a_run_without_a_seed(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, [PLAIN], options=AnonymizeOptions())
    other = np.s_[30:90, 20:80]
    before = np.asarray(Image.open(run.out / "0.png"))[other]
    with run.session() as session:
        session.set_corrections(0, [ADD])
        session.redo(0)
        assert [face["status"] for face in session.details(0)["faces"]] == ["replaced", "replaced"]
    # another person would change every pixel; the new face's head may bend the edge of the one beside it
    same = (np.asarray(Image.open(run.out / "0.png"))[other] == before).all(axis=-1)
    assert same.mean() > 0.8


def test_taking_everything_back_gives_the_first_result_again(run: Run) -> None:
    first = (run.out / "0.png").read_bytes()
    with run.session() as session:
        number = number_of(session, "0.png")
        for corrections in ([ADD], []):
            session.set_corrections(number, corrections)
            session.redo(number)
        assert not session.details(number)["stale"]
    assert read_corrections(run.corrections) == {} and (run.out / "0.png").read_bytes() == first


def test_what_was_looked_at_and_corrected_is_there_after_a_restart(run: Run) -> None:
    with run.session() as session:
        session.set_fine(1, True)
        session.set_fine(2, True)
        session.set_fine(2, False)
        number = number_of(session, "0.png")
        session.set_fine(number, True)
        session.set_corrections(number, [ADD])
        session.redo(number)
    with run.session() as session:
        assert [n for n in session.numbers("all") if n not in session.numbers("open")] == [1], (
            "a photo that was corrected is looked at again"
        )
        again = session.details(number_of(session, "0.png"))
        assert len(again["faces"]) == 2 and again["corrections"] == [ADD] and not again["stale"]
    save(run.out / session.run.photos[1].name, Image.fromarray(noise_photo(166, 120, seed=8)))
    with run.session() as session:
        assert len(session.numbers("open")) == 5, "another picture than the one that was looked at"


def test_a_line_that_was_cut_by_a_kill_was_not_answered(run: Run) -> None:
    with run.session() as session:
        session.set_fine(0, True)
    with (run.report.parent / "reviewed.jsonl").open("ab") as file:
        file.write(b'{"name": "3.png", "fi')
    with run.session() as session:
        assert 0 not in session.numbers("open") and len(session.numbers("open")) == 4
        session.set_fine(1, True)
    with run.session() as session:
        assert len(session.numbers("open")) == 3


REFUSED: dict[str, tuple[Callable[[ReviewSession], object], str]] = {
    "no such photo": (lambda s: s.details(99), "no photo 99"),
    "no such filter": (lambda s: s.numbers("secret"), "no filter"),
    "corrections that are none": (lambda s: s.set_corrections(0, {"box": 1}), "must be a list"),
    "too many": (lambda s: s.set_corrections(0, [ADD] * 2001), "at most 2000"),
    "an unknown action": (lambda s: s.set_corrections(0, [ADD | {"do": "remove"}]), "must be one of"),
    "a path": (lambda s: s.set_corrections(0, [ADD | {"photo": "/etc/passwd"}]), "a correction has box and do"),
    "a box beyond the photo": (lambda s: s.set_corrections(0, [ADD | {"box": [100, 50, 170, 90]}]), "leaves the photo of 162 x 120"),
    "a box of texts": (lambda s: s.set_corrections(0, [ADD | {"box": ["a", 1, 2, 3]}]), "must be a number"),
    "a seed of words": (lambda s: s.set_corrections(0, [ADD | {"seed": "ten"}]), "seed"),
    "a look that is none": (lambda s: s.set_corrections(0, [ADD | {"look": "my neighbor"}]), "my neighbor"),
}


@pytest.mark.parametrize("row", REFUSED)
def test_what_cannot_be_done_is_said_and_nothing_is_saved(row: str, run: Run) -> None:
    action, message = REFUSED[row]
    with run.session() as session, pytest.raises(ReviewError, match=message):
        action(session)
    assert not run.corrections.exists()


def test_a_correction_that_fits_nothing_leaves_the_result_as_it_was(run: Run) -> None:
    before = (run.out / "0.png").read_bytes()
    with run.session() as session:
        number = number_of(session, "0.png")
        session.set_corrections(number, [LEAVE])
        with pytest.raises(ReviewError, match="no face is found .* stands as before"):
            session.redo(number)
        assert session.details(number)["written"]
    assert (run.out / "0.png").read_bytes() == before


def test_an_original_that_has_changed_or_is_gone_is_not_corrected(run: Run) -> None:
    with run.session() as session:
        number = number_of(session, "0.png")
        session.set_corrections(number, [ADD])
        save(run.photos / "0.png", Image.fromarray(noise_photo(*PLAIN, seed=20)))
        with pytest.raises(ReviewError, match="has changed since it was corrected"):
            session.set_corrections(number, [ADD, FOUND_COVERED])
        with pytest.raises(ReviewError, match="has changed since it was corrected.*stands as before"):
            session.redo(number)
        session.set_corrections(number, [])
        (run.photos / "0.png").unlink()
        with pytest.raises(ReviewError, match="the original: does not exist"):
            session.set_corrections(number, [ADD])


FOUND_COVERED: dict[str, Any] = {"box": list(FOUND.box), "do": "cover"}


def test_originals_that_were_moved_are_found_where_they_are_said_to_be(run: Run) -> None:
    run.photos.rename(run.photos.parent / "moved")
    moved = read_run(run.report, run.out, run.photos.parent / "moved")
    session = ReviewSession(moved, run.report, run.out, tiny_engine)
    session.set_corrections(0, [LEAVE])
    session.redo(0)
    session.close()
    assert session.run.photos[0].concern == "rest"


def test_without_the_same_model_nothing_is_done_again(run: Run) -> None:
    with run.session(redo_problem="the run was made with another model") as session, pytest.raises(ReviewError, match="another model"):
        session.redo(0)
    with run.session(load_engine=lambda: unloadable(None)) as session, pytest.raises(ReviewError, match="cannot be loaded: no such model"):
        session.redo(0)


def test_a_full_disk_is_told_and_nothing_counts_as_saved(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ganon_hf.review.session.write_corrections", full)
    with run.session() as session:
        with pytest.raises(ReviewError, match="nothing was saved: the disk is full"):
            session.set_corrections(0, [LEAVE])
        assert session.details(0)["corrections"] == []


def test_only_one_review_or_run_at_a_time(run: Run) -> None:
    with run.session(), pytest.raises(folder.PlanError, match="Another run"), run.session():
        pass


def test_corrections_of_another_run_are_not_taken_over(run: Run, tmp_path: Path) -> None:
    run.corrections.write_text(json.dumps({"photo": "other.png", "sha256": "0" * 64, "faces": []}))
    with pytest.raises(ValueError, match="corrections for other.png"), run.session():
        pass


def line(run: Run, **changes: Any) -> str:
    return json.dumps(json.loads(run.report.read_text().splitlines()[0]) | changes)


BAD_REPORTS: dict[str, Callable[[Run], tuple[str, str]]] = {
    "empty": lambda run: ("", "no lines"),
    "no JSON": lambda run: ("{", "line 1"),
    "no object": lambda run: ("[]", "line 1"),
    "of an older version": lambda run: ('{"input": "a.png"}', "has no 'model': make the report anew"),
    "leaves the folder": lambda run: (line(run, name="../../etc/passwd"), "plain name below the folder"),
    "absolute": lambda run: (line(run, name="/etc/passwd"), "plain name below the folder"),
    "unknown status": lambda run: (line(run, status="perfect"), "not those of a report"),
    "a face without a box": lambda run: (line(run, faces=[{"score": 1}]), "has no 'box'"),
    "a face that is not finite": lambda run: (line(run).replace('"score": 0.9', '"score": NaN'), "no number"),
    "a face with markup for a status": lambda run: (line(run).replace('"replaced"', '"<script>"'), "status, reason or look"),
    "crops": lambda run: (line(run, options=json.loads(line(run))["options"] | {"output": "crop"}), "only photos can be reviewed"),
    "unknown options": lambda run: (line(run, options={"blur": 1}), "not of this version"),
    "a mark that is none": lambda run: (line(run, mark="yes"), "mark or model"),
    "two runs": lambda run: (
        line(run) + "\n" + line(run, options=json.loads(line(run))["options"] | {"seed": 9}),
        "line 2: it was made with other options",
    ),
}


def test_what_was_copied_is_looked_at_what_was_left_out_is_no_photo_and_results_have_their_own_names(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, [PLAIN])
    lines = [line(run), line(run, name="empty.png", status="copied", faces=[]), line(run, name="", status="left out", faces=[])]
    lines.append(line(run, name="IMG_1.heic"))
    run.report.write_text("\n".join(lines))
    photos = {photo.name: photo for photo in read_run(run.report, run.out).photos}
    assert set(photos) == {json.loads(lines[0])["name"], "empty.png", "IMG_1.heic"}
    assert photos["empty.png"].written and photos["empty.png"].concern == "unsure"
    assert photos["IMG_1.heic"].target == run.out / "IMG_1.heic.jpg"


def test_what_was_marked_is_marked_again(tmp_path: Path) -> None:
    for mark in (True, False):
        run = tiny_run(tmp_path / str(mark), [PLAIN], mark=mark)
        with run.session() as session:
            session.set_corrections(0, [ADD])
            session.redo(0)
        assert (b"compositeWithTrainedAlgorithmicMedia" in (run.out / "0.png").read_bytes()) == mark
    older = json.loads(line(run))
    del older["mark"], older["marked"]
    run.report.write_text(json.dumps(older))
    assert read_run(run.report, run.out).settings.mark is False, "a report of before there was a mark"


@pytest.mark.parametrize("row", BAD_REPORTS)
def test_a_report_that_cannot_be_used_is_refused(row: str, tmp_path: Path) -> None:
    run = tiny_run(tmp_path, [PLAIN])
    text, message = BAD_REPORTS[row](run)
    run.report.write_text(text)
    with pytest.raises(ReportError, match=message):
        read_run(run.report, run.out)


def test_a_result_that_became_a_link_is_not_followed(run: Run, tmp_path: Path) -> None:
    (run.out / "0.png").unlink()
    (run.out / "0.png").symlink_to(run.photos / "0.png")
    with run.session() as session:
        details = session.details(number_of(session, "0.png"))
        assert not details["written"] and "leaves the input folder" in details["error"]


def test_a_folder_that_became_a_link_is_not_written_to(tmp_path: Path) -> None:
    save(tmp_path / "in" / "sub" / "0.png", Image.fromarray(noise_photo(*PLAIN)))
    run = make_run(tmp_path)
    (run.out / "sub").rename(tmp_path / "elsewhere")
    (run.out / "sub").symlink_to(tmp_path / "elsewhere")
    before = (tmp_path / "elsewhere" / "0.png").read_bytes()
    with run.session() as session, pytest.raises(ReviewError, match="is a link"):
        session.redo(0)
    assert (tmp_path / "elsewhere" / "0.png").read_bytes() == before


def test_nothing_is_fine_whose_corrections_are_not_in_the_result(run: Run) -> None:
    with run.session() as session:
        number = number_of(session, "0.png")
        session.set_corrections(number, [ADD])
        with pytest.raises(ReviewError, match="redo comes first"):
            session.set_fine(number, True)
        session.redo(number)
        session.set_fine(number, True)
        assert session.details(number)["fine"]


def test_a_run_again_after_a_review_does_nothing(run: Run) -> None:
    with run.session() as session:
        for number, correction in ((number_of(session, "0.png"), ADD), (number_of(session, "1.png"), LEAVE)):
            session.set_corrections(number, [correction])
            session.redo(number)
    jobs, _ = folder.plan([str(run.photos)], str(run.out))
    state = folder.State(run.out)
    settings = Settings(AnonymizeOptions(seed=7), model="tiny@0 0", corrections=read_corrections(run.corrections))
    assert [outcome.status for outcome in folder.run(jobs, settings, tiny_engine, state)] == [
        "skipped",
        "skipped",
        "refused",
        "skipped",
        "skipped",
    ]
    state.close()
