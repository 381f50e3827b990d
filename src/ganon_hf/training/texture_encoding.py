"""Encoding of training pictures under a given appearance prior: appearance coefficients, light and skin tone.

The refinement network is trained on coarse faces that resemble their pictures: each has the picture's own appearance coefficients, even
light and the neutral skin tone. The coefficients are the posterior mean given all trusted texels, with the standard normal distribution
that the prior assumes. Light and appearance are fitted alternately, so that a beard that the appearance explains is not taken for a shadow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from ..core.modeling_ganon import AppearancePrior, shape_features
from .appearance_prior import skin_tone
from .lighting import LightModel
from .textures import TextureSet

_CHUNK = 250
_ITERATIONS = 2
_MAX_COEFFICIENT = 3.0
# Information of a whole face: number of independent observations over their variance in squared gray values. Errors of neighboring texels
# are correlated, so a texture counts as far fewer observations than it has texels, and as many at every size. Measured on pictures that
# no prior was fitted to: with 1.5 the coefficients have a standard deviation of about 1, like those of synthetic people, and predicting
# one half of a face from the other hardly improves any more.
_LUMA_INFORMATION = 1.5
_CHROMA_INFORMATION = 12.0
# Prior precision of a change of the light coefficients: a standard deviation of 0.3, which is weak compared with a whole face.
_LIGHT_PRECISION = 10.0


@dataclass(frozen=True)
class AppearanceCodes:
    """Codes of n pictures, float32.

    Attributes:
        appearance: (n, K) appearance coefficients of the prior, -3 to 3.
        light: (n, 6) coefficients for :func:`.lighting.light_gain`.
        tone: (n, 2) mean Cb and Cr of the skin, centered on 0; 0 for grayscale pictures.
    """

    appearance: np.ndarray
    light: np.ndarray
    tone: np.ndarray

    def __post_init__(self) -> None:
        count = len(self.appearance)
        for name, shape in (("light", (count, 6)), ("tone", (count, 2))):
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must have shape {shape} for {count} pictures, but got {getattr(self, name).shape}.")

    def __len__(self) -> int:
        return len(self.appearance)


def resize_maps(maps: torch.Tensor, size: int) -> np.ndarray:
    """(k, ..., T, T) maps of a prior -> (k, ..., size, size), by area averaging or bilinear interpolation."""
    flat = maps.detach().float().cpu().reshape(1, -1, *maps.shape[-2:])
    if size < maps.shape[-1]:
        flat = functional.interpolate(flat, size=(size, size), mode="area")
    elif size > maps.shape[-1]:
        flat = functional.interpolate(flat, size=(size, size), mode="bilinear", align_corners=False)
    return flat.reshape(*maps.shape[:-2], size, size).numpy()


class _NormalEquations:
    """Normal equations of the weighted least squares fit of maps to textures, for many pictures at once.

    Args:
        maps: (k, c, T, T) maps whose coefficients are fitted.
        information: of a whole face, see above.
        light_basis: (texels, 6) basis of the light, for :meth:`marginalize_light`; only with one channel.
    """

    def __init__(self, maps: np.ndarray, information: float, light_basis: np.ndarray | None = None):
        count, channels, size, _ = maps.shape
        self.columns = maps.reshape(count, channels, size * size)
        self.share = information / (size * size)
        self.upper = np.triu_indices(count)
        # (texels, k (k + 1) / 2) products of columns: one matrix product then gives the equations of all pictures
        self.products = np.einsum("pct,pct->tp", self.columns[self.upper[0]], self.columns[self.upper[1]], optimize=True)
        if light_basis is not None:
            self.light_basis = light_basis
            self.light_products = np.einsum("tk,tl->tkl", light_basis, light_basis).reshape(len(light_basis), -1)
            self.cross_products = np.einsum("kt,tl->tkl", self.columns[:, 0], light_basis).reshape(len(light_basis), -1)

    def __call__(self, weights: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n, texels) weights 0 to 1, (n, c, texels) textures to fit -> (n, k, k) and (n, k), both sides of the equations."""
        weights, count = weights * self.share, len(self.columns)
        gram = np.empty((len(weights), count, count), np.float32)
        gram[:, self.upper[0], self.upper[1]] = gram[:, self.upper[1], self.upper[0]] = weights @ self.products
        return gram, (weights[:, None] * target).reshape(len(target), -1) @ self.columns.reshape(count, -1).T

    def marginalize_light(self, weights: np.ndarray, target: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same for one channel with the light unknown, so that what a change of light explains is no evidence for the coefficients.

        To first order a change of light on the (n, texels) reference is the reference times the basis of the light. These six unknowns
        are eliminated (Schur complement), which saves many small alternating iterations.
        """
        gram, right = self(weights, target[:, None])
        weights = weights * reference * self.share
        cross = (weights @ self.cross_products).reshape(len(weights), -1, 6)
        own = ((weights * reference) @ self.light_products).reshape(-1, 6, 6).astype(np.float64) + _LIGHT_PRECISION * np.eye(6)
        other = np.concatenate([cross.transpose(0, 2, 1), ((weights * target) @ self.light_basis)[:, :, None]], axis=2)
        explained = cross @ np.linalg.solve(own, other).astype(np.float32)
        return gram - explained[:, :, :-1], right - explained[:, :, -1]


def encode_textures(textures: TextureSet, prior: AppearancePrior) -> AppearanceCodes:
    """Fit appearance, light and skin tone of pictures under a prior.

    Args:
        textures: unwrapped pictures of any texture size; 64 texels are enough, and fast.
        prior: whose coefficients are fitted; it is not changed.

    Returns:
        codes in the order of the pictures. With them the luma of ``prior(shapes, angles, appearance)`` resembles each picture's luma over
        its :func:`.lighting.light_gain`, and the chroma resembles each picture's chroma minus ``tone`` plus ``prior.tone_mean[1:]``.
        Texels without trust are ignored.
    """
    count, size = len(textures), textures.luma.shape[-1]
    half = size // 2
    light, num_appearance = LightModel(size), len(prior.luma_appearance)
    by_shape, color_by_shape = resize_maps(prior.luma, size), resize_maps(prior.chroma, half)
    luma_equations = _NormalEquations(resize_maps(prior.luma_appearance, size)[:, None], _LUMA_INFORMATION, light.basis)
    chroma_equations = _NormalEquations(resize_maps(prior.chroma_appearance, half), _CHROMA_INFORMATION)
    neutral = prior.tone_mean[1:].detach().cpu().numpy()
    color_index = np.full(count, -1)
    color_index[textures.color_rows] = np.arange(len(textures.color_rows))
    codes = AppearanceCodes(
        np.zeros((count, num_appearance), np.float32), np.zeros((count, 6), np.float32), np.zeros((count, 2), np.float32)
    )
    statistics = (prior.shape_mean.detach().cpu(), prior.shape_basis.detach().cpu())
    for start in range(0, count, _CHUNK):
        rows = slice(start, min(count, start + _CHUNK))
        shapes, angles = torch.from_numpy(textures.shapes[rows]), torch.from_numpy(textures.angles[rows])
        features = shape_features(shapes, angles, *statistics, prior.num_quadratic).numpy()
        luma = textures.luma[rows].reshape(len(features), -1).astype(np.float32)
        trust = textures.trust[rows].astype(np.float32) / 255
        predicted = features @ by_shape.reshape(len(by_shape), -1)
        # chroma does not depend on the light: its equations are computed once
        gram = np.repeat(np.eye(num_appearance, dtype=np.float32)[None], len(features), axis=0)
        right = np.zeros((len(features), num_appearance), np.float32)
        colored = np.flatnonzero(color_index[rows] >= 0)
        if len(colored):
            chroma = textures.chroma[color_index[rows][colored]].astype(np.float32) - 128
            seen = trust[colored][:, ::2, ::2]
            tone = skin_tone(chroma, seen, light).astype(np.float32)
            codes.tone[rows][colored] = tone
            expected = (features[colored] @ color_by_shape.reshape(len(color_by_shape), -1)).reshape(-1, 2, half * half)
            target = (chroma - tone[:, None, None] + neutral).reshape(-1, half * half, 2).transpose(0, 2, 1) - expected
            chroma_gram, chroma_right = chroma_equations(seen.reshape(len(seen), -1), target)
            gram[colored] += chroma_gram
            right[colored] += chroma_right
        trust = trust.reshape(luma.shape)
        reference = predicted
        for _ in range(_ITERATIONS):
            codes.light[rows] = light.fit(luma, trust, reference)
            even = np.clip(luma / light.gain(codes.light[rows]), 0, 400)
            luma_gram, luma_right = luma_equations.marginalize_light(trust, even - predicted, reference)
            solved = np.linalg.solve(gram + luma_gram, (right + luma_right)[:, :, None])[:, :, 0]
            codes.appearance[rows] = np.clip(solved, -_MAX_COEFFICIENT, _MAX_COEFFICIENT)
            reference = predicted + codes.appearance[rows] @ luma_equations.columns[:, 0]
    return codes
