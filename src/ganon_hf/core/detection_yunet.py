"""YuNet: faces in a photo by one small fully convolutional network, which ONNX Runtime runs.

The network sees faces of about 10 to 300 pixels, wherever they are, in one pass over a picture of any size; larger ones in a pass over a
smaller picture. A large picture is taken in tiles. Of what two tiles see twice each keeps its own half, so no face is cut and none becomes
two.

Source: Wu, Peng, Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 2023, doi 10.1007/s11633-023-1423-y;
network: OpenCV Zoo (MIT).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .detection_pyramid import brighten
from .opencv import cv2

STRIDES = (8, 16, 32)
# A tile's sides are multiples of the coarsest stride, so that all tiles share one grid.
GRID = STRIDES[-1]
# Pixels mirrored around the photo: half a face at the edge is found only with something beside it. Measured on 21 faces of 24 and 32 px,
# two fifths of each beyond the frame: mirrored 21 are found, repeated 9, black 16.
BORDER = 32
# What a tile sees beyond its own part. Scores depend on what lies up to 224 px away, but beyond 128 px by less than 0.01.
HALO = 128
# Pixels of a tile with its halo, which bounds the memory: the network needs about 100 bytes per pixel.
MAX_TILE_PIXELS = 1_400_000
# Heights of faces in a pass, in its pixels: the smallest that it finds at all, the smallest that it finds as well as it can (measured: of
# the faces of 24 to 32 px a pass at half the size finds 84 %), and the largest. A face that is larger is left to the next pass.
LEAST_SEEN, WELL_SEEN, LARGEST_SEEN = 16, 32, 224


@dataclass(frozen=True)
class Tile:
    """A rectangle of the picture with its border: what is looked at, and the part of it whose faces count, (x_min, y_min, x_max, y_max)."""

    seen: tuple[int, int, int, int]
    own: tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Detections:
    """What the network found.

    Attributes:
        boxes: (n, 4) float64, (x_min, y_min, x_max, y_max) in pixels.
        scores: (n,) 0 to 1, the geometric mean of the network's two outputs, "a face" and "a box around something".
        points: (n, 5, 2) right eye, left eye, tip of the nose, right and left corner of the mouth; right and left are the person's.
    """

    boxes: np.ndarray
    scores: np.ndarray
    points: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: Any) -> Detections:
        return Detections(self.boxes[index], self.scores[index], self.points[index])

    @classmethod
    def concatenate(cls, parts: list[Detections]) -> Detections:
        """All of several, in order."""
        if not parts:
            return cls(np.zeros((0, 4)), np.zeros(0), np.zeros((0, 5, 2)))
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("boxes", "scores", "points")))

    def scaled(self, factor_x: float, factor_y: float) -> Detections:
        """The same in a picture of another size."""
        return Detections(self.boxes * [factor_x, factor_y, factor_x, factor_y], self.scores, self.points * [factor_x, factor_y])

    def turned_back(self, quarters: int, *, height: int, width: int) -> Detections:
        """From ``np.rot90(picture, quarters)`` back to the picture, which has that height and width."""

        def back(points: np.ndarray) -> np.ndarray:
            x, y = points[..., 0], points[..., 1]
            turned = ((x, y), (width - y, x), (width - x, height - y), (y, height - x))[quarters % 4]
            return np.stack(turned, axis=-1)

        corners = back(self.boxes.reshape(-1, 2, 2))
        return Detections(np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1), self.scores, back(self.points))


class YuNet:
    """The network. Safe to use from several threads at once.

    Args:
        network: the ONNX file, with a symbolic input size.

    Raises:
        ImportError: no ONNX Runtime.
    """

    def __init__(self, network: bytes) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise ImportError("Face detection needs ONNX Runtime: pip install onnxruntime") from error
        options = onnxruntime.SessionOptions()
        # Work is shared out by tiles. Threads of the session's own would spin while they wait, and would not survive a fork.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # it would keep the most that was ever needed
        options.log_severity_level = 3
        self._session: Any = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self._outputs = [f"{kind}_{stride}" for stride in STRIDES for kind in ("cls", "obj", "bbox", "kps")]

    def __call__(self, picture: np.ndarray, tile: Tile, *, min_score: float) -> Detections:
        """Faces whose middle lies in a tile's own part; several per face, see :func:`suppress`.

        Args:
            picture: RGB uint8 (height, width, 3).
            tile: one of :func:`plan_tiles`.
            min_score: lowest score, 0 to 1.

        Returns:
            in pixels of the picture.
        """
        pixels = brighten(_cut(picture, tile.seen))
        blob = cv2.dnn.blobFromImage(pixels, swapRB=True)  # the network wants blue first, 0 to 255
        outputs = self._session.run(self._outputs, {self._input: blob})
        parts = []
        for number, stride in enumerate(STRIDES):
            classes, objects, boxes, points = (output[0] for output in outputs[4 * number : 4 * number + 4])
            likely = np.flatnonzero(classes[:, 0] * objects[:, 0] >= min_score * min_score)
            row, column = np.divmod(likely, pixels.shape[1] // stride)
            x, y = column * stride + tile.seen[0], row * stride + tile.seen[1]
            own = (x >= tile.own[0]) & (y >= tile.own[1]) & (x < tile.own[2]) & (y < tile.own[3])
            likely, cells = likely[own], np.stack([x[own], y[own]], axis=1) - BORDER
            scores = np.sqrt(np.clip(classes[likely, 0], 0, 1) * np.clip(objects[likely, 0], 0, 1)).astype(np.float64)
            middle = cells + boxes[likely, :2].astype(np.float64) * stride
            half = np.exp(boxes[likely, 2:].astype(np.float64)) * stride / 2
            keypoints = cells[:, None] + points[likely].reshape(-1, 5, 2).astype(np.float64) * stride
            parts.append(Detections(np.concatenate([middle - half, middle + half], axis=1), scores, keypoints))
        return Detections.concatenate(parts)


def suppress(found: Detections, overlap: float = 0.4) -> Detections:
    """The best of those that overlap more than so much (intersection over union), best first."""
    if not len(found):
        return found
    corners = np.concatenate([found.boxes[:, :2], found.boxes[:, 2:] - found.boxes[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxes(corners.tolist(), found.scores.tolist(), 0.0, overlap)
    return found[np.array(kept, dtype=np.int64).reshape(-1)]


def plan_passes(*, height: int, width: int, min_face_size: int) -> list[float]:
    """Scales at which a photo is looked at, finest first: each half as large as the one before it.

    Every face from ``min_face_size`` pixels has between :data:`WELL_SEEN` and :data:`LARGEST_SEEN` pixels in one of them, smaller ones as
    many as the photo has.

    Args:
        height, width: of the photo.
        min_face_size: height of the smallest faces, in pixels.
    """
    scale = max(1.0, LEAST_SEEN / min_face_size) if min_face_size < LEAST_SEEN else min(1.0, WELL_SEEN / min_face_size)
    scales = [scale]
    while max(height, width) * scales[-1] > LARGEST_SEEN:
        scales.append(scales[-1] / 2)
    return scales


def plan_tiles(*, height: int, width: int) -> list[Tile]:
    """Tiles that cover a picture of that size and its border: as few pixels as the bound allows."""
    rows, columns = (-(-(side + 2 * BORDER) // GRID) for side in (height, width))  # in cells of the grid
    plans = []
    for down in range(1, rows + 1):
        tall = _extent(rows, down)
        across = _fewest_parts(columns, MAX_TILE_PIXELS // GRID**2 // tall)
        if across:
            plans.append((down * tall * across * _extent(columns, across), down, across))
    _, down, across = min(plans)
    return [
        Tile((left[0], top[0], left[3], top[3]), (left[1], top[1], left[2], top[2]))
        for top in _spans(rows, down)
        for left in _spans(columns, across)
    ]


def _extent(cells: int, parts: int) -> int:
    """Cells of the largest of so many parts, with its halo."""
    return -(-cells // parts) + min(parts - 1, 2) * HALO // GRID


def _fewest_parts(cells: int, room: int) -> int | None:
    """How many parts there must be at least for each of them to have room, in cells."""
    if cells <= room:
        return 1
    if _extent(cells, 2) <= room:
        return 2
    inner = room - 2 * HALO // GRID
    return max(3, -(-cells // inner)) if inner > 0 else None


def _spans(cells: int, parts: int) -> list[tuple[int, int, int, int]]:
    """(first seen, first own, end of own, end of seen) of each part, in pixels."""
    cuts = [part * cells // parts * GRID for part in range(parts + 1)]
    return [(max(0, a - HALO), a, b, min(cells * GRID, b + HALO)) for a, b in zip(cuts, cuts[1:], strict=False)]


def _cut(picture: np.ndarray, seen: tuple[int, int, int, int]) -> np.ndarray:
    """The pixels of a tile; beyond the picture its outermost ones are mirrored."""
    x_min, y_min, x_max, y_max = (value - BORDER for value in seen)
    height, width = picture.shape[:2]
    inner = np.ascontiguousarray(picture[max(0, y_min) : y_max, max(0, x_min) : x_max])
    around = max(0, -y_min), max(0, y_max - height), max(0, -x_min), max(0, x_max - width)
    return cv2.copyMakeBorder(inner, *around, cv2.BORDER_REFLECT_101) if any(around) else inner
