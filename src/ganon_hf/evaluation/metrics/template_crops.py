"""Crops in which some points of the face lie where a network expects them."""

from __future__ import annotations

import numpy as np

from ...core.alignment import crop_image
from ...core.faces import Crop


def template_crop(points: np.ndarray, template: np.ndarray, size: int) -> Crop:
    """The square that brings points nearest to their template by moving, turning and scaling (least squares; Umeyama 1991).

    Args:
        points: (n, 2) photo pixels, not all the same.
        template: (n, 2) pixels of the crop, centers at .5.
        size: side of the crop in pixels.
    """
    # a similarity of the plane is one complex factor and one complex shift
    source, target = (np.asarray(some, np.float64) @ np.array([1, 1j]) for some in (points, template))
    middle, spread = source.mean(), source - source.mean()
    factor = np.vdot(spread, target - target.mean()) / np.vdot(spread, spread).real
    shift = target.mean() - factor * middle
    return Crop(np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]]), size)


def as_input(pictures: np.ndarray, mean: float | tuple[float, ...], scale: float) -> np.ndarray:
    """(n, S, S, 3) uint8 -> (n, 3, S, S) float32, ``(value - mean) / scale``."""
    values = (pictures.astype(np.float32) - np.asarray(mean, np.float32)) / np.float32(scale)
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


def crop_to_template(photo: np.ndarray, points: np.ndarray, template: np.ndarray, size: int) -> np.ndarray:
    """(S, S, 3) uint8 of an RGB uint8 photo; arguments as for :func:`template_crop`."""
    return crop_image(photo, template_crop(points, template, size))
