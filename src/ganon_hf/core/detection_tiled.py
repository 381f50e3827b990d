"""What a face detector is, and the search that every backend shares: tiles, a second look, a mesh for each face.

A detector takes a photo (RGB uint8, (height, width, 3)) and returns :class:`~.faces.Face` objects in photo pixels, larger ones first.
MediaPipe's detectors look at 128 or 192 pixels whatever the photo's size, so small faces are searched for in overlapping tiles; its face
mesh is then fitted to each face in a crop of its own, turned upright by the eye line. A face that no mesh fits is returned without
landmarks, so that it is covered rather than missed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from .detection_graphs import Graphs
from .detection_tiles import (
    Levels,
    View,
    brighten,
    cut_out,
    face_patch,
    has_content,
    is_cut,
    leaves_frame,
    merge,
    order_of,
    plan_views,
    without_noise,
)
from .face_mesh import LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS
from .faces import NUM_LANDMARKS, Box, Face, box_of_points, box_overlap, scale_box

# Intersection over union of a known mesh's box and a detector's, which ends at the brows: 0.6 to 0.8 where both mean one face.
KNOWN_OVERLAP = 0.45


class FaceDetector(Protocol):
    """Anything that finds faces. Bring your own: the engine asks for no more than this call."""

    def __call__(self, image: np.ndarray, *, min_face_size: int = 24, min_score: float = 0.5) -> list[Face]:
        """RGB uint8 (height, width, 3) -> faces with 478 landmarks in photo pixels, or ``landmarks=None`` where the mesh fails."""
        ...


class Candidate(NamedTuple):
    """What one look at one view found: box and keypoints (6, 2) in photo pixels, keypoints 0 and 1 the person's right and left eye."""

    box: Box
    score: float
    keypoints: np.ndarray
    truncated: bool
    graph: str


def check_photo(image: np.ndarray) -> np.ndarray:
    """The photo, or ValueError where it is no RGB uint8 array with pixels."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        got = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(
            f"image must be a non-empty RGB uint8 array (height, width, 3), but got {got}. Use np.asarray(picture.convert('RGB'))."
        )
    return image


class TiledDetector:
    """Views -> candidates -> one box per face -> second look -> mesh per face. Backends say how a graph is made and read.

    A face's score is the detectors' agreement, scaled so that 0.5 is the point measured best; it is no probability.
    """

    # Longer side in pixels at which a graph gets a view, by graph name; the first one looks at the tiles.
    detectors: dict[str, int] = {}
    # Side of the finest tiles, in smallest faces.
    tile_per_face = 0.0
    # Both detectors are asked for much less than certainty: what they propose is looked at a second time, see `_second_look`.
    CANDIDATE_SCORE = 0.25
    # Their agreement that becomes score 0.5. Measured on 1080p photos: from 0.64 to 0.68 the false faces fall from 8 in 24 photos without
    # people to 2, and of 321 faces 2 more are missed; further up it is the faces that go.
    WORKING_POINT = 0.68
    SCORE_SPREAD = 0.4
    # No more looks are needed beyond this agreement.
    CERTAIN = 0.75
    # By the graph that proposed a candidate: (graph, side of the patch in boxes, whose evidence: 0 the proposer's, 1 the other's).
    second_looks: dict[str, tuple[tuple[str, float, int], ...]] = {}
    MESH_PADDINGS = (2.0, 1.5, 2.8)
    MESH_SIDE = 256
    BOX_PER_MESH = 0.85

    def __init__(self, *, threads: int | None = None) -> None:
        if threads is not None and threads < 1:
            raise ValueError(f"threads must be None (all cores) or at least 1, but got {threads!r}.")
        self._threads = threads
        workers = threads or os.cpu_count() or 2
        self._graphs = Graphs(self._builders(), self._process, lambda result: self._read_mesh(result) is not None, workers)

    def _builders(self) -> dict[str, Callable[[], Any]]:
        """Graph name -> function that makes the graph."""
        raise NotImplementedError

    def _process(self, graph: Any, image: np.ndarray) -> Any:
        """A graph's own result for an RGB uint8 array."""
        raise NotImplementedError

    def _read_detections(self, result: Any, image: np.ndarray) -> list[tuple[np.ndarray, float]]:
        """A detection graph's result -> [((8, 2) points: box corners and keypoints in units of the image's size, score)]."""
        raise NotImplementedError

    def _read_mesh(self, result: Any) -> np.ndarray | None:
        """A mesh graph's result -> (478, 3) in units of the image's width and height, or None."""
        raise NotImplementedError

    def close(self) -> None:
        """End the worker threads; the detector cannot be used afterwards."""
        self._graphs.close()

    def __call__(self, image: np.ndarray, *, min_face_size: int = 24, min_score: float = 0.5, known: Sequence[Face] = ()) -> list[Face]:
        """RGB uint8 (height, width, 3) -> faces, larger ones first.

        Args:
            image, min_face_size, min_score: as in :class:`FaceDetector`.
            known: faces whose meshes have been fitted to this very image, see :meth:`follow`. What is found there is believed at first
                sight, and their meshes are taken over.

        Raises:
            ValueError: not such an array.
            RuntimeError: called in a process forked after MediaPipe had run.
        """
        levels = Levels(without_noise(check_photo(image)))
        # 1. every view with its detectors -> candidates
        height, width = image.shape[:2]
        jobs = [
            (view, name, turned)
            for view in plan_views(height=height, width=width, min_face_size=min_face_size, tile_per_face=self.tile_per_face)
            for name in (self.detectors if view.whole else list(self.detectors)[:1])
            for turned in ((False, True) if view.whole else (False,))
        ]
        found = self._graphs.map(lambda job: self._look(levels, *job), jobs)
        # 2. one candidate per face and way up: which way is right only the second look can tell
        candidates: list[Candidate] = []
        for way in (False, True):
            some = [c for (_, _, turned), part in zip(jobs, found, strict=True) if turned == way for c in part]
            kept = merge(np.array([c.box for c in some]), np.array([c.score for c in some]), np.array([c.truncated for c in some]))
            candidates += [some[index] for index in kept]
        # 3. a second look at each, and a mesh for those that stand it
        seen, fresh = already_known(candidates, known)
        looked = self._graphs.map(lambda candidate: self._finish(levels, candidate, min_score), fresh)
        faces = [*seen, *(face for face in looked if face is not None)]
        # 4. two looks may have ended in one face: the one with a mesh stays
        bare = np.array([face.landmarks is None for face in faces])
        faces = [faces[i] for i in merge(np.array([face.box for face in faces]), np.array([face.score for face in faces]), bare)]
        return [faces[i] for i in order_of([face.box for face in faces])]

    def landmarks(self, image: np.ndarray, box: Box, roll: float = 0.0) -> np.ndarray | None:
        """Mesh for a face that is known already, for instance from a box drawn by hand.

        Args:
            image: RGB uint8 (height, width, 3).
            box: around the face, forehead to chin, in photo pixels.
            roll: tilt of the eye line in radians, clockwise on the screen.

        Returns:
            (478, 3) float32 in photo pixels, or None where no mesh fits the box.

        Raises:
            ValueError: no such photo, or a box without extent.
        """
        levels, box = Levels(without_noise(check_photo(image))), Face(box, 1.0).box
        return self._graphs.map(lambda _: self._fit_mesh(levels, box, roll), [None])[0]

    def follow(self, image: np.ndarray, faces: Sequence[Face]) -> list[Face | None]:
        """Meet known faces again in the next frame of a video, where a mesh is fitted near each: far cheaper than a search.

        Args:
            image: RGB uint8 (height, width, 3).
            faces: where they are expected; those without landmarks cannot be followed.

        Returns:
            per face, in order: the face with its mesh in this frame and the score it came with, or None where no mesh fits.

        Raises:
            ValueError: no such photo.
        """
        levels = Levels(without_noise(check_photo(image)))
        return self._graphs.map(lambda face: self._meet(levels, face), faces)

    def _meet(self, levels: Levels, face: Face) -> Face | None:
        if face.landmarks is None:
            return None
        eyes = face.landmarks[LEFT_EYE_CORNERS[1]] - face.landmarks[RIGHT_EYE_CORNERS[0]]
        # the mesh reaches higher than the detectors' boxes, for which the paddings were measured
        points = self._fit_mesh(levels, scale_box(box_of_points(face.landmarks), self.BOX_PER_MESH), math.atan2(eyes[1], eyes[0]))
        return None if points is None else Face(box_of_points(points), face.score, points)

    def _look(self, levels: Levels, view: View, name: str, turned: bool = False) -> list[Candidate]:
        photo = levels.photo
        if not has_content(photo, view):
            return []
        pixels = brighten(cut_out(levels, view, size=view.size(self.detectors[name])))
        pixels = np.ascontiguousarray(pixels[::-1, ::-1]) if turned else pixels
        candidates = []
        for points, score in self._read_detections(self._graphs.run(name, pixels), pixels):
            points = (1 - points if turned else points) * [view.width, view.height] + view.box[:2]
            low, high = points[:2].min(axis=0), points[:2].max(axis=0)
            # upside down a detector proposes much that is nothing: only what it is surer of is worth a second look
            if score < self.CANDIDATE_SCORE * (2 if turned else 1) or not np.isfinite(points).all() or np.any(high - low < 2):
                continue
            outside = np.maximum(-(low + high) / 2, (low + high) / 2 - photo.shape[1::-1]).max()
            if outside > 0.1 * (high - low).max():  # a mirror image beyond the frame
                continue
            box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
            candidates.append(Candidate(box, score, points[2:], is_cut(box, view, photo), name))
        return candidates

    def _finish(self, levels: Levels, candidate: Candidate, min_score: float) -> Face | None:
        eyes = candidate.keypoints[1] - candidate.keypoints[0]
        roll = math.atan2(eyes[1], eyes[0])
        score = self._second_look(levels, candidate, roll, min_score)
        if score < min_score:
            return None
        points = self._fit_mesh(levels, candidate.box, roll)
        if points is None:
            # BlazeFace's box ends at the brows; a cover must reach from hair line to chin.
            return Face(scale_box(candidate.box, 1.3), score)
        return Face(box_of_points(points), score, points)

    def _second_look(self, levels: Levels, candidate: Candidate, roll: float, min_score: float) -> float:
        """How far both detectors agree that this is a face, 0 to 1, when they see it upright and at the size each likes best.

        Measured on 411 faces and 4,500 wrong candidates: at 0.64 the mean of the two detectors' best scores keeps 99 % (those cut off
        by the frame aside) and one wrong candidate in 140.
        """
        evidence = [candidate.score, 0.0]
        looks = self.second_looks[candidate.graph]
        for number, (graph, padding, slot) in enumerate(looks):
            evidence[slot] = max(evidence[slot], self._confirm(levels, candidate.box, roll, graph, padding))
            to_come = {later for _, _, later in looks[number + 1 :]}
            best_case = sum(1.0 if i in to_come else value for i, value in enumerate(evidence)) / 2
            if self._score(best_case) < min_score or sum(evidence) / 2 > self.CERTAIN:
                break
        return self._score(sum(evidence) / 2)

    def _score(self, agreement: float) -> float:
        return min(1.0, max(0.0, 0.5 + (agreement - self.WORKING_POINT) / self.SCORE_SPREAD))

    def _confirm(self, levels: Levels, box: Box, roll: float, graph: str, padding: float) -> float:
        """The graph's score for a face in the middle of the patch around a box, of about the box's size; 0 where it sees none."""
        center, side = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), max(box[2] - box[0], box[3] - box[1])
        best = 0.0
        for mirror in (True, False) if leaves_frame(levels.photo, center, side * padding) else (True,):
            patch = brighten(face_patch(levels, center, side * padding, roll, self.MESH_SIDE, mirror=mirror)[0])
            for points, score in self._read_detections(self._graphs.run(graph, patch), patch):
                offset = np.abs(points[:2].mean(axis=0) - 0.5).max() * padding  # in units of the box
                size = float(points[1, 0] - points[0, 0]) * padding
                if offset < 0.35 and 0.5 < size < 2.0:
                    best = max(best, score)
        return best

    def _fit_mesh(self, levels: Levels, box: Box, roll: float) -> np.ndarray | None:
        center, side = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), max(box[2] - box[0], box[3] - box[1])
        for padding in self.MESH_PADDINGS:
            patch, matrix = face_patch(levels, center, side * padding, roll, self.MESH_SIDE)
            normalized = self._read_mesh(self._graphs.run("mesh", brighten(patch)))
            if normalized is None:
                continue
            points = normalized * self.MESH_SIDE
            scale = side * padding / self.MESH_SIDE
            points = np.hstack([points[:, :2] @ matrix[:, :2].T + matrix[:, 2], points[:, 2:] * scale])
            if mesh_fits(points, box):
                return points.astype(np.float32)
        return None


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
