"""What is shown of a track in a frame: the smoothed face where it was seen, an interpolated one in a short gap, a cover where it was lost.

Nothing uncovered may show because a detector blinked: a face lost inside a track is filled, and both ends of a track are extended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from ..core.compositing import COVER_FACTOR
from ..core.face_mesh import MEAN_LANDMARKS
from ..core.faces import Box, Face, area_of, box_of_points, box_overlap, scale_box
from ..core.geometry import Pose, normalize_pose
from .tracking import Track, size_of

# Seconds before its first and after its last frame for which a face is covered where it should be.
LEAD, HOLD = 0.35, 0.5
# Likewise after a face that was seen in a single frame: the search after it looked there, too. And around one without a mesh that only
# the rare searches for the smallest faces can find: nobody follows it.
GLIMPSE, RARELY_SEEN = 0.3, 1.0
# A gap is filled with the synthetic face if it is no longer than this, in seconds, or if the face hardly moved meanwhile (intersection
# over union of its boxes before and after); in any other gap the way between is covered.
SHORT_GAP, STILL = 0.3, 0.5
# A cover where nobody saw the face must forgive a wrong guess, the more the longer ago it was seen: size beside the face's at once, and
# what is added with every second.
GUESS_MARGIN, GUESS_GROWTH = 1.25, 0.9
# Share of its box by which a lost face is behind another one.
HIDDEN = 0.85
# Smoothing window to either side in seconds, and the change of a point, in shape units, from which on it is motion rather than noise.
WINDOW, NOISE = 0.14, 0.025


@dataclass(frozen=True, eq=False)
class Shown:
    """A face as it is treated in one frame.

    Attributes:
        track: whose face it is.
        face: in pixels of the frame; without landmarks it will be covered.
        kind: ``"seen"``, ``"filled"`` between two frames where it was seen, or ``"held"`` beyond the ends of the track.
        place: where it should be; ``face`` reaches further where that is a guess.
    """

    track: Track
    face: Face
    kind: str
    place: Face


class Presence:
    """Says what to show; keeps nothing but a cache.

    Args:
        frame_rate: frames per second.
        small: size in pixels below which faces are not found by every search.
    """

    def __init__(self, frame_rate: float, small: float = 0.0) -> None:
        self._rate, self._small = frame_rate, small
        self._reach = round(WINDOW * frame_rate)
        self._shapes: WeakKeyDictionary[Face, tuple[np.ndarray, Pose]] = WeakKeyDictionary()

    def shown(self, tracks: Sequence[Track], frame: int) -> list[Shown]:
        """The faces of a frame. Tracks must be complete up to ``HOLD`` and the longest gap beyond it."""
        shown = [one for track in tracks if (one := self._show(track, frame)) is not None]
        certain = np.array([one.face.box for one in shown if one.kind == "seen" and one.face.landmarks is not None]).reshape(-1, 4)
        # a track that was lost while another one took its face over must not cover it
        return [one for one in shown if one.kind == "seen" or not _inside(one.place.box, certain)]

    def _show(self, track: Track, frame: int) -> Shown | None:
        begins, ends = track.scene
        if frame < begins or (ends is not None and frame >= ends):
            return None
        if frame in track.faces:
            face = self.smoothed(track, frame)
            return Shown(track, face, "seen", face)
        before = max((number for number in track.faces if number < frame), default=None)
        after = min((number for number in track.faces if number > frame), default=None)
        if before is not None and after is not None:
            return self._between(track, before, frame, after)
        near = track.last if after is None else track.first
        span = LEAD if after is not None else HOLD if len(track.faces) > 1 else GLIMPSE
        if track.faces[near].landmarks is None and size_of(track.faces[near].box) < self._small:
            span = RARELY_SEEN
        if abs(frame - near) > span * self._rate:
            return None
        expected = track.expected(frame)
        return Shown(track, self._guessed(expected, abs(frame - near)), "held", expected)

    def _between(self, track: Track, before: int, frame: int, after: int) -> Shown:
        first, second = self.smoothed(track, before), self.smoothed(track, after)
        share = (frame - before) / (after - before)
        box = np.array(first.box) + share * (np.array(second.box) - first.box)
        score = min(first.score, second.score)
        if first.landmarks is not None and second.landmarks is not None:
            overlap = box_overlap(first.box, np.array([second.box]))[0][0]
            if after - before <= SHORT_GAP * self._rate or overlap >= STILL:
                points = first.landmarks + np.float32(share) * (second.landmarks - first.landmarks)
                face = Face(box_of_points(points), score, points)
                return Shown(track, face, "filled", face)
            between = Face(tuple(box), score, first.landmarks)
            return Shown(track, self._guessed(between, min(frame - before, after - frame)), "filled", Face(tuple(box), score))
        face = Face(tuple(box), score)
        return Shown(track, face, "filled", face)

    def _guessed(self, face: Face, frames: int) -> Face:
        """To be covered: a face that was seen so many frames ago."""
        margin = GUESS_MARGIN + GUESS_GROWTH * frames / self._rate
        # the box of a face without a mesh has been grown by the detector
        return Face(scale_box(face.box, margin / (COVER_FACTOR if face.landmarks is not None else 1.0)), face.score)

    def smoothed(self, track: Track, frame: int) -> Face:
        """The face without the tremor of the mesh, and without lag: frames after it count as much as those before.

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
        except ValueError:  # a mesh without a pose: the engine will cover it
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
        return Face(box_of_points(points), face.score, points)

    def _shape(self, face: Face) -> tuple[np.ndarray, Pose]:
        if face not in self._shapes:
            self._shapes[face] = normalize_pose(np.asarray(face.landmarks))
        return self._shapes[face]


def _inside(box: Box, others: np.ndarray) -> bool:
    """Whether a box lies nearly inside one of (n, 4) others, which hide what is there."""
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
