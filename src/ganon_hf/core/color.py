"""Luma and chroma as JFIF defines them (ITU-T T.871, the full-range form of BT.601), for numpy arrays.

Convention: channels are last, RGB or Y, Cb, Cr in this order, values 0..255 with chroma about 0.
"""

from __future__ import annotations

import numpy as np

from .opencv import cv2

# Y of R, G and B; sums to 1. A tuple, so that numpy and torch both take it in their own precision.
LUMA_WEIGHTS = (0.299, 0.587, 0.114)
RGB_TO_YCBCR = np.array([LUMA_WEIGHTS, [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32)
YCBCR_TO_RGB = np.array([[1, 0, 1.402], [1, -0.344136, -0.714136], [1, 1.772, 0]], np.float32)


def luma_of(image: np.ndarray) -> np.ndarray:
    """(h, w, 3) float32 RGB 0..255 -> (h, w) luma."""
    return cv2.transform(image, RGB_TO_YCBCR[:1])
