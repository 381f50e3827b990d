"""Tracks: which face of one frame is which of the next.

Every frame is looked at: meshes are followed, the detector glances at the whole frame, and what it sees there that is no known face begins
a track and is followed backwards to where it appeared. The last frame of each chunk of frames is searched in full. Frames are RGB uint8
(height, width, 3); frame numbers count from 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..core.faces import Box, Face, FaceDetector, area_of, box_of_points, box_overlap

# A detected face belongs to a track if their boxes overlap this much (intersection over union) or, after it was lost for a moment, if its
# center is within so many face sizes of where it is expected, and so many more per second.
MIN_OVERLAP = 0.25
REACH, REACH_PER_SECOND = 0.5, 1.5
# Two meshes overlapping more than this are one face.
SAME_FACE = 0.5
# A track that is not seen for so many seconds has ended. A mesh that so many looks of the detector in a row do not confirm has drifted to
# something that is no face, and is followed no further.
PATIENCE, MAX_UNCONFIRMED = 1.0, 4
# After so many frames without a mesh a face is not followed until the detector sees it again.
MAX_MISSES = 3
# Most looks are for faces from so many times the smallest size on, or for smaller ones in frames that are small enough: a look may always
# cost what it costs at 1080p for faces of 96 px, which YuNet then sees 32 px high (most of those of half that size, too). Measured at
# 1080p, smallest faces 24 px: glances and searches together take a sixth more processor time than four searches a second in tiles took;
# with 3 times instead of 4 they would take two thirds more.
COARSER, LOOK_PIXELS, LOOK_HEIGHT = 4, 230_000, 32
# The motion of a face without a mesh shows over so many frames only: a detector's box is too noisy.
STEADY_BOX = 3


@dataclass(eq=False)
class Track:
    """One face through a scene.

    Attributes:
        number: of the track, in the order of appearance.
        faces: by frame number, the face as it was seen there; frames where it was lost are missing.
        missed: looks in a row that should have found it where it was followed, but did not.
        ended: first frame in which it is not searched for any more; None while it is followed.
        scene: first frame of its scene, and of the next one (None while the scene goes on).
    """

    number: int
    faces: dict[int, Face] = field(default_factory=dict)
    missed: int = 0
    ended: int | None = None
    scene: tuple[int, int | None] = (0, None)

    @property
    def first(self) -> int:
        return min(self.faces)

    @property
    def last(self) -> int:
        return max(self.faces)

    def expected(self, frame: int) -> Face:
        """Where the face should be in a frame before, after or between those where it was seen, at constant velocity."""
        seen = sorted(self.faces)
        nearest = min(seen, key=lambda other: abs(other - frame))
        face = self.faces[nearest]
        # over a few frames: from one to the next the noise of the mesh is as large as the motion
        others = [other for other in seen if other != nearest and abs(other - nearest) <= 4 and (other - nearest) * (frame - nearest) < 0]
        # a detector's box and a mesh's do not have the same middle
        others = [other for other in others if (self.faces[other].landmarks is None) == (face.landmarks is None)]
        if face.landmarks is None:
            others = [other for other in others if abs(other - nearest) >= STEADY_BOX]
        if not others or frame == nearest:
            return face
        far = max(others, key=lambda other: abs(other - nearest))
        step = (center_of(face.box) - center_of(self.faces[far].box)) / (nearest - far)
        return moved(face, step * (frame - nearest))

    def forget_before(self, frame: int) -> None:
        """Drop what was seen before a frame, but the last of it, which says where the face came from."""
        for old in sorted(number for number in self.faces if number < frame)[:-1]:
            del self.faces[old]


def center_of(box: Box) -> np.ndarray:
    """(2,) middle of a box."""
    return np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])


def moved(face: Face, shift: np.ndarray) -> Face:
    """The face displaced by (2,) pixels."""
    x, y = float(shift[0]), float(shift[1])
    box = (face.box[0] + x, face.box[1] + y, face.box[2] + x, face.box[3] + y)
    landmarks = None if face.landmarks is None else face.landmarks + np.array([x, y, 0.0], np.float32)
    keypoints = None if face.keypoints is None else face.keypoints + np.array([x, y], np.float32)
    return Face(box, face.score, landmarks, face.doubtful, keypoints)


def size_of(box: Box) -> float:
    """Side of the square of the same area."""
    return float(np.sqrt(area_of(box)))


class FaceTracker:
    """Finds faces in the frames of a video and joins them to tracks.

    Args:
        detector: searches frames. One that has ``follow`` has to search fewer of them; if it has ``glance``, too, it looks at the others
            so (see ``YuNetDetector``).
        frame_rate: frames per second.
        min_face_size, min_score: of the search, as in ``AnonymizeOptions``.
    """

    def __init__(self, detector: FaceDetector, *, frame_rate: float, min_face_size: int, min_score: float) -> None:
        self._detector = detector
        self._follow: Callable[[np.ndarray, Sequence[Face]], list[Face | None]] | None = getattr(detector, "follow", None)
        self._glance: Callable[..., list[Face]] | None = getattr(detector, "glance", None) if self._follow is not None else None
        self._min_face_size, self._min_score = min_face_size, min_score
        self._patience = max(1, round(PATIENCE * frame_rate))
        self._rate = frame_rate
        self.tracks: list[Track] = []
        self.count = 0  # of tracks so far
        self.scene_start = 0
        self.seen = 0  # frames analyzed

    @property
    def can_follow(self) -> bool:
        """Whether faces can be followed between two searches."""
        return self._follow is not None

    def cut(self) -> None:
        """A new scene begins with the next frame: no track goes on."""
        for track in self.tracks:
            track.ended = self.seen if track.ended is None else track.ended
            track.scene = (track.scene[0], self.seen if track.scene[1] is None else track.scene[1])
        self.scene_start = self.seen

    def analyze(self, images: Sequence[np.ndarray], before: Sequence[np.ndarray] = (), *, thorough: bool = True) -> None:
        """Take the next frames of one scene; the last one is searched, the others are glanced at.

        Args:
            images: the frames.
            before: frames in a row that end where ``images`` begin; a new face is followed back into them.
            thorough: search for the smallest faces, too; else for those that a glance is for, in a fraction of the time.
        """
        images, start = [*before, *images], self.seen - len(before)
        coarse = self._coarse_size(images[-1])
        last = start + len(images) - 1
        for frame in range(self.seen, last + 1):
            image = images[frame - start]
            self._follow_all(frame, image)
            if frame == last:
                size = self._min_face_size if thorough else coarse
                found = self._detector(image, min_face_size=size, min_score=self._min_score, **self._known(frame))
            elif self._glance is not None:
                size, known = coarse, [*self._known(frame)["known"], *self._bare_before(frame)]
                found = self._glance(image, min_face_size=size, min_score=self._min_score, known=known)
            else:
                continue
            for track in self._active():
                if frame in track.faces and (size == self._min_face_size or size_of(track.faces[frame].box) > size):
                    track.missed += 1  # unless it is among those found
            for track in self._assign(found, frame):
                self._follow_back(track, images, start, frame)
        for track in self._active():
            if last - track.last > self._patience:
                track.ended = last + 1
        self.seen = last + 1

    def forget_before(self, frame: int) -> None:
        """Drop tracks that ended long before a frame, and what was seen of the others before it."""
        self.tracks = [track for track in self.tracks if track.ended is None or track.last >= frame]
        for track in self.tracks:
            track.forget_before(frame)

    def _active(self) -> list[Track]:
        return [track for track in self.tracks if track.ended is None]

    def _coarse_size(self, image: np.ndarray) -> int:
        """Height of the smallest faces that most looks are for."""
        affordable = LOOK_HEIGHT * float(np.sqrt(image.shape[0] * image.shape[1] / LOOK_PIXELS))
        return max(self._min_face_size, round(min(affordable, COARSER * self._min_face_size)))

    def _known(self, frame: int) -> dict[str, list[Face]]:
        """The meshes in a frame, for a detector that wants to know them."""
        return {} if self._follow is None else {"known": [face for face in self._faces_at(frame) if face.landmarks is not None]}

    def _bare_before(self, frame: int) -> list[Face]:
        """Where the faces are that had no mesh in the frame before."""
        bare = [track for track in self._active() if frame - track.last == 1 and track.faces[track.last].landmarks is None]
        return [track.expected(frame) for track in bare]

    def _follow_all(self, frame: int, image: np.ndarray) -> None:
        """Every active track that was seen just before, one frame on."""
        if self._follow is None:
            return
        near = [track for track in self._active() if 0 < frame - track.last <= MAX_MISSES and track.missed < MAX_UNCONFIRMED]
        near = [track for track in near if track.faces[track.last].landmarks is not None]
        expected = [track.expected(frame) for track in near]
        met = list(zip(near, expected, self._follow(image, expected), strict=True)) if near else []
        # of two tracks that end up on one face the one that was expected there has it
        met.sort(key=lambda one: np.inf if one[2] is None else _drift(one[1], one[2]))
        for track, _, face in met:
            if face is not None and not _taken(face, self._faces_at(frame)):
                track.faces[frame] = face

    def _follow_back(self, track: Track, images: Sequence[np.ndarray], first: int, last: int) -> None:
        """A mesh found in frame ``last``, back to where there was one before or the face first appears."""
        if self._follow is None or track.faces[last].landmarks is None:
            return
        misses = 0
        for frame in range(last - 1, max(first, self.scene_start) - 1, -1):
            there = track.faces.get(frame)
            if misses > MAX_MISSES or (there is not None and there.landmarks is not None):
                return
            (face,) = self._follow(images[frame - first], [_before(track, frame)])
            if face is None or _taken(face, [f for other, f in self._owners_at(frame) if other is not track]):
                misses += 1
            else:
                track.faces[frame], misses = face, 0

    def _owners_at(self, frame: int) -> Iterable[tuple[Track, Face]]:
        return ((track, track.faces[frame]) for track in self.tracks if frame in track.faces)

    def _faces_at(self, frame: int) -> list[Face]:
        return [face for _, face in self._owners_at(frame)]

    def _assign(self, found: Sequence[Face], frame: int) -> list[Track]:
        """Give the faces found in a frame to tracks; returns those that have to be followed back: new ones, and ones found again."""
        active = self._active()
        cost = np.full((len(active), len(found)), np.inf)
        for row, track in enumerate(active):
            cost[row] = self._costs(track, found, frame)
        fresh: list[Track] = []
        left = set(range(len(found)))
        rows, columns = linear_sum_assignment(np.where(np.isfinite(cost), cost, 1e6)) if cost.size else ([], [])
        for row, column in zip(rows, columns, strict=True):
            if not np.isfinite(cost[row, column]):
                continue
            track = active[row]
            left.discard(column)
            track.missed = 0
            if frame not in track.faces:
                track.faces[frame] = found[column]
                fresh.append(track)
        for column in sorted(left):
            if _taken(found[column], self._faces_at(frame)):
                continue  # a second look at a face that is followed already
            track = Track(self.count, {frame: found[column]}, scene=(self.scene_start, None))
            self.count += 1
            self.tracks.append(track)
            fresh.append(track)
        return fresh

    def _costs(self, track: Track, found: Sequence[Face], frame: int) -> np.ndarray:
        """(n,) how badly each found face fits a track; infinite where it cannot be the same."""
        if not found:
            return np.zeros(0)
        here = track.faces.get(frame)
        expected = here or track.expected(frame)
        boxes = np.array([face.box for face in found])
        overlap = box_overlap(expected.box, boxes)[0]
        costs = np.where(overlap >= MIN_OVERLAP, 1 - overlap, np.inf)
        if here is None:
            sizes = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
            size = size_of(expected.box)
            distance = np.linalg.norm((boxes[:, :2] + boxes[:, 2:]) / 2 - center_of(expected.box), axis=1) / np.maximum(size, sizes)
            reach = REACH + REACH_PER_SECOND * (frame - track.last) / self._rate
            near = (distance < reach) & (sizes / size < 2) & (size / sizes < 2)
            costs = np.where(np.isfinite(costs) | ~near, costs, 1 + distance)
        return costs

    def state(self) -> dict[str, Any]:
        """All that is known, as JSON-ready values with arrays in ``faces``; :meth:`restore` takes it back."""
        tracks = [
            {
                "number": track.number,
                "missed": track.missed,
                "ended": track.ended,
                "scene": track.scene,
                "faces": [
                    [frame, face.box, face.score, face.landmarks, face.doubtful, face.keypoints]
                    for frame, face in sorted(track.faces.items())
                ],
            }
            for track in self.tracks
        ]
        return {"tracks": tracks, "count": self.count, "scene_start": self.scene_start, "seen": self.seen}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state` was taken."""
        self.tracks = [
            Track(
                one["number"],
                {frame: Face(tuple(box), *rest) for frame, box, *rest in one["faces"]},
                one["missed"],
                one["ended"],
                (one["scene"][0], one["scene"][1]),
            )
            for one in state["tracks"]
        ]
        self.count, self.scene_start, self.seen = state["count"], state["scene_start"], state["seen"]


def _before(track: Track, frame: int) -> Face:
    """Where a mesh that is followed backwards should be in a frame."""
    meshes = ((number, face) for number, face in track.faces.items() if face.landmarks is not None)
    later = Track(track.number, {number: face for number, face in meshes if number > frame})
    return later.expected(frame)


def _drift(expected: Face, face: Face) -> float:
    return float(np.linalg.norm(center_of(expected.box) - center_of(face.box))) / size_of(expected.box)


def _taken(face: Face, others: Sequence[Face]) -> bool:
    """Whether a face is one of others that are known already: boxes with and without a mesh are compared by the smaller one."""
    if not others:
        return False
    boxes = np.array([_box(other) for other in others])
    union, smaller = box_overlap(_box(face), boxes)
    ratio = size_of(_box(face)) / np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
    return bool(((union > SAME_FACE) | ((smaller > 0.75) & (ratio > 0.5) & (ratio < 2))).any())


def _box(face: Face) -> Box:
    return face.box if face.landmarks is None else box_of_points(face.landmarks)
