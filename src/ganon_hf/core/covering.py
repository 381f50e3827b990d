"""The covers of a photo in which synthetic faces are painted, too.

Covers come first: nothing of what they hide can be read, moved or blended by a synthetic face. They are renewed at the end, so that
nothing of the picture around a face is moved onto them; the synthetic faces themselves lie before them. A cover is one color, and nothing
of the face in it: black, or the mean of what is seen around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .alignment import crop_image
from .cover_shape import head_outline, outline_mask
from .faces import Crop, Face, area_of, box_of_points, clip_box
from .opencv import cv2
from .options import Cover

# Shares of a face. A cover gives way to a replaced face on which more of it lies than the first: it is the same face, or a part of it; with
# more than that on a cover a face is not replaced, as light and skin cannot be read under a cover. A doubtful cover gives way to any
# replaced face with more than the second of the smaller of the two: of 13 such covers in 27 photos none was on a face of its own.
MOST, MUCH = 1 / 2, 1 / 3
# Width of the ring around a cover of which the color is taken, over the square root of the cover's area; at least two pixels.
_RING = 0.12


@dataclass(frozen=True, eq=False)
class PaintedCover:
    """One cover.

    Attributes:
        face: that it hides.
        region: (x_min, y_min, x_max, y_max) of the photo that the mask is of.
        mask: (h, w) bool, where it is opaque.
        color: (3,) uint8.
    """

    face: Face
    region: tuple[int, int, int, int]
    mask: np.ndarray
    color: np.ndarray


class Covers:
    """Covers faces, and remembers which.

    Args:
        canvas: (h, w, 3) uint8, which is changed in place.
        style: a choice of ``AnonymizeOptions.cover``.
    """

    def __init__(self, canvas: np.ndarray, style: Cover = "tone") -> None:
        self._canvas, self._style = canvas, style
        self._covers: list[PaintedCover] = []

    def add(self, face: Face) -> None:
        """Cover a face's head."""
        cover = cover_face(self._canvas, face, self._style)
        if cover is not None:
            self._covers.append(cover)

    def are_under(self, face: Face) -> bool:
        """Whether too much of a synthetic face in that place would be painted on covers that do not give way to it."""
        shares = [_shared(cover, face) / area_of(face.box) for cover in self._covers if not _gives_way(cover, face)]
        return max(shares, default=0.0) > MOST

    def within(self, crop: Crop) -> np.ndarray | None:
        """(S, S) bool, what covers hide in a face's square; None where they hide nothing of it."""
        corners = crop.to_photo(np.array([[0, 0], [crop.size, 0], [0, crop.size], [crop.size, crop.size]], float))
        x_min, y_min, x_max, y_max = box_of_points(corners)
        hidden = np.zeros((crop.size, crop.size), bool)
        for cover in self._covers:
            left, top, right, bottom = cover.region
            if left < x_max and top < y_max and right > x_min and bottom > y_min:
                moved = crop.matrix.copy()  # the mask's pixels instead of the photo's
                moved[:, 2] += moved[:, :2] @ np.array([left, top])
                hidden |= crop_image(cover.mask.view(np.uint8), Crop(moved, crop.size), border=cv2.BORDER_CONSTANT) > 0
        return hidden if hidden.any() else None

    def renew(self, synthetic: Sequence[np.ndarray]) -> None:
        """Paint the covers once more, beside the synthetic faces.

        Args:
            synthetic: for each face that was replaced the points of the synthetic one, (478, 2 or 3) in photo pixels.
        """
        hulls = [cv2.convexHull(points[:, :2].astype(np.float32))[:, 0].astype(np.float64) for points in synthetic]
        boxes = np.array([box_of_points(hull) for hull in hulls]).reshape(-1, 4)
        for cover in self._covers:
            x_min, y_min, x_max, y_max = cover.region
            near = (boxes[:, 0] < x_max) & (boxes[:, 1] < y_max) & (boxes[:, 2] > x_min) & (boxes[:, 3] > y_min)
            before = outline_mask([hulls[number] for number in np.flatnonzero(near)], cover.region)
            _paint(self._canvas, cover.region, cover.mask & ~before, cover.color)


def cover_face(canvas: np.ndarray, face: Face, style: Cover = "tone") -> PaintedCover | None:
    """Hide a face for good (in place): its head's outline in one color.

    Args:
        canvas: (h, w, 3) uint8.
        face: all of its landmarks and keypoints are hidden, and where neither are known all of its box.
        style: ``"black"``, or ``"tone"``, the mean color of a ring around the cover.

    Returns:
        what was painted; None where no part of it lies inside the canvas.
    """
    outlines, (height, width) = head_outline(face), canvas.shape[:2]
    around = box_of_points(np.concatenate(outlines))
    margin = max(2.0, _RING * area_of(around) ** 0.5)
    region = clip_box((around[0] - margin, around[1] - margin, around[2] + margin, around[3] + margin), height=height, width=width)
    if region is None:
        return None
    mask = outline_mask(outlines, region)
    if not mask.any():
        return None
    cover = PaintedCover(face, region, mask, _color(canvas, region, mask, margin, style))
    _paint(canvas, region, mask, cover.color)
    return cover


def _color(canvas: np.ndarray, region: tuple[int, int, int, int], mask: np.ndarray, margin: float, style: Cover) -> np.ndarray:
    """The color of a cover, of which no pixel under it has a part."""
    if style == "black":
        return np.zeros(3, np.uint8)
    distance = cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, 3)
    ring = (distance > 0) & (distance <= margin)
    if not ring.any():  # the cover fills the photo
        return np.full(3, 127, np.uint8)
    x_min, y_min, x_max, y_max = region
    return np.round(cv2.mean(canvas[y_min:y_max, x_min:x_max], mask=ring.view(np.uint8))[:3]).astype(np.uint8)


def _paint(canvas: np.ndarray, region: tuple[int, int, int, int], mask: np.ndarray, color: np.ndarray) -> None:
    """Paint a mask; its edge is smoothed over the next pixel outside, never inwards."""
    x_min, y_min, x_max, y_max = region
    part = canvas[y_min:y_max, x_min:x_max]
    opacity = cv2.blur(mask.astype(np.float32), (3, 3), borderType=cv2.BORDER_REPLICATE)[..., None]
    edge = ((opacity > 0)[..., 0]) & ~mask
    part[edge] = np.round(part[edge] + opacity[edge] * (color.astype(np.float32) - part[edge])).astype(np.uint8)
    part[mask] = color


def _gives_way(cover: PaintedCover, face: Face) -> bool:
    shared, area = _shared(cover, face), area_of(cover.face.box)
    return shared > MOST * area or (cover.face.doubtful and shared > MUCH * min(area, area_of(face.box)))


def _shared(cover: PaintedCover, face: Face) -> float:
    """Area of the intersection of the two faces' boxes."""
    box, other = cover.face.box, face.box
    across, down = min(box[2], other[2]) - max(box[0], other[0]), min(box[3], other[3]) - max(box[1], other[1])
    return max(across, 0.0) * max(down, 0.0)
