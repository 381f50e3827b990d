"""Cuts: where another scene begins, in which nobody of the one before can be followed."""

from __future__ import annotations

import numpy as np

from ..core.opencv import cv2

# The thumbnails of two frames differ by at least this mean (in pixel values, 0 to 255) and correlate less than this.
CUT_DIFFERENCE, CUT_CORRELATION = 10.0, 0.6


class CutDetector:
    """Called with every frame in order, (height, width, 3) uint8 RGB: whether a new scene begins with it."""

    def __init__(self) -> None:
        self._thumbnail: np.ndarray | None = None

    def __call__(self, image: np.ndarray) -> bool:
        coarse = np.ascontiguousarray(image[::4, ::4])  # only for speed
        thumbnail = cv2.cvtColor(cv2.resize(coarse, (48, 27), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY).astype(np.float32)
        before, self._thumbnail = self._thumbnail, thumbnail
        if before is None or np.abs(thumbnail - before).mean() < CUT_DIFFERENCE:
            return False
        if min(float(thumbnail.std()), float(before.std())) < 1:
            return True  # from or to a frame of one color
        return float(np.corrcoef(thumbnail.ravel(), before.ravel())[0, 1]) < CUT_CORRELATION
