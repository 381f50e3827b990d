"""Lighting of a face as a gain on luma, quadratic in UV coordinates: fitted to textures, evaluated in textures and in pictures."""

from __future__ import annotations

import numpy as np
import torch

from ..core.face_mesh import IRIS_PATCH_RADIUS, IRIS_PATCHES, IRIS_REACH, LEFT_EYE_CORNERS, MOUTH_START, RIGHT_EYE_CORNERS, UV_MAP
from ..core.landmarks import texel_table

# Ridge penalty on all coefficients but the constant, one per round. The first round is nearly constant, so that a dark beard shows up as
# an outlier before the quadratic can follow it.
_RIDGES = (1.0, 0.03, 1e-3)
_MIN_GAIN, _MAX_GAIN = 0.15, 4.0


def _quadratic_basis(uv_map: torch.Tensor) -> torch.Tensor:
    """(B, 2, H, W) UV coordinates (u, v) in [0, 1] -> (B, 6, H, W) of 1, u, v, u u, u v, v v with u and v in [-1, 1]."""
    u, v = uv_map.unbind(dim=1)
    eye_u, eye_v = u, v
    for center, corners in zip(IRIS_PATCHES, (RIGHT_EYE_CORNERS, LEFT_EYE_CORNERS), strict=True):
        # the iris patches lie in corners of the texture, but an iris is lit like the eye around it
        near = (u - center[0]) ** 2 + (v - center[1]) ** 2 < (IRIS_PATCH_RADIUS * (IRIS_REACH + 0.4)) ** 2
        eye = UV_MAP[list(corners)].mean(axis=0)
        eye_u, eye_v = torch.where(near, float(eye[0]), eye_u), torch.where(near, float(eye[1]), eye_v)
    u, v = eye_u * 2 - 1, eye_v * 2 - 1
    return torch.stack([torch.ones_like(u), u, v, u * u, u * v, v * v], dim=1)


def light_gain(light: torch.Tensor, uv_map: torch.Tensor) -> torch.Tensor:
    """The factor by which the lighting changes the luma of each pixel.

    Args:
        light: (B, 6) coefficients, see :meth:`LightModel.fit`.
        uv_map: (B, 2, H, W) UV coordinates (u, v) in [0, 1] of each pixel, as in the condition of the mesh generator.

    Returns:
        (B, 1, H, W) gain, 0.15 to 4; meaningless outside the mesh.
    """
    return torch.einsum("bk,bkhw->bhw", light, _quadratic_basis(uv_map))[:, None].clamp(_MIN_GAIN, _MAX_GAIN)


class LightModel:
    """Fits the lighting of (size, size) textures, six coefficients each."""

    def __init__(self, size: int):
        v, u = (torch.from_numpy(axis + 0.5) / size for axis in np.mgrid[:size, :size])
        self.basis = _quadratic_basis(torch.stack([u, v])[None])[0].flatten(1).T.numpy().astype(np.float32)  # (texels, 6)
        rows, columns, owner, _ = texel_table(size)
        skin = np.zeros((size, size), bool)
        skin[rows, columns] = owner < MOUTH_START
        self.skin = np.flatnonzero(skin.ravel())[::5]  # a fifth of the texels determines six numbers well enough

    def fit(self, luma: np.ndarray, trust: np.ndarray, reference: np.ndarray) -> np.ndarray:
        """The light under which the reference looks most like the pictures.

        Args:
            luma: (n, texels) luma of the pictures, 0 to 255.
            trust: (n, texels) weight of each texel, 0 to 1.
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
            gain = np.clip(coefficients @ basis.T, _MIN_GAIN, _MAX_GAIN)
            # beards, bangs and cast shadows are not lighting: texels that the reference cannot explain count less
            robust = weights * np.clip(1.5 - np.abs(values / gain - reference) / 40, 0.1, 1)
        return coefficients

    def gain(self, coefficients: np.ndarray) -> np.ndarray:
        """(n, 6) coefficients -> (n, texels) gain, 0.15 to 4."""
        return np.clip(coefficients @ self.basis.T, _MIN_GAIN, _MAX_GAIN)

    def remove(self, luma: np.ndarray, trust: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Divide the fitted light out; arguments as for :meth:`fit`.

        Returns:
            (n, texels) luma under even light, and the (n, texels) gain.
        """
        gain = self.gain(self.fit(luma, trust, reference))
        return np.clip(luma / gain, 0, 400), gain
