"""Person mattes for training data, by MediaPipe's selfie segmentation, run by LiteRT without MediaPipe's graph around it.

Source: MediaPipe Selfie Segmentation, general model (256 x 256), Google (Apache-2.0), see ``detectors/README.md``. The paper removes the
background of its crops in the same way. Mattes are those of MediaPipe's own graph but for rounding: 0.00005 at most in 26 pictures of many
shapes (mediapipe 0.10.21).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ..core.detection_files import read_network
from ..core.detection_mesh import load_interpreter
from ..core.detection_pyramid import check_photo
from ..core.opencv import cv2

SELFIE_FILE = "selfie_segmentation.tflite"
SELFIE_SHA256 = "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c"
SIDE = 256


class PersonMatte(Protocol):
    """Separates the person from the background."""

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """RGB uint8 (height, width, 3) -> float32 (height, width), 0 to 1, 1 = person."""
        ...


class SelfieSegmentation:
    """Selfie segmentation of one person in the middle of the picture. Not to be shared by threads; works in a forked process.

    Raises:
        ImportError: no LiteRT.
    """

    def __init__(self) -> None:
        self._interpreter = load_interpreter(read_network(SELFIE_FILE))
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """RGB uint8 (height, width, 3) -> float32 (height, width), 0 to 1, 1 = person.

        Raises:
            ValueError: the image is no such array.
        """
        height, width = check_photo(image).shape[:2]
        # MediaPipe's ImageToTensorCalculator samples with bilinear weights at multiples of the step, from the first pixel on, without
        # averaging; another way of scaling (cv2.resize, by area) moves the mattes of 640 px pictures by 0.003 to 0.007 on average.
        step = np.diag([SIDE / width, SIDE / height, 1.0])
        square = cv2.warpPerspective(np.ascontiguousarray(image), step, (SIDE, SIDE), borderMode=cv2.BORDER_CONSTANT)
        self._interpreter.set_tensor(self._input, np.multiply(square, np.float32(1 / 255), dtype=np.float32)[None])
        self._interpreter.invoke()
        matte = self._interpreter.get_tensor(self._output)[0, ..., 0]  # the network ends in a sigmoid of its own
        return np.clip(cv2.resize(matte, (width, height), interpolation=cv2.INTER_LINEAR), 0, 1)


def default_matte() -> PersonMatte:
    """Selfie segmentation, by the network in this package.

    Raises:
        ImportError: no LiteRT.
    """
    return SelfieSegmentation()
