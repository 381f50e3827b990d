"""Does an edge show where the synthetic face meets the photo? Gradient energy across the rim, output over original."""

from __future__ import annotations

import numpy as np

from ..alignment import crop_image
from ..compositing import FEATHER
from ..faces import Crop
from ..landmarks import require_opencv

try:
    import cv2
except ImportError:  # require_opencv() says what to install
    cv2 = None

# The rim reaches from this far outside of the outline to this far inside, in widths of the feather: the blend and the edge itself.
OUTSIDE, INSIDE = 0.25, 1.25
# Pixels of the crop; grain is not an edge.
SMOOTHING = 1.0
_LUMA = np.array([[0.299, 0.587, 0.114]], np.float32)


def seam_energy(before: np.ndarray, after: np.ndarray, crop: Crop, inside: np.ndarray) -> float:
    """Energy of the luma's derivative across an outline in ``after``, as a multiple of that in ``before``.

    Both pictures are looked at in the same aligned crop, so that the figure does not depend on the photo's resolution. 1: as much of an
    edge as the photo itself has there (jaw, hair line); above: one more; below: the photo's own edge is gone.

    Args:
        before, after: RGB uint8 (height, width, 3), original and output.
        crop: the aligned face.
        inside: (S, S) bool, what was replaced, in the crop.

    Returns:
        the ratio of the mean squared derivatives; NaN where the crop shows no rim or the original is flat there.
    """
    require_opencv()
    distance = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 5) - cv2.distanceTransform(
        (~inside).astype(np.uint8), cv2.DIST_L2, 5
    )
    width = FEATHER * crop.size
    rim = (distance > -OUTSIDE * width) & (distance < INSIDE * width)
    rim[[0, -1]] = rim[:, [0, -1]] = False  # the border of the crop is no outline
    field = cv2.GaussianBlur(distance, (0, 0), 2.0)
    across = np.stack(np.gradient(field), axis=-1)
    across /= np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-6)
    energies = []
    for photo in (before, after):
        luma = cv2.transform(crop_image(photo, crop).astype(np.float32), _LUMA)
        slope = np.stack(np.gradient(cv2.GaussianBlur(luma, (0, 0), SMOOTHING)), axis=-1)
        energies.append(float(((slope * across).sum(axis=-1)[rim] ** 2).mean()) if rim.any() else np.nan)
    return energies[1] / energies[0] if energies[0] > 1e-3 else float("nan")
