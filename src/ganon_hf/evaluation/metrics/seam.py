"""Visible edge between the synthetic face and the photo: gradient energy across the rim, output over original."""

from __future__ import annotations

import numpy as np

from ...core.alignment import crop_image
from ...core.color import luma_of
from ...core.compositing import FEATHER
from ...core.faces import Crop
from ...core.opencv import cv2

# The rim reaches from this far outside of the outline to this far inside, in widths of the feather: the blend and the edge itself.
OUTSIDE, INSIDE = 0.25, 1.25
# Pixels of the crop; grain is not an edge.
SMOOTHING = 1.0
# Squared pixel values (0 to 255) per pixel, below which the original has no structure to compare with.
MIN_ENERGY = 1e-3


def seam_energy(before: np.ndarray, after: np.ndarray, crop: Crop, outlines: tuple[np.ndarray, np.ndarray]) -> float:
    """Energy of the luma's derivative across the outline in ``after``, as a multiple of that in ``before``.

    Both pictures are measured in the same aligned crop, so that the figure does not depend on the photo's resolution, each at the face's
    own outline. 1: as much of an edge as the photo itself has there (jaw, hair line); above: one more; below: the photo's edge is gone.

    Args:
        before, after: RGB uint8 (height, width, 3), original and output.
        crop: the aligned face.
        outlines: (S, S) bool each, in the crop: the face in the original, and what replaced it.

    Returns:
        the ratio of the mean squared derivatives; NaN where the crop shows no rim or the original is flat there.
    """
    first, second = (_energy(photo, crop, inside) for photo, inside in zip((before, after), outlines, strict=True))
    return second / first if first > MIN_ENERGY else float("nan")


def _energy(photo: np.ndarray, crop: Crop, inside: np.ndarray) -> float:
    """Mean squared derivative across the rim of a region; NaN without one."""
    distances = [cv2.distanceTransform(side.astype(np.uint8), cv2.DIST_L2, 5) for side in (inside, ~inside)]
    distance = distances[0] - distances[1]
    width = FEATHER * crop.size
    rim = (distance > -OUTSIDE * width) & (distance < INSIDE * width)
    rim[[0, -1]] = rim[:, [0, -1]] = False  # the border of the crop is no outline
    if not rim.any():
        return float("nan")
    across = np.stack(np.gradient(cv2.GaussianBlur(distance, (0, 0), 2.0)), axis=-1)
    across /= np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-6)
    luma = luma_of(crop_image(photo, crop).astype(np.float32))
    slope = np.stack(np.gradient(cv2.GaussianBlur(luma, (0, 0), SMOOTHING)), axis=-1)
    return float(((slope * across).sum(axis=-1)[rim] ** 2).mean())
