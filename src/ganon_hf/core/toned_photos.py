"""Toned photos (sepia, selenium, a blue print): the synthetic face is toned likewise.

What is taken from the photo: a curve of up to sixteen points, and how surely the photo is toned.

Conventions: see ``light_matching.py``. Numbers without a source were tuned on photos.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .color import RGB_TO_YCBCR, YCBCR_TO_RGB
from .opencv import cv2
from .robust_statistics import quantile

# Luma is divided into so many bins; a bin needs so many pixels.
_TONE_BINS, _MIN_BIN_PIXELS = 16, 5
# Share of the pixels that lie near the curve in a toned photo, and how near, in pixel values of Cb or Cr: up to the first number the
# photo counts as toned, from the second on it does not. Toned photos were measured at 4 at most, color photos at 6 at least.
_TONED_SHARE, _TONED_DISTANCE = 0.9, (4.0, 5.5)
# About so many pixels of the photo and of the face's surroundings are looked at, each.
_TONED_SAMPLES = 1000


def tone_curve(photo: np.ndarray, surroundings: np.ndarray) -> ToneCurve | None:
    """The color that a toned photo (sepia, selenium, a blue print) gives to each gray; None for a photo with colors of its own.

    Args:
        photo: (h, w, 3) uint8.
        surroundings: the part of it about a face, likewise. Both must be toned: a color photo may show little but a gray wall.
    """
    low, high = _TONED_DISTANCE
    distance, count, pixels = 0.0, 0, np.empty((0, 3), np.float32)
    for part in (surroundings, photo):
        pixels = np.concatenate([pixels, _samples(part)])
        bins = np.clip(pixels[:, 0] * (_TONE_BINS / 256), 0, _TONE_BINS - 1).astype(np.intp)
        counts = np.bincount(bins, minlength=_TONE_BINS)
        means = np.stack([np.bincount(bins, channel, _TONE_BINS) for channel in pixels.T]) / np.maximum(counts, 1)
        away = np.abs(pixels[:, 1:] - means[1:, bins].T).max(axis=1)
        # of each part by itself: a large gray photo must not outvote a face in color
        distance = max(quantile(some, _TONED_SHARE) for some in ((away[:count], away[count:]) if count else (away,)))
        count = len(pixels)
        if distance >= high:
            return None
    filled = counts >= _MIN_BIN_PIXELS
    if not filled.any():
        return None
    return ToneCurve(means[0, filled], means[1:, filled], min((high - distance) / (high - low), 1.0))


class ToneCurve(NamedTuple):
    """Chroma as a function of luma.

    Attributes:
        luma: (k,) ascending, 0..255.
        chroma: (2, k) Cb and Cr there.
        strength: 0..1, how surely the photo is toned; between the two its color is a mixture.
    """

    luma: np.ndarray
    chroma: np.ndarray
    strength: float = 1.0

    def at(self, luma: np.ndarray) -> np.ndarray:
        """(n,) luma -> (2, n) Cb and Cr."""
        return np.stack([np.interp(luma, self.luma, channel) for channel in self.chroma]).astype(np.float32)

    def apply(self, face: np.ndarray) -> np.ndarray:
        """Tone an (h, w, 3) RGB float32 face; its luma stays."""
        pixels = cv2.transform(face, RGB_TO_YCBCR)
        places = np.clip(np.round(pixels[..., 0]), 0, 255).astype(np.uint8)
        table = self.at(np.arange(256)) * np.float32(self.strength)
        pixels[..., 1:] *= np.float32(1 - self.strength)
        for number in range(2):
            pixels[..., number + 1] += np.take(table[number], places)
        return cv2.transform(pixels, YCBCR_TO_RGB)


def _samples(photo: np.ndarray) -> np.ndarray:
    """(n, 3) float32 luma, Cb, Cr of about ``_TONED_SAMPLES`` pixels on a grid."""
    step = max(1, round((photo.shape[0] * photo.shape[1] / _TONED_SAMPLES) ** 0.5))
    return photo[step // 2 :: step, step // 2 :: step].reshape(-1, 3).astype(np.float32) @ RGB_TO_YCBCR.T
