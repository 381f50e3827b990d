"""A face that something is laid over, what is laid over it, and how lines and areas are drawn.

Convention: pictures are square, (S, S, 3) float32 0..255 RGB; coverage is (S, S) float32 0..1; points are pixels with centers at .5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.face_mesh import LEFT_EYE_OUTER, RIGHT_EYE_OUTER
from ..core.opencv import cv2
from .occluder_textures import cloth, photo_patch

BINARY_PLACES = 4  # of coordinates, as OpenCV takes them


@dataclass(frozen=True, eq=False)
class Layer:
    """One thing in front of a face.

    Attributes:
        kind: its class, see ``core/occluders.py``; 0 for what is part of a face, such as paint.
        color: (S, S, 3) float32 0..255, lit.
        alpha: (S, S) float32 0..1.
        shadow: how dark its shadow on the face is, 0 to 1.
        translucent: it shows what is behind it and does not change the class.
    """

    kind: int
    color: np.ndarray
    alpha: np.ndarray
    shadow: float = 0.0
    translucent: bool = False


@dataclass(frozen=True, eq=False)
class Scene:
    """A face that something is laid over.

    Attributes:
        points: (478, 3) pixels.
        light: (S, S) float32 gain of the light on the face, about 1.
        level: luma of its skin, 0..255.
        skin: (3,) median color of its cheeks.
        pictures: (n, S, S, 3) uint8 of other faces, whose surroundings serve as textures.
    """

    points: np.ndarray
    light: np.ndarray
    level: float
    skin: np.ndarray
    pictures: np.ndarray

    @property
    def size(self) -> int:
        return len(self.light)

    @property
    def unit(self) -> float:
        """Distance of the outer corners of the eyes seen from the front, in pixels."""
        p = self.points
        return float(np.linalg.norm(p[LEFT_EYE_OUTER] - p[RIGHT_EYE_OUTER]))

    def lit(self, texture: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """A texture in about the light of the face."""
        light = self.light ** generator.uniform(0.3, 1.0)
        exposure = (self.level / 140) ** generator.uniform(0.4, 1.0) * np.exp(generator.normal(0, 0.2))
        return np.clip(texture * (light * np.float32(exposure))[..., None], 0, 255).astype(np.float32)

    def texture(self, generator: np.random.Generator) -> np.ndarray:
        """Cloth, drawn or from somebody's clothes."""
        if generator.random() < 0.3:
            return photo_patch(self.pictures, self.size, generator)
        return cloth(self.size, generator)


def smooth_curve(points: np.ndarray, *, closed: bool = True, rounds: int = 2) -> np.ndarray:
    """Polygon or line with its corners cut off (Chaikin 1974)."""
    for _ in range(rounds):
        after = np.roll(points, -1, axis=0)
        cut = np.stack([0.75 * points + 0.25 * after, 0.25 * points + 0.75 * after], axis=1)
        points = cut.reshape(-1, 2) if closed else np.concatenate([points[:1], cut[:-1].reshape(-1, 2), points[-1:]])
    return points


def fill(size: int, polygon: np.ndarray) -> np.ndarray:
    """(size, size) float32 coverage of a polygon (n, 2)."""
    canvas = np.zeros((size, size), np.uint8)
    corners = np.round((polygon - 0.5) * (1 << BINARY_PLACES)).astype(np.int32)
    cv2.fillPoly(canvas, [corners], 255, cv2.LINE_AA, BINARY_PLACES)
    return canvas.astype(np.float32) / 255


def stroke(size: int, line: np.ndarray, width: float, *, closed: bool = False) -> np.ndarray:
    """(size, size) float32 coverage of a line (n, 2); lines thinner than a pixel are fainter."""
    canvas = np.zeros((size, size), np.uint8)
    corners = np.round((line - 0.5) * (1 << BINARY_PLACES)).astype(np.int32)
    cv2.polylines(canvas, [corners], closed, 255, max(1, round(width)), cv2.LINE_AA, BINARY_PLACES)
    return canvas.astype(np.float32) * (min(width, 1.0) / 255)


def soft(alpha: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The edge a little out of focus."""
    return cv2.GaussianBlur(alpha, (0, 0), generator.uniform(0.3, 1.2))
