"""The light and the skin tone of a photo, put on a synthetic face: a handful of numbers per photo, six per channel.

Conventions: pictures are (h, w, 3) RGB float32 0..255. Numbers without a source were tuned on photos.
"""

from __future__ import annotations

import numpy as np

from .color import RGB_TO_YCBCR, YCBCR_TO_RGB
from .opencv import cv2

# Fewer skin pixels than the first number are not fitted, more than about the second are subsampled.
_MIN_SKIN_PIXELS, _MAX_SKIN_SAMPLES = 50, 2000
# Added to luma, in pixel values, so that ratios stay finite in black.
_LUMA_OFFSET = 4.0
# Ridge penalties of a quadratic's coefficients (1, x, y, xx, xy, yy), as shares of the data's weight; from the second on times stiffness.
_RIDGE = (1e-4, 0.02, 0.02, 0.05, 0.05, 0.05)
# Stiffness, round by round: a quadratic that is free from the start fits a hand or a fringe as if it were light.
_STIFFNESS = (300.0, 30.0, 10.0, 3.0, 1.0, 1.0)
# Tukey's biweight: its cutoff in standard deviations, and a floor of the deviation in pixel values.
_BIWEIGHT_CUTOFF, _BIWEIGHT_FLOOR = 3.5, 2.0
# Limits of the fitted fields: the gain on luma relative to its median, and Cb and Cr about their medians in pixel values.
_LIGHT_RANGE, _TINT_RANGE = (0.45, 1.9), 15
# In the dark, chroma fades with the light, but to no less than this share.
_MIN_FADE = 0.15
# Of a normal distribution's magnitude the median is the standard deviation over this.
MEDIAN_TO_DEVIATION = 1.4826
# The whole square in the coordinates in which light is fitted: (x_min, y_min, x_max, y_max).
_SQUARE = (-1.0, -1.0, 1.0, 1.0)


def _places(extent: tuple[float, float, float, float], shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """x of the columns and y of the rows, float32."""
    height, width = shape[:2]
    x = extent[0] + (np.arange(width) + 0.5) * ((extent[2] - extent[0]) / width)
    y = extent[1] + (np.arange(height) + 0.5) * ((extent[3] - extent[1]) / height)
    return x.astype(np.float32), y.astype(np.float32)


def match_light(
    synthetic: np.ndarray,
    original: np.ndarray,
    skin: np.ndarray,
    *,
    keep_tone: bool = False,
    extent: tuple[float, float, float, float] = _SQUARE,
) -> np.ndarray:
    """Give the synthetic face the tone and the light of the photo's skin.

    Light is a gain on luma, tone a shift of Cb and Cr (JFIF); each is a quadratic in crop coordinates, fitted by iteratively reweighted
    least squares (Tukey's biweight). What is not skin in the original (glasses, beard, a hand) is an outlier.

    Args:
        synthetic, original: (h, w, 3) float32 0..255.
        skin: (h, w) bool, where both should show skin.
        keep_tone: take only the distribution of light from the photo, not its mean brightness and color.
        extent: (x_min, y_min, x_max, y_max) of the arrays; the whole square reaches from -1 to 1.

    Returns:
        the corrected synthetic face, not clipped; unchanged without enough skin.
    """
    places = np.flatnonzero(skin)
    if len(places) < _MIN_SKIN_PIXELS:
        return synthetic
    places = places[:: max(1, len(places) // _MAX_SKIN_SAMPLES)]
    x, y = _places(extent, skin.shape)
    row, column = np.divmod(places, len(x))
    terms = _terms(x[column], y[row])  # (6, n)
    ours = cv2.transform(synthetic, RGB_TO_YCBCR)
    source, target = ours.reshape(-1, 3)[places].T, RGB_TO_YCBCR @ original.reshape(-1, 3)[places].T
    brightness, wanted = source[0] + _LUMA_OFFSET, target[0] + _LUMA_OFFSET
    gain = float(np.median(wanted / brightness))
    fade = float(np.clip(gain, _MIN_FADE, 1.0))
    wanted_tint = target[1:] - fade * source[1:]
    tint = np.median(wanted_tint, axis=1)
    # what does not change from round to round: products of the terms, and the factors of the weights for light and tint
    products = (terms[:, None] * terms).reshape(36, -1)
    factors = np.stack([brightness * brightness, np.ones_like(brightness), brightness * wanted, *wanted_tint])
    constants = np.array([[gain, 0.0], tint])
    weights = np.ones(len(places), np.float32)
    for stiffness in _STIFFNESS:
        weighted = factors * weights
        light_moments, *tint_moments = weighted[2:] @ terms.T
        moments = np.array([[light_moments, np.zeros(6)], tint_moments]).transpose(0, 2, 1)
        fields = _ridge_fit((weighted[:2] @ products.T).reshape(2, 6, 6), moments, constants, stiffness)
        light, *shifts = np.vstack([fields[0, :, :1].T, fields[1].T]) @ terms
        error = np.abs(wanted - brightness * light)
        for shift, goal in zip(shifts, wanted_tint, strict=True):
            error += np.abs(goal - shift)
        deviation = MEDIAN_TO_DEVIATION * quantile(error, 0.5) + _BIWEIGHT_FLOOR
        weights = np.maximum(1 - np.square(error * np.float32(1 / (_BIWEIGHT_CUTOFF * deviation))), 0)
        weights *= weights
    light, *shifts = (_quadratic(coefficients, x, y) for coefficients in (fields[0, :, 0], *fields[1].T))
    np.clip(light, gain * _LIGHT_RANGE[0], gain * _LIGHT_RANGE[1], out=light)
    for shift, mean in zip(shifts, tint, strict=True):
        np.clip(shift, mean - _TINT_RANGE, mean + _TINT_RANGE, out=shift)
    if keep_tone:
        light, fade = light / gain, 1.0
        shifts = [shift - mean for shift, mean in zip(shifts, tint, strict=True)]
    luma, blue, red = cv2.split(ours)
    luma += _LUMA_OFFSET
    luma *= light
    luma -= _LUMA_OFFSET
    return cv2.transform(cv2.merge([luma, fade * blue + shifts[0], fade * red + shifts[1]]), YCBCR_TO_RGB)


def _terms(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(6, n) terms of a quadratic at n places."""
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y])


def _quadratic(coefficients: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(6,) coefficients of ``_terms`` -> (h, w) float32 field over columns and rows: one product of matrices instead of six fields."""
    constant, along_x, along_y, xx, xy, yy = coefficients
    rows = np.stack([np.ones_like(y), y, yy * y * y], axis=1)
    return rows @ np.stack([constant + along_x * x + xx * x * x, along_y + xy * x, np.ones_like(x)])


def quantile(values: np.ndarray, share: float) -> float:
    """The value above that share of (n,) values, not interpolated: several times faster than numpy's."""
    place = int(share * len(values))
    return float(np.partition(values, place)[place])


def _ridge_fit(grams: np.ndarray, moments: np.ndarray, constants: np.ndarray, stiffness: float) -> np.ndarray:
    """Weighted ridge regressions: (f, 6, c) coefficients, shrunk towards constant fields.

    Args:
        grams: (f, 6, 6) weighted products of the terms.
        moments: (f, 6, c) weighted products of terms and targets.
        constants: (f, c) values of the fields they are shrunk to.
        stiffness: how strongly.
    """
    penalty = np.array(_RIDGE) * grams[:, :1, 0]  # (f, 6)
    penalty[:, 1:] *= stiffness
    wanted = moments.astype(np.float64)
    wanted[:, 0] += penalty[:, :1] * constants
    return np.linalg.solve(grams + penalty[:, :, None] * np.eye(6), wanted).astype(np.float32)
