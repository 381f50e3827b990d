"""One box per face."""

from __future__ import annotations

import numpy as np
import pytest

from ganon_hf.core.detection_merging import merge


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
