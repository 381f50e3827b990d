"""One box per face."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import face_at

from ganon_hf.core.detection_merging import lies_on_another, merge
from ganon_hf.core.detection_search import CREDIBLE_SCORE
from ganon_hf.core.faces import Face
from ganon_hf.core.keypoints import five_points


@pytest.mark.parametrize(
    ("boxes", "scores", "last", "kept", "reason"),
    [
        ([(0, 0, 10, 10), (1, 0, 11, 10)], [0.5, 0.9], [0, 0], [1], "one face, the surer box"),
        ([(0, 0, 10, 10), (1, 0, 11, 10)], [0.5, 0.9], [0, 1], [0], "whatever their scores"),
        ([(0, 0, 10, 10), (20, 0, 30, 10)], [0.5, 0.9], [0, 0], [1, 0], "two faces"),
        ([(0, 0, 10, 10), (2, 2, 8, 8)], [0.9, 0.5], [0, 0], [0], "a part of the face"),
        ([(0, 0, 100, 100), (2, 2, 22, 22)], [0.9, 0.5], [0, 0], [0, 1], "a small face before a large one"),
    ],
)
def test_merge(boxes: list, scores: list, last: list, kept: list[int], reason: str) -> None:
    assert merge(np.array(boxes, float), np.array(scores), np.array(last, bool)) == kept, reason


@pytest.mark.parametrize(
    ("x", "turned", "score", "lies", "reason"),
    [
        (100, False, 0.55, True, "doubtful: a mouth, say, that looks like a small face"),
        (100, False, 0.65, False, "a credible face before a large one"),
        (126, False, 0.55, False, "half on it: somebody behind, perhaps"),
        (126, True, 0.55, True, "on its head there: cheek and neck"),
        (126, True, 0.65, True, "credible, on its head: hair, brows and a mask"),
        (126, True, 0.85, False, "surely a face, whatever it lies on"),
        (150, True, 0.55, False, "beside it"),
    ],
)
def test_what_may_be_no_face_on_another_one(x: float, turned: bool, score: float, lies: bool, reason: str) -> None:
    large, small = face_at(100, 100, 80), face_at(x, 100, 50)
    assert small.landmarks is not None
    keypoints = five_points(small.landmarks)
    if turned:
        keypoints = 2 * np.array([x, 100]) - keypoints
    face = Face(small.box, score, doubtful=score < CREDIBLE_SCORE, keypoints=keypoints)
    assert lies_on_another(face, [large, face]) == lies, reason
