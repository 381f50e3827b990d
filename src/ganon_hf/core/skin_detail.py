"""Skin as smooth or as rough as the photo's: a toddler has no pores, powder hides them, and a face of a thousand pixels is full of them.

What is taken from the photo is three numbers per octave of luma: how strong its structure is on skin, in the middle and in the smoother
parts, and on the jaw, where stubble is; and the second one per octave of Cb and Cr (six at most), for blotches.

Conventions: see ``sharpness_matching.py``. Numbers without a source were tuned on photos.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .octaves import FIRST_FEATURE, MAX_OCTAVES, NOSE, SKIN, FaceAreas, magnitudes, parts_of, subsampled
from .opencv import cv2
from .robust_statistics import quantile
from .skin_level import between

# The strength of an octave is this quantile of its magnitude: the median overlooks pores. Of a normal distribution it is the standard
# deviation over the second number.
_STRENGTH, _TO_DEVIATION = 0.75, 0.869
# A part of the skin needs so many pixels to count at all, and in full: otherwise parts would come and go from frame to frame of a video.
_MIN_PIXELS = 20, 60
# With fewer parts than this, counted by their weights, an octave's factor comes close to that of the next finer one.
_SURE_PARTS = 2.0
# Of the parts, this quantile of what their factors should be counts, and this one of what they lack.
_FACTOR, _LACK = 0.58, 0.25
# Limits of the factors. Added to variances before they are divided, in squared pixel values: what rounding makes is no structure.
_RANGE, _FLOOR = (0.25, 1.4), 0.1
# What is missing is made up for in octaves of structure up to this share of the face's height: pores, but not folds.
_PORES = 1 / 50
# Structure of less than this standard deviation is left out: JPEG makes as much.
_FAINT = 1.0
# Both for color: redness and freckles are larger than pores.
_BLOTCHES, _FAINT_COLOR = 1 / 40, 0.4
# Stubble: of the halves of the jaw, the smaller one over the larger; the height of a face over that from which an octave is of pores; and
# the standard deviation of what is missing. From the first numbers on it begins or, of the last ones, ceases to count.
_BOTH_SEEN, _LARGE_ENOUGH, _TOO_STRONG = (0.2, 0.4), (1.0, 1.2), (9.0, 14.0)
# Standard deviation of the blur between skin and features, as a share of the face's height.
_EDGE = 0.03
_LEAST_WEIGHT = 1e-6  # against division by zero


class SkinDetail(NamedTuple):
    """What the synthetic skin lacks or has too much.

    Attributes:
        factors: of each octave.
        missing: standard deviation of the structure that is missing in each octave after that.
    """

    factors: list[float]
    missing: list[float]


def label_skin(regions: np.ndarray) -> np.ndarray:
    """(h, w) map of regions -> (h, w) uint8, the number of the part of skin from 1 on, 0 elsewhere."""
    skin = regions == SKIN
    labels = np.zeros(regions.shape, np.uint8)
    for number, here in enumerate(parts_of(skin), start=1):
        labels[here] = number * skin[here]
    return labels


def compare_skin(
    own: list[np.ndarray],
    wanted: list[np.ndarray],
    labels: np.ndarray,
    *,
    edges: list[float],
    own_grain: list[float],
    grain: list[float],
    height: float,
    in_color: bool = False,
) -> SkinDetail | None:
    """By how much each octave of the synthetic skin must change to be as strong as the photo's; None where too little of it is seen.

    Args:
        own, wanted: octaves of luma of the synthetic face and of the photo, or of one channel of their color.
        labels: see :func:`label_skin`.
        edges: factors of the features' edges; in a blurred octave skin has no structure either.
        own_grain, grain: standard deviation of noise in the finest octaves. That of the photo is none of its skin; the synthetic face has
            no camera, and what looks like noise in it is structure, too.
        height: of the face in pixels.
        in_color: whether they are of color.
    """
    largest, faint = (_BLOTCHES, _FAINT_COLOR) if in_color else (_PORES, _FAINT)
    factors: list[float] = []
    missing: list[float] = []
    for number, pair in enumerate(zip(own, wanted, strict=True)):
        parts, weights = _variances(pair, labels, number)
        if not parts:
            break
        present, noise = (grains[number] ** 2 if number < len(grains) else 0.0 for grains in (own_grain, grain))
        # the factor is that of the middle: hair and cloth are on some parts only
        square = _weighted_quantile([(max(theirs - noise, 0.0) + _FLOOR) / (ours + _FLOOR) for ours, theirs in parts], weights, _FACTOR)
        factor = min(float(np.clip(square**0.5, *_RANGE)), _RANGE[1] * edges[number])
        known = min(sum(weights) / _SURE_PARTS, 1.0)  # coarse octaves of small faces have few pixels
        factors.append(known * factor + (1 - known) * factors[-1] if factors else factor)
        # of the missing, the smoother parts count: what is added there by mistake are speckles
        lack = _weighted_quantile([theirs - factors[-1] ** 2 * ours for ours, theirs in parts], weights, _LACK)
        lack -= max(noise - factors[-1] ** 2 * present, 0.0)
        missing.append(max(lack - faint**2, 0.0) ** 0.5 if 2 << number <= largest * height else 0.0)
    if not factors:
        return None
    rest = len(own) - len(factors)
    return SkinDetail(factors + [factors[-1]] * rest, missing + [0.0] * rest)


def missing_stubble(
    own: list[np.ndarray], wanted: list[np.ndarray], areas: FaceAreas, skin: SkinDetail, own_grain: list[float], grain: list[float]
) -> list[float]:
    """Standard deviation of what the jaw of a face without a beard lacks in each octave beside the photo's: stubble.

    Both halves of the jaw must lack it: hair or a hand are mostly on one. What is too strong is a beard or cloth.

    Args:
        own, wanted, own_grain, grain: as of :func:`compare_skin`.
        areas: where both have what.
        skin: what that says.
    """
    missing = [0.0] * len(own)
    if areas.bearded or not areas.jaw.any():
        return missing
    labels = areas.jaw * (areas.regions < FIRST_FEATURE)
    fewer, more = sorted(int(np.count_nonzero(labels == half)) for half in (1, 2))
    seen = between(fewer / max(more, 1), *_BOTH_SEEN)
    for number, pair in enumerate(zip(own, wanted, strict=True)):
        share = seen * between(_PORES * areas.height / (2 << number), *_LARGE_ENOUGH)
        halves = _variances(pair, labels, number)[0] if share else []
        if len(halves) < 2:
            break
        factor, there = skin.factors[number], skin.missing[number]
        present, noise = (grains[number] ** 2 if number < len(grains) else 0.0 for grains in (own_grain, grain))
        lack = min(theirs - factor**2 * ours for ours, theirs in halves) - max(noise - factor**2 * present, 0.0) - there**2
        lack = max(lack - _FAINT**2, 0.0) ** 0.5
        missing[number] = share * (1 - between(lack, *_TOO_STRONG)) * lack
    return missing


def _variances(pair: tuple[np.ndarray, np.ndarray], labels: np.ndarray, number: int) -> tuple[list[list[float]], list[float]]:
    """Squared strength of an octave of the synthetic face and of the photo, for each part that has enough pixels, and its weight."""
    here = subsampled(labels, number)
    parts = [both for both in zip(*(magnitudes(octave, here) for octave in pair), strict=True) if len(both[0]) > _MIN_PIXELS[0]]
    strengths = [[(_TO_DEVIATION * quantile(values, _STRENGTH)) ** 2 for values in both] for both in parts]
    return strengths, [between(len(both[0]), *_MIN_PIXELS) for both in parts]


def _weighted_quantile(values: list[float], weights: list[float], share: float) -> float:
    """Of a handful of values; a small change of values and weights changes it little."""
    order = np.argsort(values)
    ordered = np.array(weights)[order]
    return float(np.interp(share, (np.cumsum(ordered) - ordered / 2) / max(ordered.sum(), _LEAST_WEIGHT), np.array(values)[order]))


def num_blotch_octaves(height: float) -> int:
    """In how many octaves the color of a face of this height may lack structure."""
    return min(int(math.log2(max(_BLOTCHES * height, 1.0))), MAX_OCTAVES - 1)


def share_of_skin(areas: FaceAreas, *, porous: bool = False) -> np.ndarray:
    """(h, w) float32, 0 in features and a beard, rising to 1 beside them; a nose has edges of its own, but the pores of skin."""
    skin = areas.regions < FIRST_FEATURE
    if areas.bearded:
        skin &= areas.jaw == 0
    if porous:
        skin |= areas.regions == NOSE
    share = cv2.GaussianBlur(skin.astype(np.float32), (0, 0), max(_EDGE * areas.height, 0.5))
    share *= 2
    share -= 1
    return np.maximum(share, 0, out=share)
