"""A face that the detector missed, from the box that a person drew in one frame, followed forwards and backwards in time.

Where landmarks fit, the mesh is followed as for a face that was found. Elsewhere the box moves with what is in it: with the median of the
motion of a grid of points, of which only those count that come back to where they were when they are followed back again (Kalal,
Mikolajczyk and Matas 2010, "Forward-backward error"). It ends at a cut, where the face is lost, and where it leaves the picture. Frames are
RGB uint8 (height, width, 3); frame numbers count from 0.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from ..core.faces import Box, Face, FaceDetector, box_of_points, box_overlap, fit_landmarks
from ..core.opencv import cv2
from .tracking import Track, center_of, size_of

# Points each way of the grid in a box, the side of the picture in which their motion is seen, and the side in pixels of what is compared.
GRID, PATCH_SIDE, WINDOW = 10, 96, 15
# Of a box of PATCH_SIDE: how far a point may be from where it began once it was followed there and back.
MAX_RETURN = 2.0
# Fewer points than this share that return: the face is lost. So it is where what is in the box has become another picture (correlation).
MIN_RETURNING, MIN_LIKENESS = 0.4, 0.5
# The mesh of a face is in the box that was followed, and nowhere else: intersection over union.
SAME_PLACE = 0.3


def follow_drawn(
    frames: Iterable[np.ndarray],
    drawn: Sequence[tuple[int, Box]],
    detector: FaceDetector,
    *,
    is_cut: Callable[[np.ndarray], bool],
    max_bytes: int,
    seen: Callable[[int, np.ndarray, Face], None] | None = None,
) -> list[Track]:
    """Follow every box through its scene.

    Args:
        frames: of the film, from its first; as many are taken as are needed.
        drawn: number of a frame, and a box there in pixels; in this order the tracks are numbered from 0.
        detector: its ``landmarks`` and ``follow`` fit meshes where it has them.
        is_cut: called with every frame in order; whether a new scene begins with it.
        max_bytes: of frames that are kept; with them ends how far back a face can be followed.
        seen: called with index, frame and face in the frame where the box was drawn.

    Returns:
        a track for every box. Where the film ends before its frame the track has no faces.
    """
    tracks = [Track(index, {}) for index in range(len(drawn))]
    before: deque[np.ndarray] = deque()  # the frames of this scene before the present one
    active: list[Track] = []
    scene_start, last_needed = 0, max((frame for frame, _ in drawn), default=-1)
    for number, image in enumerate(frames):
        if number > last_needed and not active:
            break
        if is_cut(image):
            for track in active:
                track.scene = (track.scene[0], number)
            active, scene_start = [], number
            before.clear()
        for track in list(active):
            face = _step(track, number, number - 1, before[-1], image, detector)
            if face is None:
                active.remove(track)
            else:
                track.faces[number] = face
        for track, (frame, box) in zip(tracks, drawn, strict=True):
            if frame == number:
                track.scene = (scene_start, None)
                track.faces[number] = _fitted(image, box, detector)
                if seen is not None:
                    seen(track.number, image, track.faces[number])
                _follow_back(track, number, image, before, detector)
                active.append(track)
        before.append(image)
        while len(before) > 1 and sum(one.nbytes for one in before) > max_bytes:
            before.popleft()
    return tracks


def _follow_back(track: Track, number: int, image: np.ndarray, before: Sequence[np.ndarray], detector: FaceDetector) -> None:
    """From the frame in which the box was drawn to where the face comes in."""
    later = image
    for back, earlier in enumerate(reversed(before), 1):
        face = _step(track, number - back, number - back + 1, later, earlier, detector)
        if face is None:
            return
        track.faces[number - back], later = face, earlier


def _step(track: Track, number: int, from_number: int, start: np.ndarray, end: np.ndarray, detector: FaceDetector) -> Face | None:
    """The face one frame on, in either direction; None where it is lost."""
    face, follow = track.faces[from_number], getattr(detector, "follow", None)
    if face.landmarks is not None and follow is not None:
        (met,) = follow(end, [track.expected(number)])
        if met is not None:
            return Face(met.box, face.score, met.landmarks)
    box = moved_box(start, end, face.box)
    return None if box is None else _fitted(end, box, detector)


def _fitted(image: np.ndarray, box: Box, detector: FaceDetector) -> Face:
    """The face in a box: with landmarks where they fit there, else the box alone."""
    points = fit_landmarks(detector, image, box)
    if points is None or box_overlap(box, np.array([box_of_points(points)]))[0][0] < SAME_PLACE:
        return Face(box, 1.0)
    return Face(box_of_points(points), 1.0, points)


def moved_box(start: np.ndarray, end: np.ndarray, box: Box) -> Box | None:
    """Where what is in a box of one frame is in the next.

    Args:
        start, end: (height, width, 3) uint8 RGB.
        box: in ``start``, in pixels.

    Returns:
        the box in ``end``; None where it cannot be told, or most of it is outside.
    """
    scale = PATCH_SIDE / size_of(box)
    region = _around(box, start.shape)
    first, second = (_gray(image, region, scale) for image in (start, end))
    low = (np.array(box[:2]) - region[:2]) * scale
    high = (np.array(box[2:]) - region[:2]) * scale
    x, y = np.meshgrid(*(np.linspace(a, b, GRID + 2)[1:-1] for a, b in zip(low, high, strict=True)))
    points = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)
    inside = ((points >= 0) & (points < np.array(first.shape[::-1]))).all(axis=1)
    points = points[inside][:, None]
    if len(points) < 4:
        return None
    there, found, _ = cv2.calcOpticalFlowPyrLK(first, second, points, None, winSize=(WINDOW, WINDOW), maxLevel=3)
    back, returned, _ = cv2.calcOpticalFlowPyrLK(second, first, there, None, winSize=(WINDOW, WINDOW), maxLevel=3)
    error = np.linalg.norm((back - points)[:, 0], axis=1)
    good = (found[:, 0] == 1) & (returned[:, 0] == 1) & (error < MAX_RETURN)
    if good.mean() < MIN_RETURNING:
        return None
    old, new = points[good][:, 0].astype(np.float64), there[good][:, 0].astype(np.float64)
    growth = _growth(old, new)
    shift = np.median(new - old, axis=0) / scale
    x, y = center_of(box) + shift
    half = (np.array(box[2:]) - box[:2]) / 2 * growth
    after = (float(x - half[0]), float(y - half[1]), float(x + half[0]), float(y + half[1]))
    height, width = end.shape[:2]
    if not (0 <= x < width and 0 <= y < height) or not _alike(start, end, box, after):
        return None
    return after


def _growth(old: np.ndarray, new: np.ndarray) -> float:
    """By how much (n, 2) points have moved apart: the median over pairs."""
    pairs = np.triu_indices(len(old), 1)
    before = np.linalg.norm(old[pairs[0]] - old[pairs[1]], axis=1)
    after = np.linalg.norm(new[pairs[0]] - new[pairs[1]], axis=1)
    return float(np.median(after / before))


def _alike(start: np.ndarray, end: np.ndarray, box: Box, after: Box) -> bool:
    """Whether the box shows the same thing in both frames."""
    first, second = (_gray(image, _clipped(one, image.shape), None) for image, one in ((start, box), (end, after)))
    if min(first.std(), second.std()) < 1:
        return False  # nothing that could be followed
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1]) > MIN_LIKENESS


def _around(box: Box, shape: Sequence[int]) -> tuple[int, int, int, int]:
    """Whole pixels of a region of three times the box's size, inside the frame."""
    width, height = box[2] - box[0], box[3] - box[1]
    return _clipped((box[0] - width, box[1] - height, box[2] + width, box[3] + height), shape)


def _clipped(box: Box, shape: Sequence[int]) -> tuple[int, int, int, int]:
    left, top = (int(np.clip(np.floor(value), 0, limit - 1)) for value, limit in ((box[0], shape[1]), (box[1], shape[0])))
    right, bottom = (
        int(np.clip(np.ceil(value), least + 1, limit)) for value, least, limit in ((box[2], left, shape[1]), (box[3], top, shape[0]))
    )
    return left, top, right, bottom


def _gray(image: np.ndarray, region: tuple[int, int, int, int], scale: float | None) -> np.ndarray:
    """A region in gray, scaled by a factor, or to a fixed small size."""
    part = image[region[1] : region[3], region[0] : region[2]]
    size = (32, 32) if scale is None else tuple(max(1, round(side * scale)) for side in (part.shape[1], part.shape[0]))
    gray = cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_RGB2GRAY)
    return cv2.resize(gray, size, interpolation=cv2.INTER_AREA)  # type: ignore[no-any-return]
