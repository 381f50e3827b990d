"""One box per face."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import face_at

from ganon_hf.core.detection_merging import lies_on_another, merge
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
    ("x", "turned", "doubtful", "lies"),
    [
        (100, False, True, True),  # a mouth, say, that looks like a small face
        (126, False, True, False),  # half on it: somebody behind, perhaps
        (126, True, True, True),  # on its head there: cheek and neck
        (126, True, False, False),
        (150, True, True, False),
    ],
)
def test_what_may_be_no_face_on_another_one(x: float, turned: bool, doubtful: bool, lies: bool) -> None:
    large, small = face_at(100, 100, 80), face_at(x, 100, 50)
    assert small.landmarks is not None
    keypoints = five_points(small.landmarks)
    if turned:
        keypoints = 2 * np.array([x, 100]) - keypoints
    face = Face(small.box, 0.55, doubtful=doubtful, keypoints=keypoints)
    assert lies_on_another(face, [large, face]) == lies
