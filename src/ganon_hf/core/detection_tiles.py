"""Where to look for faces in a photo, and how to make one list of what several looks found.

Photos are RGB uint8 (height, width, 3); views and boxes are (x_min, y_min, x_max, y_max) in photo pixels and may reach beyond the photo;
candidates are numpy rows. Nothing here knows a detector.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

import numpy as np

from .faces import Box, box_overlap
from .opencv import cv2

# Faces up to this multiple of the smallest one are found on one level of tiles, so levels grow by it.
LEVEL_STEP = 3.6
TILE_OVERLAP = 0.2
# Tiles begin this share of their side outside the photo: a face cut off by the frame is found only with something around it.
FRAME_MARGIN = 0.185
# A view whose brightest percent stays below DARK is brightened until that percent reaches BRIGHT.
DARK, BRIGHT = 110, 215
# Noise above this standard deviation, in gray levels, is smoothed (photos of the test dependencies: 0.0 to 0.5).
NOISY = 8.0
# Pixels that shrink by less than this are interpolated, others averaged.
ENOUGH = 0.85


@dataclass(frozen=True)
class View:
    """A rectangle of the photo to look at, in whole photo pixels: (x_min, y_min, x_max, y_max); ``whole`` marks views that no face can
    straddle."""

    box: tuple[int, int, int, int]
    whole: bool = False

    @property
    def width(self) -> int:
        return self.box[2] - self.box[0]

    @property
    def height(self) -> int:
        return self.box[3] - self.box[1]

    def size(self, side: int) -> tuple[int, int]:
        """(width, height) in pixels when a detector that takes squares of ``side`` pixels sees it."""
        scale = side / max(self.width, self.height)
        return max(1, round(self.width * scale)), max(1, round(self.height * scale))


def plan_views(*, height: int, width: int, min_face_size: int, tile_per_face: float) -> list[View]:
    """The views that find every face from ``min_face_size`` pixels: the whole photo, then tiles from coarse to fine.

    Args:
        height, width: of the photo.
        min_face_size: height of the smallest faces, in pixels.
        tile_per_face: side of the finest tiles, in smallest faces.
    """
    side = max(32.0, min_face_size * tile_per_face)
    views: list[View] = []
    while side < max(height, width):
        views = [View((x, y, x + round(side), y + round(side))) for y in _starts(height, side) for x in _starts(width, side)] + views
        side *= LEVEL_STEP
    x, y = math.ceil(FRAME_MARGIN * width), math.ceil(FRAME_MARGIN * height)
    return [View((0, 0, width, height), whole=True), View((-x, -y, width + x, height + y), whole=True), *views]


def _starts(length: int, side: float) -> list[int]:
    """First pixels of tiles that cover ``length`` and the frame margin evenly, with the overlap; one centered tile where that is enough."""
    first, free = -FRAME_MARGIN * side, length + 2 * FRAME_MARGIN * side - side
    if free <= 0:
        return [math.floor((length - side) / 2)]
    count = math.ceil(free / (side * (1 - TILE_OVERLAP))) + 1
    return [round(first + i * free / (count - 1)) for i in range(count)]


class Levels:
    """A photo and its halves, quarters and so on, made when first asked for: whatever is looked at small is read from a small one.

    Safe to share between threads. All of them together take a third of the photo's memory.
    """

    def __init__(self, photo: np.ndarray) -> None:
        self._levels = [photo]
        self._lock = threading.Lock()

    @property
    def photo(self) -> np.ndarray:
        """RGB uint8 (height, width, 3)."""
        return self._levels[0]

    def at(self, scale: float) -> tuple[np.ndarray, int]:
        """The smallest level that has as many pixels as ``scale`` wants (1: the photo's own size), and how many times smaller it is."""
        wanted = max(0, math.floor(math.log2(1 / scale)))
        with self._lock:
            while len(self._levels) <= wanted and min(self._levels[-1].shape[:2]) > 1:
                last = self._levels[-1]
                size = last.shape[1] // 2, last.shape[0] // 2
                even = last[: size[1] * 2, : size[0] * 2]  # an odd last row or column is left out: exactly four pixels make one
                self._levels.append(cv2.resize(even, size, interpolation=cv2.INTER_AREA))
            level = min(wanted, len(self._levels) - 1)
        return self._levels[level], 2**level


def cut_out(levels: Levels, view: View, *, size: tuple[int, int]) -> np.ndarray:
    """The view as a contiguous RGB uint8 array of ``size`` (width, height).

    Beyond the frame the photo is mirrored: a face cut in half is found far more often than with black or repeated pixels there.
    """
    scale = size[0] / view.width, size[1] / view.height
    photo, step = levels.at(max(scale))
    x_min, y_min, x_max, y_max = _inside(levels.photo, view.box)
    pixels, _ = _window(photo, step, (x_min, y_min, x_max, y_max))
    inner = max(1, round((x_max - x_min) * scale[0])), max(1, round((y_max - y_min) * scale[1]))
    if inner != pixels.shape[1::-1]:
        shrinks = inner[0] < ENOUGH * pixels.shape[1]
        pixels = cv2.resize(pixels, inner, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    top, left = round((y_min - view.box[1]) * scale[1]), round((x_min - view.box[0]) * scale[0])
    bottom, right = max(0, size[1] - top - inner[1]), max(0, size[0] - left - inner[0])
    if max(top, left, bottom, right) == 0:
        return np.ascontiguousarray(pixels)
    bordered = cv2.copyMakeBorder(pixels, top, bottom, left, right, cv2.BORDER_REFLECT_101)
    return np.ascontiguousarray(bordered[: size[1], : size[0]])


def has_content(photo: np.ndarray, view: View) -> bool:
    """False for views of one color, which provably show no face."""
    x_min, y_min, x_max, y_max = _inside(photo, view.box)
    pixels = photo[y_min:y_max, x_min:x_max]
    for part in (pixels[::8, ::8], pixels):  # nearly every view is settled by a few of its pixels
        if part.size and (part != part[0, 0]).any():
            return True
    return False


def is_cut(box: Box, view: View, photo: np.ndarray) -> bool:
    """Whether the box reaches a border of the view behind which the photo goes on."""
    if view.whole:
        return False
    margin = 0.02 * view.width
    x_min, y_min, x_max, y_max = view.box
    return (
        (x_min > 0 and box[0] < x_min + margin)
        or (y_min > 0 and box[1] < y_min + margin)
        or (x_max < photo.shape[1] and box[2] > x_max - margin)
        or (y_max < photo.shape[0] and box[3] > y_max - margin)
    )


def _inside(photo: np.ndarray, box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    height, width = photo.shape[:2]
    return max(0, box[0]), max(0, box[1]), min(width, box[2]), min(height, box[3])


def _window(level: np.ndarray, step: int, box: tuple[int, int, int, int]) -> tuple[np.ndarray, tuple[int, int]]:
    """What a level that is ``step`` times smaller shows of a box in photo pixels, never nothing, and the photo pixel where it begins."""
    x_min, y_min = min(box[0] // step, level.shape[1] - 1), min(box[1] // step, level.shape[0] - 1)
    return level[y_min : -(-box[3] // step), x_min : -(-box[2] // step)], (x_min * step, y_min * step)


def brighten(pixels: np.ndarray) -> np.ndarray:
    """A dark view made bright enough for a detector (its noise smoothed first); any other view as it is."""
    sample = pixels[::3, ::3]
    if np.count_nonzero(sample >= DARK) > 0.01 * sample.size:
        return pixels
    level = max(8.0, float(np.percentile(sample.max(axis=2), 99)))
    curve = np.clip((np.arange(256) / level) ** 0.75 * BRIGHT, 0, 255).astype(np.uint8)
    return curve[cv2.GaussianBlur(pixels, (0, 0), 0.7)]


def without_noise(photo: np.ndarray) -> np.ndarray:
    """A noisy photo smoothed a little, any other as it is. Measured: of 56 faces under noise of 20 levels 5 were missed, then 1.

    The noise is the median response of Immerkaer's operator (CVIU 1996), which edges and textures hardly move, on a grid of samples.
    """
    operator = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
    rows, columns = (np.linspace(0, max(0, side - 64), 6, dtype=int) for side in photo.shape[:2])
    samples = np.stack([photo[y : y + 64, x : x + 64, 1] for y in rows for x in columns]).astype(np.float32)
    responses = cv2.filter2D(samples.reshape(-1, samples.shape[2]), -1, operator).reshape(samples.shape)
    inner = np.abs(responses[:, 1:-1, 1:-1] if min(samples.shape[1:]) > 2 else responses).reshape(len(samples), -1)
    levels = np.partition(inner, inner.shape[1] // 2, axis=1)[:, inner.shape[1] // 2] / 0.6745  # median -> standard deviation
    return cv2.GaussianBlur(photo, (0, 0), 0.7) if np.median(levels) > NOISY else photo


def face_patch(
    levels: Levels, center: tuple[float, float], side: float, roll: float, size: int, *, mirror: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """A square of the photo, turned by ``roll`` radians so that a face with that eye line stands upright.

    Returns:
        (size, size, 3) RGB uint8, mirrored or black beyond the photo, and the (2, 3) matrix patch pixels -> photo pixels.
    """
    scale = side / size
    linear = scale * np.array([[math.cos(roll), -math.sin(roll)], [math.sin(roll), math.cos(roll)]])
    matrix = np.hstack([linear, np.array(center)[:, None] - linear @ np.full((2, 1), size / 2)])
    reach = side * (abs(math.cos(roll)) + abs(math.sin(roll))) / 2 + 2
    around = (math.floor(center[0] - reach), math.floor(center[1] - reach), math.ceil(center[0] + reach), math.ceil(center[1] + reach))
    x_min, y_min, x_max, y_max = _inside(levels.photo, around)
    if x_min >= x_max or y_min >= y_max:
        return np.zeros((size, size, 3), np.uint8), matrix
    photo, step = levels.at(1 / scale)
    pixels, first = _window(photo, step, (x_min, y_min, x_max, y_max))
    shrink = np.full(2, float(step))
    if scale / step > 1.3:  # average first: the warp interpolates between neighbors only and would alias
        smaller = [max(1, round(length * step / scale)) for length in (pixels.shape[1], pixels.shape[0])]
        shrink *= np.array([pixels.shape[1] / smaller[0], pixels.shape[0] / smaller[1]])
        pixels = cv2.resize(pixels, smaller, interpolation=cv2.INTER_AREA)
    elif scale < 0.5:  # enlarged noise looks like structure: measured, 5 of 48 small noisy faces were taken for none
        pixels = cv2.GaussianBlur(pixels, (0, 0), 0.6)
    to_pixels = (matrix - np.array([[0, 0, first[0]], [0, 0, first[1]]])) / shrink[:, None]
    to_pixels[:, 2] += to_pixels[:, :2].sum(axis=1) * 0.5 - 0.5  # OpenCV counts from the center of the first pixel
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    border = cv2.BORDER_REFLECT_101 if mirror else cv2.BORDER_CONSTANT
    return cv2.warpAffine(pixels, to_pixels, (size, size), flags=flags, borderMode=border), matrix


def leaves_frame(photo: np.ndarray, center: tuple[float, float], side: float) -> bool:
    """Whether an upright square around ``center`` reaches beyond the photo.

    There a face is worth two looks: mirrored surroundings complete a face that is cut off, but beside one that fills the photo they draw
    four more and the detector sees none (measured on 221 such portraits: 89 missed); on black it sees them.
    """
    half = side / 2
    return center[0] < half or center[1] < half or center[0] > photo.shape[1] - half or center[1] > photo.shape[0] - half


def merge(boxes: np.ndarray, scores: np.ndarray, truncated: np.ndarray) -> list[int]:
    """Indices of the boxes to keep, best first: one per face across views and scales.

    A box that touches a tile's border where the photo goes on (``truncated``) may show half a face: it loses to every whole box.
    A box well inside a much larger one stays: a small face before a large one is a face.
    """
    boxes = boxes.reshape(-1, 4)
    order = np.lexsort((boxes[:, 1], boxes[:, 0], -scores, truncated))
    kept: list[int] = []
    for index in order:
        if kept:
            union, smaller = box_overlap(tuple(boxes[index]), boxes[kept])
            ratio = np.sqrt((boxes[index, 2:] - boxes[index, :2]).prod() / (boxes[kept, 2:] - boxes[kept, :2]).prod(axis=1))
            if np.any((union > 0.35) | ((smaller > 0.6) & (ratio > 0.4) & (ratio < 2.5))):
                continue
        kept.append(int(index))
    return kept


def order_of(boxes: list[Box]) -> list[int]:
    """Larger area first, then from the top left: the same photo always gives the same order."""
    return sorted(range(len(boxes)), key=lambda i: (-(boxes[i][2] - boxes[i][0]) * (boxes[i][3] - boxes[i][1]), boxes[i][1], boxes[i][0]))
