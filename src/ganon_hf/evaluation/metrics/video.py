"""What an anonymized video still shows: faces in every frame, one person or several, and how much the landmarks tremble.

Frames are RGB uint8 (height, width, 3); truth gives for each frame the boxes of its known faces by name, in pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...core.detection_tiled import TiledDetector
from ...core.face_mesh import LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS
from ...core.faces import Box, Face, box_overlap, clip_box, scale_box
from ...core.opencv import cv2

# A face counts as shown where the structure of its inner part, between 1 and 4 pixels fine, correlates with the original's by this much.
# A synthetic face has eyes and mouth in the same places: 0.72 at most in films of 100-pixel faces; encoded once more a face keeps 0.9.
SHOWN = 0.85
_INNER = 0.7  # share of the box that is certainly face


def correlation(before: np.ndarray, after: np.ndarray, box: Box) -> float:
    """Correlation of the structure of a face before and after, from -1 to 1; 0 where the patch is of one color."""
    region = clip_box(scale_box(box, _INNER), height=before.shape[0], width=before.shape[1])
    if region is None:
        return 0.0
    x_min, y_min, x_max, y_max = region
    patches = [cv2.cvtColor(image[y_min:y_max, x_min:x_max], cv2.COLOR_RGB2GRAY).astype(np.float32) for image in (before, after)]
    bands = [(cv2.GaussianBlur(one, (0, 0), 1) - cv2.GaussianBlur(one, (0, 0), 4)).ravel() for one in patches]
    if min(float(band.std()) for band in bands) < 0.1:
        return 0.0
    return float(np.corrcoef(*bands)[0, 1])


@dataclass(frozen=True)
class Exposure:
    """A face that shows although it should not.

    Attributes:
        frame: its number.
        name: whose face.
        correlation: see :func:`correlation`.
    """

    frame: int
    name: str
    correlation: float


def exposures(
    before: Iterable[np.ndarray], after: Iterable[np.ndarray], truth: Callable[[int], Mapping[str, Box]]
) -> tuple[list[Exposure], int]:
    """The faces that show, and the number of faces in all frames.

    Raises:
        ValueError: one video has more frames than the other.
    """
    shown, count = [], 0
    for number, (source, result) in enumerate(zip(before, after, strict=True)):
        for name, box in truth(number).items():
            count += 1
            value = correlation(source, result, box)
            if value >= SHOWN:
                shown.append(Exposure(number, name, value))
    return shown, count


def identity_spread(vectors: Mapping[str, Sequence[np.ndarray]]) -> tuple[float, float]:
    """How far a recognizer's vectors lie from their person's mean, and the smallest distance between the means of two people.

    Raises:
        ValueError: fewer than two people, or one without vectors.
    """
    if len(vectors) < 2 or not all(len(some) for some in vectors.values()):
        raise ValueError("the spread needs two people or more with a vector each.")
    means = {name: np.mean(some, axis=0) for name, some in vectors.items()}
    within = max(float(np.mean([np.linalg.norm(one - means[name]) for one in some])) for name, some in vectors.items())
    names = list(means)
    between = min(float(np.linalg.norm(means[one] - means[other])) for i, one in enumerate(names) for other in names[:i])
    return within, between


def tremor(frames: Iterable[np.ndarray], boxes: Sequence[Box | None], detector: TiledDetector) -> float:
    """How much a face's landmarks tremble: mean second difference over time, in shares of the distance of the outer eye corners.

    Args:
        frames: in a row.
        boxes: where the face is in each, or None.
        detector: fits the meshes.

    Returns:
        the mean; not a number where no three frames in a row could be read.
    """
    points: list[np.ndarray | None] = []
    last: Face | None = None
    for frame, box in zip(frames, boxes, strict=True):
        last = None if box is None else _read(frame, box, last, detector)
        points.append(None if last is None or last.landmarks is None else last.landmarks[:, :2])
    values = []
    for before, here, after in zip(points, points[1:], points[2:], strict=False):
        if before is not None and here is not None and after is not None:
            eyes = np.linalg.norm(here[LEFT_EYE_CORNERS[1]] - here[RIGHT_EYE_CORNERS[0]])
            values.append(float(np.linalg.norm(after - 2 * here + before, axis=1).mean() / eyes))
    return float(np.mean(values)) if values else float("nan")


def _read(frame: np.ndarray, box: Box, last: Face | None, detector: TiledDetector) -> Face | None:
    """The mesh of the face in a box, followed from the frame before where that works."""
    followed = detector.follow(frame, [last])[0] if last is not None else None
    if followed is not None:
        return followed
    size = max(24, round((box[3] - box[1]) / 2))
    found = [face for face in detector(frame, min_face_size=size) if box_overlap(box, np.array([face.box]))[0][0] > 0.3]
    return found[0] if found else None
