"""Attempts to get the original pixels of a face out of the engine: wrong faces, wrong boxes, faces over each other."""

from __future__ import annotations

import numpy as np
import pytest

from ganon_hf.anonymizer import Anonymizer
from ganon_hf.faces import AnonymizationResult, AnonymizeOptions, Box, Face, clip_box
from tiny import face_at, noise_photo, tiny_engine, tiny_model, tiny_processor


def run(faces: object, engine: Anonymizer | None = None) -> tuple[np.ndarray, AnonymizationResult]:
    result = (engine or tiny_engine())(noise_photo(), AnonymizeOptions(seed=7), faces=faces)  # type: ignore[arg-type]
    return np.asarray(result.image), result


def survivors(after: np.ndarray, box: Box) -> float:
    """Share of a box's pixels that are those of the photo."""
    region = clip_box(box, height=after.shape[0], width=after.shape[1])
    assert region is not None
    x_min, y_min, x_max, y_max = region
    return float((after == noise_photo())[y_min:y_max, x_min:x_max].all(axis=2).mean())


class Loose:
    """A face of somebody else's making, which nothing has checked."""

    def __init__(self, box: object, landmarks: object = None) -> None:
        self.box, self.score, self.landmarks = box, 0.9, landmarks


# -- landmarks and box that do not belong together


@pytest.mark.parametrize(
    "box",
    [face_at(110, 60).box, (0.0, 0.0, 160.0, 120.0), (60.0, 40.0, 120.0, 110.0)],
    ids=["beside the landmarks", "much larger than them", "half beside them"],
)
@pytest.mark.parametrize("source", ["by hand", "detector"])
def test_landmarks_of_another_face_do_not_leave_this_one_standing(box: Box, source: str) -> None:
    """Before, the synthetic face went where the landmarks were, and the face in the box was reported as replaced."""
    face = Face(box, 0.9, face_at(45, 60).landmarks)
    after, result = run([face]) if source == "by hand" else run(None, tiny_engine({(160, 120): [face]}))
    assert result.faces[0].status == "covered" and "landmarks lie elsewhere" in result.faces[0].reason
    assert survivors(after, box) < 0.01 and survivors(after, face_at(45, 60).box) < 0.01


@pytest.mark.parametrize("factor", [0.6, 0.8, 1.25, 1.6])
def test_boxes_of_other_detectors_are_tighter_or_wider_than_the_mesh(factor: float) -> None:
    x_min, y_min, x_max, y_max = face_at(80, 60, 50).box
    width, height = (x_max - x_min) * factor / 2, (y_max - y_min) * factor / 2
    face = Face((80 - width, 60 - height, 80 + width, 60 + height), 0.9, face_at(80, 60, 50).landmarks)
    assert run([face])[1].num_replaced == 1


# -- what is no face is an error, never a photo with a face that was "covered" nowhere


@pytest.mark.parametrize(
    "face",
    [
        (0.1, 0.1, 0.5, 0.5),
        (0, 0, 1, 1),
        Loose((90, 90, 30, 30)),
        Loose((float("nan"),) * 4),
        Loose(face_at(60, 60).box, np.zeros((68, 2))),
        Loose(face_at(60, 60).box, np.full((478, 3), np.nan)),
    ],
    ids=["shares of the photo", "the whole photo as shares", "corners exchanged", "no numbers", "68 points", "points that are no numbers"],
)
def test_what_cannot_be_a_face_raises(face: object) -> None:
    with pytest.raises(ValueError, match="pixels|finite"):
        run([face])


@pytest.mark.parametrize("box", [(90, 90, 30, 30), (float("nan"),) * 4], ids=["corners exchanged", "no numbers"])
def test_a_detector_that_returns_nonsense_gives_no_photo(box: object) -> None:
    def detector(image: np.ndarray, *, min_face_size: int = 24, min_score: float = 0.5) -> list[object]:
        return [Loose(box)]

    engine = Anonymizer(tiny_model(), tiny_processor(), detector)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="finite"):
        run(None, engine)


def test_landmarks_as_lists_are_landmarks() -> None:
    face = face_at(60, 60)
    assert face.landmarks is not None
    assert run([Loose(list(face.box), face.landmarks.tolist())])[1].num_replaced == 1


# -- faces over each other


@pytest.mark.parametrize("covered", [0, 1], ids=["the larger one is covered", "the smaller one is covered"])
def test_a_replaced_face_does_not_uncover_another(covered: int) -> None:
    pair = [face_at(70, 60, 70), face_at(85, 60, 45)]
    pair[covered] = Face(pair[covered].box, 0.9)
    after, result = run(pair)
    assert [report.status for report in result.faces] == (["covered", "replaced"] if covered == 0 else ["replaced", "covered"])
    assert survivors(after, pair[covered].box) < 0.01
