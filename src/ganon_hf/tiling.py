"""Where to look for faces in a photo, and how to make one list of what several looks found.

Photos are RGB uint8 (height, width, 3); views and boxes are (x_min, y_min, x_max, y_max) in photo pixels and may reach beyond the photo;
candidates are numpy rows. Nothing here knows a detector.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from .faces import Box, box_overlap

# BlazeFace full range sees 192 x 192 pixels and finds faces from about 18 of them: tiles of 256 px for 24 px faces (measured:
# 384 px tiles find half of those, 768 px tiles nothing under 48 px).
TILE_PER_FACE = 256 / 24
# Faces up to this multiple of the smallest one are found on one level of tiles, so levels grow by it.
LEVEL_STEP = 3.0
TILE_OVERLAP = 0.25
# No view is decimated below this many pixels before the antialiased resize: memory stays bounded, the noise is averaged all the same.
DECIMATED_SIDE = 1024


@dataclass(frozen=True)
class View:
    """A rectangle of the photo to look at, in whole photo pixels; ``whole`` marks views that no face can straddle."""

    box: tuple[int, int, int, int]
    whole: bool = False

    @property
    def width(self) -> int:
        return self.box[2] - self.box[0]

    @property
    def height(self) -> int:
        return self.box[3] - self.box[1]


def plan_views(*, height: int, width: int, min_face_size: int) -> list[View]:
    """The views that find every face from ``min_face_size`` pixels: the whole photo, then tiles from coarse to fine."""
    longest = max(height, width)
    side = max(32.0, min_face_size * TILE_PER_FACE)
    views = []
    while side < longest:
        views = [View((x, y, x + round(side), y + round(side))) for y in _starts(height, side) for x in _starts(width, side)] + views
        side *= LEVEL_STEP
    return [View((0, 0, width, height), whole=True), *views]


def _starts(length: int, side: float) -> list[int]:
    """First pixels of tiles that cover ``length`` evenly with the overlap; one centred tile where the side is longer."""
    if side >= length:
        return [math.floor((length - side) / 2)]
    count = math.ceil((length - side) / (side * (1 - TILE_OVERLAP))) + 1
    return [round(i * (length - side) / (count - 1)) for i in range(count)]


def cut_out(photo: np.ndarray, view: View, *, longest: int) -> np.ndarray:
    """The view as a contiguous RGB uint8 array whose longer side is at most ``longest`` pixels; black beyond the photo."""
    x_min, y_min, x_max, y_max = view.box
    step = max(1, max(view.width, view.height) // max(DECIMATED_SIDE, 2 * longest))
    inside = (max(x_min, 0), max(y_min, 0), min(x_max, photo.shape[1]), min(y_max, photo.shape[0]))
    pixels = photo[inside[1] : inside[3] : step, inside[0] : inside[2] : step]
    if inside != view.box:
        canvas = np.zeros((math.ceil(view.height / step), math.ceil(view.width / step), 3), np.uint8)
        top, left = (inside[1] - y_min) // step, (inside[0] - x_min) // step
        pixels = pixels[: canvas.shape[0] - top, : canvas.shape[1] - left]
        canvas[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        pixels = canvas
    scale = longest / max(pixels.shape[:2])
    if scale >= 1:
        return np.ascontiguousarray(pixels)
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize(size, Image.Resampling.BILINEAR))


def face_patch(photo: np.ndarray, center: tuple[float, float], side: float, roll: float, size: int) -> tuple[np.ndarray, np.ndarray]:
    """A square of the photo, turned by ``roll`` radians so that a face with that eye line stands upright.

    Returns:
        (size, size, 3) RGB uint8, edge pixels repeated beyond the photo, and the (2, 3) matrix patch pixels -> photo pixels.
    """
    scale = side / size
    linear = scale * np.array([[math.cos(roll), -math.sin(roll)], [math.sin(roll), math.cos(roll)]])
    matrix = np.hstack([linear, np.array(center)[:, None] - linear @ np.full((2, 1), size / 2)])
    reach = side * (abs(math.cos(roll)) + abs(math.sin(roll))) / 2 + 2
    step = max(1, int(scale))  # box average first, the interpolation below does not antialias
    x_min, y_min = math.floor(center[0] - reach), math.floor(center[1] - reach)
    count = math.ceil(2 * reach / step) + 1
    columns = np.clip(x_min + np.arange(count * step), 0, photo.shape[1] - 1)
    rows = np.clip(y_min + np.arange(count * step), 0, photo.shape[0] - 1)
    left, right, top, bottom = columns[0], columns[-1] + 1, rows[0], rows[-1] + 1
    pixels = photo[top:bottom, left:right]
    if pixels.shape[:2] != (len(rows), len(columns)):
        pixels = pixels[(rows - top)[:, None], (columns - left)[None]]
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    if step > 1:
        picture = picture.reduce(step)
    to_picture = (matrix - np.array([[0, 0, x_min], [0, 0, y_min]])) / step
    patch = picture.transform((size, size), Image.Transform.AFFINE, to_picture.ravel().tolist(), Image.Resampling.BILINEAR)
    return np.ascontiguousarray(patch), matrix


def merge(boxes: np.ndarray, scores: np.ndarray, truncated: np.ndarray) -> list[int]:
    """Indices of the boxes to keep, best first: one per face across views and scales.

    A box that touches a tile's border where the photo goes on (``truncated``) may show half a face: it loses to every whole box.
    """
    order = np.lexsort((boxes[:, 1], boxes[:, 0], -scores, truncated))
    kept: list[int] = []
    for index in order:
        if kept:
            union, smaller = box_overlap(tuple(boxes[index]), boxes[kept])
            if np.any((union > 0.3) | (smaller > 0.6)):
                continue
        kept.append(int(index))
    return kept


def order_of(boxes: list[Box]) -> list[int]:
    """Larger area first, then from the top left: the same photo always gives the same order."""
    return sorted(range(len(boxes)), key=lambda i: (-(boxes[i][2] - boxes[i][0]) * (boxes[i][3] - boxes[i][1]), boxes[i][1], boxes[i][0]))
