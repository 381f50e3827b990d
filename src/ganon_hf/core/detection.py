"""The detectors there are, and which of them is the default: MediaPipe's, and :class:`YuNetDetector` (``detection_search.py``) to try.

MediaPipe's are backends of the search in ``detection_tiled.py``. Sources: BlazeFace, Bazarevsky et al. 2019, arXiv 1907.05047; attention
mesh, Grishchenko et al. 2020, arXiv 2006.10962; the models are Google's MediaPipe solutions (Apache-2.0), carried by the ``mediapipe``
wheel up to 0.10.21 or by the ``face_landmarker.task`` bundle.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .detection_blazeface import FULL_RANGE, SHORT_RANGE, BlazeFace, read_network
from .detection_model_file import locate_landmarker
from .detection_search import CREDIBLE_SCORE, MIN_SCORE, YuNetDetector
from .detection_tiled import FaceDetector, TiledDetector

__all__ = [
    "CREDIBLE_SCORE",
    "MIN_SCORE",
    "FaceDetector",
    "LiteRTDetector",
    "MediaPipeDetector",
    "MediaPipeTasksDetector",
    "YuNetDetector",
    "default_detector",
]


class MediaPipeDetector(TiledDetector):
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


class LiteRTDetector(MediaPipeDetector):
    """:class:`MediaPipeDetector` with its two BlazeFace networks run by LiteRT (see ``detection_blazeface.py``): the same weights
    without the graph around them, in four fifths of the time; the mesh is MediaPipe's.

    Args:
        threads: worker threads, each with its own networks; None takes one per core.

    Raises:
        ImportError: LiteRT is missing, or mediapipe is missing or has no ``solutions``.
    """

    NETWORKS = {"full": FULL_RANGE, "short": SHORT_RANGE}

    def __init__(self, *, threads: int | None = None) -> None:
        super().__init__(threads=threads)
        modules = Path(self._face_mesh.__file__).parents[2] / "modules"
        self._files = {name: read_network(modules, model) for name, model in self.NETWORKS.items()}

    def _builders(self) -> dict[str, Callable[[], Any]]:
        def builder(name: str) -> Callable[[], Any]:
            return lambda: BlazeFace(self._files[name], self.NETWORKS[name], min_score=self.CANDIDATE_SCORE)

        return {**super()._builders(), **{name: builder(name) for name in self.NETWORKS}}

    def _process(self, graph: Any, image: np.ndarray) -> Any:
        return graph(image) if callable(graph) else super()._process(graph, image)

    def _read_detections(self, result: Any, image: np.ndarray) -> list[tuple[np.ndarray, float]]:
        return result


class MediaPipeTasksDetector(TiledDetector):
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


def _rebuild(kind: Callable[..., TiledDetector], arguments: dict[str, Any]) -> TiledDetector:
    return kind(**arguments)


def default_detector(*, threads: int | None = None) -> FaceDetector:
    """The detector that what is installed allows: mediapipe's ``solutions`` with LiteRT, without it, or mediapipe's Tasks interface.

    Args:
        threads: worker threads; None takes one per core.

    Raises:
        ImportError: no mediapipe.
        OSError: only Tasks are there, and their bundle cannot be had.
    """
    for kind in (YuNetDetector, LiteRTDetector, MediaPipeDetector):
        try:
            return kind(threads=threads)
        except ImportError:
            pass  # no LiteRT beside an exported folder; mediapipe 1.x has no solutions
    try:
        return MediaPipeTasksDetector(threads=threads)
    except ImportError as error:
        raise ImportError("Face detection needs mediapipe: pip install mediapipe==0.10.21 (its wheel carries the models).") from error
