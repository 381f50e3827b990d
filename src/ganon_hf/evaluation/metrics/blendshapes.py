"""The 52 blendshape scores of MediaPipe's Face Landmarker, read from a model bundle that the project does not ship.

Source: Google MediaPipe Face Landmarker (Apache-2.0), ``face_landmarker.task``.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from ...core.alignment import crop_image
from ...core.faces import Box, Crop
from ...training.blendshape_network import NUM_BLENDSHAPES

SIDE = 384
PADDING = 2.0


class BlendshapeReader:
    """Scores of the face at a known place. Not to be shared by threads.

    Args:
        model: path of ``face_landmarker.task``.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: mediapipe is missing.
    """

    def __init__(self, model: str | Path) -> None:
        path = Path(model)
        if not path.is_file():
            raise FileNotFoundError(f"the Face Landmarker bundle is not at {path}; its address is in MediaPipe's model overview.")
        import mediapipe as mp  # noqa: TID251  the scores come from no other place; detection.py has no use for them
        from mediapipe.tasks.python import BaseOptions, vision  # noqa: TID251

        self._image, self._format = mp.Image, mp.ImageFormat.SRGB
        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_buffer=path.read_bytes()), output_face_blendshapes=True, min_face_detection_confidence=0.3
        )
        self._landmarker: Any = vision.FaceLandmarker.create_from_options(options)
        self.names: tuple[str, ...] = ()

    def __enter__(self) -> BlendshapeReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Free the graph."""
        self._landmarker.close()

    def __call__(self, photo: np.ndarray, box: Box) -> np.ndarray:
        """Scores of the face around a box.

        The same patch is read before and after, so that input and output differ in nothing but the face.

        Args:
            photo: RGB uint8 (height, width, 3).
            box: of the face, in photo pixels.

        Returns:
            (52,) 0 to 1 in the order of ``names``; NaN where no face was read.
        """
        side = PADDING * max(box[2] - box[0], box[3] - box[1])
        scale = SIDE / side
        corner = np.array([(box[0] + box[2]) / 2 - side / 2, (box[1] + box[3]) / 2 - side / 2])
        crop = Crop(np.hstack([scale * np.eye(2), (-scale * corner)[:, None]]), SIDE)
        patch = np.ascontiguousarray(crop_image(photo, crop))
        found = self._landmarker.detect(self._image(image_format=self._format, data=patch)).face_blendshapes
        if not found:
            return np.full(NUM_BLENDSHAPES, np.nan)
        self.names = tuple(category.category_name for category in found[0])
        return np.array([category.score for category in found[0]])
