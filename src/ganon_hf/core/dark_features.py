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
# in; the pixels, and the share of them, that must be seen in the photo.
_DARK_SHARE, _LASHES, _MIN_PIXELS, _MIN_SEEN = 0.08, 0.008, 30, 0.5
# Luma as a share of the skin's, below which it changes, and below which no photo is believed.
_START, _BLACK = 0.8, 0.05
# Share of the difference that is made up for, and the largest exponent: eyes have colors of their own.
_SHARE, _MOST = 0.6, 1.4


def eye_mask(index: np.ndarray, size: int) -> np.ndarray:
    """(h, w) bool, eyes with their lashes.

    Args:
        index: (h, w) triangle of each pixel, -1 outside the mesh; a part of :func:`.landmarks.triangle_map`.
        size: side of the crop, of which it may be a part.
    """
    eyes = (index >= EYE_SPANS[0][0]).astype(np.uint8)  # their triangles are the last ones
    reach = 2 * max(1, round(_LASHES * size)) + 1
    return cv2.dilate(eyes, np.ones((reach, reach), np.uint8)).view(bool)


def match_dark_features(synthetic: np.ndarray, original: np.ndarray, skin: np.ndarray, eyes: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Make what is dark in the synthetic face darker, where the photo's eyes are darker beside their skin than its own.

    Luma below 0.8 of the skin's is raised to a power, with that level as one: ``0.8 * (luma / 0.8) ** p``. Folds are lighter than that.

    Args:
        synthetic, original: (h, w, 3) float32 0..255 in the same light.
        skin: (h, w) bool, where both show skin.
        eyes: (h, w) bool, see :func:`eye_mask`.
        seen: (h, w) bool, where the photo shows the face and nothing before it.

    Returns:
        the corrected synthetic face; unchanged where the photo shows no eyes or no skin, or none that are darker.
    """
    visible = eyes & seen
    count = np.count_nonzero(visible)
    if not skin.any() or count < max(_MIN_PIXELS, _MIN_SEEN * np.count_nonzero(eyes)):
        return synthetic
    own, photo = luma_of(synthetic), luma_of(original)
    level, photo_level = (max(quantile(luma[skin], 0.5), 1.0) for luma in (own, photo))
    dark = quantile(own[eyes], _DARK_SHARE) / level
    wanted = max(quantile(photo[visible], _DARK_SHARE) / photo_level, _BLACK)
    if not 0 < wanted < dark < _START:
        return synthetic
    power = min(1 + _SHARE * (np.log(wanted / _START) / np.log(dark / _START) - 1), _MOST)
    places = np.flatnonzero(own < _START * level)
    relative = np.maximum(own.ravel()[places] / np.float32(_START * level), 0)
    change = np.zeros_like(own)
    change.ravel()[places] = (relative ** np.float32(power) - relative) * np.float32(_START * level)
    return synthetic + change[..., None]
