"""Every face in a photo: YuNet at several sizes and turns, a second look at what it is not sure of, a mesh for each face.

What comes out for a face: with a mesh that agrees with the detector it can be replaced; without one it is covered. A face's score is the
evidence that there is one, between 0 and 1: YuNet's own score in the photo where that is high, otherwise the mean of it and of YuNet's
scores for the face alone, upright and at three sizes. A texture that resembles a face at one size does not at another.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .detection_files import LANDMARKS_FILE, YUNET_FILE, read_network
from .detection_merging import CERTAIN, KNOWN_OVERLAP, already_known, lies_on_another, merge, mesh_fits, order_of
from .detection_mesh import LandmarkNetwork, LandmarkWorkers, Square, agreement
from .detection_pyramid import Levels, check_photo, face_patch, without_noise
from .detection_yunet import BORDER, LARGEST_SEEN, Detections, Tile, YuNet, plan_passes, plan_tiles, suppress
from .faces import Box, Face, box_of_points, box_overlap, scale_box
from .keypoints import five_points, roll_of
from .opencv import cv2
from .silhouette import leaves_open

# Scores. From MIN_SCORE on a candidate counts; below CREDIBLE_SCORE it is only possible, and a face without a mesh is doubtful: it is
# covered, and somebody should look. Nothing below CREDIBLE_SCORE gets a mesh, so that nothing is painted on what may be no face.
MIN_SCORE, CREDIBLE_SCORE = 0.5, 0.6
# What the search proposes, and from where on that is more than weak; what is CERTAIN needs no second look.
CANDIDATE_SCORE, WEAK = 0.2, 0.3
# Second looks: (height of the face, side of the patch around it), in pixels. In each the face must lie in the middle and have its size. A
# weak candidate must be so good in the first one (tilted faces of 24 px are).
SECOND_LOOKS = ((48, 128), (24, 96), (96, 192))
MAX_OFFSET, MAX_RATIO = 0.3, 1.8
LEAST_OF_WEAK = 0.5
# Where there is one face there are more: added to the score of a candidate beside a certain face, and to one beside none. Nothing is added
# to weak ones; and what the mirror at the photo's edge completes counts as alone, as it makes faces of many things.
COMPANY, ALONE = 0.08, -0.12
# Shares of a box that lie in the photo: below the first it shows too little of a face, below the second the mirror had a part in it.
MIN_INSIDE, WHOLE = 0.4, 0.9
# A mesh is the detector's face: logit of presence, distance of eyes, nose and mouth in sides of the box, overlap of the boxes. Where the
# detector is not certain the mesh must be; the more so where only the company of other faces makes the evidence credible (seen: letters in
# noise, 4.8, and a mesh across two heads, 4.7; real faces there mostly have 10 to 17).
MIN_PRESENCE, MAX_DISTANCE, MIN_OVERLAP = 0.0, 0.15, 0.55
SURE_PRESENCE, SURE_DISTANCE = 3.0, 0.12
CLEAR_PRESENCE = 9.0
# From this height on a face has pixels enough that a mesh of it is sure; only from the higher score on a doubtful mesh will do there (seen:
# highlights in a spoon, score 0.83, presence 1.6; faces with less presence than SURE_PRESENCE are small, or have at least 0.92).
TELLING_HEIGHT, BEYOND_DOUBT = 64, 0.9
# Halfway between two quarter turns YuNet sees a face, but not how far it is tilted. From this score on a mesh may tell that, if it is
# turned at least so far against what YuNet says, in radians.
TILTED_SCORE, LEAST_TILT = 0.6, 0.35
# Quarter turns in which a photo is looked at besides the upright one, and how much coarser.
TURNS, TURNED_SCALE = (1, 2, 3), 0.375
# Where more credible faces have a score so much higher in a turn than upright the photo lies on its side, and is looked at in that turn
# finely, too.
TURNED_BETTER = 0.05
# Share of the smaller of two boxes that lies in the larger one if it shows a part of that face.
PART_OF = 0.6
# Sides of the squares that are tried around a box drawn by hand, in sides of the box.
PADDINGS = (1.5, 1.2, 2.0)
# YuNet's box reaches from the hair line to the chin; this much larger it does so for heads that are turned, too.
COVER = 1.1


@dataclass(frozen=True, eq=False)
class Candidate:
    """What YuNet proposes: box and five points (5, 2) in photo pixels; a face seen turned has the box of the face upright."""

    box: Box
    score: float
    points: np.ndarray

    @property
    def roll(self) -> float:
        """How far the face is turned, in radians, clockwise on the screen."""
        right, left, _, mouth_right, mouth_left = self.points
        return roll_of(left - right, (mouth_right + mouth_left - right - left) / 2)


class YuNetDetector:
    """Detects faces with YuNet (ONNX Runtime) and fits meshes with MediaPipe's landmark network (LiteRT). Both are in the package.

    Worker threads share the work; results do not depend on how many there are. The detector may be used from several threads, can
    be pickled, and works in a forked process.

    Args:
        threads: number of worker threads; None means one per core.
        source: folder or Hub repository of a model that contains the networks, for use without this package. See ``detection_files.py``.
        revision: of the repository; None is its main branch.

    Raises:
        ImportError: ONNX Runtime or LiteRT is missing.
        OSError: the networks are missing.
        ValueError: they are different files than expected, or ``threads`` is below 1.
    """

    def __init__(self, *, threads: int | None = None, source: str | Path | None = None, revision: str | None = None) -> None:
        if threads is not None and threads < 1:
            raise ValueError(f"threads must be None (all cores) or at least 1, but got {threads!r}.")
        self._arguments = {"threads": threads, "source": source, "revision": revision}
        self._yunet = YuNet(read_network(YUNET_FILE, source, revision))
        self._workers = LandmarkWorkers(read_network(LANDMARKS_FILE, source, revision), threads or os.cpu_count() or 2)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self._arguments)  # networks and threads do not travel

    def close(self) -> None:
        """End the worker threads; the detector cannot be used afterwards."""
        self._workers.close()

    def __call__(
        self, image: np.ndarray, *, min_face_size: int = 24, min_score: float = MIN_SCORE, known: Sequence[Face] = ()
    ) -> list[Face]:
        """Find the faces of a photo.

        Args:
            image: RGB uint8 (height, width, 3).
            min_face_size: height of the smallest faces, in pixels. The larger it is, the coarser and faster the search.
            min_score: confidence score below which a candidate is rejected, 0 to 1.
            known: faces whose meshes were already fitted to this image, see :meth:`follow`; if they are found, their meshes are reused.

        Returns:
            larger faces first. ``landmarks=None`` if no mesh agrees with the detector; below :data:`CREDIBLE_SCORE`, such a face is
            marked as doubtful.

        Raises:
            ValueError: the image is not such an array.
        """
        levels = Levels(without_noise(check_photo(image)))
        return self._faces(levels, self._search(levels, min_face_size, TURNS), min_score, known)

    def glance(self, image: np.ndarray, *, min_face_size: int = 24, min_score: float = MIN_SCORE, known: Sequence[Face] = ()) -> list[Face]:
        """Search one of many video frames: upright faces only, and only new ones are verified.

        When every frame is searched, false positives have many chances to appear, so doubtful faces do not count here.

        Args:
            image: as for a call.
            min_face_size: likewise.
            min_score: likewise.
            known: faces whose meshes were already fitted to this image, as for a call, and faces without landmarks: where one that had
                none in the previous frame is expected. Anything detected there, however weakly, counts as that face.

        Returns:
            the known faces that are detected in this image, and new ones; larger faces first.

        Raises:
            ValueError: no such photo.
        """
        levels = Levels(without_noise(check_photo(image)))
        known = [face for face in known if face.landmarks is not None or face.score >= CREDIBLE_SCORE]
        return self._faces(levels, self._search(levels, min_face_size, ()), max(min_score, CREDIBLE_SCORE), known)

    def landmarks(self, image: np.ndarray, box: Box, roll: float = 0.0) -> np.ndarray | None:
        """Mesh for a face that is already known, for example from a box drawn by hand.

        Args:
            image: RGB uint8 (height, width, 3).
            box: around the face, forehead to chin, in photo pixels.
            roll: tilt of the eye line in radians, clockwise on the screen.

        Returns:
            (478, 3) float32 in photo pixels, or None if no mesh fits the box.

        Raises:
            ValueError: the photo is invalid, or the box is empty.
        """
        levels, box = Levels(without_noise(check_photo(image))), Face(box, 1.0).box

        def fit(network: LandmarkNetwork, _: None) -> np.ndarray | None:
            for padding in PADDINGS:
                mesh = network.fit(levels, Square.around(box, roll, padding))
                if mesh.presence >= MIN_PRESENCE and mesh_fits(mesh.points, box):
                    return mesh.points
            return None

        return self._workers.map(fit, [None])[0]

    def follow(self, image: np.ndarray, faces: Sequence[Face]) -> list[Face | None]:
        """Track known faces into the next video frame by fitting a mesh near each of them, which is far cheaper than a search.

        Args:
            image: RGB uint8 (height, width, 3).
            faces: where they are expected; faces without landmarks cannot be tracked.

        Returns:
            for each face, in order: the face with its mesh in this frame and its previous score, or None if no mesh fits.

        Raises:
            ValueError: no such photo.
        """
        levels = Levels(without_noise(check_photo(image)))

        def meet(network: LandmarkNetwork, face: Face) -> Face | None:
            if face.landmarks is None:
                return None
            mesh = network.fit(levels, Square.of_mesh(face.landmarks))
            if mesh.presence < MIN_PRESENCE or not mesh_fits(mesh.points, box_of_points(face.landmarks)):
                return None
            return Face(box_of_points(mesh.points), face.score, mesh.points)

        return self._workers.map(meet, faces)

    def _search(self, levels: Levels, min_face_size: int, turns: Sequence[int]) -> list[Candidate]:
        """One candidate per face, best first; besides upright faces those in some quarter turns."""
        height, width = levels.photo.shape[:2]
        scales = plan_passes(height=height, width=width, min_face_size=min_face_size)
        found = self._passes(levels, [(scale, 0) for scale in scales])
        coarse = [scale * TURNED_SCALE for scale in scales[::2]]
        turned = [self._passes(levels, [(scale, quarters) for scale in coarse]) for quarters in turns]
        lies = [quarters for quarters, some in zip(turns, turned, strict=True) if _lies_so(some, found)]
        for quarters in lies:  # the photo itself lies on its side: worth the finest look
            found = Detections.concatenate([found, self._passes(levels, [(scales[0], quarters)])])
        if not lies:  # what is seen upright, too, is upright: a mask and a forehead make a face that stands on its head
            turned = [some[_unseen_in(some, found)] for some in turned]
        found = suppress(Detections.concatenate([found, *turned]))
        sizes = (found.boxes[:, 2:] - found.boxes[:, :2]).max(axis=1)
        # the network's box is up to a quarter smaller than the face that was meant
        found = found[sizes >= 0.75 * min_face_size]
        kept = merge(found.boxes, found.scores, np.zeros(len(found), bool))
        boxes = [tuple(float(value) for value in found.boxes[index]) for index in kept]
        return [Candidate(box, float(found.scores[i]), found.points[i]) for box, i in zip(boxes, kept, strict=True)]  # type: ignore[arg-type]

    def _faces(self, levels: Levels, candidates: Sequence[Candidate], min_score: float, known: Sequence[Face]) -> list[Face]:
        """The faces among candidates, larger ones first."""
        seen, fresh = already_known(candidates, [face for face in known if face.landmarks is not None])
        again, fresh = _seen_again(fresh, [face for face in known if face.landmarks is None])
        alone = not any(candidate.score >= CERTAIN for candidate in candidates)
        looked = self._workers.map(lambda network, candidate: self._finish(network, levels, candidate, min_score, alone), fresh)
        faces = [*seen, *again, *(face for face in looked if face is not None)]
        # two candidates may have ended in one face: the one with a mesh stays
        bare = np.array([face.landmarks is None for face in faces])
        faces = [faces[i] for i in merge(np.array([face.box for face in faces]), np.array([face.score for face in faces]), bare)]
        faces = [face for face in faces if not lies_on_another(face, faces)]
        return [faces[i] for i in order_of([face.box for face in faces])]

    def _passes(self, levels: Levels, passes: Sequence[tuple[float, int]]) -> Detections:
        """What passes of (scale, quarter turns) find, finest first, in photo pixels."""
        pictures = [_picture(levels, scale, quarters) for scale, quarters in passes]
        jobs = [
            (number, tile)
            for number, picture in enumerate(pictures)
            for tile in plan_tiles(height=picture.shape[0], width=picture.shape[1])
        ]
        parts = self._workers.map(lambda _, job: suppress(self._yunet(pictures[job[0]], job[1], min_score=CANDIDATE_SCORE)), jobs)
        found = []
        for number, (picture, (_, quarters)) in enumerate(zip(pictures, passes, strict=True)):
            one = Detections.concatenate([part for (other, _), part in zip(jobs, parts, strict=True) if other == number])
            if number + 1 < len(pictures):  # larger ones are the next pass's
                one = one[(one.boxes[:, 2:] - one.boxes[:, :2]).max(axis=1) < LARGEST_SEEN]
            height, width = picture.shape[:2] if quarters % 2 == 0 else picture.shape[1::-1]
            one = one.turned_back(quarters, height=height, width=width)
            one = one.scaled(levels.photo.shape[1] / width, levels.photo.shape[0] / height)
            # the border mirrors all of a photo that a pass makes small
            found.append(one[_inside(one.boxes, levels.photo) >= MIN_INSIDE])
        return Detections.concatenate(found)

    def _finish(self, network: LandmarkNetwork, levels: Levels, candidate: Candidate, min_score: float, alone: bool) -> Face | None:
        score, face = self._judge(network, levels, candidate, min_score, alone)
        if face is None and candidate.score >= TILTED_SCORE:
            upright = self._stand_up(network, levels, candidate)
            if upright is not None:
                better, face = self._judge(network, levels, upright, min_score, alone)
                score = max(score, better)
        if face is not None or score < min_score:
            return face
        return Face(scale_box(candidate.box, COVER), score, doubtful=score < CREDIBLE_SCORE, keypoints=candidate.points)

    def _judge(
        self, network: LandmarkNetwork, levels: Levels, candidate: Candidate, min_score: float, alone: bool
    ) -> tuple[float, Face | None]:
        """A candidate's score, and the face if a mesh agrees."""
        score, seen, least_presence, most_distance = candidate.score, candidate, MIN_PRESENCE, MAX_DISTANCE
        if score < CERTAIN:
            mirrored = _inside(np.array([candidate.box]), levels.photo)[0] < WHOLE
            company = ALONE if alone or mirrored else COMPANY if score >= WEAK else 0.0
            evidence, seen = self._evidence(levels, candidate, min_score - company)
            score = evidence + company
            least_presence, most_distance = SURE_PRESENCE if evidence >= CREDIBLE_SCORE else CLEAR_PRESENCE, SURE_DISTANCE
        elif score < BEYOND_DOUBT and candidate.box[3] - candidate.box[1] >= TELLING_HEIGHT:
            least_presence = SURE_PRESENCE
        score = min(1.0, max(0.0, score))
        if score >= max(CREDIBLE_SCORE, min_score):
            mesh = network.fit(levels, Square.of_detection(seen.box, seen.roll))
            distance, overlap = agreement(mesh.points, seen.box, seen.points)
            agrees = mesh.presence >= least_presence and distance <= most_distance and overlap >= MIN_OVERLAP
            if agrees and not leaves_open(mesh.points, seen.points):
                return score, Face(box_of_points(mesh.points), score, mesh.points)
        return score, None

    def _stand_up(self, network: LandmarkNetwork, levels: Levels, candidate: Candidate) -> Candidate | None:
        """The candidate seen upright, by the way up that a clear mesh has; None without a mesh that YuNet, too, sees better that way up."""
        least = max(CREDIBLE_SCORE, self._second_look(levels, candidate, *SECOND_LOOKS[0]).score)
        for quarters in range(4):
            mesh = network.fit(levels, Square.of_detection(candidate.box, candidate.roll + quarters * math.pi / 2))
            turned = replace(candidate, points=five_points(mesh.points))
            if mesh.presence >= CLEAR_PRESENCE and abs(math.remainder(turned.roll - candidate.roll, 2 * math.pi)) > LEAST_TILT:
                upright = self._second_look(levels, turned, *SECOND_LOOKS[0])
                if upright.score > least:
                    return replace(upright, score=candidate.score)
        return None

    def _evidence(self, levels: Levels, candidate: Candidate, least: float) -> tuple[float, Candidate]:
        """How much speaks for a face, 0 to 1, and the candidate as it was seen best; less than ``least`` is not looked at to the end."""
        best, total = candidate, 0.0
        for number, (face, side) in enumerate(SECOND_LOOKS, 1):
            seen = self._second_look(levels, best, face, side)
            total += seen.score
            most = (candidate.score + (total + len(SECOND_LOOKS) - number) / len(SECOND_LOOKS)) / 2
            if most < least or (number == 1 and candidate.score < WEAK and seen.score < LEAST_OF_WEAK):
                return 0.0, best
            if seen.score > best.score:
                best = seen
        return most, best

    def _second_look(self, levels: Levels, candidate: Candidate, face: int, side: int) -> Candidate:
        """The candidate alone, upright and ``face`` pixels high in the middle of a patch, with the score 0 where YuNet sees none."""
        box = candidate.box
        center, size = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), max(box[2] - box[0], box[3] - box[1])
        patch, matrix = face_patch(levels, center, size * side / face, candidate.roll, side, mirror=True)
        whole = (BORDER, BORDER, BORDER + side, BORDER + side)
        found = self._yunet(patch, Tile(whole, whole), min_score=0.05)
        middles, sides = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2, found.boxes[:, 2:] - found.boxes[:, :2]
        offsets, ratios = np.abs(middles - side / 2).max(axis=1) / face, sides.max(axis=1) / face
        same = np.flatnonzero((offsets < MAX_OFFSET) & (ratios < MAX_RATIO) & (ratios > 1 / MAX_RATIO))
        if not len(same):
            return Candidate(box, 0.0, candidate.points)
        best = same[np.argmax(found.scores[same])]
        points = np.vstack([found.points[best], middles[best]]) @ matrix[:, :2].T + matrix[:, 2]
        x, y = (float(value) for value in points[5])
        across, down = (float(value) / 2 * size / face for value in sides[best])
        return Candidate((x - across, y - down, x + across, y + down), float(found.scores[best]), points[:5])


def _rebuild(kind: type[YuNetDetector], arguments: dict[str, Any]) -> YuNetDetector:
    return kind(**arguments)


def _picture(levels: Levels, scale: float, quarters: int) -> np.ndarray:
    """The photo at a scale, turned counter-clockwise; a view where it can be one."""
    photo, step = levels.at(scale)
    height, width = levels.photo.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if size != photo.shape[1::-1]:
        photo = cv2.resize(photo, size, interpolation=cv2.INTER_AREA if scale * step < 1 else cv2.INTER_LINEAR)
    return np.rot90(photo, quarters)


def _inside(boxes: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """(n,) how much of each of (n, 4) boxes lies in the photo, 0 to 1."""
    low, high = np.maximum(boxes[:, :2], 0), np.minimum(boxes[:, 2:], photo.shape[1::-1])
    return np.clip(high - low, 0, None).prod(axis=1) / (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)


def _seen_again(candidates: Sequence[Candidate], expected: Sequence[Face]) -> tuple[list[Face], list[Candidate]]:
    """The faces without a mesh that candidates lie on, where they are now, and the other candidates."""
    again: dict[int, Face] = {}
    fresh = []
    for candidate in candidates:  # best first
        box = scale_box(candidate.box, COVER)
        overlap = box_overlap(box, np.array([face.box for face in expected]))[0]
        best = int(np.argmax(overlap)) if len(overlap) else 0
        if len(overlap) and overlap[best] > KNOWN_OVERLAP:
            again.setdefault(best, Face(box, expected[best].score, keypoints=candidate.points))
        else:
            fresh.append(candidate)
    return list(again.values()), fresh


def _lies_so(turned: Detections, upright: Detections) -> bool:
    """Whether more credible faces are seen better in turned passes than in the upright ones."""
    return _count_better(suppress(turned), upright, TURNED_BETTER) > _count_better(suppress(upright), turned, -TURNED_BETTER)


def _unseen_in(ours: Detections, others: Detections) -> np.ndarray:
    """(n,) bool, which of one are no more than weak in the others."""
    others = others[others.scores >= WEAK]
    return np.array([not (box_overlap(tuple(box), others.boxes)[0] > KNOWN_OVERLAP).any() for box in ours.boxes], bool)


def _count_better(ours: Detections, others: Detections, margin: float) -> int:
    """Credible faces of one that beat the other's score for them by a margin.

    Seen the wrong way up, parts of a face pass for smaller faces (the eyes of an upright one turned to a side: 0.88). The score of the face
    around them counts for them, too.
    """
    count = 0
    for box, score in zip(ours.boxes, ours.scores, strict=True):
        both, of_smaller = box_overlap(tuple(box), others.boxes)
        same = others.scores[(both > KNOWN_OVERLAP) | (of_smaller > PART_OF)]
        count += bool(score >= CREDIBLE_SCORE and score > same.max(initial=0.0) + margin)
    return count
