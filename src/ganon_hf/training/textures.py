"""Training pictures carried to the canonical UV map: what the appearance prior is fitted on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .._atomic import atomic_file
from ..core.face_mesh import MEAN_LANDMARKS, MIRROR
from ..core.geometry import normalize_pose
from ..core.landmarks import unwrap
from ..core.opencv import cv2


@dataclass(frozen=True)
class FaceSample:
    """One aligned training picture.

    Attributes:
        image: (S, S, 3) uint8 RGB crop.
        landmarks: (478, 3) crop pixels.
        person: same number, same person; -1 unknown.
        grayscale: the picture has no color.
        neutral: it is labeled as showing no emotion.
        resolution: photo pixels per crop pixel before resampling; below 1 the crop was enlarged and is soft.
    """

    image: np.ndarray
    landmarks: np.ndarray
    person: int
    grayscale: bool
    neutral: bool
    resolution: float


@dataclass(frozen=True)
class TextureSet:
    """Unwrapped pictures.

    Attributes:
        luma, trust: (n, T, T) uint8; trust 255 is a texel that was clearly seen.
        chroma: (m, T / 2, T / 2, 2) uint8 Cb, Cr about 128 of the m color pictures; color_rows their places among the n.
        shapes: (n, 478, 3) float32 pose-normalized; angles: (n, 2) yaw and pitch in degrees.
        persons: (n,) int; neutral: (n,) bool; weights: (n,) how much a picture counts (soft and turned ones less).
    """

    luma: np.ndarray
    trust: np.ndarray
    chroma: np.ndarray
    color_rows: np.ndarray
    shapes: np.ndarray
    angles: np.ndarray
    persons: np.ndarray
    neutral: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.luma)

    def save(self, path: str) -> None:
        """Write an uncompressed .npz, complete or not at all."""
        with atomic_file(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **self.__dict__)

    @classmethod
    def load(cls, path: str) -> TextureSet:
        """Read what :meth:`save` wrote; never unpickles."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(**{name: arrays[name] for name in cls.__dataclass_fields__})


def mirror_shapes(shapes: np.ndarray) -> np.ndarray:
    """(n, 478, 3) shapes as a mirror shows them."""
    return shapes[:, MIRROR] * np.array([-1, 1, 1], shapes.dtype)


def unwrap_samples(samples: Iterable[FaceSample], texture_size: int) -> TextureSet:
    """Unwrap aligned pictures; without any the set is empty."""
    luma: list[np.ndarray] = []
    trust: list[np.ndarray] = []
    chroma: list[np.ndarray] = []
    color_rows: list[int] = []
    shapes: list[np.ndarray] = []
    angles: list[tuple[float, float]] = []
    persons: list[int] = []
    neutral: list[bool] = []
    weights: list[float] = []
    half = texture_size // 2
    for sample in samples:
        shape, pose = normalize_pose(sample.landmarks)
        ycrcb = cv2.cvtColor(sample.image, cv2.COLOR_RGB2YCrCb)
        texture, seen = unwrap(ycrcb, sample.landmarks.astype(np.float32), texture_size)
        if not sample.grayscale:
            color_rows.append(len(luma))
            chroma.append(cv2.resize(texture[..., [2, 1]], (half, half), interpolation=cv2.INTER_AREA))
        luma.append(texture[..., 0])
        trust.append(np.round(seen * 255).astype(np.uint8))
        shapes.append(shape.astype(np.float32))
        yaw, pitch, _ = pose.angles
        angles.append((yaw, pitch))
        persons.append(sample.person)
        neutral.append(sample.neutral)
        weights.append(float(np.clip(sample.resolution, 0.25, 1) * np.clip((60 - abs(yaw)) / 30, 0.05, 1)))
    return TextureSet(
        np.array(luma, np.uint8).reshape(-1, texture_size, texture_size),
        np.array(trust, np.uint8).reshape(-1, texture_size, texture_size),
        np.array(chroma, np.uint8).reshape(-1, half, half, 2),
        np.array(color_rows, np.int64),
        np.array(shapes, np.float32).reshape(-1, *MEAN_LANDMARKS.shape),
        np.array(angles, np.float32).reshape(-1, 2),
        np.array(persons, np.int64),
        np.array(neutral, bool),
        np.array(weights, np.float32),
    )
