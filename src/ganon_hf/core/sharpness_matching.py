"""A synthetic face as sharp and as grainy as its photo, in photo pixels.

What is taken from the photo is one number per octave for the strength of edges (seven at most), one per octave and channel for grain
(three for luma, two each for Cb and Cr), and what ``skin_detail.py`` takes.
Octaves are those of a Laplacian pyramid (Burt and Adelson 1983).

Conventions: pictures are (h, w, 3) RGB float32 0..255. Numbers without a source were tuned on photos.
"""

from __future__ import annotations

import numpy as np

from .color import RGB_TO_YCBCR, YCBCR_TO_RGB, luma_of
from .light_matching import MEDIAN_TO_DEVIATION, quantile
from .octaves import FIRST_FEATURE, MAX_SAMPLES, OUTSIDE, SKIN, collapse, enlarged, magnitudes, octaves_of, parts_of, subsampled
from .opencv import cv2
from .skin_detail import SkinDetail, compare_skin, label_skin, share_of_skin

# Octaves: from single pixels up to structure of this share of the face's height, by which the contrast of features is measured.
_COARSEST, _MAX_OCTAVES = 1 / 12, 7
# A feature counts in an octave with so many of its pixels.
_MIN_EDGE_PIXELS = 6
# Limits of the factors: octaves become at most so many times stronger in all, and by the features' contrast alone.
MAX_SHARPENING, _CONTRAST_RANGE = 1.6, (0.8, 1.15)
# Factor below which color is blurred with luma.
_BLURRED = 0.85

# Grain: the finest octaves; by the height of the face in pixels from which one, two and three of them are measured. In smaller faces
# every octave is full of features. Color has grain from the second one on, as cameras and JPEG store it at half the resolution.
_GRAIN_HEIGHTS = (48, 128, 256)
# This share of each part of the skin is where its structure is least: no wrinkles, no strands. A part needs so many pixels.
_SMOOTH_SHARE, _MIN_GRAIN_PIXELS = 0.4, 20
# Grain falls at least this fast from octave to octave: that of white noise by 0.24, blurred by 0.7 pixels by 0.58.
_MAX_GROWTH = 0.6
# Limit of the grain's standard deviation per octave, and the grain that rounding to whole pixel values makes, in pixel values.
MAX_GRAIN, _ROUNDING = 6.0, 0.5
# Area of the visible skin over the squared height of the face, from which grain can be told at all and in full: 0.13 to 0.3 in bare faces.
_SKIN_SEEN = (0.03, 0.1)
# Cameras and JPEG blur grain: ratio of its second octave to its first one after a Gaussian blur of so many pixels, measured on white noise.
_GRAIN_RATIOS, _GRAIN_BLURS = (0.24, 0.28, 0.36, 0.47, 0.58, 0.69, 0.88, 1.12, 1.36, 1.82), (0, 0.4, 0.5, 0.6, 0.7, 0.8, 1, 1.25, 1.5, 2)
# Sides of the square of noise, for small and for large faces.
_NOISE_SIDES = (128, 256)
# Pores lie denser here than there: standard deviation of the blur of their density in samples of the octave, and of its logarithm. They
# are dark: share of the square that is taken off. In large faces of five photos, the
# finest octaves of skin mostly had an excess kurtosis of 1 to 3 and a skewness of -0.1 to -0.6.
_PORE_PATCH, _PORE_VARIATION, _PORE_SKEW = 4.0, 0.3, 0.07
# Standard deviation of the grain in a channel's octave for which nothing is added.
_NO_GRAIN = 0.2
_EPSILON = 1e-3  # against division by zero


def match_sharpness(
    synthetic: np.ndarray, original: np.ndarray, regions: np.ndarray, height: float, generator: np.random.Generator
) -> np.ndarray:
    """Make the synthetic face as sharp and as grainy as the photo.

    Its edges are strengthened or weakened octave by octave towards those of the photo's face: in a blurred photo they blur, in a sharp one
    they stay sharp. How much darker brows or lips are than skin belongs to a person and does not count as blur: octaves are compared
    relative to the coarsest one. The median of the features counts, so that spectacles or a moustache do not. Skin becomes as smooth or as
    rough as the photo's, by factors of its own. Then noise is added where the photo's smooth skin is grainier than the synthetic one, and
    structure of skin where it is rougher still.

    Args:
        synthetic, original: (h, w, 3) float32 0..255 at the photo's own resolution.
        regions: (h, w) uint8, where both have what: ``OUTSIDE`` of the face, ``SKIN``, from ``FIRST_FEATURE`` on the number of a feature
            with edges (an eye with its brow, nose, mouth), or ``ELSEWHERE``.
        height: of the face in photo pixels.
        generator: source of the noise.
    """
    own_luma, luma = luma_of(synthetic), luma_of(original)
    np.copyto(luma, own_luma, where=regions == OUTSIDE)  # hair beside the face is no edge of the face
    own, wanted = (octaves_of(values, _octave_count(height, regions.shape)) for values in (own_luma, luma))
    grains = min(int(np.searchsorted(_GRAIN_HEIGHTS, height, side="right")), len(own) - 1)
    smooth = [_smooth_skin(octaves[grains], regions, grains) for octaves in (own, wanted)]
    own_grain, grain = (_grains(octaves[:grains], parts) for octaves, parts in zip((own, wanted), smooth, strict=True))
    limit = _largest_grain(regions, height)
    grain = [min(strength, limit) for strength in grain]
    factors = _edge_factors(own, wanted, regions, own_grain, grain)
    blurred = min(factors) < _BLURRED
    skin = compare_skin(own, wanted, label_skin(regions), edges=factors, own_grain=own_grain, grain=grain, height=height)
    skin = skin or SkinDetail(factors, [0.0] * len(factors))
    noise = _Noise(generator, max(regions.shape), grain)
    share, changes = share_of_skin(regions, height), []
    for number, (octave, factor, on_skin, missing) in enumerate(zip(own, factors, *skin, strict=True)):
        if number:
            share = cv2.pyrDown(share)
        # color is blurred below, and luma with it
        change = octave * (share * np.float32(on_skin - factor) + np.float32(0 if blurred else factor - 1))
        if number < grains:
            noise.add(change, number, 0, _missing(grain[number], own_grain[number] * on_skin))
        noise.add_pores(change, number, share, min(missing, limit))
        changes.append(change)
    luma = collapse(changes)
    result = synthetic + cv2.merge([luma, luma, luma])
    if blurred:
        own = octaves_of(synthetic, len(own))
        for octave, factor in zip(own, factors, strict=True):
            octave *= np.float32(factor - 1)
        result += collapse(own)
    if grains > 1:
        own_color, color = (cv2.split(cv2.transform(cv2.pyrDown(picture), RGB_TO_YCBCR[1:])) for picture in (synthetic, original))
        changes = []
        for channel, pair in enumerate(zip(own_color, color, strict=True), start=1):
            here, there = (octaves_of(values, grains - 1) for values in pair)
            total = [np.zeros_like(octave) for octave in here]
            for number, (present, strength) in enumerate(zip(_grains(here, smooth[0]), _grains(there, smooth[1]), strict=True)):
                limited = min(strength, grain[0])  # color is never grainier than luma: that would be a pattern
                noise.add(total[number], number + 1, channel, _missing(limited, present * min(factors[number + 1], 1), _ROUNDING / 2))
            changes.append(collapse(total))
        if noise.colored:
            result += enlarged(cv2.transform(cv2.merge(changes), YCBCR_TO_RGB[:, 1:]), result.shape)
    return result


def _largest_grain(regions: np.ndarray, height: float) -> float:
    """Limit of the grain's standard deviation: in a strip of skin between hair and a mask it cannot be told from hair."""
    share = np.count_nonzero(regions == SKIN) / max(height, 1.0) ** 2
    low, high = _SKIN_SEEN
    return MAX_GRAIN * min(max((share - low) / (high - low), 0.0), 1.0)


def _octave_count(height: float, shape: tuple[int, ...]) -> int:
    """Octaves from single pixels to the features' own size."""
    count = int(np.clip(np.log2(max(height * _COARSEST, 1.0)), 1, _MAX_OCTAVES - 1)) + 1
    return max(min(count, int(np.log2(max(min(shape), 1)))), 1)


def _smooth_skin(structure: np.ndarray, regions: np.ndarray, number: int) -> np.ndarray:
    """Parts of the face where skin has least structure, judged by octave ``number``, the first one that is coarser than grain.

    Returns:
        (h, w) uint8 of the octave's size: the number of the part from 1 on (forehead, cheeks, jaw; right and left), 0 elsewhere.
    """
    skin = subsampled(regions, number) == SKIN
    strength = cv2.blur(np.abs(structure), (3, 3))
    parts = np.zeros(skin.shape, np.uint8)
    for part, here in enumerate(parts_of(skin), start=1):
        values = strength[here][skin[here]]
        if len(values):
            parts[here][skin[here] & (strength[here] <= quantile(values, _SMOOTH_SHARE))] = part
    return parts


def _grain(octave: np.ndarray, parts: np.ndarray) -> float:
    """Standard deviation of an octave on smooth skin; 0 with too little skin.

    The median overlooks the edges of JPEG blocks, the smoother third of the parts masks of cloth, beards and hair.
    """
    labels = cv2.resize(parts, octave.shape[::-1], interpolation=cv2.INTER_NEAREST)
    found = magnitudes(octave, labels)
    medians = sorted(quantile(some, 0.5) for some in found if len(some) >= _MIN_GRAIN_PIXELS)
    return MEDIAN_TO_DEVIATION * medians[(len(medians) - 1) // 3] if medians else 0.0


def _grains(octaves: list[np.ndarray], parts: np.ndarray) -> list[float]:
    """Grain of the finest octaves; what does not fall from one to the next is structure."""
    grains = [_grain(octave, parts) for octave in octaves]
    for number in range(1, len(grains)):
        grains[number] = min(grains[number], _MAX_GROWTH * grains[number - 1])
    return grains


def _missing(wanted: float, present: float, rounding: float = _ROUNDING) -> float:
    """Standard deviation of the noise that brings grain from ``present`` to ``wanted``."""
    missing = max(wanted**2 - present**2 - rounding**2, 0.0) ** 0.5
    return min(missing, MAX_GRAIN) if missing > _NO_GRAIN else 0.0


def _edge_factors(
    own: list[np.ndarray], wanted: list[np.ndarray], regions: np.ndarray, own_grain: list[float], grain: list[float]
) -> list[float]:
    """By how much each octave of the synthetic face must change to be as strong as the photo's."""
    strengths, counts, len_labels = [], [], max(int(regions.max()), FIRST_FEATURE) + 1
    for number, pair in enumerate(zip(own, wanted, strict=True)):
        labels = np.ascontiguousarray(subsampled(regions, number)).ravel()
        step = len(labels) // MAX_SAMPLES * 2 + 1  # odd: not the same columns in every row
        labels = labels[::step]
        counts.append(np.bincount(labels, minlength=len_labels)[FIRST_FEATURE:])
        sums = [np.bincount(labels, np.square(octave.ravel()[::step]), len_labels)[FIRST_FEATURE:] for octave in pair]
        noise = [grains[number] ** 2 if number < len(grains) else 0.0 for grains in (own_grain, grain)]
        strengths.append(np.maximum(np.array(sums) / np.maximum(counts[-1], 1) - np.array(noise)[:, None], 0) + _EPSILON)
    known = np.array(counts) >= _MIN_EDGE_PIXELS
    ratios = np.sqrt([theirs / ours for ours, theirs in strengths])  # (octaves, features)
    factors = [1.0] * len(own)
    coarsest = next((number for number in reversed(range(len(own))) if known[number].any()), None)
    if coarsest is None:
        return factors
    contrast = float(np.clip(_median(ratios[coarsest][known[coarsest]]), *_CONTRAST_RANGE))
    for number in range(coarsest + 1):
        both = known[number] & known[coarsest]
        if both.any():
            factors[number] = min(_median(ratios[number][both] / ratios[coarsest][both]) * contrast, MAX_SHARPENING)
    return factors


def _median(values: np.ndarray) -> float:
    """Of a handful of values many times faster than numpy's."""
    ordered = sorted(values.tolist())
    return 0.5 * (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2])


class _Noise:
    """Noise by octaves, blurred like the photo's: one square of it, mirrored to fill a face and turned for each channel.

    Attributes:
        colored: whether noise was added to a channel of color.
    """

    def __init__(self, generator: np.random.Generator, side: int, grain: list[float]) -> None:
        self._generator, self._side = generator, _NOISE_SIDES[side > 2 * _NOISE_SIDES[0]]
        ratio = grain[1] / max(grain[0], _EPSILON) if len(grain) > 1 else 0.0
        self._blur = float(np.interp(ratio, _GRAIN_RATIOS, _GRAIN_BLURS))
        self._octaves: list[np.ndarray] = []
        self._deviations: list[float] = []
        self.colored = False

    def add(self, octave: np.ndarray, number: int, channel: int, deviation: float) -> None:
        """Add noise of a standard deviation to an octave, in place."""
        if deviation > 0:
            self.colored |= channel > 0
            octave += self._filling(octave.shape, number, channel) * np.float32(deviation)

    def add_pores(self, octave: np.ndarray, number: int, where: np.ndarray, deviation: float) -> None:
        """Add structure of skin to an octave, in place: denser here than there, and more dark than light."""
        if deviation <= _NO_GRAIN:
            return
        pores = self._filling(octave.shape, number, 3)
        density = cv2.GaussianBlur(self._filling(octave.shape, number, 2), (0, 0), _PORE_PATCH)
        density = np.exp(density * np.float32(_PORE_VARIATION / max(cv2.meanStdDev(density)[1].item(), _EPSILON)))
        pores -= np.float32(_PORE_SKEW) * (pores * pores - 1)
        octave += pores * density * where * np.float32(deviation)

    def _filling(self, shape: tuple[int, ...], number: int, turns: int) -> np.ndarray:
        """(h, w) noise of one octave, of standard deviation 1."""
        if not self._octaves:
            noise = self._generator.standard_normal((self._side, self._side), dtype=np.float32)
            if self._blur:
                noise = cv2.GaussianBlur(noise, (0, 0), self._blur)
            self._octaves = octaves_of(noise, _MAX_OCTAVES)
            self._deviations = [max(cv2.meanStdDev(one)[1].item(), _EPSILON) for one in self._octaves]
        tile = np.rot90(self._octaves[number], turns)[: shape[0], : shape[1]] * np.float32(1 / self._deviations[number])
        height, width = (have - own for have, own in zip(shape, tile.shape, strict=True))
        return cv2.copyMakeBorder(tile, 0, height, 0, width, cv2.BORDER_REFLECT) if height or width else tile
