"""Shading that smooth light does not make: the shadow beside the nose, dark under the brows, light on the ridge of the nose.

``light_matching.py`` fits the light as an even surface shows it. Real faces shade themselves, and the light decides where. That was learned
from training photos: by how much real faces differ from the synthetic ones in their place, as a linear function of the light
(``training/shading_response.py``). Nothing is taken from the photo beyond the light.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .face_mesh import MOUTH_START, TRIANGLES, UV_MAP
from .landmarks import barycentric_maps
from .light_matching import GRID
from .modeling_ganon import ShapeStatistics
from .opencv import cv2

# From the (h, w) gain of luma on the grid, (478, 3) crop pixels, the (H, W) triangle of each pixel of a part of the crop and the (x, y) of
# that part to a factor of the gain; ShadingResponse.shade is one.
Shade = Callable[[np.ndarray, np.ndarray, np.ndarray, tuple[int, int]], np.ndarray]
# Limits of the state of the light in standard deviations, and of the change of log luma: beyond, the answer would be extrapolated.
_MAX_STATE, _MAX_CHANGE = 2.5, 0.5
_LEAST_LIGHT = 1e-3  # before a logarithm
# Light that varies by less than this share is that of a flat picture, and says nothing of where it comes from.
_FLAT = 1e-3


class ShadingResponse(NamedTuple):
    """How faces shade themselves.

    Attributes:
        mean: (468,) float32 log of the light at the landmarks of an average photo, relative to their median.
        directions: (k, 468) float32, from the deviation from that to the state of the light: k numbers of standard deviation 1.
        maps: (k, T, T) float32 change of log luma in the UV map by each number.
    """

    mean: np.ndarray
    directions: np.ndarray
    maps: np.ndarray

    @classmethod
    def of(cls, statistics: ShapeStatistics) -> ShadingResponse:
        """The response that lies with a model's weights; zero is an even surface."""
        return cls(*(statistics.get_buffer(f"shading_{name}").float().cpu().numpy() for name in cls._fields))

    def state(self, light: np.ndarray) -> np.ndarray:
        """(468,) light at the landmarks -> (k,) float32."""
        return np.clip(self.directions @ (relative_light(light) - self.mean), -_MAX_STATE, _MAX_STATE).astype(np.float32)

    def shade(self, light: np.ndarray, points: np.ndarray, index: np.ndarray, offset: tuple[int, int]) -> np.ndarray:
        """How a face shades itself under a light.

        Args:
            light, points, offset: see :func:`light_at_landmarks`.
            index: (H, W) triangle of each pixel of the part, -1 outside the mesh.

        Returns:
            (h, w) float32 factor of luma on the grid; 1 in eyes and mouth and outside the mesh.
        """
        here = light_at_landmarks(light, points, offset)
        if np.ptp(here) < _FLAT * here.max():
            return np.ones_like(light)
        change = np.tensordot(self.state(here), self.maps, 1)
        rows, columns = (
            np.minimum(GRID * np.arange(count) + GRID // 2, side - 1) for count, side in zip(light.shape, index.shape, strict=True)
        )
        inner = index[rows[:, None], columns]
        x, y = columns + 0.5 + offset[0], rows[:, None] + 0.5 + offset[1]
        to_weights = barycentric_maps(points)[inner]
        second, third = ((to_weights[..., row, 0] * x + to_weights[..., row, 1] * y + to_weights[..., row, 2])[..., None] for row in (0, 1))
        corners = UV_MAP[TRIANGLES[inner]]
        texels = corners[..., 0, :] * (1 - second - third) + corners[..., 1, :] * second + corners[..., 2, :] * third
        texels = (texels * change.shape[-1] - 0.5).astype(np.float32)
        factor = cv2.remap(change, texels[..., 0], texels[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        factor[(inner < 0) | (inner >= MOUTH_START)] = 0
        return np.exp(np.clip(factor, -_MAX_CHANGE, _MAX_CHANGE))


def relative_light(light: np.ndarray) -> np.ndarray:
    """(..., 468) light at the landmarks -> its logarithm relative to the median."""
    logs = np.log(np.maximum(light, _LEAST_LIGHT))
    return logs - np.median(logs, axis=-1, keepdims=True)


def light_at_landmarks(light: np.ndarray, points: np.ndarray, offset: tuple[int, int]) -> np.ndarray:
    """Light at the landmarks of the skin.

    Args:
        light: (h, w) gain of luma on the grid of a part of the crop.
        points: (478, 3) crop pixels.
        offset: (x, y) of the part in the crop.

    Returns:
        (468,) float32; outside of the part that of its edge.
    """
    places = np.round((points[: len(UV_MAP), :2] - np.array(offset)) / GRID - 0.5).astype(np.intp)
    columns, rows = (np.clip(values, 0, side - 1) for values, side in zip(places.T, light.shape[::-1], strict=True))
    return light[rows, columns].astype(np.float32)
