"""Real and generated faces of the same photos as pairs of masked crops, and statistics of them.

Conventions: pictures are (n, S, S, 3) uint8 RGB, masks (n, S, S) bool, black outside; an octave is counted from the finest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...core.alignment import align_face, crop_image
from ...core.color import LUMA_WEIGHTS
from ...core.compositing import FEATHER
from ...core.landmarks import triangle_map
from ...core.opencv import cv2

NUM_OCTAVES = 5
# The blend of real and synthetic at the outline is neither: it is cut off.
EROSION = FEATHER + 0.01
# Cells of the statistics along each side, and bins of the gradients' directions in each.
_CELLS, _BINS = 4, 8
# Squared pixel values (0 to 255): energies below are rounding to 8 bits.
ENERGY_FLOOR = 0.1


@dataclass(frozen=True, eq=False)
class FacePairs:
    """Real and generated faces of the same photos.

    Attributes:
        real, generated: (n, S, S, 3) uint8, S a multiple of 32; black where the mask is not.
        masks: (n, S, S) bool, the same for both of a pair.
        persons: (n,) who is in the photo; folds and intervals go by people.

    Raises:
        ValueError: shapes or types do not fit, or a mask is empty.
    """

    real: np.ndarray
    generated: np.ndarray
    masks: np.ndarray
    persons: np.ndarray

    def __post_init__(self) -> None:
        shape = self.real.shape
        if len(shape) != 4 or shape[3] != 3 or shape[1] != shape[2] or shape[1] % 32 or shape[1] == 0:
            raise ValueError(f"real must be (n, S, S, 3) with S a multiple of 32, but got shape {shape}.")
        if self.generated.shape != shape:
            raise ValueError(f"generated must have the shape {shape} of real, but got {self.generated.shape}.")
        if self.real.dtype != np.uint8 or self.generated.dtype != np.uint8:
            raise ValueError(f"real and generated must be uint8, but got {self.real.dtype} and {self.generated.dtype}.")
        if self.masks.shape != shape[:3] or self.masks.dtype != bool:
            raise ValueError(f"masks must be bool of shape {shape[:3]}, but got {self.masks.dtype} of shape {self.masks.shape}.")
        if np.shape(self.persons) != shape[:1]:
            raise ValueError(f"persons must have shape {shape[:1]}, but got {np.shape(self.persons)}.")
        if not self.masks.any(axis=(1, 2)).all():
            raise ValueError("every mask must have pixels, but at least one is empty.")

    def __len__(self) -> int:
        return len(self.real)


def face_interior(
    before: np.ndarray, after: np.ndarray, landmarks: np.ndarray, target: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """One pair: the inside of a face, before and after.

    Args:
        before, after: RGB uint8 (height, width, 3), the photo and the anonymized photo.
        landmarks: (478, 3) photo pixels in the original; they place the square.
        target: (478, 3) photo pixels of the face in the anonymized photo.
        size: side of the crops in pixels.

    Returns:
        (S, S, 3) real, (S, S, 3) generated, (S, S) mask: where both meshes and the photo are, without the blended rim. None where
        nothing is left.

    Raises:
        ValueError: the landmarks have no head pose.
    """
    crop = align_face(np.asarray(landmarks, np.float64), size)
    mask = (triangle_map(crop.to_crop(landmarks), size) >= 0) & (triangle_map(crop.to_crop(target), size) >= 0)
    mask &= crop_image(np.pad(np.ones((before.shape[0] - 2, before.shape[1] - 2), np.float32), 1), crop) > 0.5  # not the repeated border
    padded = np.pad(mask.astype(np.uint8), 1)
    mask = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1] > EROSION * size
    if not mask.any():
        return None
    real, generated = (np.where(mask[..., None], crop_image(photo, crop), 0).astype(np.uint8) for photo in (before, after))
    return real, generated, mask


def _luma(picture: np.ndarray) -> np.ndarray:
    return picture.astype(np.float32) @ np.array(LUMA_WEIGHTS, np.float32)


def filled_luma(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(S, S) float32 luma that goes on smoothly beyond the mask, so that its edge is no structure (pull-push, Gortler et al. 1996)."""
    luma, weight = _luma(picture), mask.astype(np.float32)
    values, weights = [luma * weight], [weight]
    while values[-1].shape[0] % 2 == 0 and values[-1].shape[0] > 4:
        values.append(cv2.resize(values[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
        weights.append(cv2.resize(weights[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    field = np.full_like(values[-1], luma[mask].mean())
    for value, known in zip(reversed(values), reversed(weights), strict=True):
        if field.shape != value.shape:
            field = cv2.resize(field, value.shape[::-1], interpolation=cv2.INTER_LINEAR)
        field = np.where(known > 1e-3, value / np.maximum(known, 1e-3), field)
    return np.where(mask, luma, field)


def octaves(picture: np.ndarray, mask: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Laplacian pyramid (Burt & Adelson 1983) of a picture's luma inside a mask.

    Args:
        picture: (S, S, 3) uint8; mask: (S, S) bool.

    Returns:
        five of (band, mask), finest first, each half the size of the one before: float32 pixel values, bool.
    """
    level, shown, bands = filled_luma(picture, mask), mask.astype(np.float32), []
    for _ in range(NUM_OCTAVES):
        coarse = cv2.pyrDown(level)
        bands.append((level - cv2.pyrUp(coarse, dstsize=level.shape[::-1]), shown > 0.5))
        level, shown = coarse, cv2.resize(shown, coarse.shape[::-1], interpolation=cv2.INTER_AREA)
    return bands


def octave_energies(pictures: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """(n, S, S, 3), (n, S, S) -> (n, 5) mean squared octave inside the mask, in squared pixel values, finest first."""
    bands = [octaves(picture, mask) for picture, mask in zip(pictures, masks, strict=True)]
    return np.array([[float((band[shown] ** 2).mean()) if shown.any() else 0.0 for band, shown in row] for row in bands])


def cell_means(values: np.ndarray, mask: np.ndarray, cells: int = _CELLS) -> np.ndarray:
    """(k, S, S) -> (k, cells, cells) means over what the mask shows of each cell; 0 where that is next to nothing."""
    size = mask.shape[0] // cells
    shown = mask.astype(np.float32).reshape(cells, size, cells, size).sum(axis=(1, 3))
    sums = (values * mask).reshape(len(values), cells, size, cells, size).sum(axis=(2, 4))
    return np.where(shown > 0.05 * size * size, sums / np.maximum(shown, 1), 0)


def picture_statistics(pictures: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Features of the statistics classifier.

    Args:
        pictures: (n, S, S, 3) uint8; masks: (n, S, S) bool.

    Returns:
        (n, 196): log energies of the three finer octaves in each cell of a 4 x 4 grid and of all five over the whole; the shares of
        eight directions in the gradients of each cell; the spread of Cb and Cr; how heavy the tails of the two finest octaves are.
    """
    rows = []
    for picture, mask in zip(pictures, masks, strict=True):
        bands = octaves(picture, mask)
        energies = [np.log(cell_means(band[None] ** 2, shown) + ENERGY_FLOOR).ravel() for band, shown in bands[:3]]
        whole = [np.log((band[shown] ** 2).mean() + ENERGY_FLOOR) if shown.any() else np.log(ENERGY_FLOOR) for band, shown in bands]
        luma = filled_luma(picture, mask)
        dx, dy = cv2.Sobel(luma, cv2.CV_32F, 1, 0), cv2.Sobel(luma, cv2.CV_32F, 0, 1)
        bins = np.minimum((np.arctan2(dy, dx) % np.pi) * np.float32(_BINS / np.pi), _BINS - 1).astype(np.int8)
        strength = np.hypot(dx, dy)
        histogram = cell_means(np.stack([strength * (bins == b) for b in range(_BINS)]), mask)
        histogram = histogram / np.maximum(histogram.sum(axis=0, keepdims=True), 1e-3)
        color = picture[mask].astype(np.float32)
        chroma = [float((color @ np.array(axis, np.float32)).std()) for axis in ((-0.169, -0.331, 0.5), (0.5, -0.419, -0.081))]
        tails = [float(np.log((b[m] ** 4).mean() + ENERGY_FLOOR) - 2 * np.log((b[m] ** 2).mean() + ENERGY_FLOOR)) for b, m in bands[:2]]
        rows.append(np.concatenate([*energies, whole, histogram.ravel(), chroma, tails]))
    return np.array(rows, np.float64)
