"""BlazeFace run by LiteRT: the networks of MediaPipe's two face detectors, without MediaPipe's graph around them.

A fifth of the graph's time is not the network's. The networks are asked square by square all the same: on a canvas of several tiles the
full-range one gives some faces a fifth of their score (what it knows of a face's surroundings comes from the border of its square), and
of small faces in photos with noise a third was no longer found.

Sources: Bazarevsky et al. 2019, arXiv 1907.05047 (network, anchors, blending instead of suppression); the anchors' strides and scales and
the blending's threshold are those of MediaPipe's ``face_detection_short_range`` and ``face_detection_full_range`` graphs (Apache-2.0).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .faces import box_overlap

# Boxes that overlap more than this are one face, and become their mean.
_SAME_FACE = 0.3
_CORNERS, _KEYPOINTS = 2, 6


@dataclass(frozen=True)
class BlazeFaceModel:
    """One of the two networks.

    Attributes:
        file: name in the ``mediapipe`` wheel, below ``modules/face_detection``.
        side: pixels of the square that it was made for.
        layers: (stride in pixels, anchors per place), in the order of the network's outputs.
    """

    file: str
    side: int
    layers: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        if not self.layers or any(stride < 1 or self.side % stride or count < 1 for stride, count in self.layers):
            raise ValueError(f"layers must be (stride, anchors per place) with strides that divide side={self.side}, got {self.layers}.")

    def anchors(self) -> np.ndarray:
        """(n, 2) float32 centers (x, y), in pixels of the square."""
        parts = []
        for stride, count in self.layers:
            y, x = np.mgrid[: self.side // stride, : self.side // stride]
            parts.append(np.repeat((np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) * stride, count, axis=0))
        return np.concatenate(parts).astype(np.float32)


FULL_RANGE = BlazeFaceModel("face_detection_full_range_sparse.tflite", 192, ((4, 1),))
SHORT_RANGE = BlazeFaceModel("face_detection_short_range.tflite", 128, ((8, 2), (16, 6)))


def read_network(folder: Path, model: BlazeFaceModel) -> bytes:
    """The network's file, once it is sure that it can be run.

    Args:
        folder: where the mediapipe wheel keeps its modules.
        model: which network.

    Raises:
        ImportError: no LiteRT, or a mediapipe that does not carry the network.
    """
    _libraries()
    path = folder / "face_detection" / model.file
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImportError(f"This mediapipe carries no {model.file}: pip install mediapipe==0.10.21") from error


def _libraries() -> tuple[Any, Any]:
    """OpenCV and LiteRT's interpreter."""
    try:
        import cv2
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise ImportError("BlazeFace needs OpenCV and LiteRT: pip install mediapipe==0.10.21 ai-edge-litert") from error
    return cv2, Interpreter


class BlazeFace:
    """A detector for one thread at a time.

    Args:
        network: from :func:`read_network`.
        model: which network that is.
        min_score: detections below are not reported.

    Raises:
        ImportError: no LiteRT.
    """

    def __init__(self, network: bytes, model: BlazeFaceModel, *, min_score: float) -> None:
        cv2, interpreter = _libraries()
        self._cv2, self._side, self._min_score = cv2, model.side, min_score
        self._anchors = model.anchors()
        self._interpreter: Any = interpreter(model_content=network, num_threads=1)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        outputs = {detail["shape"][-1]: detail["index"] for detail in self._interpreter.get_output_details()}
        self._regressors, self._logits = outputs[2 * (_CORNERS + _KEYPOINTS)], outputs[1]

    def __call__(self, image: np.ndarray) -> list[tuple[np.ndarray, float]]:
        """One look at a whole image, which is fitted into the network's square as MediaPipe does it.

        Args:
            image: RGB uint8 (height, width, 3).

        Returns:
            per face: (8, 2) points, the box's corners and six keypoints (x, y) in units of the image's width and height, and its score.
        """
        height, width = image.shape[:2]
        longest = max(height, width)
        scale = self._side / longest
        shift = (longest - width) / 2 * scale, (longest - height) / 2 * scale
        square = (self._side, self._side)
        matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        pixels = image if image.shape[:2] == square else self._cv2.warpAffine(image, matrix, square, flags=self._cv2.INTER_LINEAR)
        raw, logits = self._run(pixels)
        scores = 1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -100, 100)))
        likely = np.flatnonzero(scores >= self._min_score)
        likely = likely[np.argsort(-scores[likely], kind="stable")]
        if not len(likely):
            return []
        raw, scores = raw[likely].astype(np.float64), scores[likely]
        points = raw.reshape(len(likely), -1, 2) + self._anchors[likely][:, None]
        half = raw[:, 2:4] / 2
        points = np.concatenate([(points[:, 0] - half)[:, None], (points[:, 0] + half)[:, None], points[:, _CORNERS:]], axis=1)
        return [((face - shift) / scale / (width, height), score) for face, score in blend(points, scores)]

    def _run(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """RGB uint8 (side, side, 3) -> (n, 16) box and keypoints relative to the anchors, in pixels, and (n,) logits."""
        # straight into the interpreter's memory, -1 to 1; no reference to it may live while the interpreter computes
        np.multiply(pixels, np.float32(1 / 127.5), out=self._interpreter.tensor(self._input)()[0], dtype=np.float32)
        np.subtract(self._interpreter.tensor(self._input)(), np.float32(1), out=self._interpreter.tensor(self._input)())
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._regressors)[0], self._interpreter.get_tensor(self._logits)[0, :, 0]


def blend(points: np.ndarray, scores: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """Boxes that overlap a better one become one with it, weighted by their scores (BlazeFace, section 3.3).

    Args:
        points: (n, k, 2), the first two of each the box's corners, best box first.
        scores: (n,), falling.

    Returns:
        per face: (k, 2) mean points and the best box's score.
    """
    faces = []
    boxes = points[:, :_CORNERS].reshape(-1, 4)
    left = np.arange(len(points))
    while len(left):
        # a box without extent overlaps not even itself
        same = box_overlap(tuple(boxes[left[0]]), boxes[left])[0] > _SAME_FACE
        same[0] = True
        weights = scores[left[same]]
        faces.append((np.einsum("n,nkc->kc", weights, points[left[same]]) / weights.sum(), float(scores[left[0]])))
        left = left[~same]
    return faces
