"""The face of a track in every frame: smoothed where it was seen, interpolated in a short gap, covered where it was lost.

A face that the detector misses must not show: gaps inside a track are filled, and both ends of a track are extended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from ..core.cover_shape import COVER_GROWTH
from ..core.detection_search import COVER
from ..core.face_mesh import MEAN_LANDMARKS
from ..core.faces import Box, Face, area_of, box_of_points, box_overlap, scale_box
from ..core.geometry import Pose, normalize_pose
from ..core.keypoints import five_points
from .tracking import Track, center_of, size_of

# Seconds before its first and after its last frame for which a face is covered where it should be.
LEAD, HOLD = 0.35, 0.5
# Likewise after a face that was seen in a single frame, since the next search covered that place as well; and before and after a small
# face without a mesh, which cannot be followed and is found by the rare searches for the smallest faces only.
HOLD_SINGLE, HOLD_SMALL = 0.3, 1.0
# Between two meshes the synthetic face is drawn if they are no further apart than this, in seconds, or if the face was not seen meanwhile
# and hardly moved (intersection over union of its boxes before and after); otherwise the way between is covered.
SHORT_GAP, STILL = 0.3, 0.5
# Where the face was seen between two meshes the interpolated one must be there, too: intersection over union with the detector's box. About
# 0.7 where both are right.
SAME_PLACE = 0.5
# A face whose mesh comes and goes is replaced where most of the frames so many seconds to either side have one, and covered elsewhere.
# Two half-turned faces of 50 px changed from one to the other 26 times in 4 seconds without this, 10 times with 0.13, 4 times with 0.2.
STEADY = 0.2
# A cover where the face was not seen has a margin, which grows with time: its size relative to the face's, and the increase per second.
GUESS_MARGIN, GUESS_GROWTH = 1.25, 0.9
# A lost face is behind another one if that covers this share of its box.
HIDDEN = 0.85
# Displacement of a side of a detector's box, in sizes of the face, above which it is motion and not noise.
BOX_NOISE = 0.05
# Smoothing window to either side in seconds, and the displacement of a point, in shape units, above which it is motion and not noise.
WINDOW, NOISE = 0.14, 0.025


@dataclass(frozen=True, eq=False)
class ShownFace:
    """A face as it is treated in one frame.

    Attributes:
        track: which it belongs to.
        face: in pixels of the frame; without landmarks it will be covered.
        kind: ``"seen"``, ``"filled"`` between two frames where it was seen, or ``"held"`` beyond the ends of the track.
        expected: where it should be; ``face`` is larger where that is a guess.
    """

    track: Track
    face: Face
    kind: str
    expected: Face


class GapFiller:
    """Says where faces are in a frame; has no state but a cache.

    Args:
        frame_rate: frames per second.
        small: size in pixels below which not every search finds a face.
    """

    def __init__(self, frame_rate: float, small: float = 0.0) -> None:
        self._rate, self._small = frame_rate, small
        self._reach = round(WINDOW * frame_rate)
        self._shapes: WeakKeyDictionary[Face, tuple[np.ndarray, Pose]] = WeakKeyDictionary()

    def faces_at(self, tracks: Sequence[Track], frame: int) -> list[ShownFace]:
        """The faces of a frame. Tracks must be complete up to ``HOLD`` and the longest gap beyond it."""
        shown = [one for track in tracks if (one := self._show(track, frame)) is not None]
        certain = np.array([one.face.box for one in shown if one.kind == "seen" and one.face.landmarks is not None]).reshape(-1, 4)
        # a track that was lost because another one took over its face must not cover that
        return [one for one in shown if one.kind == "seen" or not _inside(one.expected.box, certain)]

    def _show(self, track: Track, frame: int) -> ShownFace | None:
        begins, ends = track.scene
        if frame < begins or (ends is not None and frame >= ends):
            return None
        here = track.faces.get(frame)
        steady = self._is_steady(track, frame)
        if here is not None and here.landmarks is not None:
            face = self.smoothed(track, frame) if steady else without_mesh(here)
            return ShownFace(track, face, "seen", face)
        bridge = self._bridge(track, frame) if steady else None
        if bridge is not None:
            return ShownFace(track, bridge, "filled", bridge)
        if here is not None:
            face = self._smoothed_box(track, frame)
            return ShownFace(track, face, "seen", face)
        before = max((number for number in track.faces if number < frame), default=None)
        after = min((number for number in track.faces if number > frame), default=None)
        if before is not None and after is not None:
            return self._between(track, before, frame, after)
        near = track.last if after is None else track.first
        span = LEAD if after is not None else HOLD if len(track.faces) > 1 else HOLD_SINGLE
        if track.faces[near].landmarks is None and size_of(track.faces[near].box) < self._small:
            span = HOLD_SMALL
        if abs(frame - near) > span * self._rate:
            return None
        expected = track.expected(frame)
        return ShownFace(track, self._guessed(expected, abs(frame - near)), "held", expected)

    def _is_steady(self, track: Track, frame: int) -> bool:
        """Whether the face has a mesh in most of the frames around this one in which it was seen."""
        reach = round(STEADY * self._rate)
        around = [track.faces[number] for number in range(frame - reach, frame + reach + 1) if number in track.faces]
        meshes = sum(face.landmarks is not None for face in around)
        return 2 * meshes > len(around)

    def _bridge(self, track: Track, frame: int) -> Face | None:
        """The synthetic face for a moment without a mesh."""
        meshes = [number for number, face in track.faces.items() if face.landmarks is not None]
        before = max((number for number in meshes if number < frame), default=None)
        after = min((number for number in meshes if number > frame), default=None)
        if before is None or after is None or after - before > SHORT_GAP * self._rate:
            return None
        face, here = self._interpolated(track, before, frame, after), track.faces.get(frame)
        agrees = here is None or box_overlap(face.box, np.array([here.box]))[0][0] > SAME_PLACE
        return face if agrees else None

    def _between(self, track: Track, before: int, frame: int, after: int) -> ShownFace:
        """A face in a gap that no bridge spans."""
        first, second = self.smoothed(track, before), self.smoothed(track, after)
        face = self._interpolated(track, before, frame, after)
        if first.landmarks is None or second.landmarks is None:
            return ShownFace(track, face, "filled", face)
        if box_overlap(first.box, np.array([second.box]))[0][0] >= STILL:
            return ShownFace(track, face, "filled", face)
        bare = Face(face.box, face.score, keypoints=face.keypoints)
        return ShownFace(track, self._guessed(face, min(frame - before, after - frame)), "filled", bare)

    def _interpolated(self, track: Track, before: int, frame: int, after: int) -> Face:
        """The face at constant velocity between two frames; with a mesh if both have one."""
        first, second = self.smoothed(track, before), self.smoothed(track, after)
        share = (frame - before) / (after - before)
        score, doubtful = min(first.score, second.score), first.doubtful and second.doubtful
        if first.landmarks is None or second.landmarks is None:
            box = np.array(first.box) + share * (np.array(second.box) - first.box)
            here, there = _keypoints_of(first), _keypoints_of(second)
            points = None if here is None or there is None else here + share * (there - here)
            return Face(tuple(box), score, doubtful=doubtful, keypoints=points)
        mesh = first.landmarks + np.float32(share) * (second.landmarks - first.landmarks)
        return Face(box_of_points(mesh), score, mesh, doubtful)

    def _guessed(self, face: Face, frames: int) -> Face:
        """The box to cover for a face that was seen so many frames ago."""
        margin = GUESS_MARGIN + GUESS_GROWTH * frames / self._rate
        # the box of a face without a mesh has been grown by the detector
        factor = margin / (COVER_GROWTH if face.landmarks is not None else 1.0)
        points = _keypoints_of(face)
        if points is not None:
            middle = center_of(face.box)
            points = middle + factor * (points - middle)
        return Face(scale_box(face.box, factor), face.score, doubtful=face.doubtful, keypoints=points)

    def _smoothed_box(self, track: Track, frame: int) -> Face:
        """A face without a mesh where it was seen, without the jitter of the detector, which would make its cover flicker."""
        face = track.faces[frame]
        around = [
            n
            for n in range(frame - self._reach, frame + self._reach + 1)
            if n in track.faces and track.faces[n].landmarks is None and (track.faces[n].keypoints is None) == (face.keypoints is None)
        ]
        if len(around) < 3 or self._reach < 1:
            return face
        offsets = np.array(around, dtype=np.float64) - frame
        weights = np.exp(-0.5 * (offsets / max(self._reach / 2, 0.5)) ** 2)
        seen = [track.faces[number] for number in around]
        values = np.array([[*one.box, *(() if one.keypoints is None else one.keypoints.ravel())] for one in seen])
        here = values[around.index(frame)]
        change = _local_fit(offsets, weights, values) - here
        # what is more than noise is motion: the cover must be where the face is seen
        smooth = here + change * np.exp(-0.5 * (np.abs(change[:4]).max() / (BOX_NOISE * size_of(face.box))) ** 2)
        points = None if face.keypoints is None else smooth[4:].reshape(5, 2)
        return Face(tuple(smooth[:4]), face.score, doubtful=face.doubtful, keypoints=points)

    def smoothed(self, track: Track, frame: int) -> Face:
        """The face without the jitter of the mesh, and without lag: frames after it count as much as those before.

        The head's pose is fitted by a local quadratic (Savitzky and Golay 1964), which follows accelerations; in the face's own frame a
        point is averaged over those frames in which it is where it is now (a bilateral filter in time, Tomasi and Manduchi 1998), so that
        blinks and words stay.
        """
        face = track.faces[frame]
        if face.landmarks is None or self._reach < 1:
            return face
        around = [
            n for n in range(frame - self._reach, frame + self._reach + 1) if n in track.faces and track.faces[n].landmarks is not None
        ]
        try:
            read = {number: self._shape(track.faces[number]) for number in around}
        except ValueError:  # a mesh without a pose, which the engine covers
            return face
        offsets = np.array(around, dtype=np.float64) - frame
        weights = np.exp(-0.5 * (offsets / max(self._reach / 2, 0.5)) ** 2)
        shapes = np.stack([read[number][0] for number in around])
        here = shapes[around.index(frame)]
        change = np.linalg.norm(shapes - here, axis=2) / NOISE
        pull = weights[:, None] * np.exp(-0.5 * change**2)
        shape = (pull[..., None] * shapes).sum(axis=0) / pull.sum(axis=0)[:, None]
        rigid = np.stack([read[number][1].apply(MEAN_LANDMARKS) for number in around])
        _, pose = normalize_pose(_local_fit(offsets, weights, rigid.reshape(len(around), -1)).reshape(MEAN_LANDMARKS.shape))
        points = pose.apply(shape)
        return Face(box_of_points(points), face.score, points, face.doubtful)

    def _shape(self, face: Face) -> tuple[np.ndarray, Pose]:
        if face not in self._shapes:
            self._shapes[face] = normalize_pose(np.asarray(face.landmarks))
        return self._shapes[face]


def without_mesh(face: Face) -> Face:
    """A face whose mesh is not used, so that it is covered as in the frames in which it has none."""
    return Face(scale_box(face.box, COVER), face.score, doubtful=face.doubtful, keypoints=_keypoints_of(face))


def _keypoints_of(face: Face) -> np.ndarray | None:
    """(5, 2) points of a face, as seen or of its mesh."""
    return face.keypoints if face.landmarks is None else five_points(face.landmarks)


def _inside(box: Box, others: np.ndarray) -> bool:
    """Whether a box lies nearly inside one of (n, 4) others, which hide it."""
    low, high = np.maximum(others[:, :2], box[:2]), np.minimum(others[:, 2:], box[2:])
    return bool((np.clip(high - low, 0, None).prod(axis=1) > HIDDEN * area_of(box)).any())


def _local_fit(offsets: np.ndarray, weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Value at offset 0 of a weighted polynomial through (n, m) values: a quadratic where there is something on both sides, else a line.

    A line that is extrapolated from one side, or a quadratic through four points, would be noisier than the points.
    """
    both = offsets.min() < 0 < offsets.max()
    degree = 2 if both and len(offsets) >= 5 else 1 if len(offsets) >= 3 else 0
    design = offsets[:, None] ** np.arange(degree + 1)
    gram = (design * weights[:, None]).T @ design
    return np.linalg.solve(gram, (design * weights[:, None]).T @ values)[0]
