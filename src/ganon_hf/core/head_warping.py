"""The head around a face warped so that its outline becomes that of the synthetic face.

The outline of a face identifies like the rest of its shape, and a landmark detector would find it in the part of the head that remains in
the photo. A synthetic face therefore has its own outline, and the picture around it is warped to fit: a smooth displacement that is
complete at the outline and zero a little further out (inverse distance weighting, Shepard 1968). It ends as soon as it can without
straining the picture, so that straight lines beside a head are bent as little as possible.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .alignment import to_uint8
from .faces import Box, box_of_points, clip_box
from .opencv import cv2
from .silhouette import is_turned, silhouette_shifts

# Distance from the outline at which the displacement is zero: between these, as far as the fade strains the picture by the third number
# (its steepest slope is 1.5 times its mean slope). And softening of distances near the outline. In units of the face's size.
LEAST_REACH, REACH, _FADE_STRAIN = 0.2, 0.55, 0.45
_SOFTNESS = 0.03
# Nodes along each side of the grid on which a displacement is computed: it is smooth, and the pixels between are interpolated.
_NODES = 48
# Displacements below this many pixels are none: OpenCV counts 32 places between two pixels.
_UNMOVED = 1 / 64
# Rows that are warped at a time, from the first to the last column that moves in them.
_STRIP = 32
# A displacement may compress or stretch the picture by at most this factor; 1 would fold it.
MAX_STRAIN = 0.75
# Shares of the way from the hull's warp to the silhouette's that are tried.
_SILHOUETTE_SHARES = (1.0, 0.8, 0.6, 0.4)


@dataclass(frozen=True, eq=False)
class HeadWarp:
    """A displacement of the picture around one face.

    Attributes:
        targets: (n, 2) new places of the outline's points, in photo pixels.
        shifts: (n, 2) their displacements, in photo pixels.
        size: of the face in pixels, the geometric mean of its width and height.
        reach: distance from the outline at which the displacement is zero, in sizes of the face.
    """

    targets: np.ndarray
    shifts: np.ndarray
    size: float
    reach: float = REACH

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
        if warp.strain > MAX_STRAIN:  # often the mesh does not fit the face, and what follows would not help
            raise ValueError(f"the outlines lie too far apart: the picture between them would be strained by {warp.strain:.2f}.")
        if is_turned(after, warp.targets, size):
            warp = warp._along_silhouette(before, after)
        short = replace(warp, reach=warp._least_reach)
        return short if short.strain <= MAX_STRAIN else warp

    @property
    def _least_reach(self) -> float:
        """How far the largest shift takes to fade; continuous in the points, so that the picture of a video does not jump."""
        largest = float(np.linalg.norm(self.shifts, axis=1).max()) / self.size
        return min(max(1.5 * largest / _FADE_STRAIN, LEAST_REACH), REACH)

    def _along_silhouette(self, before: np.ndarray, after: np.ndarray) -> HeadWarp:
        """The same with the silhouette of a turned head, as far as the picture does not fold beside its nose."""
        places, shifts = silhouette_shifts(before, after, self.move, self.size)
        coarse = self.shift_at(places)
        for share in _SILHOUETTE_SHARES:
            exact = HeadWarp(
                np.concatenate([self.targets, places]), np.concatenate([self.shifts, coarse + share * (shifts - coarse)]), self.size
            )
            if exact.strain <= MAX_STRAIN:
                return exact
        return self

    @property
    def box(self) -> Box:
        """Region that changes: the outline's box grown by the reach on all sides."""
        x_min, y_min, x_max, y_max = box_of_points(self.targets)
        reach = self.reach * self.size
        return x_min - reach, y_min - reach, x_max + reach, y_max + reach

    def shift_at(self, points: np.ndarray) -> np.ndarray:
        """(n, 2) places in the warped picture -> (n, 2) displacements of the pixels seen there."""
        origin = self.targets.mean(axis=0)  # numbers around zero, of which float32 holds enough digits
        targets, places = (self.targets - origin).astype(np.float32), (points - origin).astype(np.float32).T.copy()
        squared = np.square(places[0] - targets[:, :1])  # (outline, n), which numpy sums faster than (n, outline)
        squared += np.square(places[1] - targets[:, 1:])
        nearest = squared.min(axis=0)
        squared += np.float32((_SOFTNESS * self.size) ** 2)
        squared *= squared
        weights = np.reciprocal(squared, out=squared)
        fade = np.clip(1 - np.sqrt(nearest) / np.float32(self.reach * self.size), 0, 1)
        fade *= fade * (3 - 2 * fade)
        *shifts, total = np.vstack([self.shifts.T, np.ones(len(targets))]).astype(np.float32) @ weights
        fade /= total
        return np.stack([fade * shift for shift in shifts], axis=1)

    def move(self, points: np.ndarray) -> np.ndarray:
        """Warp (n, 2 or more) points of the picture; further columns stay."""
        moved = np.array(points, dtype=np.float64)
        for _ in range(3):  # fixed-point iteration; the shift is a contraction
            moved[:, :2] = points[:, :2] + self.shift_at(moved[:, :2])
        return moved

    def _grid(self, region: Box) -> tuple[np.ndarray, int, int]:
        """Shifts on a grid over a region: ((rows, columns, 2) float32, rows, columns); nodes at the cells' centers."""
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
        changes = (np.diff(shifts, axis=axis) for axis in range(2))
        return max(float(np.hypot(change[..., 0], change[..., 1]).max()) / step for change, step in zip(changes, steps, strict=True))


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
    grid = warp._grid(region)[0]
    across, down = cv2.split(cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR))
    moves = (np.maximum(np.abs(across), np.abs(down)) >= _UNMOVED).view(np.uint8)
    places_x, places_y = np.arange(width, dtype=np.float32) - across, np.arange(height, dtype=np.float32)[:, None] - down
    picture = canvas[y_min:y_max, x_min:x_max]
    source = picture.astype(np.float32)  # OpenCV's cubic remap is faster for floats than for bytes
    for top in range(0, height, _STRIP):
        left, _, length, _ = cv2.boundingRect(moves[top : top + _STRIP])
        if length:
            here = slice(top, top + _STRIP), slice(left, left + length)
            cubic, mirrored = cv2.INTER_CUBIC, cv2.BORDER_REFLECT_101
            picture[here] = to_uint8(cv2.remap(source, places_x[here], places_y[here], interpolation=cubic, borderMode=mirrored))
