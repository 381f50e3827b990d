"""Insides of open mouths of portraits: teeth and tongue for the bank of people, chosen by opening and width."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.modeling_ganon import AppearancePrior
from .lighting import LightModel
from .portraits import MAX_OPENING, MIN_RESOLUTION, even_luma, half_size, mouth_shapes, predicted_luma, relative_chroma
from .textures import TextureSet

# Luma from which the skin's tone counts in full: that of skin in the prior's faces, about.
_SKIN_LUMA = 130.0
# Mouths: largest yaw and pitch, and the scale of opening and width in which they should differ. Values of teeth beyond the third number
# are compressed, by no more than the fourth.
_MAX_MOUTH_ANGLES, _MOUTH_SCALE, _BRIGHT_TEETH, _TEETH_ROOM = (18.0, 16.0), (0.03, 0.08), 135.0, 45.0


@dataclass(frozen=True, eq=False)
class Mouths:
    """Insides of open mouths, sorted by opening.

    Attributes:
        luma: (m, T, T) float32 under even light as bright as the prior's faces.
        chroma: (m, 2, T / 2, T / 2) float32 Cb and Cr with the prior's skin tone.
        shapes: (m, 2) opening and width, see :func:`mouth_shapes`.
        rows: (m,) indices of the pictures that they were made from.
    """

    luma: np.ndarray
    chroma: np.ndarray
    shapes: np.ndarray
    rows: np.ndarray


def read_mouths(textures: TextureSet, prior: AppearancePrior, resolution: np.ndarray, usable: np.ndarray, count: int) -> Mouths:
    """Choose open mouths that differ in opening and width.

    Args:
        textures, prior, resolution, usable: as for :func:`read_portraits`.
        count: how many.

    Raises:
        ValueError: there are fewer.
    """
    light = LightModel(textures.luma.shape[-1])
    shapes = mouth_shapes(textures.shapes)
    good = usable & (np.abs(textures.angles) < _MAX_MOUTH_ANGLES).all(axis=1) & (shapes[:, 0] > MAX_OPENING) & (resolution > MIN_RESOLUTION)
    color = np.full(len(textures), -1)
    color[textures.color_rows] = np.arange(len(textures.color_rows))
    rows = np.flatnonzero(good & (color >= 0))
    if len(rows) < count:
        raise ValueError(f"{count} frontal, open mouths in color are needed, but got {len(rows)} in {len(textures)} pictures.")
    rows = rows[_spread_out(shapes[rows] / np.array(_MOUTH_SCALE), count)]
    rows = rows[np.argsort(shapes[rows, 0], kind="stable")]
    luma = even_luma(textures, rows, predicted_luma(prior, textures, rows)[1], light)
    high = np.maximum(luma - _BRIGHT_TEETH, 0)
    luma = np.minimum(luma, _BRIGHT_TEETH) + high * _TEETH_ROOM / (high + _TEETH_ROOM)  # on dark skin under even light they are too bright
    chroma, tones, _ = relative_chroma(textures, rows, color[rows], light)
    return Mouths(luma, in_tone(chroma, luma, tones, prior.tone_mean[1:].numpy()), shapes[rows], rows)


def in_tone(chroma: np.ndarray, luma: np.ndarray, tones: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Mouths on skin of another tone. Where it is dark there is hardly any color, and hardly any of the tone to be exchanged.

    Args:
        chroma: (m, 2, T / 2, T / 2) Cb and Cr relative to the skin's.
        luma: (m, T, T) 0..255.
        tones: (m, 2) of the skin of the portraits.
        wanted: (2,) of the skin that is wanted.

    Returns:
        new chroma, relative to gray.
    """
    bright = np.stack([half_size(np.clip(one / _SKIN_LUMA, 0, 1)) for one in luma])[:, None]
    result: np.ndarray = chroma + tones[:, :, None, None] * (1 - bright) + wanted[:, None, None] * bright
    return result.astype(np.float32)


def _spread_out(places: np.ndarray, count: int) -> np.ndarray:
    """Indices of (n, d) places that are far from each other: the farthest of those that are left, one after the other."""
    chosen = [int(np.argmin(np.linalg.norm(places - np.median(places, axis=0), axis=1)))]
    distance = np.full(len(places), np.inf)
    while len(chosen) < count:
        distance = np.minimum(distance, np.linalg.norm(places - places[chosen[-1]], axis=1))
        chosen.append(int(distance.argmax()))
    return np.array(chosen)
