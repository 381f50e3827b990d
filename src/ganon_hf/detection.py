"""Faces in a photo: what a detector is, and MediaPipe as one.

A detector takes a photo (RGB uint8, (height, width, 3)) and returns :class:`~.faces.Face` objects in photo pixels, larger ones first.
MediaPipe's detectors look at 128 or 192 pixels whatever the photo's size, so small faces are searched for in overlapping tiles; its face
mesh is then fitted to each face in a crop of its own, turned upright by the eye line. A face that no mesh fits is returned without
landmarks, so that it is covered rather than missed.

Sources: BlazeFace, Bazarevsky et al. 2019, arXiv 1907.05047; attention mesh, Grishchenko et al. 2020, arXiv 2006.10962; the models are
Google's MediaPipe solutions (Apache-2.0), carried by the ``mediapipe`` wheel up to 0.10.21 or by the ``face_landmarker.task`` bundle.
"""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from .detection_graphs import Graphs
from .faces import NUM_LANDMARKS, Box, Face, box_of_points, box_overlap, scale_box
from .landmarker_file import locate_landmarker
from .tiling import View, brighten, cut_out, face_patch, has_content, is_cut, leaves_frame, merge, order_of, plan_views, without_noise


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


def _check_photo(image: np.ndarray) -> np.ndarray:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        got = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(
            f"image must be a non-empty RGB uint8 array (height, width, 3), but got {got}. Use np.asarray(picture.convert('RGB'))."
        )
    return image


class _TiledDetector:
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

    def __call__(self, image: np.ndarray, *, min_face_size: int = 24, min_score: float = 0.5) -> list[Face]:
        """RGB uint8 (height, width, 3) -> faces, larger ones first.

        Raises:
            ValueError: not such an array.
            RuntimeError: called in a process forked after MediaPipe had run.
        """
        photo = without_noise(_check_photo(image))
        # 1. every view with its detectors -> candidates
        height, width = photo.shape[:2]
        jobs = [
            (view, name, turned)
            for view in plan_views(height=height, width=width, min_face_size=min_face_size, tile_per_face=self.tile_per_face)
            for name in (self.detectors if view.whole else list(self.detectors)[:1])
            for turned in ((False, True) if view.whole else (False,))
        ]
        found = self._graphs.map(lambda job: self._look(photo, *job), jobs)
        # 2. one candidate per face and way up: which way is right only the second look can tell
        candidates: list[Candidate] = []
        for way in (False, True):
            some = [c for (_, _, turned), part in zip(jobs, found, strict=True) if turned == way for c in part]
            kept = merge(np.array([c.box for c in some]), np.array([c.score for c in some]), np.array([c.truncated for c in some]))
            candidates += [some[index] for index in kept]
        # 3. a second look at each, and a mesh for those that stand it
        looked = self._graphs.map(lambda candidate: self._finish(photo, candidate, min_score), candidates)
        faces = [face for face in looked if face is not None]
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
        photo, box = without_noise(_check_photo(image)), Face(box, 1.0).box
        return self._graphs.map(lambda _: self._fit_mesh(photo, box, roll), [None])[0]

    def _look(self, photo: np.ndarray, view: View, name: str, turned: bool = False) -> list[Candidate]:
        if not has_content(photo, view):
            return []
        pixels = brighten(cut_out(photo, view, longest=self.detectors[name]))
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

    def _finish(self, photo: np.ndarray, candidate: Candidate, min_score: float) -> Face | None:
        eyes = candidate.keypoints[1] - candidate.keypoints[0]
        roll = math.atan2(eyes[1], eyes[0])
        score = self._second_look(photo, candidate, roll, min_score)
        if score < min_score:
            return None
        points = self._fit_mesh(photo, candidate.box, roll)
        if points is None:
            # BlazeFace's box ends at the brows; a cover must reach from hair line to chin.
            return Face(scale_box(candidate.box, 1.3), score)
        return Face(box_of_points(points), score, points)

    def _second_look(self, photo: np.ndarray, candidate: Candidate, roll: float, min_score: float) -> float:
        """How far both detectors agree that this is a face, 0 to 1, when they see it upright and at the size each likes best.

        Measured on 411 faces and 4,500 wrong candidates: at 0.64 the mean of the two detectors' best scores keeps 99 % (those cut off
        by the frame aside) and one wrong candidate in 140.
        """
        evidence = [candidate.score, 0.0]
        looks = self.second_looks[candidate.graph]
        for number, (graph, padding, slot) in enumerate(looks):
            evidence[slot] = max(evidence[slot], self._confirm(photo, candidate.box, roll, graph, padding))
            to_come = {later for _, _, later in looks[number + 1 :]}
            best_case = sum(1.0 if i in to_come else value for i, value in enumerate(evidence)) / 2
            if self._score(best_case) < min_score or sum(evidence) / 2 > self.CERTAIN:
                break
        return self._score(sum(evidence) / 2)

    def _score(self, agreement: float) -> float:
        return min(1.0, max(0.0, 0.5 + (agreement - self.WORKING_POINT) / self.SCORE_SPREAD))

    def _confirm(self, photo: np.ndarray, box: Box, roll: float, graph: str, padding: float) -> float:
        """The graph's score for a face in the middle of the patch around a box, of about the box's size; 0 where it sees none."""
        center, side = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), max(box[2] - box[0], box[3] - box[1])
        best = 0.0
        for mirror in (True, False) if leaves_frame(photo, center, side * padding) else (True,):
            patch = brighten(face_patch(photo, center, side * padding, roll, self.MESH_SIDE, mirror=mirror)[0])
            for points, score in self._read_detections(self._graphs.run(graph, patch), patch):
                offset = np.abs(points[:2].mean(axis=0) - 0.5).max() * padding  # in units of the box
                size = float(points[1, 0] - points[0, 0]) * padding
                if offset < 0.35 and 0.5 < size < 2.0:
                    best = max(best, score)
        return best

    def _fit_mesh(self, photo: np.ndarray, box: Box, roll: float) -> np.ndarray | None:
        center, side = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), max(box[2] - box[0], box[3] - box[1])
        for padding in self.MESH_PADDINGS:
            patch, matrix = face_patch(photo, center, side * padding, roll, self.MESH_SIDE)
            normalised = self._read_mesh(self._graphs.run("mesh", brighten(patch)))
            if normalised is None:
                continue
            points = normalised * self.MESH_SIDE
            scale = side * padding / self.MESH_SIDE
            points = np.hstack([points[:, :2] @ matrix[:, :2].T + matrix[:, 2], points[:, 2:] * scale])
            if _mesh_fits(points, box):
                return points.astype(np.float32)
        return None


def _mesh_fits(points: np.ndarray, box: Box) -> bool:
    """Whether a mesh is the face in the box: they overlap, and neither is much larger than the other."""
    if points.shape != (NUM_LANDMARKS, 3) or not np.isfinite(points).all():
        return False
    mesh_box = box_of_points(points)
    ratio = math.sqrt((mesh_box[2] - mesh_box[0]) * (mesh_box[3] - mesh_box[1]) / ((box[2] - box[0]) * (box[3] - box[1])))
    union, smaller = box_overlap(mesh_box, np.array([box]))
    return 0.5 < ratio < 2.0 and bool(smaller[0] > 0.6)


class MediaPipeDetector(_TiledDetector):
    """Faces by MediaPipe's ``solutions`` (0.10.x up to 0.10.21 or so), whose models come with the wheel: nothing to download.

    Args:
        threads: worker threads, each with its own graphs; None takes one per core.

    Raises:
        ImportError: mediapipe is missing or has no ``solutions``.
    """

    detectors = {"full": 192, "short": 128}
    tile_per_face = 212 / 24  # measured on 1080p scenes: tiles of 256 px miss 5 % of the faces of 24 px, tiles of 212 px none
    second_looks = {
        "full": (("short", 2.0, 1), ("short", 4.0, 1), ("full", 4.0, 0)),
        "short": (("full", 4.0, 1), ("full", 2.8, 1), ("short", 4.0, 0)),
    }

    def __init__(self, *, threads: int | None = None) -> None:
        try:
            from mediapipe.python import solution_base
            from mediapipe.python.solutions import face_mesh
        except ImportError as error:
            raise ImportError(
                "MediaPipeDetector needs mediapipe with its `solutions` (pip install 'mediapipe<=0.10.21', Python 3.11 or 3.12). "
                "With other versions use MediaPipeTasksDetector."
            ) from error
        self._solution_base, self._face_mesh = solution_base, face_mesh
        super().__init__(threads=threads)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), {"threads": self._threads})  # graphs and threads do not travel

    def _builders(self) -> dict[str, Callable[[], Any]]:
        return {
            "full": lambda: self._detection_graph("full"),
            "short": lambda: self._detection_graph("short"),
            "mesh": lambda: self._face_mesh.FaceMesh(
                static_image_mode=True, refine_landmarks=True, max_num_faces=1, min_detection_confidence=self.CANDIDATE_SCORE
            ),
        }

    def _detection_graph(self, reach: str) -> Any:
        # `FaceDetection(min_detection_confidence=...)` has no effect in 0.10.x: 0.6 and 0.5 are written into the graphs.
        return self._solution_base.SolutionBase(
            binary_graph_path=f"mediapipe/modules/face_detection/face_detection_{reach}_range_cpu.binarypb",
            calculator_params={
                f"facedetection{reach}range__facedetection__TensorsToDetectionsCalculator.min_score_thresh": self.CANDIDATE_SCORE
            },
            outputs=["detections"],
        )

    def _process(self, graph: Any, image: np.ndarray) -> Any:
        return self._solution_base.SolutionBase.process(graph, {"image": image})

    def _read_detections(self, result: Any, image: np.ndarray) -> list[tuple[np.ndarray, float]]:
        found = []
        for detection in result.detections or ():
            box = detection.location_data.relative_bounding_box
            corners = [(box.xmin, box.ymin), (box.xmin + box.width, box.ymin + box.height)]
            keypoints = [(point.x, point.y) for point in detection.location_data.relative_keypoints]
            found.append((np.array(corners + keypoints), float(detection.score[0])))
        return found

    def _read_mesh(self, result: Any) -> np.ndarray | None:
        if not result.multi_face_landmarks:
            return None
        return np.array([(point.x, point.y, point.z) for point in result.multi_face_landmarks[0].landmark])


class MediaPipeTasksDetector(_TiledDetector):
    """Faces by the MediaPipe Tasks interface (0.10.x and 1.x), which needs the ``face_landmarker.task`` bundle.

    The bundle's only detector is BlazeFace short range, so tiles are smaller and more, and the second look is by the same detector.

    Args:
        model_path: the bundle; None takes ``$GANON_HF_LANDMARKER`` or a checked download (see :func:`~.landmarker_file.locate_landmarker`).
        threads: worker threads, each with its own graphs; None takes one per core.

    Raises:
        ImportError: mediapipe is missing or too old.
        OSError: no bundle.
        ValueError: the file is no such bundle.
    """

    WORKING_POINT, CERTAIN = 0.71, 0.78  # one detector agrees with itself more easily: measured on the same scenes
    detectors = {"short": 256}
    tile_per_face = 144 / 24
    second_looks = {"short": (("short", 2.0, 1), ("short", 4.0, 1))}

    def __init__(self, model_path: str | Path | None = None, *, threads: int | None = None) -> None:
        try:
            import mediapipe
            from mediapipe.tasks.python import BaseOptions, vision
        except ImportError as error:
            raise ImportError("MediaPipeTasksDetector needs mediapipe with its Tasks interface: pip install 'mediapipe>=0.10'") from error
        self._mediapipe, self._vision, self._base_options = mediapipe, vision, BaseOptions
        self._path = locate_landmarker(model_path)
        try:
            with zipfile.ZipFile(self._path) as bundle:
                self._detector_model = bundle.read("face_detector.tflite")
        except (zipfile.BadZipFile, KeyError) as error:
            raise ValueError(f"model_path must be a face_landmarker.task bundle, but {str(self._path)!r} is not one: {error}.") from error
        self._landmarker_model = self._path.read_bytes()
        super().__init__(threads=threads)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), {"model_path": self._path, "threads": self._threads})

    def _builders(self) -> dict[str, Callable[[], Any]]:
        vision, base = self._vision, self._base_options
        detector = vision.FaceDetectorOptions(
            base_options=base(model_asset_buffer=self._detector_model), min_detection_confidence=self.CANDIDATE_SCORE
        )
        mesh = vision.FaceLandmarkerOptions(
            base_options=base(model_asset_buffer=self._landmarker_model), min_face_detection_confidence=self.CANDIDATE_SCORE
        )
        return {
            "short": lambda: vision.FaceDetector.create_from_options(detector),
            "mesh": lambda: vision.FaceLandmarker.create_from_options(mesh),
        }

    def _process(self, graph: Any, image: np.ndarray) -> Any:
        return graph.detect(self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=image))

    def _read_detections(self, result: Any, image: np.ndarray) -> list[tuple[np.ndarray, float]]:
        found = []
        height, width = image.shape[:2]
        for detection in result.detections:
            box = detection.bounding_box
            corners = [(box.origin_x, box.origin_y), (box.origin_x + box.width, box.origin_y + box.height)]
            keypoints = [(point.x, point.y) for point in detection.keypoints]
            found.append((np.vstack([np.array(corners) / [width, height], keypoints]), float(detection.categories[0].score)))
        return found

    def _read_mesh(self, result: Any) -> np.ndarray | None:
        if not result.face_landmarks:
            return None
        return np.array([(point.x, point.y, point.z) for point in result.face_landmarks[0]])


def _rebuild(kind: Callable[..., _TiledDetector], arguments: dict[str, Any]) -> _TiledDetector:
    return kind(**arguments)


def default_detector() -> FaceDetector:
    """The detector that the installed mediapipe allows: its ``solutions`` when they are there, otherwise its Tasks interface.

    Raises:
        ImportError: no mediapipe.
        OSError: only Tasks are there, and their bundle cannot be had.
    """
    try:
        return MediaPipeDetector()
    except ImportError:
        pass  # mediapipe 1.x has no solutions
    try:
        return MediaPipeTasksDetector()
    except ImportError as error:
        raise ImportError("Face detection needs mediapipe: pip install mediapipe==0.10.21 (its wheel carries the models).") from error
