"""What would burn out or run black in a synthetic face: skin, teeth, the whites of the eyes, and shadows that are sharpened.

Luma is (h, w) float32, 0..255 where it is not too bright. Numbers without a source were tuned on photos.
"""

from __future__ import annotations

import numpy as np

from .robust_statistics import quantile

# This share of eyes and mouth becomes darker than the second number; what is darker than the third one stays.
_BRIGHT_SHARE, _BRIGHTEST, _LIGHT = 0.95, 240.0, 120.0


def limit_openings(luma: np.ndarray, openings: np.ndarray) -> None:
    """Take the lighter part of eyes and mouth down (in place) as far as it would burn out: teeth without texture look like a cut-out."""
    values = luma[openings]
    bright = quantile(values, _BRIGHT_SHARE) if len(values) else 0.0
    if bright > _BRIGHTEST:
        values = np.where(values > _LIGHT, _LIGHT + (values - _LIGHT) * np.float32((_BRIGHTEST - _LIGHT) / (bright - _LIGHT)), values)
        luma[openings] = values


def compress_highlights(luma: np.ndarray, where: np.ndarray, start: float, limit: float) -> None:
    """Bring luma above ``start`` down to less than ``limit`` (in place), smoothly, where a mask is set."""
    places = np.flatnonzero((luma > start) & where)
    room = np.float32(max(limit - start, 1.0))
    values = luma.ravel()  # a view: the array is contiguous
    values[places] = start + room * (1 - np.exp((values[places] - np.float32(start)) * (-1 / room)))


def compress_shadows(luma: np.ndarray, start: float, limit: float) -> None:
    """Bring luma below ``start`` up to more than ``limit`` (in place), smoothly: what is clipped to black has jagged edges."""
    room = np.float32(max(start - limit, 1e-3))
    places = np.flatnonzero(luma < start)
    values = luma.ravel()  # a view: the array is contiguous
    values[places] = start - room * (1 - np.exp((values[places] - np.float32(start)) * (1 / room)))
