"""Training pictures unwrapped to the canonical UV map; the appearance prior is fitted to them."""

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
        person: the same number for the same person, -1 for unknown.
        grayscale: the picture has no color.
        neutral: the picture is labeled as neutral.
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
        luma: (n, T, T) uint8.
        trust: (n, T, T) uint8, 255 where the texel was clearly visible, 0 where it was hidden.
        chroma: (m, T / 2, T / 2, 2) uint8 Cb and Cr, centered on 128, of the m color pictures.
        color_rows: (m,) indices of the color pictures among the n.
        shapes: (n, 478, 3) float32 pose-normalized landmarks.
        angles: (n, 2) yaw and pitch in degrees.
        persons: (n,) as :attr:`FaceSample.person`.
        neutral: (n,) bool, labeled as neutral.
        weights: (n,) weight of each picture, lower for soft ones and turned heads.
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
        """Read a file that :meth:`save` wrote; pickled data is refused."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(**{name: arrays[name] for name in cls.__dataclass_fields__})


def mirror_shapes(shapes: np.ndarray) -> np.ndarray:
    """(n, 478, 3) shapes -> their mirror images."""
    return shapes[:, MIRROR] * np.array([-1, 1, 1], shapes.dtype)


def unwrap_samples(samples: Iterable[FaceSample], texture_size: int) -> TextureSet:
    """Unwrap aligned pictures one after another; no picture gives an empty set."""
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
