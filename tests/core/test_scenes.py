"""The truth of the composed scenes: boxes of portraits against those of MediaPipe's own Face Mesh, stored (mediapipe 0.10.21)."""

from __future__ import annotations

import numpy as np
import pytest
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


@pytest.mark.parametrize("side", scenes.SIDES)
def test_a_head_in_front_leaves_the_share_that_is_asked_for(side: tuple[int, int], astronaut: Image.Image) -> None:
    head = scenes.Head(np.asarray(astronaut)[:360, 60:420].copy(), MEDIAPIPE[0])
    canvas = np.full((640, 640, 3), 90, np.uint8)
    face = scenes.paste(canvas, head, center=(320, 240), height=100)
    alone = canvas.copy()
    seen, front = scenes.hide(canvas, face, head, share=1 / 3, side=side)
    axis = 1 if side == scenes.BELOW else 0
    whole, left = (box[axis + 2] - box[axis] for box in (face.box, seen.box))
    assert abs(left / whole - 2 / 3) < 1e-6 and front.height == face.height
    # What is said to be seen is untouched but for the soft edge of the other head; what is hidden is not.
    low, high = round(face.box[axis]), round(face.box[axis + 2])
    middle = round(face.box[1 - axis] + face.box[3 - axis]) // 2
    changed = np.abs(canvas.astype(int) - alone).max(axis=2)
    along = (changed[:, middle] if axis else changed[middle])[low:high]
    along = along[::-1] if side == scenes.LEFT else along
    assert not along[: round(left) - 10].any() and along[round(left) + 10 :].mean() > 5


def test_hidden_faces_find_room_beside_each_other(astronaut: Image.Image) -> None:
    head = scenes.Head(np.asarray(astronaut)[:360, 60:420].copy(), MEDIAPIPE[0])
    heights = (100, 48, 48, 24, 24, 12, 12)
    scene = scenes.compose((head,), np.full((540, 960, 3), 90, np.uint8), heights, seed=1, hidden=0.5)
    assert [face.height for face in scene.faces] == list(heights) and len(scene.in_front) == len(heights)


def test_boxes_follow_a_scene_that_is_squeezed(astronaut: Image.Image) -> None:
    head = scenes.Head(np.asarray(astronaut)[:360, 60:420].copy(), MEDIAPIPE[0])
    scene = scenes.compose((head,), np.full((480, 900, 3), 90, np.uint8), (60, 40), seed=1, hidden=0.5)
    assert len(scene.faces) == len(scene.in_front) == 2
    third = scenes.scale_width(scene, 1 / 3)
    assert third.image.shape == (480, 300, 3)
    for before, after in zip((*scene.faces, *scene.in_front), (*third.faces, *third.in_front), strict=True):
        assert np.allclose(after.box, np.array(before.box) * [1 / 3, 1, 1 / 3, 1])
