"""The covers of a photo in which synthetic faces are painted, too.

Covers come first: nothing of what they hide can be read, moved or blended by a synthetic face. They are renewed at the end, so that
nothing stays painted on a covered face. Where two faces lie on each other one gives way: of half a face nobody has any use.
"""

from __future__ import annotations

import numpy as np

from .compositing import cover_face
from .faces import Box, Face, area_of, clip_box

# Shares of a box. A cover gives way to a replaced face on which more of it lies than the first: it is the same face, or a part of it. With
# more than the second on a cover a face is not replaced, and a doubtful cover gives way to any replaced face with so much of the smaller of
# the two: of 13 such covers in 27 photos none was on a face of its own.
MOST, MUCH = 1 / 2, 1 / 3


class Covers:
    """Covers faces, and remembers which.

    Args:
        canvas: (h, w, 3) uint8, which is changed in place.
    """

    def __init__(self, canvas: np.ndarray) -> None:
        self._canvas = canvas
        self._covered: list[tuple[Face, np.ndarray]] = []  # with the color of the cover

    def add(self, face: Face) -> None:
        """Cover a face with a margin around it."""
        cover_face(self._canvas, face.box, face.landmarks)
        region = clip_box(face.box, height=self._canvas.shape[0], width=self._canvas.shape[1])
        if region is not None:
            self._covered.append((face, self._canvas[region[1], region[0]].copy()))

    def are_under(self, face: Face) -> bool:
        """Whether too much of a synthetic face in that place would be painted on covers that do not give way to it."""
        shares = (_shared(face.box, cover.box) / area_of(face.box) for cover, _ in self._covered if not _gives_way(cover, face))
        return max(shares, default=0.0) > MUCH

    def renew(self, replaced: list[Face]) -> None:
        """Paint the covers once more over the faces that they hide, without the margin, in which a face beside them may show.

        Those that give way to a face stay under it: it has replaced what it hides, and the rest is covered.

        Args:
            replaced: the faces that were replaced.
        """
        for cover, color in self._covered:
            region = clip_box(cover.box, height=self._canvas.shape[0], width=self._canvas.shape[1])
            if region is not None and not any(_gives_way(cover, face) for face in replaced):
                self._canvas[region[1] : region[3], region[0] : region[2]] = color


def _gives_way(cover: Face, face: Face) -> bool:
    shared, area = _shared(cover.box, face.box), area_of(cover.box)
    return shared > MOST * area or (cover.doubtful and shared > MUCH * min(area, area_of(face.box)))


def _shared(box: Box, other: Box) -> float:
    """Area of the intersection."""
    across, down = min(box[2], other[2]) - max(box[0], other[0]), min(box[3], other[3]) - max(box[1], other[1])
    return max(across, 0.0) * max(down, 0.0)
