"""Luma beside the skin around it, so that the light of a face does not count: it may be lit from the side.

Conventions: pictures are parts of a square crop, of which ``size`` is the side, with luma 0..255.
"""

from __future__ import annotations

import numpy as np

from .opencv import cv2
from .robust_statistics import quantile

# What is smooth is found on a grid of every so many pixels.
GRID = 4
# Standard deviation of the blur that leaves the light of the skin, as a share of the crop's side.
_LIGHT = 0.06
EPSILON = 1e-3  # against division by zero


def beside_skin(luma: np.ndarray, skin: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Luma over that of the skin around it.

    Args:
        luma: (h, w) float32.
        skin: (h, w) bool, where it is that of skin.
        size: side of the crop.

    Returns:
        (h, w) float32 quotient; (h, w) luma of the skin around each pixel, which far from any skin is the median of all skin.
    """
    sigma, usual = max(_LIGHT * size / GRID, 0.5), quantile(luma[skin], 0.5)
    total, known = (cv2.GaussianBlur(coarse(values), (0, 0), sigma) for values in (skin, luma * skin))
    level = (known + np.float32(EPSILON * usual)) / (total + np.float32(EPSILON))
    level = np.maximum(cv2.resize(level, luma.shape[::-1], interpolation=cv2.INTER_LINEAR), 1.0)
    return luma / level, level


def coarse(values: np.ndarray) -> np.ndarray:
    """(h, w) -> (h / 4, w / 4) float32: what is smooth needs no more."""
    return cv2.resize(values.astype(np.float32), None, fx=1 / GRID, fy=1 / GRID, interpolation=cv2.INTER_AREA)


def grown(mask: np.ndarray, reach: float) -> np.ndarray:
    """(h, w) mask, grown by so many pixels, at least one."""
    side = 2 * max(1, round(reach)) + 1
    return cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))


def between(value: float, low: float, high: float) -> float:
    """0 up to the lower limit, 1 from the upper one on, and linear in between."""
    return min(max((value - low) / (high - low), 0.0), 1.0)
