"""Person mattes for training data, by MediaPipe's selfie segmentation.

Source: MediaPipe Selfie Segmentation, general model (256 x 256), Google, Apache-2.0, part of the ``mediapipe`` wheel up to 0.10.21. The
paper removes the background of its crops in the same way.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from ..core.detection_graphs import Graphs


class PersonMatte(Protocol):
    """Separates the person from the background."""

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """RGB uint8 (height, width, 3) -> float32 (height, width), 0 to 1, 1 = person."""
        ...


class MediaPipePersonMatte:
    """Selfie segmentation of one person in the middle of the picture. It has one graph, so it serves one caller at a time.

    Raises:
        ImportError: the installed mediapipe has no ``solutions``.
    """

    def __init__(self) -> None:
        try:
            from mediapipe.python.solutions import selfie_segmentation
        except ImportError as error:
            raise ImportError(
                "MediaPipePersonMatte needs mediapipe with its `solutions`: pip install 'mediapipe<=0.10.21' (Python 3.11 or 3.12)."
            ) from error
        # model 0 is the general one: square input, and more stable on aligned crops than the landscape model
        self._graphs = Graphs(
            {"matte": lambda: selfie_segmentation.SelfieSegmentation(model_selection=0)},
            lambda graph, image: graph.process(image),
            lambda result: True,
            threads=1,
        )

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """RGB uint8 (height, width, 3) -> float32 (height, width), 0 to 1, 1 = person.

        Raises:
            ValueError: the image is no such array.
            RuntimeError: called in a process forked after MediaPipe had run.
        """
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            got = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            raise ValueError(f"image must be a non-empty RGB uint8 array (height, width, 3), but got {got}.")
        result: Any = self._graphs.map(lambda pixels: self._graphs.run("matte", pixels), [np.ascontiguousarray(image)])[0]
        return np.clip(np.array(result.segmentation_mask, np.float32), 0, 1)

    def close(self) -> None:
        """End the worker thread; the matte cannot be used afterwards."""
        self._graphs.close()


def default_matte() -> PersonMatte:
    """The matte of the installed mediapipe.

    Raises:
        ImportError: the installed mediapipe has no ``solutions``.
    """
    return MediaPipePersonMatte()
