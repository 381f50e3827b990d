"""A synthetic face as sharp and as grainy as its photo, in photo pixels.

What is taken from the photo is one number per octave for the strength of edges and one per octave and channel for grain, some ten in all.
Octaves are those of a Laplacian pyramid (Burt and Adelson 1983).

Conventions: pictures are (h, w, 3) RGB float32 0..255. Numbers without a source were tuned on photos.
"""

from __future__ import annotations

import numpy as np

from .color import RGB_TO_YCBCR, YCBCR_TO_RGB
from .light_matching import MEDIAN_TO_DEVIATION, quantile
from .opencv import cv2

# Octaves: from single pixels up to structure of this share of the face's height, by which the contrast of features is measured.
_COARSEST, _MAX_OCTAVES = 1 / 12, 7
# A feature counts in an octave with so many of its pixels.
_MIN_EDGE_PIXELS = 6
# Limits of the factors: octaves become at most so many times stronger in all, and by the features' contrast alone.
MAX_SHARPENING, _MAX_CONTRAST = 1.6, 1.3
# Factor below which color is blurred with luma.
_BLURRED = 0.85

# Grain: the finest octaves; by the height of the face in pixels from which one, two and three of them are measured. In smaller faces
# every octave is full of features. Color has grain from the second one on, as cameras and JPEG store it at half the resolution.
_GRAIN_HEIGHTS = (48, 128, 256)
# This share of the skin is where its structure is least: no wrinkles, no beard. It needs so many pixels.
_SMOOTH_SHARE, _MIN_GRAIN_PIXELS = 1 / 3, 40
# Limit of the grain's standard deviation per octave, and the grain that rounding to whole pixel values makes, in pixel values.
MAX_GRAIN, _ROUNDING = 8.0, 0.35
# Side of the square of noise, which is mirrored to fill larger faces; a multiple of the coarsest octave of grain.
_NOISE_SIDE = 256
# Standard deviation of the grain in a channel's octave for which nothing is added.
_NO_GRAIN = 0.2
_EPSILON = 1e-3  # against division by zero


# Values of the map of regions; features are numbered from the last one on.
ELSEWHERE, SKIN, FIRST_FEATURE = 0, 1, 2


def match_sharpness(
    synthetic: np.ndarray, original: np.ndarray, regions: np.ndarray, height: float, generator: np.random.Generator
) -> np.ndarray:
    """Make the synthetic face as sharp and as grainy as the photo.

    Its edges are strengthened or weakened octave by octave towards those of the photo's face: in a blurred photo they blur, in a sharp one
    they stay sharp. How much darker brows or lips are than skin belongs to a person and does not count as blur: octaves are compared
    relative to the coarsest one. The median of the features counts, so that spectacles or a moustache do not. Then noise is added where
    the photo's smooth skin is rougher than the synthetic one.

    Args:
        synthetic, original: (h, w, 3) float32 0..255 at the photo's own resolution.
        regions: (h, w) uint8, where both have what: ``ELSEWHERE``, ``SKIN``, or from ``FIRST_FEATURE`` on the number of a feature with
            edges (an eye with its brow, nose, mouth).
        height: of the face in photo pixels.
        generator: source of the noise.
    """
    count = _octave_count(height, regions.shape)
    ours, theirs = (cv2.split(cv2.transform(picture, RGB_TO_YCBCR)) for picture in (synthetic, original))
    own, wanted = (_octaves(luma, count) for luma in (ours[0], theirs[0]))
    grains = min(int(np.searchsorted(_GRAIN_HEIGHTS, height, side="right")), count - 1)
    own_smooth, smooth = (_smooth_skin(octaves[grains], regions, grains) for octaves in (own, wanted))
    own_grain = [_grain(octave, own_smooth) for octave in own[:grains]]
    grain = [_grain(octave, smooth) for octave in wanted[:grains]]
    factors = _edge_factors(own, wanted, regions, own_grain, grain)
    noise = _Noise(generator, max(regions.shape))
    changes = [octave * np.float32(factor - 1) for octave, factor in zip(own, factors, strict=True)]
    for number, (wanted_here, present) in enumerate(zip(grain, own_grain, strict=True)):
        noise.add(changes[number], number, 0, _missing(wanted_here, present * factors[number]))
    result = [ours[0] + _collapse(changes)]
    blurred = bool(min(factors) < _BLURRED)
    for channel in (1, 2):
        # at half the resolution, as cameras and JPEG store it
        if not blurred and grains < 2:
            result.append(ours[channel])
            continue
        half, half_original = cv2.pyrDown(ours[channel]), cv2.pyrDown(theirs[channel])
        octaves = _octaves(half, count - 1) if blurred else _octaves(half, grains - 1)
        changes = [octave * np.float32(min(factor - 1, 0)) for octave, factor in zip(octaves, factors[1:], strict=False)]
        for number, octave in enumerate(_octaves(half_original, grains - 1)):
            wanted_here, present = _grain(octave, smooth), _grain(octaves[number], own_smooth)
            noise.add(changes[number], number + 1, channel, _missing(wanted_here, present * min(factors[number + 1], 1)))
        change = _up(_collapse(changes), ours[channel].shape)
        if factors[0] < _BLURRED:
            change += (ours[channel] - _up(half, ours[channel].shape)) * np.float32(factors[0] - 1)
        result.append(ours[channel] + change)
    return cv2.transform(cv2.merge(result), YCBCR_TO_RGB)


def _octave_count(height: float, shape: tuple[int, ...]) -> int:
    """Octaves from single pixels to the features' own size."""
    count = int(np.clip(np.log2(max(height * _COARSEST, 1.0)), 1, _MAX_OCTAVES - 1)) + 1
    return max(min(count, int(np.log2(max(min(shape), 1)))), 1)


def _octaves(values: np.ndarray, count: int) -> list[np.ndarray]:
    """Octaves of an (h, w) array, finest first; each is half as large as the one before."""
    octaves = []
    for _ in range(count):
        coarse = cv2.pyrDown(values)
        octaves.append(values - _up(coarse, values.shape))
        values = coarse
    return octaves


def _up(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return cv2.pyrUp(values, dstsize=(shape[1], shape[0]))


def _collapse(octaves: list[np.ndarray]) -> np.ndarray:
    """The sum of octaves at the resolution of the finest one."""
    total = octaves[-1]
    for octave in reversed(octaves[:-1]):
        total = octave + _up(total, octave.shape)
    return total


def _smooth_skin(structure: np.ndarray, regions: np.ndarray, number: int) -> np.ndarray:
    """Where skin has least structure, judged by octave ``number``, the first one that is coarser than grain: (h, w) bool in its size."""
    skin = _subsampled(regions, number) == SKIN
    strength = cv2.blur(np.abs(structure), (3, 3))
    values = strength[skin]
    return skin & (strength <= quantile(values, _SMOOTH_SHARE)) if len(values) else skin


def _subsampled(regions: np.ndarray, number: int) -> np.ndarray:
    return regions[:: 1 << number, :: 1 << number]


def _grain(octave: np.ndarray, smooth: np.ndarray) -> float:
    """Standard deviation of an octave on smooth skin. The median overlooks the edges of JPEG blocks; 0 with too little skin."""
    where = cv2.resize(smooth.view(np.uint8), octave.shape[::-1], interpolation=cv2.INTER_NEAREST).view(bool)
    values = np.abs(octave[where])
    return MEDIAN_TO_DEVIATION * quantile(values, 0.5) if len(values) >= _MIN_GRAIN_PIXELS else 0.0


def _missing(wanted: float, present: float) -> float:
    """Standard deviation of the noise that brings grain from ``present`` to ``wanted``."""
    missing = max(wanted**2 - present**2 - _ROUNDING**2, 0.0) ** 0.5
    return min(missing, MAX_GRAIN) if missing > _NO_GRAIN else 0.0


def _edge_factors(
    own: list[np.ndarray], wanted: list[np.ndarray], regions: np.ndarray, own_grain: list[float], grain: list[float]
) -> list[float]:
    """By how much each octave of the synthetic face must change to be as strong as the photo's."""
    ratios = []
    for number, pair in enumerate(zip(own, wanted, strict=True)):
        labels = _subsampled(regions, number)
        noise = [grains[number] if number < len(grains) else 0.0 for grains in (own_grain, grain)]
        found = []
        for feature in range(FIRST_FEATURE, int(regions.max()) + 1):
            where = labels == feature
            if np.count_nonzero(where) >= _MIN_EDGE_PIXELS:
                strengths = [max(float(np.mean(np.square(o[where]))) - n * n, 0.0) for o, n in zip(pair, noise, strict=True)]
                found.append(0.5 * np.log((strengths[1] + _EPSILON) / (strengths[0] + _EPSILON)))
        ratios.append(float(np.median(found)) if found else None)
    known = [ratio for ratio in ratios if ratio is not None]
    if len(known) < 2:
        return [1.0] * len(own)
    contrast = float(np.clip(np.exp(known[-1]), 1, _MAX_CONTRAST))
    return [1.0 if ratio is None else min(float(np.exp(ratio - known[-1])) * contrast, MAX_SHARPENING) for ratio in ratios]


class _Noise:
    """White noise by octaves."""

    def __init__(self, generator: np.random.Generator, side: int) -> None:
        self._generator, self._side = generator, _NOISE_SIDE if side > _NOISE_SIDE // 2 else _NOISE_SIDE // 2
        self._octaves: dict[int, list[np.ndarray]] = {}

    def add(self, octave: np.ndarray, number: int, channel: int, deviation: float) -> None:
        """Add noise of a standard deviation to an octave, in place."""
        if deviation <= 0:
            return
        if channel not in self._octaves:
            noise = self._generator.standard_normal((self._side, self._side), dtype=np.float32)
            self._octaves[channel] = _octaves(noise, len(_GRAIN_HEIGHTS))
        tile = self._octaves[channel][number]
        height, width = (max(have - own, 0) for have, own in zip(octave.shape, tile.shape, strict=True))
        tile = cv2.copyMakeBorder(tile, 0, height, 0, width, cv2.BORDER_REFLECT)[: octave.shape[0], : octave.shape[1]]
        octave += tile * np.float32(deviation / max(float(np.std(self._octaves[channel][number])), _EPSILON))
