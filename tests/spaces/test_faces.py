"""What a visitor decides about single faces: cards, decisions from an untrusted browser, and what becomes of the picture."""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny import face_at, noise_photo, same, tiny_engine

from ganon_hf import AnonymizationResult, AnonymizeOptions, FaceCorrection, FaceReport
from ganon_hf.core.anonymizer import Anonymizer

SPACE = "spaces"
PHOTO = Image.fromarray(noise_photo(320, 200))
FIRST, SECOND = face_at(60, 80, 60), face_at(220, 90, 50)
NAME = "digest"


@pytest.fixture
def faces(monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config) -> ModuleType:
    monkeypatch.syspath_prepend(str(pytestconfig.rootpath / SPACE))
    import faces

    return faces


@pytest.fixture
def engine() -> Anonymizer:
    return tiny_engine({PHOTO.size: [FIRST, SECOND]})


class Visitor:
    """Anonymizes one photo again and again, and sends the decisions through JSON as a browser does."""

    def __init__(self, faces: ModuleType, engine: Anonymizer, **options: Any) -> None:
        import work

        self.faces, self.work, self.engine = faces, work, engine
        self.options = AnonymizeOptions(**{"seed": 7, **options})
        self.sent: Any = None
        self.done = self._anonymize(faces.Decisions(NAME))

    def _anonymize(self, decisions: Any) -> Any:
        done = self.work.anonymize(self.engine, PHOTO, self.options, decisions.corrections)
        self.sent = self.faces.decisions_after(done, NAME).to_dict()
        return done

    def decide(self, number: Any, choice: Any) -> np.ndarray:
        self.done = self._anonymize(self.faces.Decisions.from_dict(self.sent, NAME).decide(number, choice))
        return self.picture

    @property
    def picture(self) -> np.ndarray:
        return np.asarray(self.done.result.image)

    @property
    def cards(self) -> str:
        return str(self.faces.face_cards(self.done))


def inside(box: tuple[float, float, float, float]) -> tuple[slice, slice]:
    x_min, y_min, x_max, y_max = (round(value) for value in box)
    return slice(y_min, y_max), slice(x_min, x_max)


def difference(first: np.ndarray, second: np.ndarray) -> float:
    """Mean absolute difference in levels. Light and tone are matched to the whole picture: another face changes them a little."""
    return float(np.abs(first.astype(float) - second).mean())


def test_a_kept_face_stays_and_is_counted(faces: ModuleType, engine: Anonymizer) -> None:
    visitor = Visitor(faces, engine)
    before, looks = visitor.picture, [face.look for face in visitor.done.result.faces]
    after = visitor.decide("0", "leave")
    place, other = inside(FIRST.box), inside(SECOND.box)
    assert np.array_equal(after[place], np.asarray(PHOTO)[place]) and not np.array_equal(before[place], after[place])
    assert [face.look for face in visitor.done.result.faces] == looks[1:]
    assert difference(after[other], before[other]) < 9, "nobody else becomes somebody else, which would differ by twice as much"
    said = visitor.work.summary(visitor.done)
    assert said.startswith("1 of 2 faces replaced, 1 left as it is by your choice. Who was left can be recognized.")
    assert visitor.cards.count('data-status="left as it is"') == 1 and "Face 1: <span" in visitor.cards
    assert "Nobody here is anonymized." in visitor.work.summary((visitor.decide(1, "leave"), visitor.done)[1])
    assert same(visitor.done.result.image, PHOTO)


def test_a_face_keeps_its_number(faces: ModuleType, engine: Anonymizer) -> None:
    visitor = Visitor(faces, engine)
    boxes = visitor.sent["boxes"]
    assert np.allclose(boxes, [FIRST.box, SECOND.box])
    for choice in ("leave", "cover", "new"):
        visitor.decide(0, choice)
        assert visitor.sent["boxes"] == boxes and len(visitor.sent["corrections"]) == 1, choice


def test_a_new_person_is_another_one_for_this_face_only(faces: ModuleType, engine: Anonymizer) -> None:
    visitor = Visitor(faces, engine)
    first = visitor.picture
    second = visitor.decide(1, "new")
    assert difference(first[inside(SECOND.box)], second[inside(SECOND.box)]) > 9
    assert difference(first[inside(FIRST.box)], second[inside(FIRST.box)]) < 1
    assert f"own seed: {visitor.sent['corrections'][0]['seed']}" in visitor.cards
    assert np.array_equal(visitor.decide(1, "undo"), first) and not visitor.sent["corrections"]


def test_a_covered_face_is_covered_by_choice(faces: ModuleType, engine: Anonymizer) -> None:
    visitor = Visitor(faces, engine)
    visitor.decide(0, "cover")
    assert "1 of 2 faces replaced, 1 covered by your choice." in visitor.work.summary(visitor.done)
    assert "could not be replaced" not in visitor.work.summary(visitor.done)


def test_new_people_drops_persons_and_nothing_else(faces: ModuleType) -> None:
    made = tuple(FaceCorrection((9.0 * i, 0, 9 * i + 8, 8), do) for i, do in enumerate(("replace", "leave", "cover")))
    assert [one.do for one in faces.Decisions(NAME, (), made).without_people().corrections] == ["leave", "cover"]


def test_keeping_needs_a_second_click_beside_the_warning(faces: ModuleType, engine: Anonymizer) -> None:
    """The button that keeps a face stands in a closed part of the page, below the warning."""
    shown = Visitor(faces, engine).cards
    kept = re.findall(r"<details class=\"keep\">(.*?)</details>", shown)
    assert len(kept) == 2 and all(part.index(faces.WARNING) < part.index('data-choice="leave"') for part in kept)
    assert shown.count('data-choice="leave"') == 2 and "<details open" not in shown


def test_cards_escape_and_say_what_can_be_done(faces: ModuleType) -> None:
    import work

    reports = tuple(
        FaceReport((20.0 * i, 0, 20.0 * i + 18, 20), 0.6, status, "<small>" if status != "replaced" else "")
        for i, status in enumerate(("replaced", "covered", "doubtful"))
    )
    shown = faces.face_cards(work.AnonymizedPhoto(PHOTO, AnonymizationResult(PHOTO, reports), AnonymizeOptions(seed=1)))
    assert "<small>" not in shown and shown.count("&lt;small&gt;") == 2
    assert [shown.count(words) for words in (">New person<", ">Try to replace<", ">Cover<", ">Undo<")] == [1, 2, 1, 0]
    assert shown.count("60 % sure that it is a face") == 3 and shown.count("data:image/jpeg;base64,") == 3


def test_every_choice_of_a_user_is_in_the_settings(faces: ModuleType, engine: Anonymizer) -> None:
    """A new option shows up by itself."""
    shown = Visitor(faces, engine).cards
    for name in set(AnonymizeOptions.__dataclass_fields__) - {"min_score", "on_no_face"}:
        assert f"<dt>{name.replace('_', ' ')}</dt>" in shown
    assert "<dd>7</dd>" in shown and "<dd>anonymous</dd>" in shown


def test_a_crowd_has_cards_for_its_largest_faces(faces: ModuleType) -> None:
    import work

    reports = tuple(FaceReport((0, i, 20, i + 20), 1.0, "replaced") for i in range(faces.MAX_CARDS + 3))
    done = work.AnonymizedPhoto(PHOTO, AnonymizationResult(PHOTO, reports), AnonymizeOptions(seed=1))
    assert faces.face_cards(done).count("<article") == faces.MAX_CARDS and "3 smaller faces are not listed" in faces.face_cards(done)
    assert len(faces.decisions_after(done, NAME).boxes) == faces.MAX_CARDS


def test_faces_alone_have_pictures_in_the_cards(faces: ModuleType, engine: Anonymizer) -> None:
    visitor = Visitor(faces, engine, output="crop")
    assert visitor.cards.count("<img") == 2
    visitor.decide(0, "leave")
    assert visitor.cards.count("<img") == 1, "the face that is left is not in the result"


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"photo": "another", "boxes": [], "corrections": []}, "belong to another photo"),
        ({"photo": NAME}, "cannot be read"),
        ("text", "cannot be read"),
        ([1], "cannot be read"),
        ({"photo": NAME, "boxes": [[0, 0, float("nan"), 9]], "corrections": []}, "cannot be read"),
        ({"photo": NAME, "boxes": 3, "corrections": []}, "cannot be read"),
        ({"photo": NAME, "boxes": [], "corrections": [{"box": [0, 0, 9, 9], "do": "show"}]}, "cannot be read"),
        ({"photo": NAME, "boxes": [], "corrections": [{"box": [0, 0, 9, 9], "do": "leave", "path": "/etc/passwd"}]}, "cannot be read"),
    ],
)
def test_what_a_browser_sends_is_checked(faces: ModuleType, sent: Any, words: str) -> None:
    import work

    with pytest.raises(work.Refusal, match=words):
        faces.Decisions.from_dict(sent, NAME)


@pytest.mark.parametrize(
    ("number", "choice"), [(5, "leave"), (-1, "leave"), ("x", "cover"), (None, "new"), (0, "show"), (0, None), (0, ["new"])]
)
def test_a_choice_that_cannot_be_is_refused(faces: ModuleType, number: Any, choice: Any) -> None:
    import work

    decisions = faces.Decisions(NAME, ((0.0, 0.0, 9.0, 9.0),))
    with pytest.raises(work.Refusal, match="no such face or choice"):
        decisions.decide(number, choice)


def test_without_decisions_there_are_none(faces: ModuleType) -> None:
    for nothing in (None, {}, []):
        assert faces.Decisions.from_dict(nothing, NAME) == faces.Decisions(NAME)


def test_a_face_that_is_not_found_any_more_is_refused(faces: ModuleType, engine: Anonymizer) -> None:
    import work

    elsewhere = (FaceCorrection((0, 0, 20, 20), "leave"),)
    with pytest.raises(work.Refusal, match="other faces are found"):
        work.anonymize(engine, PHOTO, AnonymizeOptions(seed=7), elsewhere)
