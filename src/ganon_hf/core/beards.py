"""Beards as dark beside the skin as in the photo.

The beards of the bank are much alike, for what one has and the others have not was evened out. A photo shows beards of any darkness, and
what of a beard grows below the mesh or hangs from the chin stays in the photo. So a beard that is lighter than the photo's becomes darker.
What is taken from the photo is one number.

Conventions: pictures are (h, w, 3) RGB float32 0..255. Numbers without a source were tuned on photos.
"""

from __future__ import annotations

import math

import numpy as np

from .color import luma_of
from .face_mesh import BEARD, MOUTH_START, RIGHT_EYE_START, TRIANGLES, UV_MAP
from .occluders import FEATURES
from .opencv import cv2
from .robust_statistics import quantile
from .skin_level import EPSILON, GRID, beside_skin, between, coarse

# Pixels of the skin that must be seen, and the shares of the beard's from which on the photo is believed at all, and in full.
_MIN_PIXELS, _SEEN = 60, (0.3, 0.5)
# The quantile of its luma that says how dark a beard is: it does not grow everywhere.
_LEVEL = 0.3
# Luma as a share of the skin's, up to which the photo surely shows a beard, and from which on it shows none; the lightest beard of a
# synthetic face, and the darkest that is believed of a photo.
_SHAVED, _LIGHTEST, _BLACK = (0.8, 0.9), 0.98, 0.12
# Limits of the exponent and of the factor.
_MOST, _LEAST = 2.0, 0.4
# Standard deviations of the blur of the border towards skin, and towards lips and nose, as shares of the crop's side.
_SOFT, _CLOSE = 0.03, 0.006


def _inside(hull: tuple[int, ...]) -> np.ndarray:
    """(n,) bool, which triangles of the skin have their center in the convex hull of landmarks in the UV map."""
    corners = cv2.convexHull(UV_MAP[list(hull)].astype(np.float32))
    centers = UV_MAP[TRIANGLES[:MOUTH_START]].mean(axis=1)
    return np.array([cv2.pointPolygonTest(corners, (float(u), float(v)), False) >= 0 for u, v in centers])


# For each triangle, and at the end for -1, whether a beard grows there, and whether it is of lips, mouth or nose.
_GROWS, _BESIDE = np.zeros((2, len(TRIANGLES) + 1), bool)
_BESIDE[:MOUTH_START] = _inside(FEATURES[2]) | _inside(FEATURES[3])
_BESIDE[MOUTH_START:RIGHT_EYE_START] = True
_GROWS[:MOUTH_START] = _inside(BEARD) & ~_BESIDE[:MOUTH_START]


def beard_mask(index: np.ndarray) -> np.ndarray:
    """(h, w) triangle of each pixel, -1 outside the mesh -> (h, w) bool, where a beard grows."""
    return _GROWS[index]


def match_beard(
    synthetic: np.ndarray, original: np.ndarray, skin: np.ndarray, index: np.ndarray, seen: np.ndarray, size: int
) -> np.ndarray:
    """Make a beard as dark beside the skin as it is in the photo, by and large.

    Args:
        synthetic, original: (h, w, 3) float32 0..255 in the same light.
        skin: (h, w) bool, where both show skin.
        index: (h, w) triangle of each pixel, -1 outside the mesh; a part of :func:`.landmarks.triangle_map`.
        seen: (h, w) bool, where the photo shows the face and nothing before it.
        size: side of the crop, of which they may be a part.

    Returns:
        the corrected synthetic face; unchanged where the photo's beard is not darker, or hardly seen.
    """
    area, beside = _GROWS[index], _BESIDE[index]
    bare, shown = skin & ~area & ~beside, area & seen
    amount = between(float(shown.sum()) / max(float(area.sum()), 1.0), *_SEEN)
    if np.count_nonzero(bare) < _MIN_PIXELS or not amount:
        return synthetic
    luma = luma_of(synthetic)
    own, _ = beside_skin(luma, bare, size)
    photo, _ = beside_skin(luma_of(original), bare, size)
    level, wanted = min(quantile(own[area], _LEVEL), _LIGHTEST), max(quantile(photo[shown], _LEVEL), _BLACK)
    sure = 1 - between(wanted, *_SHAVED)
    # half by a power, which deepens the beard's own pattern, and half by a factor, for it may have hardly any
    change = amount * sure * 0.5 * min(math.log(wanted / level), 0.0)
    if not change:
        return synthetic
    power, factor = min(1 + change / math.log(level), _MOST), max(math.exp(change), _LEAST)
    soft, close = (cv2.GaussianBlur(coarse(mask), (0, 0), max(blur * size / GRID, 0.5)) for mask, blur in ((area, _SOFT), (beside, _CLOSE)))
    border = cv2.resize(soft * (1 - close), own.shape[::-1], interpolation=cv2.INTER_LINEAR)
    gain = 1 + border * (np.clip(own, EPSILON, 1) ** np.float32(power - 1) * np.float32(factor) - 1)
    gray, gain = luma[..., None], gain[..., None]
    return (gray + (synthetic - gray) * np.sqrt(gain)) * gain  # hair has less color than skin
