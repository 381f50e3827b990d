"""A face of known luma and chroma, and the same face under another light and in another tone."""

from __future__ import annotations

import numpy as np

SIZE = 96
Y, X = (np.mgrid[:SIZE, :SIZE] + 0.5) / SIZE * 2 - 1
SKIN = X**2 + Y**2 < 0.7


def rgb(luma: np.ndarray, blue: np.ndarray | float, red: np.ndarray | float) -> np.ndarray:
    """JFIF, written down here once more; chroma about 0."""
    return np.stack([luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue], axis=-1).astype(np.float32)


def ycc(picture: np.ndarray) -> np.ndarray:
    luma = picture @ np.array([0.299, 0.587, 0.114])
    return np.stack([luma, (picture[..., 2] - luma) / 1.772, (picture[..., 0] - luma) / 1.402], axis=-1)


LUMA = 130 + 15 * np.sin(9 * X) * np.cos(8 * Y)  # a face: structure about a mean
SYNTHETIC = rgb(LUMA, -12.0, 14.0)
GAIN = 0.8 + 0.25 * X - 0.1 * Y
LIT = rgb((LUMA + 4) * GAIN - 4, -7.0, 10.0)  # the same face under other light, in another tone
