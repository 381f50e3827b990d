"""A synthetic face as sharp and as grainy as its photo, in photo pixels.

What is taken from the photo is one number per octave for the strength of edges (seven at most), one each per octave for the edges of eyes
and the hair of brows and of a beard in the finest ones, one per octave and channel for grain (three for luma, two each for Cb and Cr),
and what ``skin_detail.py`` takes. Octaves are those of a Laplacian pyramid (Burt and Adelson 1983).

Conventions: pictures are (h, w, 3) RGB float32 0..255. Numbers without a source were tuned on photos.
"""

from __future__ import annotations

import numpy as np

from .color import RGB_TO_YCBCR, YCBCR_TO_RGB, luma_of
from .face_noise import NO_NOISE, FaceNoise
from .fine_structure import Lack, add_fine_structure, missing_hair, num_lacking
from .highlights import compress_shadows
from .octaves import (
    FIRST_FEATURE,
    MAX_OCTAVES,
    NOSE,
    OUTSIDE,
    SKIN,
    FaceAreas,
    collapse,
    enlarged,
    magnitudes,
    octaves_of,
    parts_of,
    subsampled,
)
from .opencv import cv2
from .robust_statistics import MEDIAN_TO_DEVIATION, quantile
from .skin_detail import SkinDetail, compare_skin, label_skin, missing_stubble, num_blotch_octaves, share_of_skin
from .skin_level import between

# Octaves: from single pixels up to structure of this share of the face's height, by which the contrast of features is measured.
_COARSEST = 1 / 12
# A feature counts in an octave with so many of its pixels.
_MIN_EDGE_PIXELS = 6
# Root mean square in pixel values that one of a feature's octaves must have in the photo.
_MIN_CONTRAST = 1.0
# Limits of the factors: octaves become at most so many times stronger in all, and by the features' contrast alone.
MAX_SHARPENING, _CONTRAST_RANGE = 1.8, (0.8, 1.35)
# Limit of the standard deviation of the structure that is made for features, in pixel values.
_MAX_LACK = 12.0
# Standard deviation of the blur of the outline of where stubble grows, as a share of the face's height.
_JAW_BLUR = 0.03
# An eye of which less than the first share of the other one's pixels is seen says nothing of lashes, one of more than the second says all.
_BOTH_EYES = 0.2, 0.4
# Edges of eyes are made where they lack clearly more than the other features: from the first quotient of what both are to become on, and in
# full from the second. A little would come and go from frame to frame of a video.
_CLEARLY_MORE = 1.0, 1.15
# Shadows that are sharpened come closer and closer to the second share of the face's luma, from the first one on.
_SHADOWS = 0.25, 0.06
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
_EPSILON = 1e-3  # against division by zero


def match_sharpness(synthetic: np.ndarray, original: np.ndarray, areas: FaceAreas, generator: np.random.Generator) -> np.ndarray:
    """Make the synthetic face as sharp and as grainy as the photo.

    Its edges are strengthened or weakened octave by octave towards those of the photo's face: in a blurred photo they blur, in a sharp one
    they stay sharp. How much darker brows or lips are than skin belongs to a person and does not count as blur: octaves are compared
    relative to the coarsest one. The median of the features counts, so that spectacles or a moustache do not. In large faces, what textures
    are too coarse for is made (``fine_structure.py``). Skin becomes as smooth or as rough as the photo's, by factors of its own. Then noise
    is added where the photo's smooth skin is grainier than the synthetic one, and structure of skin where it is rougher still.

    Args:
        synthetic, original: (h, w, 3) float32 0..255 at the photo's own resolution.
        areas: where both have what.
        generator: source of the noise.
    """
    regions, height = areas.regions, areas.height
    own_luma, luma = luma_of(synthetic), luma_of(original)
    np.copyto(luma, own_luma, where=regions == OUTSIDE)  # hair beside the face is no edge of the face
    own, wanted = (octaves_of(values, _octave_count(height, regions.shape)) for values in (own_luma, luma))
    grains = min(int(np.searchsorted(_GRAIN_HEIGHTS, height, side="right")), len(own) - 1)
    smooth = [_smooth_skin(octaves[grains], regions, grains) for octaves in (own, wanted)]
    own_grain, grain = (_grains(octaves[:grains], parts) for octaves, parts in zip((own, wanted), smooth, strict=True))
    limit = _largest_grain(regions, height)
    grain = [min(strength, limit) for strength in grain]
    factors, lacks = _edge_factors(own, wanted, areas, own_grain, grain)
    blurred = min(factors) < _BLURRED
    labels = label_skin(regions)
    skin = compare_skin(own, wanted, labels, edges=factors, own_grain=own_grain, grain=grain, height=height)
    skin = skin or SkinDetail(factors, [0.0] * len(factors))
    stubble = missing_stubble(own, wanted, areas, skin, own_grain, grain)
    noise = FaceNoise(generator, max(regions.shape), grain)
    share, porous, changes = share_of_skin(areas), [share_of_skin(areas, porous=True)], []
    jaw = None
    if max(stubble) > NO_NOISE:
        jaw = cv2.GaussianBlur((areas.jaw > 0).astype(np.float32), (0, 0), max(_JAW_BLUR * height, 0.5)) * porous[0]
    for number, (octave, factor, on_skin, missing) in enumerate(zip(own, factors, *skin, strict=True)):
        if number:
            share = cv2.pyrDown(share)
            porous.append(cv2.pyrDown(porous[-1]))
            jaw = None if jaw is None else cv2.pyrDown(jaw)
        # color is blurred below, and luma with it
        change = octave * (share * np.float32(on_skin - factor) + np.float32(0 if blurred else factor - 1))
        if number < grains:
            noise.add(change, number, 0, _missing(grain[number], own_grain[number] * on_skin))
        noise.add_pores(change, number, 0, porous[number], min(missing, limit))
        if jaw is not None:
            noise.add_stubble(change, number, jaw, stubble[number] * limit / MAX_GRAIN)
        changes.append(change)
    hair = missing_hair(own, wanted, areas, factors, grain)  # of the finest octaves
    lacking = [Lack(*edges, *strands) for edges, strands in zip(lacks, hair, strict=False)]
    add_fine_structure(changes, own_luma, own, areas, lacking, noise)
    luma = collapse(changes)
    if not blurred:
        _limit_shadows(luma, own_luma, regions != OUTSIDE)
    result = synthetic + cv2.merge([luma, luma, luma])
    if blurred:
        own = octaves_of(synthetic, len(own))
        for octave, factor in zip(own, factors, strict=True):
            octave *= np.float32(factor - 1)
        result += collapse(own)
    if grains > 1:
        labels = np.ascontiguousarray(subsampled(labels, 1))
        _match_color(result, synthetic, original, labels, porous[1:], height / 2, smooth, factors[1:], grain[: grains - 1], limit, noise)
    return result


def _limit_shadows(change: np.ndarray, luma: np.ndarray, face: np.ndarray) -> None:
    """Take back (in place) so much of a change that nothing runs black by it.

    Args:
        change: (h, w) of luma.
        luma: (h, w) before the change; what is dark already stays.
        face: (h, w) bool.
    """
    if not face.any():
        return
    level = quantile(luma[face], 0.5)
    limited = luma + change
    compress_shadows(limited, *(share * level for share in _SHADOWS))
    np.maximum(change, np.minimum(limited - luma, 0), out=change)


def _match_color(
    result: np.ndarray,
    synthetic: np.ndarray,
    original: np.ndarray,
    labels: np.ndarray,
    porous: list[np.ndarray],
    height: float,
    smooth: list[np.ndarray],
    edges: list[float],
    grain: list[float],
    limit: float,
    noise: FaceNoise,
) -> None:
    """Add grain and blotches of skin to the color of a face (in place), at half the resolution.

    Args:
        result: (h, w, 3) float32, the synthetic face to which they are added.
        synthetic, original: see :func:`match_sharpness`.
        labels: parts of the skin at half the resolution, see :func:`.skin_detail.label_skin`.
        porous: share of skin in each octave from there on, see :func:`.skin_detail.share_of_skin`.
        height: of the face at half the resolution.
        smooth: smooth skin of both, see :func:`_smooth_skin`.
        edges: factors of the octaves at half the resolution.
        grain: of luma, for each octave in which color may have some.
        limit: of the blotches' standard deviation.
        noise: from which both are made.
    """
    finest = len(grain)
    count = min(max(num_blotch_octaves(height), finest), len(edges))
    changes = []
    channels = (cv2.split(cv2.transform(cv2.pyrDown(picture), RGB_TO_YCBCR[1:])) for picture in (synthetic, original))
    for channel, pair in enumerate(zip(*channels, strict=True), start=1):
        own, wanted = (octaves_of(values, count) for values in pair)
        present, strengths = (_grains(octaves[:finest], parts) for octaves, parts in zip((own, wanted), smooth, strict=True))
        strengths = [min(strength, grain[0]) for strength in strengths]  # color is never grainier than luma: that would be a pattern
        skin = compare_skin(own, wanted, labels, edges=edges[:count], own_grain=present, grain=strengths, height=height, in_color=True)
        total = [np.zeros_like(octave) for octave in own]
        for number, octave in enumerate(total):
            if number < finest:
                missing = _missing(strengths[number], present[number] * min(edges[number], 1), _ROUNDING / 2)
                noise.add(octave, number + 1, channel, missing)
            if skin is not None:
                noise.add_pores(octave, number + 1, channel, porous[number], min(skin.missing[number], limit))
        changes.append(collapse(total))
    if noise.colored:
        result += enlarged(cv2.transform(cv2.merge(changes), YCBCR_TO_RGB[:, 1:]), result.shape)


def _largest_grain(regions: np.ndarray, height: float) -> float:
    """Limit of the grain's standard deviation: in a strip of skin between hair and a mask it cannot be told from hair."""
    share = np.count_nonzero(regions == SKIN) / max(height, 1.0) ** 2
    low, high = _SKIN_SEEN
    return MAX_GRAIN * min(max((share - low) / (high - low), 0.0), 1.0)


def _octave_count(height: float, shape: tuple[int, ...]) -> int:
    """Octaves from single pixels to the features' own size."""
    count = int(np.clip(np.log2(max(height * _COARSEST, 1.0)), 1, MAX_OCTAVES - 1)) + 1
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
    return min(missing, MAX_GRAIN) if missing > NO_NOISE else 0.0


def _edge_factors(
    own: list[np.ndarray], wanted: list[np.ndarray], areas: FaceAreas, own_grain: list[float], grain: list[float]
) -> tuple[list[float], list[tuple[float, float]]]:
    """By how much each octave of the synthetic face must change to be as strong as the photo's.

    Returns:
        factors; and the standard deviation of what features, and each of the eyes, then still lack.
    """
    strengths, counts, len_labels = [], [], max(int(areas.regions.max()), FIRST_FEATURE) + 1
    for number, pair in enumerate(zip(own, wanted, strict=True)):
        labels = np.ascontiguousarray(subsampled(areas.regions, number)).ravel()
        counts.append(np.bincount(labels, minlength=len_labels)[FIRST_FEATURE:])
        sums = [np.bincount(labels, np.square(octave.ravel()), len_labels)[FIRST_FEATURE:] for octave in pair]
        noise = [grains[number] ** 2 if number < len(grains) else 0.0 for grains in (own_grain, grain)]
        strengths.append(np.maximum(np.array(sums) / np.maximum(counts[-1], 1) - np.array(noise)[:, None], 0) + _EPSILON)
    known = np.array(counts) >= _MIN_EDGE_PIXELS
    known &= np.array(strengths)[:, :1].max(axis=0) > _MIN_CONTRAST**2  # a feature that the photo does not show says nothing
    ratios = np.sqrt([theirs / ours for ours, theirs in strengths])  # (octaves, features)
    factors, lacks = [1.0] * len(own), [(0.0, 0.0)] * len(own)
    coarsest = next((number for number in reversed(range(len(own))) if known[number].any()), None)
    if coarsest is None:
        return factors, lacks
    contrast = float(np.clip(_median(ratios[coarsest][known[coarsest]]), *_CONTRAST_RANGE))
    for number in range(coarsest + 1):
        both = known[number] & known[coarsest]
        if both.any():
            wishes = ratios[number] / ratios[coarsest] * contrast
            factors[number] = min(_median(wishes[both]), MAX_SHARPENING)
            if number < num_lacking(areas.height):
                eyes = both & (np.arange(len(both)) < NOSE - FIRST_FEATURE)
                of_eyes = 0.0
                if np.count_nonzero(eyes) == 2:  # lashes are on both, a reflection of spectacles or a strand of hair on one
                    sizes = counts[number][eyes]
                    wish = float(wishes[eyes].min())
                    of_eyes = _lack(wish, factors[number], strengths[number][1], counts[number] * eyes)
                    of_eyes *= between(float(sizes.min() / sizes.max()), *_BOTH_EYES)
                    of_eyes *= between(wish / max(factors[number], _EPSILON), *_CLEARLY_MORE)
                lacks[number] = _lack(_median(wishes[both]), factors[number], strengths[number][1], counts[number] * both), of_eyes
    return factors, lacks


def _lack(wished: float, factor: float, present: np.ndarray, counts: np.ndarray) -> float:
    """Standard deviation of what an octave lacks that was multiplied by another factor than the wished one.

    Args:
        wished, factor: the two.
        present: (n,) its variance in each feature.
        counts: (n,) pixels of each; 0 where it does not count.
    """
    if wished <= factor:
        return 0.0
    lack = ((wished**2 - factor**2) * float(np.average(present, weights=counts))) ** 0.5
    return min(lack, _MAX_LACK) if lack > NO_NOISE else 0.0


def _median(values: np.ndarray) -> float:
    """Of a handful of values many times faster than numpy's."""
    ordered = sorted(values.tolist())
    return 0.5 * (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2])
