"""One list of faces out of what several passes found, and which mesh is which face.

Boxes are (x_min, y_min, x_max, y_max) in photo pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .faces import NUM_LANDMARKS, Box, Face, area_of, box_of_points, box_overlap
from .keypoints import five_points, roll_of

# Intersection over union of a known mesh's box and a detector's: 0.6 to 0.8 where both mean one face.
KNOWN_OVERLAP = 0.45
# Share of a face's box that lies on a larger face with a mesh if it is a part of that one: of a doubtful face, and of one that stands on
# its head against it. From CERTAIN on a face counts whatever it lies on, and needs no second look.
DOUBTFUL_OVERLAP, OPPOSED_OVERLAP, CERTAIN = 0.8, 0.35, 0.8


def merge(boxes: np.ndarray, scores: np.ndarray, last: np.ndarray) -> list[int]:
    """Indices of the boxes to keep, best first: one per face. A box well inside a much larger one stays: a small face before a large one.

    Args:
        boxes: (n, 4).
        scores: (n,).
        last: (n,) bool, boxes that lose to every other one whatever their score.
    """
    boxes = boxes.reshape(-1, 4)
    order = np.lexsort((boxes[:, 1], boxes[:, 0], -scores, last))
    kept: list[int] = []
    for index in order:
        if kept:
            union, smaller = box_overlap(tuple(boxes[index]), boxes[kept])
            ratio = np.sqrt((boxes[index, 2:] - boxes[index, :2]).prod() / (boxes[kept, 2:] - boxes[kept, :2]).prod(axis=1))
            if np.any((union > 0.35) | ((smaller > 0.6) & (ratio > 0.4) & (ratio < 2.5))):
                continue
        kept.append(int(index))
    return kept


def order_of(boxes: list[Box]) -> list[int]:
    """Larger area first, then from the top left: the same photo always gives the same order."""
    return sorted(range(len(boxes)), key=lambda i: (-(boxes[i][2] - boxes[i][0]) * (boxes[i][3] - boxes[i][1]), boxes[i][1], boxes[i][0]))


def already_known(candidates: Sequence[Any], known: Sequence[Face]) -> tuple[list[Face], list[Any]]:
    """The known faces that candidates have been found for, and the other candidates."""
    if not known:
        return [], list(candidates)
    boxes, seen, fresh = np.array([face.box for face in known]), set[int](), []
    for candidate in candidates:
        overlap = box_overlap(candidate.box, boxes)[0]
        best = int(np.argmax(overlap))
        if overlap[best] > KNOWN_OVERLAP:
            seen.add(best)
        else:
            fresh.append(candidate)
    return [known[index] for index in sorted(seen)], fresh


def mesh_fits(points: np.ndarray, box: Box) -> bool:
    """Whether a mesh is the face in the box: they overlap, and neither is much larger than the other."""
    if points.shape != (NUM_LANDMARKS, 3) or not np.isfinite(points).all():
        return False
    mesh_box = box_of_points(points)
    ratio = math.sqrt((mesh_box[2] - mesh_box[0]) * (mesh_box[3] - mesh_box[1]) / ((box[2] - box[0]) * (box[3] - box[1])))
    union, smaller = box_overlap(mesh_box, np.array([box]))
    return 0.5 < ratio < 2.0 and bool(smaller[0] > 0.6)


def lies_on_another(face: Face, faces: Sequence[Face]) -> bool:
    """Whether a face without a mesh lies on one with a mesh: a mouth, say, that looks like a small face, or cheek and neck.

    That is believed of doubtful faces, and of others that stand on their heads against it: hair, brows and a mask make such a face.
    """
    if face.landmarks is not None:
        return False
    for other in faces:
        if other.landmarks is None or area_of(other.box) <= area_of(face.box):
            continue
        opposed = face.keypoints is not None and _stand_opposed(face.keypoints, five_points(other.landmarks))
        if not face.doubtful and not (opposed and face.score < CERTAIN and face.score < other.score):
            continue
        if box_overlap(face.box, np.array([other.box]))[1][0] > (OPPOSED_OVERLAP if opposed else DOUBTFUL_OVERLAP):
            return True
    return False


def _stand_opposed(keypoints: np.ndarray, others: np.ndarray) -> bool:
    """Whether one of two faces, (5, 2) points each, is turned by more than a right angle against the other."""
    rolls = [roll_of(points[1] - points[0], points[3:].mean(axis=0) - points[:2].mean(axis=0)) for points in (keypoints, others)]
    return math.cos(rolls[0] - rolls[1]) < 0
