"""Octaves of a picture (Laplacian pyramid, Burt and Adelson 1983), and the map of a face that says where its skin and its features are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .opencv import cv2

# Values of the map of regions; features are numbered from the last one on.
OUTSIDE, ELSEWHERE, SKIN, FIRST_FEATURE = 0, 1, 2, 3
NOSE = FIRST_FEATURE + 2  # the order of ``occluders.FEATURES``
# Skin is looked at in so many rows and columns of parts: forehead, cheeks, jaw; right and left.
_PARTS = (3, 2)
NUM_PARTS = _PARTS[0] * _PARTS[1]
# Octaves of a face at most.
MAX_OCTAVES = 7


class FaceAreas(NamedTuple):
    """Where a face has what, in photo pixels.

    Attributes:
        regions: (h, w) uint8, ``OUTSIDE`` of the face, ``SKIN``, from ``FIRST_FEATURE`` on the number of a feature with edges (an eye with
            its brow, nose, mouth), or ``ELSEWHERE``: between skin and features, and in a beard.
        brows: (h, w) uint8, 1 on the right brow, 2 on the left one, 0 elsewhere.
        jaw: (h, w) uint8, where a beard or stubble may grow: 1 on the right half, 2 on the left one, 0 elsewhere.
        bearded: the synthetic face has a beard.
        root: (x, y) from which the hair of a beard grows away.
        height: of the face.
    """

    regions: np.ndarray
    brows: np.ndarray
    jaw: np.ndarray
    bearded: bool
    root: tuple[float, float]
    height: float


def octaves_of(values: np.ndarray, count: int) -> list[np.ndarray]:
    """Octaves of an (h, w) or (h, w, c) array, finest first; each is half as large as the one before."""
    octaves = []
    for _ in range(count):
        coarse = cv2.pyrDown(values)
        octaves.append(values - enlarged(coarse, values.shape))
        values = coarse
    return octaves


def enlarged(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The next finer level of a pyramid, of a shape (h, w, ...)."""
    return cv2.pyrUp(values, dstsize=(shape[1], shape[0]))


def collapse(octaves: list[np.ndarray]) -> np.ndarray:
    """The sum of octaves at the resolution of the finest one."""
    total = octaves[-1]
    for octave in reversed(octaves[:-1]):
        total = octave + enlarged(total, octave.shape)
    return total


def subsampled(regions: np.ndarray, number: int) -> np.ndarray:
    """A map of regions at the resolution of an octave."""
    return regions[:: 1 << number, :: 1 << number]


def parts_of(skin: np.ndarray) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of each part of an (h, w) bool mask of skin."""
    x, y, width, height = cv2.boundingRect(skin.view(np.uint8))
    rows, columns = _PARTS
    for part in range(NUM_PARTS):
        row, column = divmod(part, columns)
        yield (
            slice(y + height * row // rows, y + height * (row + 1) // rows),
            slice(x + width * column // columns, x + width * (column + 1) // columns),
        )


def magnitudes(octave: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    """Absolute values of an octave in each part: of all pixels, as in a selection others would count from frame to frame of a video.

    Args:
        octave: (h, w).
        labels: (h, w) uint8, the number of the part from 1 on; 0 elsewhere.
    """
    values = np.abs(octave)
    return [values[labels == part] for part in range(1, NUM_PARTS + 1)]
