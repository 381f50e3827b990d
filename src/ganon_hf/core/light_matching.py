"""The light and the skin tone of a photo, put on a synthetic face.

What is taken from the photo: eleven numbers for light, eight for tone, seven for the range of luma and of chroma.

Light is what an even surface of the face's shape shows under distant light: spherical harmonics of the second order in the mesh's normals
(Ramamoorthi and Hanrahan, SIGGRAPH 2001), and a slope over the face. Hair, beards and cast shadows are not of this kind and are left out.

Conventions: pictures are (h, w, 3) RGB float32 0..255. Numbers without a source were tuned on photos.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .color import RGB_TO_YCBCR, YCBCR_TO_RGB
from .face_mesh import MOUTH_START, TRIANGLES
from .highlights import apply_shoulder, compress_highlights, limit_openings, undo_shoulder
from .opencv import cv2
from .robust_statistics import MEDIAN_TO_DEVIATION, quantile

# Light is smooth: it is fitted and evaluated on a grid of every so many pixels. All places of skin on it count: of every third one or so,
# others would be left from frame to frame of a video, and the light would flicker.
GRID = 4
# Fewer places are not fitted.
_MIN_SKIN_PLACES = 50
# Added to luma, in pixel values, so that ratios stay finite in black.
_LUMA_OFFSET = 4.0
# Ridge penalties as shares of the data's weight: of constants, and of everything else, the latter times stiffness.
_RIDGE_CONSTANT, _RIDGE = 1e-4, 0.03
# Stiffness, round by round: a fit that is free from the start takes a hand or a fringe for light.
_STIFFNESS = (300.0, 30.0, 10.0, 3.0, 1.0, 1.0)
# Tukey's biweight: its cutoff in standard deviations, and a floor of the deviation in pixel values.
_BIWEIGHT_CUTOFF, _BIWEIGHT_FLOOR = 2.5, 2.0
# Limits of the fitted fields: the gain on luma relative to its median, and Cb and Cr about their medians in pixel values.
_LIGHT_RANGE, _TINT_RANGE = (0.35, 2.1), 15
# In the dark, chroma fades with the light, but to no less than this share.
_MIN_FADE = 0.15
# Chroma follows luma between these quantiles of the skin's luma, by at most so much per pixel value. What is brighter gets no more, so
# that teeth are not tinted, and what is darker less and less: brows, lashes and pupils have colors of their own.
_TONE_SHARES, _MAX_TONE_SLOPE = (0.1, 0.9), 0.35
# Standard deviation of the blur that leaves luma's broad structure, which chroma follows, as a share of the face's extent.
_BROAD = 0.03
# The synthetic skin's chroma varies so many times as much as the photo's skin about its line, but at most so many times as much as by
# itself. Its luma varies at most so many times as much as the photo's about the light, within so many standard deviations of the skin's
# luma, for brows and nostrils stay dark.
_CHROMA_VARIATION, _MAX_CHROMA, _LUMA_VARIATION, _LUMA_REACH = 1.3, 1.4, 1.3, 2.5
# The chroma of pale lids is a share of that of skin, and a shift towards a photo of paler skin would turn them gray: they keep at least so
# much of what they have if chroma is scaled as that of the skin.
_LEAST_CHROMA = 0.7
# Highlights of skin are compressed from the first of these quantiles of the photo's skin on and stay below the second: none burns out
# beside skin that does not.
_HIGHLIGHT_SHARES = (0.85, 0.99)
# Highlights that exceed the photo's get as much room for the compression, up to so many pixel values: in less they would become flat
# patches with borders.
_HIGHLIGHT_ROOM = 28.0
# Standard deviation of the blur that rounds the mesh's facets, as a share of the crop's side.
_FACETS = 0.03
# The whole square in the coordinates in which light is fitted: (x_min, y_min, x_max, y_max).
_SQUARE = (-1.0, -1.0, 1.0, 1.0)

_EPSILON = 1e-3  # against division by zero
_CORNERS = np.ascontiguousarray(TRIANGLES[:MOUTH_START].T)


def surface_normals(points: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Unit normals of the face's surface on the grid on which light is fitted.

    Args:
        points: (478, 3) crop pixels, z away from the viewer.
        index: (h, w) triangle of each pixel, -1 outside the mesh; a part of :func:`.landmarks.triangle_map`.

    Returns:
        (h / 4, w / 4, 3) float32 x right, y down, z towards the viewer; beyond the mesh they go on smoothly.
    """
    first, second, third = (points[corner] for corner in _CORNERS)
    facets = np.cross(second - first, third - first).astype(np.float32)
    facets *= np.array([-1, -1, 1], np.float32)  # outwards, in coordinates in which z points to the viewer
    facets /= np.maximum(np.sqrt(np.square(facets).sum(axis=1, keepdims=True)), _EPSILON)
    table = np.zeros((len(TRIANGLES) + 1, 3), np.float32)  # the last row is that of -1; eyes and mouth take theirs from the skin around
    table[:MOUTH_START] = facets
    sigma = _FACETS * max(index.shape) / GRID
    field = cv2.GaussianBlur(np.take(table, index[::GRID, ::GRID], axis=0), (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    length = np.sqrt(cv2.transform(field * field, np.ones((1, 3), np.float32)))
    field /= np.maximum(length, _EPSILON)[..., None]
    return field


def match_light(
    synthetic: np.ndarray,
    original: np.ndarray,
    skin: np.ndarray,
    openings: np.ndarray,
    normals: np.ndarray,
    *,
    keep_tone: bool = False,
    extent: tuple[float, float, float, float] = _SQUARE,
    shade: Callable[[np.ndarray], np.ndarray] | None = None,
    mesh: np.ndarray | None = None,
) -> np.ndarray:
    """Give the synthetic face the tone and the light of the photo's skin.

    Light is a gain on luma; the shoulder of the camera's response curve is undone before and applied after. Tone is a shift of Cb and Cr
    (JFIF) with a slope over the face and one over luma: shaded skin is redder than lit skin. Both are fitted by iteratively reweighted
    least squares (Tukey's biweight). What is not skin in the original (glasses, beard, a hand) is an outlier.

    Args:
        synthetic, original: (h, w, 3) float32 0..255.
        skin: (h, w) bool, where both should show skin.
        openings: (h, w) bool, eyes and mouth: teeth may be brighter than skin.
        normals: (h / 4, w / 4, 3), see :func:`surface_normals`.
        keep_tone: take only the distribution of light from the photo, not its mean brightness and color.
        extent: (x_min, y_min, x_max, y_max) of the arrays; the whole square reaches from -1 to 1.
        shade: from the (h / 4, w / 4) gain to a factor of it, see :func:`.shading.shade`; None is an even surface.
        mesh: (h, w) bool, where the synthetic face is; None is everywhere.

    Returns:
        the corrected synthetic face, not clipped; unchanged without enough skin.
    """
    places = np.flatnonzero(skin[::GRID, ::GRID])
    if len(places) < _MIN_SKIN_PLACES:
        return synthetic
    basis = _basis(normals, extent)
    terms = basis.reshape(len(basis), -1)[:, places]
    ours = cv2.transform(synthetic, RGB_TO_YCBCR)
    grid = normals.shape[1::-1]  # means, not single pixels: a pattern of the photo must not appear as light
    source, target = (cv2.resize(picture, grid, interpolation=cv2.INTER_AREA).reshape(-1, 3)[places].T for picture in (ours, original))
    target = RGB_TO_YCBCR @ target
    brightness, wanted = (undo_shoulder(side[0]) + _LUMA_OFFSET for side in (source, target))
    gain = quantile(wanted / brightness, 0.5)
    fade = float(np.clip(gain, _MIN_FADE, 1.0))
    own, tone = _ToneRange.of(source[0]), _ToneRange.of(target[0])
    # its own chroma without what that owes to its own luma; the photo's line takes the place of it
    luma, *chroma = cv2.split(ours)
    own_curve = own.curve(luma, mesh)
    own_place = cv2.resize(own_curve, grid, interpolation=cv2.INTER_AREA).ravel()[places]
    own_slopes = _slopes(own_place, source[1:])
    bare = source[1:] - own_slopes[:, None] * own_place
    wanted_tint = target[1:] - fade * bare
    tint = _medians(wanted_tint)
    tint_terms = np.vstack([terms[:3], tone.place(target[0])])
    regression = _Regression(brightness * terms, tint_terms, np.vstack([wanted, wanted_tint]), np.array([gain, *tint]))
    weights = np.ones(len(places), np.float32)
    for stiffness in _STIFFNESS:
        light, shifts, error = regression.solve(weights, stiffness)
        deviation = MEDIAN_TO_DEVIATION * quantile(error, 0.5) + _BIWEIGHT_FLOOR
        weights = np.maximum(1 - np.square(error * np.float32(1 / (_BIWEIGHT_CUTOFF * deviation))), 0)
        weights *= weights
    np.clip(shifts[:, 3], -_MAX_TONE_SLOPE, _MAX_TONE_SLOPE, out=shifts[:, 3])
    even = np.tensordot(light, basis, 1)
    np.clip(even, gain * _LIGHT_RANGE[0], gain * _LIGHT_RANGE[1], out=even)
    if shade is not None:
        even *= shade(even)
    field = cv2.resize(even, skin.shape[::-1], interpolation=cv2.INTER_LINEAR)
    luma = undo_shoulder(luma)
    luma += _LUMA_OFFSET
    fitted = np.maximum(light @ terms, gain * _LIGHT_RANGE[0])
    _limit_contrast(luma, brightness, wanted / fitted)
    luma *= field
    luma -= _LUMA_OFFSET
    if keep_tone:
        luma *= 1 / gain
    limit_openings(luma, openings)
    apply_shoulder(luma)
    if keep_tone:
        return cv2.transform(cv2.merge([luma, *chroma]), YCBCR_TO_RGB)
    start, limit = (quantile(target[0], share) for share in _HIGHLIGHT_SHARES)
    bright = brightness * fitted - _LUMA_OFFSET
    apply_shoulder(bright)
    excess = quantile(bright, _HIGHLIGHT_SHARES[1]) - limit
    compress_highlights(luma, ~openings, min(start, limit - min(excess, _HIGHLIGHT_ROOM)), limit)
    variation = _variation(target[1:] - shifts[:, 3:] * tint_terms[3]) / max(fade * _variation(bare), _EPSILON)
    share = fade * float(np.clip(_CHROMA_VARIATION * variation, 0, _MAX_CHROMA))
    middles = _medians(bare)
    inner = _opening_chroma(chroma, openings, middles, tint, fade)
    least = _least_chroma(chroma, middles, tint, fade)
    x, y = _places(extent, skin.shape)
    curve = tone.curve(luma, mesh)
    for channel, own_slope, middle, mean, (constant, along_x, along_y, slope) in zip(
        chroma, own_slopes, middles, tint, shifts, strict=True
    ):
        channel *= share
        channel += _plane(constant - mean, along_x, along_y, x, y, limit=_TINT_RANGE)
        channel += slope * curve - (share * own_slope) * own_curve + np.float32(mean + (fade - share) * middle)
    _raise_chroma(chroma, least, fade * middles + tint)
    for channel, values in zip(chroma, inner, strict=True):
        channel[openings] = values
    return cv2.transform(cv2.merge([luma, *chroma]), YCBCR_TO_RGB)


def _opening_chroma(chroma: list[np.ndarray], openings: np.ndarray, skin: np.ndarray, shift: np.ndarray, fade: float) -> np.ndarray:
    """Chroma of eyes and mouth in the photo's light.

    Skin that is paler than the synthetic skin has less chroma, and what has none must not get the opposite: the shift alone would make
    teeth blue. So chroma is scaled as far as that explains the photo's skin, and only the rest is a shift, which is the color of the light.

    Args:
        chroma: (h, w) Cb and Cr of the synthetic face.
        openings: (h, w) bool, eyes and mouth.
        skin: (2,) of the synthetic skin.
        shift: (2,) what the photo's skin has beyond ``fade`` times that.
        fade: the most that chroma is scaled by.

    Returns:
        (2, n) of the n pixels of the openings.
    """
    scale, rest = _scale_and_rest(skin, shift, fade)
    return np.stack([scale * channel[openings] for channel in chroma]) + rest[:, None]


def _scale_and_rest(skin: np.ndarray, shift: np.ndarray, fade: float) -> tuple[float, np.ndarray]:
    """By how much less chroma the photo's skin has, and the (2,) shift that is left then; arguments: see :func:`_opening_chroma`."""
    wanted = fade * skin + shift
    scale = float(np.clip(wanted @ skin / max(float(skin @ skin), _EPSILON), 0, fade))
    return scale, wanted - scale * skin


def _least_chroma(chroma: list[np.ndarray], skin: np.ndarray, shift: np.ndarray, fade: float) -> np.ndarray:
    """(h, w) chroma that each place keeps at least, along that of the photo's skin; arguments: see :func:`_opening_chroma`."""
    scale, _ = _scale_and_rest(skin, shift, fade)
    toward = np.float32(_LEAST_CHROMA * scale / max(float(np.linalg.norm(skin)), _EPSILON)) * skin
    return toward[0] * chroma[0] + toward[1] * chroma[1]


def _raise_chroma(chroma: list[np.ndarray], least: np.ndarray, skin: np.ndarray) -> None:
    """Bring (h, w) Cb and Cr (in place) to a least chroma along the (2,) chroma of the photo's skin."""
    toward = skin / max(float(np.linalg.norm(skin)), _EPSILON)
    lack = np.maximum(least - toward[0] * chroma[0] - toward[1] * chroma[1], 0)
    for channel, part in zip(chroma, toward, strict=True):
        channel += np.float32(part) * lack


def _plane(constant: float, along_x: float, along_y: float, x: np.ndarray, y: np.ndarray, limit: float) -> np.ndarray:
    """(h, w) float32 plane over columns and rows, limited to plus and minus ``limit``."""
    plane = np.add.outer(constant + along_y * y, along_x * x)
    return np.clip(plane, -limit, limit, out=plane) if max(-plane.min(), plane.max()) > limit else plane


class _ToneRange(NamedTuple):
    """Lowest, middle and highest luma of a skin, outside of which chroma does not go on changing with luma."""

    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, luma: np.ndarray) -> _ToneRange:
        return cls(quantile(luma, _TONE_SHARES[0]), quantile(luma, 0.5), quantile(luma, _TONE_SHARES[1]))

    def place(self, luma: np.ndarray) -> np.ndarray:
        """Luma about the middle, limited to the range, and back to zero towards black."""
        limited = self._limited(luma)
        limited *= self._not_dark(luma)
        return limited

    def curve(self, luma: np.ndarray, mesh: np.ndarray | None) -> np.ndarray:
        """Place of the broad structure of luma: shade has a color that spots and stubble have not.

        Args:
            luma: (h, w).
            mesh: (h, w) bool, where it is known; None is everywhere.

        Returns:
            (h, w) float32, back to zero where luma is black.
        """
        grid, sigma = (-(-luma.shape[1] // GRID), -(-luma.shape[0] // GRID)), _BROAD * max(luma.shape) / GRID
        weight = np.ones(luma.shape, np.float32) if mesh is None else mesh.astype(np.float32)
        known, weight = (
            cv2.GaussianBlur(cv2.resize(values, grid, interpolation=cv2.INTER_AREA), (0, 0), sigma) for values in (luma * weight, weight)
        )
        broad = known / np.maximum(weight, _EPSILON)
        place = cv2.resize(self._limited(broad), luma.shape[::-1], interpolation=cv2.INTER_LINEAR)
        place *= self._not_dark(luma)
        return place

    def _limited(self, luma: np.ndarray) -> np.ndarray:
        limited = np.clip(luma, np.float32(self.low), np.float32(self.high))
        limited -= np.float32(self.middle)
        return limited

    def _not_dark(self, luma: np.ndarray) -> np.ndarray:
        return np.clip(luma * np.float32(1 / max(self.low, 1.0)), 0, 1)


def _slopes(place: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """Change of (2, n) Cb and Cr per pixel value of an (n,) place of luma -> (2,)."""
    place = place - place.mean()
    slopes = (chroma @ place) / max(float(place @ place), _EPSILON)
    return np.clip(slopes, -_MAX_TONE_SLOPE, _MAX_TONE_SLOPE)


def _medians(channels: np.ndarray) -> np.ndarray:
    return np.array([quantile(channel, 0.5) for channel in channels], np.float32)


def _variation(chroma: np.ndarray) -> float:
    """Standard deviation of (2, n) Cb and Cr, estimated robustly."""
    return MEDIAN_TO_DEVIATION * quantile(np.abs(chroma - _medians(chroma)[:, None]).sum(axis=0), 0.5) / 2


def _limit_contrast(luma: np.ndarray, own: np.ndarray, photo: np.ndarray) -> None:
    """Take the contrast of skin down (in place) to not much more than that of the photo's skin: a fair photo has no deep folds.

    Args:
        luma: (h, w) of the synthetic face.
        own, photo: (n,) luma at places on the skin, of the synthetic face and of the photo without its light.
    """
    middle = quantile(own, 0.5)
    deviation, wanted = (MEDIAN_TO_DEVIATION * quantile(np.abs(some - quantile(some, 0.5)), 0.5) for some in (own, photo))
    excess = 1 - _LUMA_VARIATION * wanted / max(deviation, _EPSILON)
    if excess > 0 and deviation > _EPSILON:
        reach = np.float32(_LUMA_REACH * deviation)
        luma -= np.float32(excess) * reach * np.tanh((luma - np.float32(middle)) / reach)


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


class _Regression:
    """Weighted ridge regressions of light and of two channels of tint, shrunk towards constant fields.

    Args:
        light: (k, n) terms of the light, the first one for the constant.
        tint: (m, n) terms of the tint, likewise; the last one is not shrunk.
        targets: (3, n) luma, Cb, Cr.
        constants: (3,) values of the fields that they are shrunk to.
    """

    def __init__(self, light: np.ndarray, tint: np.ndarray, targets: np.ndarray, constants: np.ndarray) -> None:
        self._terms, self._targets, self._constants = np.vstack([light, tint]), targets, constants
        self._first = len(light)  # of the tint
        self._shrunk = np.ones(len(self._terms))
        self._shrunk[[0, self._first, -1]] = 0

    def solve(self, weights: np.ndarray, stiffness: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Coefficients (k,) of light and (2, m) of tint, and the sum of the (n,) errors; one system of equations, as it costs least."""
        first, weighted = self._first, self._terms * weights
        gram, moments = (weighted @ self._terms.T).astype(np.float64), (weighted @ self._targets.T).astype(np.float64)
        gram[:first, first:], gram[first:, :first] = 0, 0
        moments[:first, 1:], moments[first:, 0] = 0, 0
        for start, columns in ((0, slice(0, 1)), (first, slice(1, 3))):
            moments[start, columns] += _RIDGE_CONSTANT * gram[start, start] * self._constants[columns]
        penalty = self._shrunk * (_RIDGE * stiffness)
        penalty[:first] *= gram[0, 0]
        penalty[first:] *= gram[first, first]
        penalty[[0, first]] = _RIDGE_CONSTANT * gram[[0, first], [0, first]]
        solution = np.linalg.solve(gram + np.diag(penalty + _EPSILON * _EPSILON), moments).astype(np.float32)
        error = np.abs(self._targets - solution.T @ self._terms).sum(axis=0)
        return solution[:first, 0], solution[first:, 1:].T, error
