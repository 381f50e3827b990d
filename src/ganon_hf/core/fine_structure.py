"""Structure of features that is finer than the textures: strands of brows and beards, edges of lids, lips and irises.

Textures end at 256 texels, and in a face of 600 pixels one of them covers two pixels or more. What an octave lacks is made from the next
coarser one of the synthetic face itself, in two ways. Its strong edges, except those of brows, go on: the harmonics of the soft-clipped
octave (Greenspan, Anderson and Akber, "Image enhancement by nonlinear extrapolation in frequency space", IEEE TIP 2000). And in brows,
noise is drawn out along their structure where they are dark (line integral convolution, Cabral and Leedom 1993). In a beard, whose
structure in the texture is that of the skin below, it is drawn out away from the root of the nose.

Conventions: pictures are (h, w) float32 luma 0..255. Numbers without a source were tuned on photos.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .face_noise import NO_NOISE, FaceNoise
from .octaves import FIRST_FEATURE, MAX_OCTAVES, NOSE, SKIN, FaceAreas, enlarged, octaves_of, subsampled
from .opencv import cv2

# Edges: below the first share of the octave's standard deviation there is none, from the second one above it they are clipped softly. And
# by how much what then goes on is stronger.
_FAINT, _CLIP, _GAIN = 0.5, 1.5, 2.0
# From this height of a face in pixels of an octave, textures hold too little of it.
_TEXELS = 180
# A brow or a beard counts in an octave with so many of its pixels.
_MIN_PIXELS = 20
# Strands reach so many pixels to either side, in so many steps; standard deviation of the blur of their directions.
_REACH, _STEPS, _DIRECTION_BLUR = 7.0, 5, 5.0
# Brows are darker than their surroundings, blurred by this share of the face's height; the contrast of their strands is at most this share
# of up to so many pixel values of that.
_SURROUNDINGS, _CONTRAST, _DARKEST = 0.06, 0.8, 40.0
# A beard likewise, but beside the skin around it, of which light is a blur by this share of the face's height. Its hair crosses at these
# angles in radians, and waves by so many of them; the waves are noise of an octave that is so many octaves coarser.
_BEARD_CONTRAST, _DARKEST_BEARD, _SKIN_LIGHT = 0.6, 70.0, 0.15
_CROSSINGS, _WAVING, _WAVE = (-0.35, 0.0, 0.35), 0.3, 4
# Layers of hair are made of the same noise, shifted by so many pixels.
_SHIFT = 37
# Height in pixels of the face in the map of the skin's light.
_LIGHT_HEIGHT = 64
# Standard deviation of the blur of the outlines of features and brows, in pixels of an octave.
_SOFT = 2.0
_EPSILON = 1e-3  # against division by zero


def num_lacking(height: float) -> int:
    """Of how many octaves, finest first, the textures hold too little in a face of this height."""
    return math.floor(math.log2(max(height / _TEXELS, 0.5))) + 1


class Lack(NamedTuple):
    """Standard deviation in pixel values of what an octave of the synthetic face lacks beside the photo's.

    Attributes:
        edges: at edges of all features.
        eyes: at edges of each eye.
        brows: in each brow.
        beard: in a beard.
    """

    edges: float
    eyes: float
    brows: float
    beard: float


def missing_hair(
    own: list[np.ndarray], wanted: list[np.ndarray], areas: FaceAreas, factors: list[float], grain: list[float]
) -> list[tuple[float, float]]:
    """Standard deviation of the strands that brows and a beard lack, for each octave of which textures hold too little, finest first.

    Args:
        own, wanted: octaves of luma of the synthetic face and of the photo.
        areas: where both have what.
        factors: by which the synthetic ones change.
        grain: standard deviation of the photo's noise in the finest octaves.
    """
    missing = []
    for number in range(min(num_lacking(areas.height), len(own))):
        brows, noise = subsampled(areas.brows, number), grain[number] ** 2 if number < len(grain) else 0.0
        areas_of_hair = (brows == 1, brows == 2, (subsampled(areas.jaw, number) > 0) & areas.bearded)
        *both, beard = (_missing(own[number], wanted[number], here, factors[number], noise) for here in areas_of_hair)
        # what lies over only one brow is not its hair
        missing.append((min((lack for lack in both if lack is not None), default=0.0), beard or 0.0))
    return missing


def _missing(own: np.ndarray, wanted: np.ndarray, here: np.ndarray, factor: float, noise: float) -> float | None:
    """Standard deviation that an (h, w) octave, times a factor, lacks beside another one, whose noise has a variance; None with too few
    pixels."""
    if np.count_nonzero(here) < _MIN_PIXELS:
        return None
    ours, theirs = (float(np.square(octave[here]).mean()) for octave in (own, wanted))
    return max(theirs - noise - factor**2 * ours, 0.0) ** 0.5


def add_fine_structure(
    changes: list[np.ndarray], luma: np.ndarray, octaves: list[np.ndarray], areas: FaceAreas, lacks: list[Lack], noise: FaceNoise
) -> None:
    """Add what features lack, from coarse to fine.

    Args:
        changes: of each octave, to which it is added (in place).
        luma: (h, w) of the synthetic face.
        octaves: of it, finest first.
        areas: where it has what.
        lacks: of the finest octaves.
        noise: of which strands are made.
    """
    coarsest = max((number for number, lack in enumerate(lacks, start=1) if max(lack) > NO_NOISE), default=0)
    if not coarsest:
        return
    level, light = luma, _skin_light(luma, areas) if any(lack.beard > NO_NOISE for lack in lacks) else None
    for _ in range(coarsest):
        level = cv2.pyrDown(level)
    coarser = octaves[coarsest] + changes[coarsest] if coarsest < len(octaves) else np.zeros_like(level)
    for number in reversed(range(coarsest)):
        shape, lack = octaves[number].shape, lacks[number]
        level, coarser = enlarged(level, shape), enlarged(coarser, shape)
        brows = _softly(areas.brows > 0, number)
        if max(lack.edges, lack.eyes) > NO_NOISE:
            features, eyes = (_softly(here, number) for here in (areas.regions >= FIRST_FEATURE, _in_eyes(areas.regions)))
            made = _harmonics(coarser, features) * (features * (1 - brows))  # a brow ends in hairs, not at an edge
            of_all, of_eyes = (
                np.float32(min(missing / max(_root_mean_square(made, where), _EPSILON), 1))
                for missing, where in ((lack.edges, features), (lack.eyes, eyes))
            )
            changes[number] += made * (of_all + eyes * max(of_eyes - of_all, np.float32(0)))
        if lack.brows > NO_NOISE:
            _add_strands(changes[number], level, noise.filling(shape, number, 0), brows, areas.height / (1 << number), lack.brows)
        if light is not None and lack.beard > NO_NOISE:
            _add_beard(changes[number], level, light, noise, number, areas, lack.beard)
        coarser = octaves[number] + changes[number]
        level = level + coarser


def _in_eyes(regions: np.ndarray) -> np.ndarray:
    return (regions >= FIRST_FEATURE) & (regions < NOSE)


def _softly(mask: np.ndarray, number: int) -> np.ndarray:
    """(h, w) bool -> float32 0..1 at the resolution of an octave, with a soft outline."""
    return cv2.GaussianBlur(subsampled(mask, number).astype(np.float32), (0, 0), _SOFT)


def _root_mean_square(values: np.ndarray, weights: np.ndarray) -> float:
    squares = cv2.multiply(cv2.multiply(values, values), weights)
    return float((cv2.mean(squares)[0] / max(cv2.mean(weights)[0], _EPSILON)) ** 0.5)


def _harmonics(coarser: np.ndarray, features: np.ndarray) -> np.ndarray:
    """What strong edges of the next coarser octave, enlarged, look like in this one."""
    deviation = _root_mean_square(coarser, features) + _EPSILON
    strong = np.maximum(np.abs(coarser) - np.float32(_FAINT * deviation), 0)
    limit = np.float32(_CLIP * deviation)
    return np.float32(_GAIN) * octaves_of(np.copysign(limit * np.tanh(strong / limit), coarser), 1)[0]


def _add_strands(octave: np.ndarray, level: np.ndarray, noise: np.ndarray, brows: np.ndarray, height: float, deviation: float) -> None:
    """Add strands of hair to an octave (in place), the stronger the darker the brow is.

    Args:
        octave: (h, w).
        level: luma without it.
        noise: of it.
        brows: (h, w) float32 0..1, where they are.
        height: of the face in pixels of the octave.
        deviation: standard deviation of the strands, as far as the brows are dark enough for it.
    """
    blur = max(_SURROUNDINGS * height, 1.0)
    here = _around(brows, margin=round(3 * blur))
    level, brows = level[here], brows[here]
    dark = np.clip(cv2.GaussianBlur(level, (0, 0), blur) - level, 0, _DARKEST) * brows
    contrast = min(deviation / max(_root_mean_square(dark, brows), _EPSILON), _CONTRAST)
    octave[here] += _drawn_out(np.ascontiguousarray(noise[here]), level) * dark * np.float32(contrast)


def _skin_light(luma: np.ndarray, areas: FaceAreas) -> np.ndarray | None:
    """Coarse map of the luma of the skin around each place; far from any it is the mean of all. None where a face shows no skin."""
    skin = (areas.regions == SKIN).astype(np.float32)
    scale = min(_LIGHT_HEIGHT / max(areas.height, 1.0), 1.0)
    size = tuple(max(round(scale * side), 1) for side in luma.shape[::-1])
    total, known = (cv2.resize(values, size, interpolation=cv2.INTER_AREA) for values in (skin, luma * skin))
    if not total.any():
        return None
    mean, sigma = known.sum() / total.sum(), _SKIN_LIGHT * scale * areas.height
    total, known = (cv2.GaussianBlur(values, (0, 0), sigma) for values in (total, known))
    return (known + np.float32(_EPSILON * mean)) / (total + np.float32(_EPSILON))


def _add_beard(
    octave: np.ndarray, level: np.ndarray, light: np.ndarray, noise: FaceNoise, number: int, areas: FaceAreas, deviation: float
) -> None:
    """Add hair of a beard to an octave (in place), the stronger the darker it is there beside the skin.

    Args:
        octave, level: as of :func:`_add_strands`.
        light: see :func:`_skin_light`.
        noise: of which it is made.
        number: of the octave.
        areas: where the face has what.
        deviation: as of :func:`_add_strands`.
    """
    (height, width), beard = octave.shape, _softly(areas.jaw > 0, number)
    here = _around(beard, margin=round(2 * _REACH))
    beard = beard[here]
    dark = cv2.resize(light, (width, height), interpolation=cv2.INTER_LINEAR)[here] - level[here]
    dark = np.clip(dark, 0, _DARKEST_BEARD) * beard
    contrast = min(deviation / max(_root_mean_square(dark, beard), _EPSILON), _BEARD_CONTRAST)
    root_x, root_y = (place / (1 << number) for place in areas.root)
    rows, columns = np.ogrid[:height, :width]
    away = np.arctan2((rows[here[0]] - root_y).astype(np.float32), (columns[:, here[1]] - root_x).astype(np.float32))
    coarser = min(number + _WAVE, MAX_OCTAVES - 1)
    grid = -(-height >> _WAVE), -(-width >> _WAVE)
    total = np.zeros_like(dark)
    for layer, crossing in enumerate(_CROSSINGS):
        turn = 1 + layer % 2  # luma's grain and pores are the other two turns of the noise
        waves = cv2.resize(noise.filling(grid, coarser, turn), (width, height), interpolation=cv2.INTER_CUBIC)[here]
        angle = away + np.float32(crossing) + np.float32(_WAVING) * waves
        single = np.roll(noise.filling(octave.shape, number, turn), layer * _SHIFT, axis=(0, 1))[here]
        total += _drawn_along(single * np.abs(single), np.cos(angle), np.sin(angle))  # some hairs stand out
    octave[here] += total * dark * np.float32(contrast / len(_CROSSINGS) ** 0.5)


def _around(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    """Rows and columns of the box around a mask, with a margin."""
    x, y, width, height = cv2.boundingRect((mask > 0).view(np.uint8))
    return slice(max(y - margin, 0), y + height + margin), slice(max(x - margin, 0), x + width + margin)


def _drawn_out(noise: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Noise averaged along the structure of a picture, which its structure tensor gives; of standard deviation 1."""
    dx, dy = (cv2.Sobel(level, cv2.CV_32F, *order, ksize=3) for order in ((1, 0), (0, 1)))
    xx, yy, xy = (cv2.GaussianBlur(product, (0, 0), _DIRECTION_BLUR) for product in (dx * dx, dy * dy, dx * dy))
    across = 0.5 * cv2.phase(xx - yy, 2 * xy)  # the direction in which it changes most
    return _drawn_along(noise, -np.sin(across), np.cos(across))


def _drawn_along(noise: np.ndarray, along_x: np.ndarray, along_y: np.ndarray) -> np.ndarray:
    """Noise averaged along (h, w) directions; of standard deviation 1."""
    rows, columns = np.ogrid[: noise.shape[0], : noise.shape[1]]
    rows, columns = rows.astype(np.float32), columns.astype(np.float32)
    total = noise.copy()
    for step in np.linspace(_REACH / _STEPS, _REACH, _STEPS, dtype=np.float32):
        for sign in (step, -step):
            total += cv2.remap(noise, columns + sign * along_x, rows + sign * along_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    (total,) = octaves_of(total, 1)
    return total * np.float32(1 / max(cv2.meanStdDev(total)[1].item(), _EPSILON))
