"""Light on a face as a gain that is a quadratic in UV coordinates: fitted to textures, evaluated anywhere."""

from __future__ import annotations

import numpy as np
import torch

from ..core.face_mesh import IRIS_PATCH_RADIUS, IRIS_PATCHES, IRIS_REACH, LEFT_EYE_CORNERS, MOUTH_START, RIGHT_EYE_CORNERS, UV_MAP
from ..core.landmarks import texel_table

# Penalty on all but the level of the light, round by round. The first round hardly bends, so that a dark beard stands out as what the
# mean face cannot explain before the quadratic has a chance to follow it.
_RIDGES = (1.0, 0.03, 1e-3)
_DARKEST, _BRIGHTEST = 0.15, 4.0


def _quadratic(uv_map: torch.Tensor) -> torch.Tensor:
    """(B, 2, H, W) UV coordinates (u, v) in [0, 1] -> (B, 6, H, W) of 1, u, v, u u, u v, v v with u and v in [-1, 1]."""
    u, v = uv_map.unbind(dim=1)
    lit_u, lit_v = u, v
    for center, corners in zip(IRIS_PATCHES, (RIGHT_EYE_CORNERS, LEFT_EYE_CORNERS), strict=True):
        # an iris lies in a corner of the texture but is lit where the eye is
        near = (u - center[0]) ** 2 + (v - center[1]) ** 2 < (IRIS_PATCH_RADIUS * (IRIS_REACH + 0.4)) ** 2
        eye = UV_MAP[list(corners)].mean(axis=0)
        lit_u, lit_v = torch.where(near, float(eye[0]), lit_u), torch.where(near, float(eye[1]), lit_v)
    u, v = lit_u * 2 - 1, lit_v * 2 - 1
    return torch.stack([torch.ones_like(u), u, v, u * u, u * v, v * v], dim=1)


def light_gain(light: torch.Tensor, uv_map: torch.Tensor) -> torch.Tensor:
    """The factor by which light changes the luma.

    Args:
        light: (B, 6) coefficients, see :meth:`LightModel.fit`.
        uv_map: (B, 2, H, W) UV coordinates (u, v) in [0, 1] of each pixel, as in the condition of the mesh generator.

    Returns:
        (B, 1, H, W) between 0.15 and 4; what it says of pixels off the mesh means nothing.
    """
    return torch.einsum("bk,bkhw->bhw", light, _quadratic(uv_map))[:, None].clamp(_DARKEST, _BRIGHTEST)


class LightModel:
    """Fits the light of pictures unwrapped to (size, size) textures: six numbers each."""

    def __init__(self, size: int):
        v, u = (torch.from_numpy(axis + 0.5) / size for axis in np.mgrid[:size, :size])
        self.basis = _quadratic(torch.stack([u, v])[None])[0].flatten(1).T.numpy().astype(np.float32)  # (texels, 6)
        rows, columns, owner, _ = texel_table(size)
        skin = np.zeros((size, size), bool)
        skin[rows, columns] = owner < MOUTH_START
        self.skin = np.flatnonzero(skin.ravel())[::5]  # a fifth of the texels determines six numbers well enough

    def fit(self, luma: np.ndarray, trust: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """Light under which the reference looks most like the pictures.

        Args:
            luma: (n, texels) 0..255.
            trust: (n, texels) 0..1.
            reference: (texels,) or (n, texels) luma of the face, or of each face, under even light.

        Returns:
            (n, 6) float32 coefficients of 1, u, v, u u, u v, v v with u and v in [-1, 1].
        """
        basis, values, weights = self.basis[self.skin], luma[:, self.skin], trust[:, self.skin]
        reference = np.broadcast_to(reference[..., self.skin], values.shape)
        products = (basis[:, :, None] * basis[:, None, :]).reshape(len(basis), 36)
        robust = weights
        for ridge in _RIDGES:
            gram = ((robust * reference**2) @ products).reshape(-1, 6, 6).astype(np.float64)
            gram += np.diag([1e-5] + [ridge] * 5) * np.maximum(gram[:, :1, :1], 1.0)
            right = ((robust * reference * values) @ basis)[:, :, None].astype(np.float64)
            coefficients = np.linalg.solve(gram, right)[:, :, 0].astype(np.float32)
            gain = np.clip(coefficients @ basis.T, _DARKEST, _BRIGHTEST)
            # beards, fringes and shadows are not light: what the reference cannot explain counts less
            robust = weights * np.clip(1.5 - np.abs(values / gain - reference) / 40, 0.1, 1)
        return coefficients

    def gain(self, coefficients: np.ndarray) -> np.ndarray:
        """(n, 6) coefficients -> (n, texels) factors between 0.15 and 4."""
        return np.clip(coefficients @ self.basis.T, _DARKEST, _BRIGHTEST)

    def remove(self, luma: np.ndarray, trust: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The arguments of :meth:`fit` -> (n, texels) luma under even light, and the (n, texels) gain."""
        gain = self.gain(self.fit(luma, trust, reference))
        return np.clip(luma / gain, 0, 400), gain
