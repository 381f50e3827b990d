"""What of a portrait's detail goes into the bank of people: brows, lashes, lips and pores do, folds and frowns hardly.

Models look earnest, old ones worn, and light from the side deepens every fold. A blend takes the folds of all its members, and on the
moving face of another person they read as worry. So on skin the middle band, in which folds and shadows lie, is taken down to a share that
grows with age, and what is left of it, and of the fine band, is weakened where it is strong: pores and freckles stay, and wrinkles become
as weak as they are. The features keep their detail. Between the brows hardly any is left.
"""

from __future__ import annotations

import numpy as np

from ..core.face_mesh import BEARD, IRIS_PATCH_RADIUS, IRIS_PATCHES, IRIS_REACH, MIRROR, MOUTH_START, UV_MAP
from ..core.landmarks import texel_table
from ..core.look import AGES
from ..core.opencv import cv2

# For each class of age: share of the middle band that skin keeps, and limits of the amplitudes of the middle and of the fine band, in gray
# values.
_FOLDS = dict(zip(AGES, (0.08, 0.12, 0.2, 0.3, 0.45), strict=True))
_FOLD_LIMIT = dict(zip(AGES, (4.0, 4.0, 5.0, 6.0, 9.0), strict=True))
_FINE_LIMIT = dict(zip(AGES, (5.0, 5.0, 6.0, 7.0, 9.0), strict=True))
# Standard deviation of the blur by which the strength of structure is told, as a share of the texture's side; and an amplitude over it.
_STRENGTH_BLUR, _AMPLITUDE = 0.012, 1.5
# Above the brows, where strands of hair lie, fine detail is limited to this share of that.
_FOREHEAD = 0.6
# Hulls of brow, eye, nostrils with the tip of the nose, lips; by how much of the texture's side they grow; and the share of the middle band
# that each keeps: brows that are drawn together are of it, too.
_BROW = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
_EYE = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
_NOSE = (98, 97, 2, 326, 327, 294, 278, 344, 440, 275, 4, 45, 220, 115, 48, 64)
_LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
_FEATURES = ((_BROW, 0.02, 0.5), (_EYE, 0.022, 0.9), (_NOSE, 0.006, 0.75), (_LIPS, 0.004, 0.85))
_FEATURE_BLUR = 0.014
# Blur of the border of where a beard grows: hair is detail of the person, and no fold.
_BEARD_BLUR = 0.02
# Between the brows and above: the hull, the blur of its border, and the shares of fine detail of features and of skin that go.
_FROWN, _FROWN_BLUR, _FROWN_FINE = (9, 107, 336, 55, 285, 193, 417, 168, 151, 108, 337), 0.03, 0.6
_FROWN_FOLDS = 0.7
# The upper edge of the brows, from the picture's left to its right.
_BROW_LINE = (127, 139, 71, 68, 104, 69, 108, 151, 337, 299, 333, 298, 301, 368, 356)


class CalmSkin:
    """Limits detail of textures of one size.

    Args:
        size: side T of the texture.

    Attributes:
        beard: (T, T) float32, 1 where a beard grows.
    """

    def __init__(self, size: int):
        self._features = np.zeros((size, size), np.float32)
        self._middle = np.zeros((size, size), np.float32)
        for hull, growth, share in _FEATURES:
            area = filled_hulls((hull, tuple(int(i) for i in MIRROR[list(hull)])), size, growth)
            self._features = np.maximum(self._features, area)
            self._middle = np.maximum(self._middle, share * area)
        blur = _FEATURE_BLUR * size
        self._features, self._middle = (cv2.GaussianBlur(one, (0, 0), blur) for one in (self._features, self._middle))
        v, u = (np.mgrid[:size, :size] + 0.5) / size
        for x, y in IRIS_PATCHES:
            iris = (u - x) ** 2 + (v - y) ** 2 < (IRIS_PATCH_RADIUS * (IRIS_REACH + 0.4)) ** 2
            self._features[iris], self._middle[iris] = 1, _FEATURES[1][2]
        self.beard = cv2.GaussianBlur(filled_hulls((BEARD,), size), (0, 0), _BEARD_BLUR * size)
        self._frown = cv2.GaussianBlur(filled_hulls((_FROWN,), size), (0, 0), _FROWN_BLUR * size)
        self._above_brows = cv2.GaussianBlur(above_brows(size), (0, 0), 0.01 * size)
        rows, columns, owner, _ = texel_table(size)
        self._skin = np.zeros((size, size), np.float32)
        self._skin[rows, columns] = owner < MOUTH_START
        self._skin *= 1 - self._features

    def calm(self, middle: np.ndarray, fine: np.ndarray, age: int, beard: bool) -> np.ndarray:
        """Detail of a person who looks rested.

        Args:
            middle, fine: (T, T) bands of a residual texture, gray values.
            age: number of the class in :data:`~ganon_hf.core.look.AGES`.
            beard: the person has one.

        Returns:
            (T, T) sum of what is left of the two.
        """
        name, features, share = AGES[age], self._features, self._middle
        if beard:
            features, share = np.maximum(features, self.beard), np.maximum(share, self.beard)
        skin = 1 - features
        folds = _limit_strength(_FOLDS[name] * (middle + middle[:, ::-1]) / 2, np.float32(_FOLD_LIMIT[name]), skin)
        pores = _limit_strength(fine, _FINE_LIMIT[name] * (1 - (1 - _FOREHEAD) * self._above_brows), skin)
        fading = 1 - _FROWN_FINE * self._frown
        middle = share * (1 - self._frown) * middle + skin * (1 - _FROWN_FOLDS * self._frown) * folds
        return middle + fading * (features * fine + skin * pores)

    def wear(self, broad: np.ndarray, middle: np.ndarray, trust: np.ndarray) -> float:
        """How worn and how unevenly lit a portrait looks: deviations, in gray values, of the middle band between the brows and on skin, and
        half of the broad band's on skin.

        Args:
            broad, middle: (T, T) bands of the residual texture.
            trust: (T, T), 0 where the skin is hidden.
        """
        frown, skin = (mask * (trust > 0.5) for mask in (self._frown, self._skin))
        parts = ((frown, middle, 1.0), (skin, middle, 1.0), (skin, broad, 0.5))
        return sum(share * float(np.sqrt((mask * band**2).sum() / max(mask.sum(), 1.0))) for mask, band, share in parts)


def above_brows(size: int) -> np.ndarray:
    """(size, size) float32, 1 above the brows in the UV map."""
    v, u = (np.mgrid[:size, :size] + 0.5) / size
    line = UV_MAP[list(_BROW_LINE)]
    return (v < np.interp(u, line[:, 0], line[:, 1])).astype(np.float32)


def _limit_strength(values: np.ndarray, limit: np.ndarray | np.float32, where: np.ndarray) -> np.ndarray:
    """Weaken structure where it is strong; each value by itself would turn a fold into a flat band with hard borders.

    Args:
        values: (T, T), of mean zero.
        limit: of the amplitude; what is far below it is unchanged.
        where: (T, T) 0..1, what counts.
    """
    sigma = _STRENGTH_BLUR * len(values)
    square, weight = (cv2.GaussianBlur(some, (0, 0), sigma) for some in (where * values**2, where.astype(np.float32)))
    strength = np.maximum(_AMPLITUDE * np.sqrt(np.maximum(square, 0) / np.maximum(weight, 1e-3)) / limit, 1e-3)
    return values * (np.tanh(strength) / strength)


def filled_hulls(hulls: tuple[tuple[int, ...], ...], size: int, growth: float = 0.0) -> np.ndarray:
    """(size, size) float32, 1 in convex hulls of landmarks that grow by a share of the side."""
    oversampled = 4 * size
    canvas = np.zeros((oversampled, oversampled), np.uint8)
    for hull in hulls:
        corners = np.round(UV_MAP[list(hull)] * oversampled).astype(np.int32)
        cv2.fillConvexPoly(canvas, cv2.convexHull(corners), 1)
    reach = 2 * round(growth * oversampled) + 1
    canvas = cv2.dilate(canvas, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    return cv2.resize(canvas.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
