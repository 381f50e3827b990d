"""Face recognizers that take ArcFace's crop: any ONNX file from 112 x 112 pixels to one vector.

Alignment by five points (Deng et al., "ArcFace", CVPR 2019): eyes, tip of the nose, corners of the mouth. They come from the landmark
network, looked for at the known place in the photo at hand, so that nothing of the original's shape helps to recognize an output.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...core.faces import Box
from ...core.keypoints import five_points
from ...core.opencv import cv2
from .blendshapes import MeshReader
from .template_crops import as_input, crop_to_template

SIDE = 112
# Right and left eye, tip of the nose, right and left corner of the mouth, in pixels of the crop.
TEMPLATE = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])


class ArcFaceRecognizer:
    """A recognizer from a file; RGB, (value - 127) / 128, compared by cosine. Not to be shared by threads.

    Args:
        path: ONNX file with one input (1, 3, 112, 112) and one output (1, d).

    Attributes:
        name: the file's name without its ending.

    Raises:
        ImportError: no OpenCV or no LiteRT.
        OSError: the file cannot be read.
        ValueError: it is no such network.
    """

    metric = "cosine"

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        content = path.read_bytes()
        try:
            self._network = cv2.dnn.readNetFromONNX(np.frombuffer(content, np.uint8))
            vectors = self._vectors(np.zeros((SIDE, SIDE, 3), np.uint8))
        except cv2.error as error:
            raise ValueError(f"{str(path)!r} is no network for crops of {SIDE} x {SIDE} pixels: {str(error).strip()[-200:]}") from error
        if vectors.ndim != 2 or len(vectors) != 1:
            raise ValueError(f"{str(path)!r} must turn a crop into a vector, but its output has shape {vectors.shape}.")
        self._mesh = MeshReader()

    def _vectors(self, crop: np.ndarray) -> np.ndarray:
        self._network.setInput(as_input(crop[None], 127.0, 128.0))
        return np.asarray(self._network.forward()).copy()

    def __call__(self, photo: np.ndarray, box: Box) -> np.ndarray | None:
        """(d,) embedding of the face in a box; None where no landmarks are found there."""
        points = self._mesh(photo, box)
        return None if points is None else self._vectors(crop_to_template(photo, five_points(points), TEMPLATE, SIDE))[0]
