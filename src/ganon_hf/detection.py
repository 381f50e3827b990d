"""Faces in a photo: what a detector is, and MediaPipe as one.

A detector takes a photo (RGB uint8, (height, width, 3)) and returns :class:`~.faces.Face` objects in photo pixels, larger ones first.
MediaPipe's detectors look at 128 or 192 pixels whatever the photo's size, so small faces are searched for in overlapping tiles; its face
mesh is then fitted to each face in a crop of its own, turned upright by the eye line. A face that no mesh fits is returned without
landmarks, so that it is covered rather than missed.

Sources: BlazeFace, Bazarevsky et al. 2019, arXiv 1907.05047; attention mesh, Grishchenko et al. 2020, arXiv 2006.10962; the models are
Google's MediaPipe solutions (Apache-2.0), carried by the ``mediapipe`` wheel up to 0.10.21 or by the ``face_landmarker.task`` bundle.

What MediaPipe does not forgive, and where it is handled here: a graph shared by threads returns other images' results (one graph per
worker thread); a graph that failed once fails for ever (it is rebuilt); a process forked after a graph has run hangs (a clear error instead).
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

import numpy as np

from .faces import NUM_LANDMARKS, Box, Face, box_of_points, box_overlap, scale_box
from .tiling import View, cut_out, face_patch, merge, order_of, plan_views

_quiet_lock = threading.Lock()
_graphs_of_process: int | None = None


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


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """MediaPipe's C++ code greets on file descriptor 2 and heeds no log level; it is silenced while a graph is born, one at a time."""
    with _quiet_lock:
        try:
            sys.stderr.flush()
            saved = os.dup(2)
        except (AttributeError, OSError):  # no standard error to keep clean
            yield
            return
        sink = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(sink, 2)
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            os.close(sink)


class _Graphs:
    """Named MediaPipe graphs, one set per worker thread, rebuilt when they break.

    Args:
        builders: name -> function that makes a graph.
        process: runs a graph on an RGB uint8 array.
        threads: worker threads.
    """

    def __init__(self, builders: dict[str, Callable[[], Any]], process: Callable[[Any, np.ndarray], Any], threads: int) -> None:
        self._builders = builders
        self._process = process
        self._local = threading.local()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="ganon-detection")

    def map(self, function: Callable[..., Any], items: Iterable[Any]) -> list[Any]:
        """``function`` of every item, on the worker threads, in the order of the items."""
        global _graphs_of_process
        if _graphs_of_process is None:
            _graphs_of_process = os.getpid()
        if _graphs_of_process != os.getpid():
            raise RuntimeError(
                "MediaPipe hangs in a process that was forked after it had run. Start worker processes with the 'spawn' method, "
                "or use num_workers=0."
            )
        return list(self._pool.map(function, items))

    def run(self, name: str, image: np.ndarray) -> Any:
        """The named graph's result; to be called on a worker thread."""
        graph = getattr(self._local, name, None) or self._build(name)
        try:
            return self._process(graph, image)
        except (RuntimeError, ValueError):  # the graph is poisoned: a fresh one tells a bad graph from a bad image
            return self._process(self._build(name), image)

    def _build(self, name: str) -> Any:
        with _quiet():
            graph = self._builders[name]()
            self._process(graph, np.zeros((64, 64, 3), np.uint8))  # the first call chatters too
        setattr(self._local, name, graph)
        return graph

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


def _check_photo(image: np.ndarray) -> np.ndarray:
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        got = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(f"image must be a non-empty RGB uint8 array (height, width, 3), but got {got}. Use np.asarray(pil.convert('RGB')).")
    return image


class _TiledDetector:
    """Views -> candidates -> one box per face -> mesh per face. Backends say how a graph is made and read."""

    # Longer side in pixels at which a graph gets a view, by graph name.
    detectors: dict[str, int] = {}
    CANDIDATE_SCORE = 0.3
    MESH_PADDINGS = (2.0, 1.5, 2.8)
    MESH_SIDE = 256

    def __init__(self, *, threads: int | None = None) -> None:
        if threads is not None and threads < 1:
            raise ValueError(f"threads must be None (all cores) or at least 1, but got {threads!r}.")
        self._threads = threads
        self._graphs = _Graphs(self._builders(), self._process, threads or os.cpu_count() or 2)

    def _builders(self) -> dict[str, Callable[[], Any]]:
        raise NotImplementedError

    def _process(self, graph: Any, image: np.ndarray) -> Any:
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
        photo = _check_photo(image)
        # 1. every view with its detectors -> candidates
        height, width = photo.shape[:2]
        jobs = [
            (view, name)
            for view in plan_views(height=height, width=width, min_face_size=min_face_size)
            for name in (self.detectors if view.whole else list(self.detectors)[:1])
        ]
        found = [c for part in self._graphs.map(lambda job: self._look(photo, *job), jobs) for c in part]
        # 2. one candidate per face
        found = [c for c in found if c.score >= min_score]
        if not found:
            return []
        kept = merge(np.array([c.box for c in found]), np.array([c.score for c in found]), np.array([c.truncated for c in found]))
        # 3. a mesh for each
        faces = self._graphs.map(lambda index: self._finish(photo, found[index]), kept)
        return [faces[i] for i in order_of([face.box for face in faces])]

    def landmarks(self, image: np.ndarray, box: Box, roll: float = 0.0) -> np.ndarray | None:
        """Mesh for a face that is known already, for instance from a box drawn by hand.

        Args:
            image: RGB uint8 (height, width, 3).
            box: around the face, forehead to chin, in photo pixels.
            roll: tilt of the eye line in radians, clockwise on the screen.

        Returns:
            (478, 3) float32 in photo pixels, or None where no mesh fits the box.
        """
        photo = _check_photo(image)
        return self._graphs.map(lambda _: self._fit_mesh(photo, box, roll), [None])[0]

    def _look(self, photo: np.ndarray, view: View, name: str) -> list[Candidate]:
        if not _has_content(photo, view):
            return []
        pixels = cut_out(photo, view, longest=self.detectors[name])
        candidates = []
        for points, score in self._read_detections(self._graphs.run(name, pixels), pixels):
            points = points * [view.width, view.height] + view.box[:2]
            low, high = points[:2].min(axis=0), points[:2].max(axis=0)
            if score < self.CANDIDATE_SCORE or np.any(high - low < 2) or not np.isfinite(points).all():
                continue
            box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
            candidates.append(Candidate(box, score, points[2:], _is_cut(box, view, photo)))
        return candidates

    def _finish(self, photo: np.ndarray, candidate: Candidate) -> Face:
        eyes = candidate.keypoints[1] - candidate.keypoints[0]
        points = self._fit_mesh(photo, candidate.box, math.atan2(eyes[1], eyes[0]))
        if points is None:
            # BlazeFace's box ends at the brows; a cover must reach from hair line to chin.
            return Face(scale_box(candidate.box, 1.3), candidate.score)
        return Face(box_of_points(points), candidate.score, points)

    def _fit_mesh(self, photo: np.ndarray, box: Box, roll: float) -> np.ndarray | None:
        center, side = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), max(box[2] - box[0], box[3] - box[1])
        for padding in self.MESH_PADDINGS:
            patch, matrix = face_patch(photo, center, side * padding, roll, self.MESH_SIDE)
            normalised = self._read_mesh(self._graphs.run("mesh", patch))
            if normalised is None:
                continue
            points = normalised * self.MESH_SIDE
            scale = side * padding / self.MESH_SIDE
            points = np.hstack([points[:, :2] @ matrix[:, :2].T + matrix[:, 2], points[:, 2:] * scale])
            if _mesh_fits(points, box):
                return points.astype(np.float32)
        return None


def _has_content(photo: np.ndarray, view: View) -> bool:
    """False for views of one colour, which provably show no face."""
    x_min, y_min, x_max, y_max = view.box
    pixels = photo[max(0, y_min) : y_max, max(0, x_min) : x_max]
    return bool(pixels.size) and bool((pixels != pixels[0, 0]).any())


def _is_cut(box: Box, view: View, photo: np.ndarray) -> bool:
    """Whether the box reaches a border of the view behind which the photo goes on."""
    if view.whole:
        return False
    margin = 0.02 * view.width
    x_min, y_min, x_max, y_max = view.box
    return (
        (x_min > 0 and box[0] < x_min + margin)
        or (y_min > 0 and box[1] < y_min + margin)
        or (x_max < photo.shape[1] and box[2] > x_max - margin)
        or (y_max < photo.shape[0] and box[3] > y_max - margin)
    )


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

    def __init__(self, *, threads: int | None = None) -> None:
        try:
            from mediapipe.python import solutions  # type: ignore[import-untyped]
        except ImportError as error:
            raise ImportError(
                "MediaPipeDetector needs mediapipe with its `solutions` (pip install 'mediapipe<=0.10.21', Python 3.11 or 3.12). "
                "With other versions use MediaPipeTasksDetector."
            ) from error
        self._solutions = solutions
        super().__init__(threads=threads)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), {"threads": self._threads})  # graphs and threads do not travel

    def _builders(self) -> dict[str, Callable[[], Any]]:
        detection = self._solutions.face_detection.FaceDetection
        return {
            "full": lambda: detection(min_detection_confidence=self.CANDIDATE_SCORE, model_selection=1),
            "short": lambda: detection(min_detection_confidence=self.CANDIDATE_SCORE, model_selection=0),
            "mesh": lambda: self._solutions.face_mesh.FaceMesh(
                static_image_mode=True, refine_landmarks=True, max_num_faces=1, min_detection_confidence=self.CANDIDATE_SCORE
            ),
        }

    def _process(self, graph: Any, image: np.ndarray) -> Any:
        return graph.process(image)

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


def _rebuild(kind: type[_TiledDetector], arguments: dict[str, Any]) -> _TiledDetector:
    return kind(**arguments)


def default_detector() -> FaceDetector:
    """The detector that the installed mediapipe allows."""
    return MediaPipeDetector()
