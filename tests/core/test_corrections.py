"""What a person decided about faces: added, left, covered, somebody else; the other faces stay who they are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from tiny import KnownFaces, face_at, noise_photo, same, tiny_model, tiny_processor

from ganon_hf import AnonymizeOptions, Anonymizer, CorrectionError, Face, FaceCorrection, NoFaceError
from ganon_hf.core.faces import Box

LARGE, SMALL, MISSED = face_at(50, 60, 60), face_at(120, 40, 40), face_at(120, 92, 44)
DOUBTFUL = Face((5, 5, 25, 30), 0.55, doubtful=True)
SEED = AnonymizeOptions(seed=7, on_no_face="raise")


class Fitting(KnownFaces):
    """A detector that finds landmarks in a drawn box around the face that it missed, and none elsewhere."""

    def landmarks(self, image: np.ndarray, box: Box) -> np.ndarray | None:
        return MISSED.landmarks if np.allclose(box, MISSED.box, atol=1) else None


def engine(*faces: Face) -> Anonymizer:
    return Anonymizer(tiny_model(), tiny_processor(), Fitting({(160, 120): list(faces)}))


def part(image: Any, box: Box) -> np.ndarray:
    x_min, y_min, x_max, y_max = map(int, box)
    return np.asarray(image)[y_min:y_max, x_min:x_max]


def statuses(result: Any) -> list[tuple[str, str]]:
    return [(face.status, face.reason) for face in result.faces]


def test_a_missed_face_is_replaced_where_landmarks_fit_and_the_others_stay_who_they_are() -> None:
    photo = noise_photo()
    before = engine(LARGE, SMALL)(photo, SEED)
    after = engine(LARGE, SMALL)(photo, SEED, corrections=[FaceCorrection(MISSED.box, "replace", drawn=True)])
    assert statuses(after) == [("replaced", "")] * 3
    assert after.faces[1].box == MISSED.box, "larger ones first, as always"
    assert [face.look for face in after.faces if face.box != MISSED.box] == [face.look for face in before.faces]
    assert not same(part(after.image, MISSED.box), part(photo, MISSED.box))
    assert same(part(after.image, (30, 40, 70, 80)), part(before.image, (30, 40, 70, 80)))


def test_a_box_in_which_no_landmarks_fit_is_covered() -> None:
    box = (100.0, 70.0, 140.0, 110.0)
    photo = noise_photo()
    result = engine()(photo, SEED, corrections=[FaceCorrection(box, "replace", drawn=True)])
    assert statuses(result) == [("covered", "no landmarks could be fitted")]
    assert np.ptp(part(result.image, (110, 80, 130, 100)).reshape(-1, 3), axis=0).max() == 0, "one color"


def test_a_detector_without_landmarks_covers_what_is_drawn() -> None:
    plain = Anonymizer(tiny_model(), tiny_processor(), KnownFaces({}))
    result = plain(noise_photo(), SEED, corrections=[FaceCorrection(MISSED.box, "replace", drawn=True)])
    assert result.num_covered == 1


def test_what_is_no_face_is_left_as_it_is() -> None:
    photo = noise_photo()
    result = engine(LARGE, DOUBTFUL)(photo, SEED, corrections=[FaceCorrection(DOUBTFUL.box, "leave")])
    assert statuses(result) == [("replaced", "")]
    assert same(part(result.image, (0, 0, 12, 12)), part(photo, (0, 0, 12, 12)))


def test_a_photo_of_which_every_face_was_left_is_no_photo_without_a_face() -> None:
    photo = noise_photo()
    result = engine(LARGE)(photo, SEED, corrections=[FaceCorrection(LARGE.box, "leave")])
    assert result.faces == () and same(result.image, photo)
    with pytest.raises(NoFaceError):
        engine()(photo, SEED)


@pytest.mark.parametrize("face", [LARGE, DOUBTFUL], ids=["with landmarks", "doubtful"])
def test_covered_for_good(face: Face) -> None:
    result = engine(face)(noise_photo(), SEED, corrections=[FaceCorrection(face.box, "cover")])
    assert statuses(result) == [("covered", "covered by hand")]


@pytest.mark.parametrize("change", [{"seed": 8}, {"look": "man, old, beard"}], ids=str)
def test_another_person_for_one_face_alone(change: dict[str, Any]) -> None:
    photo = noise_photo()
    before = engine(LARGE, SMALL)(photo, SEED)
    after = engine(LARGE, SMALL)(photo, SEED, corrections=[FaceCorrection(SMALL.box, "replace", **change)])
    assert not same(part(after.image, (110, 30, 130, 50)), part(before.image, (110, 30, 130, 50)))
    assert same(part(after.image, (30, 40, 70, 80)), part(before.image, (30, 40, 70, 80)))
    assert after.faces[1].look.startswith("old, man, beard") or "look" not in change


def test_a_doubtful_face_that_is_one_gets_landmarks() -> None:
    doubtful = Face(MISSED.box, 0.55, doubtful=True)
    assert statuses(engine(doubtful)(noise_photo(), SEED)) == [("doubtful", "it may be no face")]
    result = engine(doubtful)(noise_photo(), SEED, corrections=[FaceCorrection(MISSED.box, "replace")])
    assert statuses(result) == [("replaced", "")]


def test_boxes_rounded_as_in_the_report_mean_the_same_face() -> None:
    box = tuple(round(value, 2) for value in SMALL.box)
    result = engine(LARGE, SMALL)(noise_photo(), SEED, corrections=[FaceCorrection(box, "cover")])
    assert [status for status, _ in statuses(result)] == ["replaced", "covered"]


MISFITS = {
    "no such face": ([FaceCorrection((90, 10, 120, 40), "cover")], "no face is found at 90, 10, 120, 40"),
    "no face at all near": ([FaceCorrection((-50, -50, -20, -20), "leave")], "no face is found"),
    "the same face twice": ([FaceCorrection(LARGE.box, "cover"), FaceCorrection(LARGE.box, "leave")], "two corrections mean the face"),
    "drawn beyond the photo": ([FaceCorrection((120, 90, 170, 110), "cover", drawn=True)], "leaves the photo of 160 x 120"),
    "drawn outside": ([FaceCorrection((-10, 0, 20, 20), "cover", drawn=True)], "leaves the photo"),
}


@pytest.mark.parametrize("row", MISFITS)
def test_a_correction_that_does_not_fit_the_photo_is_an_error(row: str) -> None:
    corrections, message = MISFITS[row]
    with pytest.raises(CorrectionError, match=message):
        engine(LARGE)(noise_photo(), SEED, corrections=corrections)


def test_frames_of_a_video_take_no_corrections() -> None:
    with pytest.raises(ValueError, match="no corrections beside them"):
        engine().plan(noise_photo(), SEED, faces=[LARGE], people=[0], corrections=[FaceCorrection(LARGE.box, "cover")])


INVALID = {
    "not four numbers": {"box": [1, 2, 3], "do": "cover"},
    "a text": {"box": "1234", "do": "cover"},
    "no numbers": {"box": ["a", 0, 50, 50], "do": "cover"},
    "true": {"box": [True, 0, 50, 50], "do": "cover"},
    "not finite": {"box": [0, 0, math.nan, 50], "do": "cover"},
    "infinite": {"box": [0, 0, math.inf, 50], "do": "cover"},
    "huge": {"box": [0, 0, 1e9, 50], "do": "cover"},
    "empty": {"box": [50, 0, 50, 50], "do": "cover"},
    "upside down": {"box": [0, 50, 50, 0], "do": "cover"},
    "too small": {"box": [0, 0, 3, 50], "do": "cover"},
    "no action": {"box": [0, 0, 50, 50]},
    "unknown action": {"box": [0, 0, 50, 50], "do": "keep"},
    "unknown name": {"box": [0, 0, 50, 50], "do": "cover", "path": "/etc/passwd"},
    "drawn is no bool": {"box": [0, 0, 50, 50], "do": "cover", "drawn": 1},
    "drawn and left": {"box": [0, 0, 50, 50], "do": "leave", "drawn": True},
    "seed out of range": {"box": [0, 0, 50, 50], "do": "replace", "seed": -1},
    "seed is no integer": {"box": [0, 0, 50, 50], "do": "replace", "seed": 1.5},
    "unknown look": {"box": [0, 0, 50, 50], "do": "replace", "look": "my neighbor"},
    "look is no text": {"box": [0, 0, 50, 50], "do": "replace", "look": 5},
    "a seed for a cover": {"box": [0, 0, 50, 50], "do": "cover", "seed": 3},
    "no object": [1],
}


@pytest.mark.parametrize("row", INVALID)
def test_an_invalid_correction_is_refused(row: str) -> None:
    with pytest.raises(ValueError):
        FaceCorrection.from_dict(INVALID[row])


def test_dictionary_and_back() -> None:
    for correction in (
        FaceCorrection((1, 2, 30, 40), "cover"),
        FaceCorrection((1.5, 2, 30, 40), "replace", drawn=True, seed=3, look="woman, 30"),
        FaceCorrection((1, 2, 30, 40), "replace", seed=0),
    ):
        assert FaceCorrection.from_dict(correction.to_dict()) == correction
