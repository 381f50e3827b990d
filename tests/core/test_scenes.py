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


def test_a_head_in_front_leaves_the_share_that_is_asked_for(astronaut: Image.Image) -> None:
    head = scenes.Head(np.asarray(astronaut)[:360, 60:420].copy(), MEDIAPIPE[0])
    plain = np.full((480, 640, 3), 90, np.uint8)
    for side in (1, -1):
        canvas = plain.copy()
        face = scenes.paste(canvas, head, center=(320, 240), height=100)
        alone = canvas.copy()
        seen, front = scenes.hide(canvas, face, head, share=1 / 3, side=side)
        whole, left = face.box[2] - face.box[0], seen.box[2] - seen.box[0]
        assert abs(left / whole - 2 / 3) < 1e-6
        x_min, y_min, x_max, y_max = (round(value) for value in seen.box)
        middle = (y_min + y_max) // 2
        # What is said to be seen is untouched but for the soft edge of the other head; what is hidden is not.
        edge = slice(x_min, x_max - 10) if side > 0 else slice(x_min + 10, x_max)
        assert np.array_equal(canvas[middle, edge], alone[middle, edge])
        hidden = slice(x_max + 10, round(face.box[2])) if side > 0 else slice(round(face.box[0]), x_min - 10)
        assert np.abs(canvas[middle, hidden].astype(int) - alone[middle, hidden]).mean() > 5
        assert front.height == face.height


def test_boxes_follow_a_scene_that_is_squeezed(astronaut: Image.Image) -> None:
    head = scenes.Head(np.asarray(astronaut)[:360, 60:420].copy(), MEDIAPIPE[0])
    scene = scenes.compose((head,), np.full((480, 900, 3), 90, np.uint8), (60, 40), seed=1, hidden=0.5)
    assert len(scene.faces) == len(scene.in_front) == 2
    third = scenes.scale_width(scene, 1 / 3)
    assert third.image.shape == (480, 300, 3)
    for before, after in zip((*scene.faces, *scene.in_front), (*third.faces, *third.in_front), strict=True):
        assert np.allclose(after.box, np.array(before.box) * [1 / 3, 1, 1 / 3, 1])
