"""Coverage of a detector: which known faces it finds, by face height, and its false detections.

Boxes are (x_min, y_min, x_max, y_max) in photo pixels, photos RGB uint8 (height, width, 3). The visible part of a known face counts as
found when a box contains its center and at least half of its area, with an IoU of 0.2 or more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ...core.faces import Box, Face, box_overlap

MIN_COVERED = 0.5
MIN_IOU = 0.2


@dataclass(frozen=True)
class CoverageRow:
    """Counts for one face height: ``replaceable`` have landmarks, ``boxed`` a box alone (they get covered), ``missed`` neither."""

    height: int
    replaceable: int
    boxed: int
    missed: int

    @property
    def total(self) -> int:
        return self.replaceable + self.boxed + self.missed

    @property
    def found_share(self) -> float:
        return (self.replaceable + self.boxed) / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the found share."""
        n, share, z = self.total, self.found_share, 1.96
        middle, spread = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
        return (middle - spread) / (1 + z * z / n), (middle + spread) / (1 + z * z / n)

    def to_dict(self) -> dict[str, float]:
        return {**asdict(self), "found_share": self.found_share, "low": self.interval[0], "high": self.interval[1]}


def match_faces(truths: Sequence[Box], boxes: Sequence[Box]) -> tuple[list[int | None], list[int]]:
    """Index of the box that covers each known face (or None), and the indices of boxes that touch no known face."""
    found = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    matches: list[int | None] = []
    touching = np.zeros(len(found), bool)
    for truth in truths:
        if not len(found):
            matches.append(None)
            continue
        union, _ = box_overlap(truth, found)
        low, high = np.maximum(found[:, :2], truth[:2]), np.minimum(found[:, 2:], truth[2:])
        covered = np.clip(high - low, 0, None).prod(axis=1) / ((truth[2] - truth[0]) * (truth[3] - truth[1]))
        center = np.array([(truth[0] + truth[2]) / 2, (truth[1] + truth[3]) / 2])
        inside = (center >= found[:, :2]).all(axis=1) & (center <= found[:, 2:]).all(axis=1)
        fits = inside & (covered >= MIN_COVERED) & (union >= MIN_IOU)
        touching |= union > 0.05
        matches.append(int(np.argmax(np.where(fits, union, -1))) if fits.any() else None)
    return matches, [int(i) for i in np.flatnonzero(~touching)]


def coverage_table(scenes: Iterable[tuple[Sequence[tuple[Box, int]], Sequence[Face]]]) -> list[CoverageRow]:
    """Known (box, nominal height) and found faces of every scene -> one row per height, small ones first."""
    counts: dict[int, list[int]] = {}
    for truths, faces in scenes:
        matches, _ = match_faces([box for box, _ in truths], [face.box for face in faces])
        for (_, height), match in zip(truths, matches, strict=True):
            kind = 2 if match is None else 0 if faces[match].landmarks is not None else 1
            counts.setdefault(height, [0, 0, 0])[kind] += 1
    return [CoverageRow(height, *counts[height]) for height in sorted(counts)]
