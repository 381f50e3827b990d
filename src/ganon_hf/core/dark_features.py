"""Pupils, lashes and brows as dark beside the skin as in the photo: in bright photos of hard contrast they would look pale.

What is taken from the photo is one number. Conventions: pictures are (h, w, 3) RGB float32 0..255. Numbers without a source were tuned on
photos.
"""

from __future__ import annotations

import numpy as np

from .color import luma_of
from .landmarks import EYE_SPANS
from .opencv import cv2
from .robust_statistics import quantile

# The quantile of the luma of eyes and lashes that says how dark they are; how far eyes grow, as a share of the crop's side, to take lashes
# in; the pixels of eyes and of skin, and the share of the eyes' pixels, that must be seen in the photo.
_DARK_SHARE, _LASHES, _MIN_PIXELS, _MIN_SEEN = 0.08, 0.008, 30, 0.5
# As shares of the crop's side: how far around the eyes luma changes, so that brows do; the blur of that border; and the blur that leaves
# the light of the skin, as a face may be lit from the side.
_AROUND, _SOFT, _LIGHT = 0.09, 0.02, 0.06
# Luma as a share of the skin's around it, below which it changes, and below which no photo is believed.
_START, _BLACK = 0.8, 0.05
# Share of the difference that is made up for, and the largest exponent: eyes have colors of their own.
_SHARE, _MOST = 0.6, 1.4
_EPSILON = 1e-3  # against division by zero
# Light and the surroundings of eyes are smooth: they are found on a grid of every so many pixels.
_GRID = 4


def eye_mask(index: np.ndarray, size: int) -> np.ndarray:
    """(h, w) bool, eyes with their lashes.

    Args:
        index: (h, w) triangle of each pixel, -1 outside the mesh; a part of :func:`.landmarks.triangle_map`.
        size: side of the crop, of which it may be a part.
    """
    eyes = (index >= EYE_SPANS[0][0]).astype(np.uint8)  # their triangles are the last ones
    return _grown(eyes, _LASHES * size).view(bool) & (index >= 0)


def match_dark_features(
    synthetic: np.ndarray, original: np.ndarray, skin: np.ndarray, eyes: np.ndarray, seen: np.ndarray, size: int
) -> np.ndarray:
    """Make eyes, lashes and brows darker, where the photo's eyes are darker beside their skin than the synthetic ones.

    Luma below 0.8 of the skin's around it is raised to a power, with that level as one: ``0.8 * (luma / 0.8) ** p``.

    Args:
        synthetic, original: (h, w, 3) float32 0..255 in the same light.
        skin: (h, w) bool, where both show skin.
        eyes: (h, w) bool, see :func:`eye_mask`.
        seen: (h, w) bool, where the photo shows the face and nothing before it.
        size: side of the crop, of which they may be a part.

    Returns:
        the corrected synthetic face; unchanged where the photo shows no eyes or no skin, or none that are darker.
    """
    visible, skin = eyes & seen, skin & ~eyes
    count = np.count_nonzero(visible)
    if np.count_nonzero(skin) < _MIN_PIXELS or count < max(_MIN_PIXELS, _MIN_SEEN * np.count_nonzero(eyes)):
        return synthetic
    own, photo = (_beside_skin(luma_of(picture), skin, size) for picture in (synthetic, original))
    dark, wanted = quantile(own[eyes], _DARK_SHARE), max(quantile(photo[visible], _DARK_SHARE), _BLACK)
    if not wanted < dark < _START:
        return synthetic
    power = min(1 + _SHARE * (np.log(wanted / _START) / np.log(dark / _START) - 1), _MOST)
    around = _grown(_coarse(eyes), _AROUND * size / _GRID)
    around = cv2.GaussianBlur(around, (0, 0), max(_SOFT * size / _GRID, 0.5))
    area = cv2.resize(around, own.shape[::-1], interpolation=cv2.INTER_LINEAR)
    relative = np.clip(own * np.float32(1 / _START), _EPSILON, 1)
    factor = 1 + area * (relative ** np.float32(power - 1) - 1)
    return synthetic * factor[..., None]


def _beside_skin(luma: np.ndarray, skin: np.ndarray, size: int) -> np.ndarray:
    """(h, w) luma over that of the skin around it; far from any skin over the median of all skin."""
    sigma, usual = max(_LIGHT * size / _GRID, 0.5), quantile(luma[skin], 0.5)
    total, known = (cv2.GaussianBlur(_coarse(values), (0, 0), sigma) for values in (skin, luma * skin))
    level = (known + np.float32(_EPSILON * usual)) / (total + np.float32(_EPSILON))
    return luma / np.maximum(cv2.resize(level, luma.shape[::-1], interpolation=cv2.INTER_LINEAR), 1.0)


def _coarse(values: np.ndarray) -> np.ndarray:
    """(h, w) -> (h / 4, w / 4) float32: what is smooth needs no more."""
    return cv2.resize(values.astype(np.float32), None, fx=1 / _GRID, fy=1 / _GRID, interpolation=cv2.INTER_AREA)


def _grown(mask: np.ndarray, reach: float) -> np.ndarray:
    """(h, w) mask, grown by so many pixels, at least one."""
    side = 2 * max(1, round(reach)) + 1
    return cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
