"""Pupils, lashes and brows as dark beside the skin as in the photo, and teeth as light or as shaded.

In bright photos of hard contrast eyes would look pale, and the bank's teeth are lit like the skin, where smiles are often lit better, and
teeth of the lower jaw worse. What is taken from the photo is up to four numbers: one for the eyes, one for the mouth, and two for its
halves. Conventions: pictures are (h, w, 3) RGB float32 0..255. Numbers without a source were tuned on photos.
"""

from __future__ import annotations

import numpy as np

from .color import luma_of
from .landmarks import EYE_SPANS
from .opencv import cv2
from .robust_statistics import quantile
from .skin_level import EPSILON, GRID, beside_skin, between, coarse, grown

# The quantile of the luma of eyes and lashes that says how dark they are; how far eyes grow, as a share of the crop's side, to take lashes
# in; the pixels of eyes and of skin, and the share of the eyes' pixels, that must be seen in the photo.
_DARK_SHARE, _LASHES, _MIN_PIXELS, _MIN_SEEN = 0.08, 0.008, 30, 0.5
# As shares of the crop's side: how far around the eyes luma changes, so that brows do; and the blur of that border.
_AROUND, _SOFT = 0.09, 0.02
# Luma as a share of the skin's around it, below which it changes, and below which no photo is believed.
_START, _BLACK = 0.8, 0.05
# Share of the difference that is made up for, and the largest exponent: eyes have colors of their own.
_SHARE, _MOST = 0.6, 1.4
# The quantile of the luma of the inside of the mouth that says how light teeth are; as shares of the skin's, from which on the photo is
# believed to show lighter ones at all, and in full; the limits of their factor; and their luma at most, unless they were lighter.
_TEETH_SHARE, _TEETH, _TEETH_RANGE, _WHITE = 0.85, (0.85, 1.0), (0.5, 1.6), 235.0
# Share of a part of a mouth that the photo must show to be believed at all, and in full.
_PART_SEEN = 0.5, 0.8
# In a mouth that is dark inside, upper and lower teeth are compared apart. Luma of the middle beside the skin up to which a mouth is dark,
# and from which on not; shares of its height between which one half turns into the other; and how far the middle reaches.
_DARK_MOUTH, _HALVES, _MIDDLE = (0.45, 0.65), (0.35, 0.65), 0.15
# As shares of that, from which luma on the inside of a mouth changes, and from which on in full: gaps and corners stay dark.
_GAPS = 0.35, 0.75
# Distances from lips up to which the inside of the mouth gets no lighter, and from which on in full, as shares of the crop's side.
_EDGE = 0.005, 0.012
# Area of the inside of the mouth, as shares of the crop's, from which on teeth can be told from lips at all, and in full.
_OPEN = 0.003, 0.008


def eye_mask(index: np.ndarray, size: int) -> np.ndarray:
    """(h, w) bool, eyes with their lashes.

    Args:
        index: (h, w) triangle of each pixel, -1 outside the mesh; a part of :func:`.landmarks.triangle_map`.
        size: side of the crop, of which it may be a part.
    """
    eyes = (index >= EYE_SPANS[0][0]).astype(np.uint8)  # their triangles are the last ones
    return grown(eyes, _LASHES * size).view(bool) & (index >= 0)


def match_eyes_and_teeth(
    synthetic: np.ndarray, original: np.ndarray, skin: np.ndarray, eyes: np.ndarray, mouth: np.ndarray, seen: np.ndarray, size: int
) -> np.ndarray:
    """Make eyes, lashes and brows as dark and teeth as light beside the skin as they are in the photo, by and large.

    Args:
        synthetic, original: (h, w, 3) float32 0..255 in the same light.
        skin: (h, w) bool, where both show skin.
        eyes: (h, w) bool, see :func:`eye_mask`.
        mouth: (h, w) bool, the inside of the mouth.
        seen: (h, w) bool, where the photo shows the face and nothing before it.
        size: side of the crop, of which they may be a part.

    Returns:
        the corrected synthetic face; unchanged where the photo shows neither, or no skin.
    """
    skin = skin & ~eyes
    show_eyes, show_mouth = (_is_seen(part, seen) for part in (eyes, mouth))
    if np.count_nonzero(skin) < _MIN_PIXELS or not (show_eyes or show_mouth):
        return synthetic
    luma = luma_of(synthetic)
    own, level = beside_skin(luma, skin, size)
    photo, _ = beside_skin(luma_of(original), skin, size)
    if show_eyes:
        synthetic = synthetic * _darkening(own, photo, eyes, seen, size)[..., None]
    if show_mouth:
        synthetic = synthetic.copy()
        # light is added to all channels alike: teeth that are merely multiplied turn yellow
        change = _relight(own, photo, level, mouth, seen, size)
        light = luma[mouth] * np.maximum(change, 0) * _away_from_lips(mouth, size)
        synthetic[mouth] *= (1 + np.minimum(change, 0))[:, None]
        synthetic[mouth] += np.minimum(light, np.maximum(_WHITE - luma[mouth], 0))[:, None]
    return synthetic


def _away_from_lips(mouth: np.ndarray, size: int) -> np.ndarray:
    """Share of the inside in the (n,) pixels of the mouth: at the edge they show lips, too, which would become a light line."""
    distance = cv2.distanceTransform(mouth.view(np.uint8), cv2.DIST_L2, 5)[mouth] / np.float32(size)
    low, high = _EDGE
    return np.clip((distance - low) * np.float32(1 / (high - low)), 0, 1)


def _is_seen(part: np.ndarray, seen: np.ndarray) -> bool:
    return bool(np.count_nonzero(part & seen) >= max(_MIN_PIXELS, _MIN_SEEN * np.count_nonzero(part)))


def _darkening(own: np.ndarray, photo: np.ndarray, eyes: np.ndarray, seen: np.ndarray, size: int) -> np.ndarray:
    """Factor of luma, one unless the photo's eyes are darker: below 0.8 of the skin's it is raised to a power, with that level as one.

    Args:
        own, photo: (h, w) luma of both beside their skin.
        eyes, seen, size: see :func:`match_eyes_and_teeth`.
    """
    dark, wanted = quantile(own[eyes], _DARK_SHARE), max(quantile(photo[eyes & seen], _DARK_SHARE), _BLACK)
    if not wanted < dark < _START:
        return np.ones_like(own)
    power = min(1 + _SHARE * (np.log(wanted / _START) / np.log(dark / _START) - 1), _MOST)
    around = grown(coarse(eyes), _AROUND * size / GRID)
    around = cv2.GaussianBlur(around, (0, 0), max(_SOFT * size / GRID, 0.5))
    area = cv2.resize(around, own.shape[::-1], interpolation=cv2.INTER_LINEAR)
    relative = np.clip(own * np.float32(1 / _START), EPSILON, 1)
    return 1 + area * (relative ** np.float32(power - 1) - 1)


def _relight(own: np.ndarray, photo: np.ndarray, level: np.ndarray, mouth: np.ndarray, seen: np.ndarray, size: int) -> np.ndarray:
    """By what share of itself the luma of the mouth's pixels grows or, if negative, falls: the lighter part comes close to the photo's.

    Args:
        own, photo: (h, w) luma of both beside their skin.
        level: (h, w) luma of that skin of the synthetic face.
        mouth, seen, size: see :func:`match_eyes_and_teeth`.
    """
    values, wanted, rows = own[mouth], np.where(seen, photo, np.nan)[mouth], np.nonzero(mouth)[0]
    if not (amount := between(len(values) / size**2, *_OPEN)):
        return np.zeros_like(values)
    lightest = _WHITE / quantile(level[mouth], 0.5)
    down = (rows - rows[0]) / np.float32(max(rows[-1] - rows[0], 1))
    lower = np.clip((down - _HALVES[0]) / np.float32(_HALVES[1] - _HALVES[0]), 0, 1)
    off = np.abs(down - np.float32(0.5))
    dark = 1 - between(quantile(values[off <= max(_MIDDLE, float(off.min()))], 0.5), *_DARK_MOUTH)
    whole = _relight_part(values, wanted, np.ones_like(off, bool), lightest)
    upper, below = (_relight_part(values, wanted, half >= 0.5, lightest) for half in (1 - lower, lower))
    halves = upper + lower * (below - upper)
    return np.float32(amount) * (whole + np.float32(dark) * (halves - whole))


def _relight_part(values: np.ndarray, wanted: np.ndarray, part: np.ndarray, lightest: float) -> np.ndarray:
    """What :func:`_relight` says of the (n,) pixels of a mouth by a part of it.

    Args:
        values: (n,) luma beside the skin.
        wanted: (n,) the photo's; NaN where something lies before it.
        part: (n,) bool, the pixels that are compared.
        lightest: at most wanted.
    """
    known = part & np.isfinite(wanted)
    believed = between(float(known.sum()) / max(float(part.sum()), 1.0), *_PART_SEEN)
    if not believed or (light := quantile(values[known], _TEETH_SHARE)) < EPSILON:
        return np.zeros_like(values)
    level = quantile(wanted[known], _TEETH_SHARE)
    factor = float(np.clip(min(level, lightest) / light, *_TEETH_RANGE))
    change = np.float32(believed * (factor - 1) * (between(level, *_TEETH) if factor > 1 else 1))
    low, high = (share * light for share in _GAPS)
    share = np.clip((values - low) * np.float32(1 / (high - low)), 0, 1)
    result: np.ndarray = change * share * share * (3 - 2 * share)
    return result
