"""BlazeFace run by LiteRT: the networks of MediaPipe's two face detectors, without MediaPipe's graph around them, on canvases of any size.

The graph takes 192 or 128 pixels at a time, and a third of its time is not the network's; the networks are convolutional, so a large
canvas costs what its area says, and neighbouring tiles need not overlap. LiteRT lets go of Python's lock while it computes.

Sources: Bazarevsky et al. 2019, arXiv 1907.05047 (network, anchors, blending instead of suppression); the anchors' strides and scales and
the blending's threshold are those of MediaPipe's ``face_detection_short_range`` and ``face_detection_full_range`` graphs (Apache-2.0).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .faces import box_overlap

# Canvases are multiples of this many pixels, so that photos of like size share a network; a network for another size takes 30 ms to build.
CANVAS_STEP = 64
# Networks kept, the latest used ones: each holds about 25 MB.
_KEPT = 4
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

    def anchors(self, height: int, width: int) -> np.ndarray:
        """(n, 2) float32 centres (x, y), in pixels of a canvas (height, width)."""
        parts = []
        for stride, count in self.layers:
            y, x = np.mgrid[: height // stride, : width // stride]
            parts.append(np.repeat((np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) * stride, count, axis=0))
        return np.concatenate(parts).astype(np.float32)


FULL_RANGE = BlazeFaceModel("face_detection_full_range_sparse.tflite", 192, ((4, 1),))
SHORT_RANGE = BlazeFaceModel("face_detection_short_range.tflite", 128, ((8, 2), (16, 6)))


class BlazeFace:
    """A detector for one thread at a time.

    Args:
        folder: where the wheel keeps ``model.file``.
        model: which network.
        min_score: detections below are not reported.

    Raises:
        ImportError: no LiteRT, or a mediapipe that does not carry the network.
    """

    def __init__(self, folder: Path, model: BlazeFaceModel, *, min_score: float) -> None:
        try:
            import cv2
            from ai_edge_litert import schema_py_generated
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise ImportError("BlazeFace needs OpenCV and LiteRT: pip install mediapipe==0.10.21 ai-edge-litert") from error
        try:
            self._content = (folder / model.file).read_bytes()
        except OSError as error:
            raise ImportError(f"This mediapipe carries no {model.file}: pip install mediapipe==0.10.21") from error
        self._cv2, self._schema, self._interpreter = cv2, schema_py_generated, Interpreter
        self._model, self._min_score = model, min_score
        self._networks: OrderedDict[tuple[int, int], _Network] = OrderedDict()  # the latest used last

    def __call__(self, image: np.ndarray) -> list[tuple[np.ndarray, float]]:
        """One look at a whole image, which is fitted into the network's square as MediaPipe does it.

        Args:
            image: RGB uint8 (height, width, 3).

        Returns:
            per face: (8, 2) points, the box's corners and six keypoints (x, y) in units of the image's width and height, and its score.
        """
        height, width = image.shape[:2]
        longest = max(height, width)
        scale = self._model.side / longest
        shift = (longest - width) / 2 * scale, (longest - height) / 2 * scale
        square = (self._model.side, self._model.side)
        matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        pixels = image if image.shape[:2] == square else self._cv2.warpAffine(image, matrix, square, flags=self._cv2.INTER_LINEAR)
        return [((points - shift) / scale / (width, height), score) for points, score in self._detect(pixels)]

    def scan(self, canvas: np.ndarray) -> list[tuple[np.ndarray, float]]:
        """Faces in a canvas of any size, seen at the size they have.

        Args:
            canvas: RGB uint8 (height, width, 3), both sides multiples of ``CANVAS_STEP`` and no smaller than the network's own square.

        Returns:
            as for a call.

        Raises:
            ValueError: another size.
        """
        height, width = canvas.shape[:2]
        if height % CANVAS_STEP or width % CANVAS_STEP or min(height, width) < self._model.side:
            raise ValueError(
                f"canvas must have sides that are multiples of {CANVAS_STEP} from {self._model.side} pixels, but got {width} x {height}."
            )
        return [(points / (width, height), score) for points, score in self._detect(canvas)]

    def _network(self, height: int, width: int) -> _Network:
        network = self._networks.pop((height, width), None) or self._build(height, width)
        self._networks[height, width] = network
        if len(self._networks) > _KEPT:
            self._networks.popitem(last=False)
        return network

    def _build(self, height: int, width: int) -> _Network:
        """The network for another canvas: the sizes that are written into it as constants are written anew."""
        content, side, anchors = bytearray(self._content), self._model.side, self._model.anchors(height, width)
        model = self._schema.Model.GetRootAs(content, 0)
        graph, kinds = model.Subgraphs(0), self._schema.BuiltinOperator
        sizes: dict[int, np.ndarray] = {}
        for operator in (graph.Operators(index) for index in range(graph.OperatorsLength())):
            code = model.OperatorCodes(operator.OpcodeIndex())
            kind = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())  # files of before 2020 have the one, later ones both
            if kind not in (kinds.RESHAPE, kinds.RESIZE_BILINEAR) or (height, width) == (side, side):
                continue
            constant = graph.Tensors(operator.Inputs(1)).Buffer()
            size = model.Buffers(constant).DataAsNumpy().view(np.int32)  # a window on `content`
            old = sizes.setdefault(constant, size.copy())  # two operators may share a constant
            if kind == kinds.RESIZE_BILINEAR:
                size[:] = old[0] * height // side, old[1] * width // side
            else:
                size[1] = len(anchors)
                graph.Tensors(operator.Outputs(0)).ShapeAsNumpy()[:] = size  # XNNPACK takes it from there
        interpreter = self._interpreter(model_content=bytes(content), num_threads=1)
        interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], [1, height, width, 3])
        interpreter.allocate_tensors()
        return _Network(interpreter, anchors)

    def _detect(self, pixels: np.ndarray) -> list[tuple[np.ndarray, float]]:
        network = self._network(*pixels.shape[:2])
        raw, logits = network(pixels)
        scores = 1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -100, 100)))
        likely = np.flatnonzero(scores >= self._min_score)
        likely = likely[np.argsort(-scores[likely], kind="stable")]
        if not len(likely):
            return []
        raw, scores = raw[likely].astype(np.float64), scores[likely]
        points = raw.reshape(len(likely), -1, 2) + network.anchors[likely][:, None]
        half = raw[:, 2:4] / 2
        points = np.concatenate([(points[:, 0] - half)[:, None], (points[:, 0] + half)[:, None], points[:, _CORNERS:]], axis=1)
        return blend(points, scores)


class _Network:
    """An interpreter of fixed size with its anchors."""

    def __init__(self, interpreter: Any, anchors: np.ndarray) -> None:
        self._interpreter, self.anchors = interpreter, anchors
        self._input = interpreter.get_input_details()[0]["index"]
        outputs = {detail["shape"][-1]: detail["index"] for detail in interpreter.get_output_details()}
        self._regressors, self._logits = outputs[2 * (_CORNERS + _KEYPOINTS)], outputs[1]

    def __call__(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """RGB uint8 (h, w, 3) -> (n, 16) box and keypoints relative to the anchors, in pixels, and (n,) logits."""
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
