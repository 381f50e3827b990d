"""The light and the skin tone of a photo, put on a synthetic face: under forty numbers per photo.

Light is what an even surface of the face's shape shows under distant light: spherical harmonics of the second order in the mesh's normals
(Ramamoorthi and Hanrahan, SIGGRAPH 2001), and a slope over the face. Hair, beards and cast shadows are not of this kind and are left out.

Conventions: pictures are (h, w, 3) RGB float32 0..255. Numbers without a source were tuned on photos.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .color import RGB_TO_YCBCR, YCBCR_TO_RGB
from .face_mesh import MOUTH_START, TRIANGLES
from .opencv import cv2

# Fewer skin pixels than the first number are not fitted, more than about the second are subsampled.
_MIN_SKIN_PIXELS, _MAX_SKIN_SAMPLES = 50, 2000
# Added to luma, in pixel values, so that ratios stay finite in black.
_LUMA_OFFSET = 4.0
# Ridge penalties as shares of the data's weight: of constants, and of everything else, the latter times stiffness.
_RIDGE_CONSTANT, _RIDGE = 1e-4, 0.03
# Stiffness, round by round: a fit that is free from the start takes a hand or a fringe for light.
_STIFFNESS = (300.0, 30.0, 10.0, 3.0, 1.0, 1.0)
# Tukey's biweight: its cutoff in standard deviations, and a floor of the deviation in pixel values.
_BIWEIGHT_CUTOFF, _BIWEIGHT_FLOOR = 3.5, 2.0
# Limits of the fitted fields: the gain on luma relative to its median, and Cb and Cr about their medians in pixel values.
_LIGHT_RANGE, _TINT_RANGE = (0.35, 2.1), 15
# In the dark, chroma fades with the light, but to no less than this share.
_MIN_FADE = 0.15
# Chroma follows luma between these quantiles of the skin's luma, by at most so much per pixel value; beyond them it stays as it is, so
# that teeth and lashes are not tinted by a line drawn too far.
_TONE_SHARES, _MAX_TONE_SLOPE = (0.05, 0.95), 0.35
# The synthetic skin's chroma varies at most so many times as much as the photo's skin about its line.
_CHROMA_VARIATION = 1.3
# Highlights above this quantile of the photo's skin are compressed towards white instead of clipped.
_HIGHLIGHT_SHARE = 0.95
# Standard deviation of the blur that rounds the mesh's facets, as a share of the crop's side.
_FACETS = 0.02
# Of a normal distribution's magnitude the median is the standard deviation over this.
MEDIAN_TO_DEVIATION = 1.4826
# The whole square in the coordinates in which light is fitted: (x_min, y_min, x_max, y_max).
_SQUARE = (-1.0, -1.0, 1.0, 1.0)

# Toned photos. Luma is divided into so many bins; a bin needs so many pixels.
_TONE_BINS, _MIN_BIN_PIXELS = 16, 5
# Share of the pixels that lie near the curve in a toned photo, and how near, in pixel values of Cb or Cr: up to the first number the
# photo counts as toned, from the second on it does not. Toned photos were measured at 4 at most, color photos at 6 at least.
_TONED_SHARE, _TONED_DISTANCE = 0.9, (4.0, 5.5)
# About so many pixels of the photo and of the face's surroundings are looked at, each.
_TONED_SAMPLES = 4000
_EPSILON = 1e-3  # against division by zero


def surface_normals(points: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Unit normals of the face's surface, at half the resolution.

    Args:
        points: (478, 3) crop pixels, z away from the viewer.
        index: (h, w) triangle of each pixel, -1 outside the mesh; a part of :func:`.landmarks.triangle_map`.

    Returns:
        (h / 2, w / 2, 3) float32 x right, y down, z towards the viewer; zero outside the mesh.
    """
    skin = TRIANGLES[:MOUTH_START]
    corners = points[skin]
    facets = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])  # as long as the triangle is large
    vertices = np.zeros((len(points), 3))
    for axis in range(3):
        vertices[:, axis] = np.bincount(skin.ravel(), np.repeat(facets[:, axis], 3), len(points))
    normals = vertices[TRIANGLES].mean(axis=1)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    table = np.vstack([normals, np.zeros(3)]).astype(np.float32)  # the last row is that of -1
    sigma = _FACETS * max(index.shape) / 2
    field = cv2.GaussianBlur(np.take(table, index[::2, ::2], axis=0), (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    length = np.sqrt(cv2.transform(field * field, np.ones((1, 3), np.float32)))
    field /= np.maximum(length, _EPSILON)[..., None]
    return field


def match_light(
    synthetic: np.ndarray,
    original: np.ndarray,
    skin: np.ndarray,
    normals: np.ndarray,
    *,
    keep_tone: bool = False,
    extent: tuple[float, float, float, float] = _SQUARE,
) -> np.ndarray:
    """Give the synthetic face the tone and the light of the photo's skin.

    Light is a gain on luma. Tone is a shift of Cb and Cr (JFIF) with a slope over the face and one over luma: shaded skin is redder than
    lit skin. Both are fitted by iteratively reweighted least squares (Tukey's biweight). What is not skin in the original (glasses, beard,
    a hand) is an outlier.

    Args:
        synthetic, original: (h, w, 3) float32 0..255.
        skin: (h, w) bool, where both should show skin.
        normals: (h / 2, w / 2, 3), see :func:`surface_normals`.
        keep_tone: take only the distribution of light from the photo, not its mean brightness and color.
        extent: (x_min, y_min, x_max, y_max) of the arrays; the whole square reaches from -1 to 1.

    Returns:
        the corrected synthetic face, not clipped; unchanged without enough skin.
    """
    places = np.flatnonzero(skin[::2, ::2])
    if len(places) < _MIN_SKIN_PIXELS:
        return synthetic
    places = places[:: max(1, len(places) // _MAX_SKIN_SAMPLES)]
    basis = _basis(normals, extent)
    terms = basis.reshape(len(basis), -1)[:, places]
    ours = cv2.transform(synthetic, RGB_TO_YCBCR)
    source, target = (picture[::2, ::2].reshape(-1, 3)[places].T for picture in (ours, original))
    target = RGB_TO_YCBCR @ target
    brightness, wanted = source[0] + _LUMA_OFFSET, target[0] + _LUMA_OFFSET
    gain = float(np.median(wanted / brightness))
    fade = float(np.clip(gain, _MIN_FADE, 1.0))
    own, tone = _ToneRange.of(source[0]), _ToneRange.of(target[0])
    # its own chroma without what that owes to its own luma; the photo's line takes the place of it
    own_place, own_slopes = own.place(source[0]), own.slopes(source)
    bare = source[1:] - own_slopes[:, None] * own_place
    wanted_tint = target[1:] - fade * bare
    tint = np.median(wanted_tint, axis=1)
    tint_terms = np.vstack([terms[:3], tone.place(target[0])])
    light_terms = brightness * terms
    weights = np.ones(len(places), np.float32)
    for stiffness in _STIFFNESS:
        light = _ridge_fit(light_terms, wanted[None], weights, np.array([gain]), [_RIDGE * stiffness] * (len(terms) - 1))
        shifts = _ridge_fit(tint_terms, wanted_tint, weights, tint, [_RIDGE * stiffness] * 2 + [0.0])
        error = np.abs(wanted - (light @ light_terms)[0]) + np.abs(wanted_tint - shifts @ tint_terms).sum(axis=0)
        deviation = MEDIAN_TO_DEVIATION * quantile(error, 0.5) + _BIWEIGHT_FLOOR
        weights = np.maximum(1 - np.square(error * np.float32(1 / (_BIWEIGHT_CUTOFF * deviation))), 0)
        weights *= weights
    np.clip(shifts[:, 3], -_MAX_TONE_SLOPE, _MAX_TONE_SLOPE, out=shifts[:, 3])
    luma, *chroma = cv2.split(ours)
    field = cv2.resize(np.tensordot(light[0], basis, 1), luma.shape[::-1], interpolation=cv2.INTER_LINEAR)
    np.clip(field, gain * _LIGHT_RANGE[0], gain * _LIGHT_RANGE[1], out=field)
    own_field = own.place(luma)
    luma += _LUMA_OFFSET
    luma *= field
    luma -= _LUMA_OFFSET
    if keep_tone:
        luma /= gain
        return cv2.transform(cv2.merge([luma, *chroma]), YCBCR_TO_RGB)
    _compress_highlights(luma, quantile(target[0], _HIGHLIGHT_SHARE))
    middle = np.median(bare, axis=1)
    variation = _variation(target[1:] - shifts[:, 3:] * tint_terms[3]) / max(fade * _variation(bare), _EPSILON)
    share = fade * float(np.clip(_CHROMA_VARIATION * variation, 0, 1))
    x, y = _places(extent, skin.shape)
    place = tone.place(luma)
    for number, (constant, along_x, along_y, slope) in enumerate(shifts):
        shift = (along_y * y + constant)[:, None] + along_x * x
        np.clip(shift, tint[number] - _TINT_RANGE, tint[number] + _TINT_RANGE, out=shift)
        shift += slope * place
        shift += share * (chroma[number] - own_slopes[number] * own_field) + (fade - share) * middle[number]
        chroma[number] = shift
    return cv2.transform(cv2.merge([luma, *chroma]), YCBCR_TO_RGB)


class _ToneRange(NamedTuple):
    """Lowest, middle and highest luma of a skin, outside of which chroma does not go on changing with luma."""

    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, luma: np.ndarray) -> _ToneRange:
        return cls(quantile(luma, _TONE_SHARES[0]), quantile(luma, 0.5), quantile(luma, _TONE_SHARES[1]))

    def place(self, luma: np.ndarray) -> np.ndarray:
        """Luma about the middle, limited to the range."""
        limited = np.clip(luma, np.float32(self.low), np.float32(self.high))
        limited -= np.float32(self.middle)
        return limited

    def slopes(self, pixels: np.ndarray) -> np.ndarray:
        """(3, n) luma, Cb, Cr -> (2,) change of Cb and Cr per pixel value of luma."""
        place = self.place(pixels[0])
        place -= place.mean()
        slopes = (pixels[1:] @ place) / max(float(place @ place), _EPSILON)
        return np.clip(slopes, -_MAX_TONE_SLOPE, _MAX_TONE_SLOPE)


def _variation(chroma: np.ndarray) -> float:
    """Standard deviation of (2, n) Cb and Cr, estimated robustly."""
    return MEDIAN_TO_DEVIATION * float(np.median(np.abs(chroma - np.median(chroma, axis=1, keepdims=True)).sum(axis=0))) / 2


def _compress_highlights(luma: np.ndarray, highest: float) -> None:
    """Bring luma above the photo's highlights closer to them (in place), smoothly, so that nothing burns out beside them."""
    highest = min(max(highest, 128.0), 250.0)
    room = np.float32(255.0 - highest)
    excess = np.maximum(luma - np.float32(highest), 0)
    np.minimum(luma, np.float32(highest), out=luma)
    luma += room * (1 - np.exp(excess * (-1 / room)))


def tone_curve(photo: np.ndarray, surroundings: np.ndarray) -> ToneCurve | None:
    """The color that a toned photo (sepia, selenium, a blue print) gives to each gray; None for a photo with colors of its own.

    Args:
        photo: (h, w, 3) uint8.
        surroundings: the part of it about a face, likewise. Both must be toned: a color photo may show little but a gray wall.
    """
    samples = [_samples(part) for part in (photo, surroundings)]
    curve = _chroma_by_luma(np.concatenate(samples))
    if curve is None:
        return None
    distance = max(quantile(np.abs(pixels[:, 1:] - curve.at(pixels[:, 0]).T).max(axis=1), _TONED_SHARE) for pixels in samples)
    low, high = _TONED_DISTANCE
    return curve._replace(strength=min((high - distance) / (high - low), 1.0)) if distance < high else None


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


def _chroma_by_luma(pixels: np.ndarray) -> ToneCurve | None:
    """Medians of (n, 3) luma, Cb, Cr in bins of luma; None with hardly any pixels."""
    order = np.argsort(pixels[:, 0])
    bins = np.clip((pixels[order, 0] * (_TONE_BINS / 256)).astype(int), 0, _TONE_BINS - 1)
    ends = np.searchsorted(bins, np.arange(_TONE_BINS + 1))
    parts = [pixels[order[a:b]] for a, b in zip(ends, ends[1:], strict=False) if b - a >= _MIN_BIN_PIXELS]
    if not parts:
        return None
    middles = np.stack([np.median(part, axis=0) for part in parts], axis=1)
    return ToneCurve(middles[0], middles[1:])


def _places(extent: tuple[float, float, float, float], shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """x of the columns and y of the rows, float32."""
    height, width = shape[:2]
    x = extent[0] + (np.arange(width) + 0.5) * ((extent[2] - extent[0]) / width)
    y = extent[1] + (np.arange(height) + 0.5) * ((extent[3] - extent[1]) / height)
    return x.astype(np.float32), y.astype(np.float32)


def _basis(normals: np.ndarray, extent: tuple[float, float, float, float]) -> np.ndarray:
    """(11, h, w): one, x, y, and the spherical harmonics of first and second order up to linear combinations."""
    x, y = _places(extent, normals.shape)
    right, down, front = cv2.split(normals)
    one = np.ones_like(front)
    slopes = one * x, one * y[:, None]
    return np.stack(
        [one, *slopes, right, down, front - 1, right * down, right * front, down * front, right * right - down * down, front * front - 1]
    )


def quantile(values: np.ndarray, share: float) -> float:
    """The value above that share of (n,) values, not interpolated: several times faster than numpy's."""
    place = int(share * len(values))
    return float(np.partition(values, place)[place])


def _ridge_fit(terms: np.ndarray, targets: np.ndarray, weights: np.ndarray, constants: np.ndarray, ridge: Sequence[float]) -> np.ndarray:
    """Weighted ridge regressions: (c, k) coefficients, shrunk towards constant fields.

    Args:
        terms: (k, n), the first one for the constant.
        targets: (c, n).
        weights: (n,).
        constants: (c,) values of the fields they are shrunk to.
        ridge: (k - 1,) penalties of the other terms, as shares of the weight of the first one.
    """
    weighted = terms * weights
    gram, moments = (weighted @ terms.T).astype(np.float64), (weighted @ targets.T).astype(np.float64)
    penalty = gram[0, 0] * np.array([_RIDGE_CONSTANT, *ridge])
    moments[0] += penalty[0] * constants
    return np.linalg.solve(gram + np.diag(penalty + _EPSILON * _EPSILON), moments).T.astype(np.float32)
