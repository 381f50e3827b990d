"""The head around a face warped so that its outline becomes that of the synthetic face.

The outline of a face identifies like the rest of its shape, and a landmark detector would find it in the part of the head that remains in
the photo. A synthetic face therefore has its own outline, and the picture around it is warped to fit: a smooth displacement that is
complete at the outline and zero half a face further out (inverse distance weighting, Shepard 1968).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .alignment import to_uint8
from .faces import Box, box_of_points, clip_box
from .opencv import cv2

# Distance from the outline at which the displacement is zero, and softening of distances near it; in units of the face's size.
REACH = 0.55
_SOFTNESS = 0.03
# Nodes along each side of the grid on which a displacement is computed: it is smooth, and the pixels between are interpolated.
_NODES = 48
# A displacement may compress or stretch the picture by at most this factor; 1 would fold it.
MAX_STRAIN = 0.75


@dataclass(frozen=True, eq=False)
class HeadWarp:
    """A displacement of the picture around one face.

    Attributes:
        targets: (n, 2) new places of the outline's points, in photo pixels.
        shifts: (n, 2) their displacements, in photo pixels.
        size: of the face in pixels, the geometric mean of its width and height.
    """

    targets: np.ndarray
    shifts: np.ndarray
    size: float

    @classmethod
    def between(cls, before: np.ndarray, after: np.ndarray) -> HeadWarp:
        """The warp that moves the outline of one mesh to that of another.

        Args:
            before, after: (478, 2 or 3) photo pixels; the outline is the convex hull of ``after``.

        Raises:
            ValueError: the points have no extent, or outlines so far apart that the picture would fold.
        """
        x_min, y_min, x_max, y_max = box_of_points(after)
        size = float(np.sqrt((x_max - x_min) * (y_max - y_min)))
        if not size > 1:
            raise ValueError(f"the points of a face must span more than a pixel, but span {x_max - x_min:.3g} x {y_max - y_min:.3g}.")
        hull = cv2.convexHull(after[:, :2].astype(np.float32), returnPoints=False).ravel()
        warp = cls(after[hull, :2].astype(np.float64), (after - before)[hull, :2].astype(np.float64), size)
        if warp.strain > MAX_STRAIN:
            raise ValueError(f"the outlines lie too far apart: the picture between them would be strained by {warp.strain:.2f}.")
        return warp

    @property
    def box(self) -> Box:
        """Region that changes: the outline's box grown by the reach on all sides."""
        x_min, y_min, x_max, y_max = box_of_points(self.targets)
        reach = REACH * self.size
        return x_min - reach, y_min - reach, x_max + reach, y_max + reach

    def shift_at(self, points: np.ndarray) -> np.ndarray:
        """(n, 2) places in the warped picture -> (n, 2) displacements of the pixels seen there."""
        squared = np.subtract.outer(points[:, 0], self.targets[:, 0]) ** 2
        squared += np.subtract.outer(points[:, 1], self.targets[:, 1]) ** 2
        weights = squared + (_SOFTNESS * self.size) ** 2
        weights *= weights
        np.reciprocal(weights, out=weights)
        fade = np.clip(1 - np.sqrt(squared.min(axis=1)) / (REACH * self.size), 0, 1)
        fade = fade * fade * (3 - 2 * fade)
        return fade[:, None] * (weights @ self.shifts) / weights.sum(axis=1, keepdims=True)

    def move(self, points: np.ndarray) -> np.ndarray:
        """Warp (n, 2 or more) points of the picture; further columns stay."""
        moved = np.array(points, dtype=np.float64)
        for _ in range(3):  # fixed-point iteration; the shift is a contraction
            moved[:, :2] = points[:, :2] + self.shift_at(moved[:, :2])
        return moved

    def _grid(self, region: Box) -> tuple[np.ndarray, int, int]:
        """Shifts on a grid over a region: ((rows, columns, 2) float64, rows, columns); nodes at the cells' centers."""
        width, height = region[2] - region[0], region[3] - region[1]
        columns, rows = (int(np.clip(round(side), 2, _NODES)) for side in (width, height))
        x = region[0] + (np.arange(columns) + 0.5) * width / columns
        y = region[1] + (np.arange(rows) + 0.5) * height / rows
        nodes = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        return self.shift_at(nodes).reshape(rows, columns, 2), rows, columns

    @property
    def strain(self) -> float:
        """Largest change of the shift from place to place, in pixels per pixel."""
        box = self.box
        shifts, rows, columns = self._grid(box)
        steps = (box[3] - box[1]) / rows, (box[2] - box[0]) / columns
        return float(max(np.linalg.norm(np.diff(shifts, axis=axis), axis=-1).max() / step for axis, step in enumerate(steps)))


def warp_head(canvas: np.ndarray, warp: HeadWarp) -> None:
    """Warp the picture around a face (in place).

    Args:
        canvas: (h, w, 3) uint8.
        warp: in pixels of the canvas. Beyond its border the picture is mirrored.
    """
    region = clip_box(warp.box, height=canvas.shape[0], width=canvas.shape[1])
    if region is None:
        return
    x_min, y_min, x_max, y_max = region
    width, height = x_max - x_min, y_max - y_min
    shifts = cv2.resize(warp._grid(region)[0].astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    source = canvas[y_min:y_max, x_min:x_max].astype(np.float32)  # OpenCV's cubic remap is faster for floats than for bytes
    cubic, mirrored = cv2.INTER_CUBIC, cv2.BORDER_REFLECT_101
    moved = cv2.remap(source, x - shifts[..., 0], y - shifts[..., 1], interpolation=cubic, borderMode=mirrored)
    canvas[y_min:y_max, x_min:x_max] = to_uint8(moved)
