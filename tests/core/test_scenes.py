"""The truth of the composed scenes: boxes of portraits against those of MediaPipe's own Face Mesh, stored (mediapipe 0.10.21)."""

from __future__ import annotations

import numpy as np
import scenes
from PIL import Image

from ganon_hf.core.faces import box_overlap

MEDIAPIPE = ((118.9, 69.0, 211.0, 176.8), (148.5, 69.1, 239.9, 178.3))  # the portrait, and its mirror image


def test_boxes_are_those_of_mediapipe(astronaut: Image.Image) -> None:
    portrait = np.asarray(astronaut)[:360, 60:420]
    far = np.full((1400, 900, 3), 90, np.uint8)
    far[100:460, 300:660] = portrait
    *boxes, small, none = scenes._mesh_boxes([portrait, portrait[:, ::-1].copy(), far, np.full((300, 300, 3), 128, np.uint8)])
    assert none is None and small is not None
    for box, expected in zip((*boxes, np.array(small) - [300, 100, 300, 100]), (*MEDIAPIPE, MEDIAPIPE[0]), strict=True):
        assert box is not None and box_overlap(tuple(box), np.array([expected]))[0][0] > 0.93
