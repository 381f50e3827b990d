"""What of a training picture is the person and what is the lamp, under a given appearance prior.

The refinement network is trained on coarse faces that look like their pictures: each with the picture's own appearance coefficients, in
even light, at neutral skin tone. The coefficients are the posterior mean under the prior's own assumption (standard normal), from all
trusted texels; light and appearance are found in turns, because a beard that the appearance explains is not a shadow.
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
_TURNS = 2
_LIMIT = 3.0
# What a whole face tells: independent observations over their variance in squared levels. Neighboring texels err together, so that a
# texture counts as far fewer observations than it has texels, and as many at every size. Measured on pictures that no prior was fitted
# on: with 1.5 the coefficients spread by about 1, as those drawn for synthetic people do, and what one half of a face says about the
# other has all but stopped improving.
_LUMA_INFORMATION = 1.5
_CHROMA_INFORMATION = 12.0
# Of a change of the light's coefficients: a standard deviation of 0.3, which against a whole face is next to nothing.
_LAMP_PRECISION = 10.0


@dataclass(frozen=True)
class PictureCodes:
    """Codes of n pictures, float32.

    Attributes:
        appearance: (n, K) coefficients of the person in the prior's units, within -3..3.
        light: (n, 6) coefficients for :func:`.light.light_gain`.
        tone: (n, 2) mean Cb, Cr of the skin about 0; 0 for grayscale pictures.
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


def texture_maps(maps: torch.Tensor, size: int) -> np.ndarray:
    """(k, ..., T, T) maps of a prior -> (k, ..., size, size), averaged down or interpolated."""
    flat = maps.detach().float().cpu().reshape(1, -1, *maps.shape[-2:])
    if size < maps.shape[-1]:
        flat = functional.interpolate(flat, size=(size, size), mode="area")
    elif size > maps.shape[-1]:
        flat = functional.interpolate(flat, size=(size, size), mode="bilinear", align_corners=False)
    return flat.reshape(*maps.shape[:-2], size, size).numpy()


class _Equations:
    """Normal equations of (k, c, T, T) maps that explain textures, one weight per texel, for many pictures at once.

    Args:
        maps: the maps.
        information: see above.
        lamp: (texels, 6) basis of the light, of which the textures were freed by a guess; for one channel.
    """

    def __init__(self, maps: np.ndarray, information: float, lamp: np.ndarray | None = None):
        count, channels, size, _ = maps.shape
        self.columns = maps.reshape(count, channels, size * size)
        self.share = information / (size * size)
        self.upper = np.triu_indices(count)
        # (texels, k (k + 1) / 2): with the products of columns at hand, one matrix product makes the equations of all pictures
        self.products = np.einsum("pct,pct->tp", self.columns[self.upper[0]], self.columns[self.upper[1]], optimize=True)
        if lamp is not None:
            self.lamp = lamp
            self.lamp_products = np.einsum("tk,tl->tkl", lamp, lamp).reshape(len(lamp), -1)
            self.cross_products = np.einsum("kt,tl->tkl", self.columns[:, 0], lamp).reshape(len(lamp), -1)

    def __call__(self, weights: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n, texels) weights 0..1, (n, c, texels) what is to be explained -> (n, k, k) and (n, k) sides of the equations."""
        weights, count = weights * self.share, len(self.columns)
        gram = np.empty((len(weights), count, count), np.float32)
        gram[:, self.upper[0], self.upper[1]] = gram[:, self.upper[1], self.upper[0]] = weights @ self.products
        return gram, (weights[:, None] * target).reshape(len(target), -1) @ self.columns.reshape(count, -1).T

    def less_light(self, weights: np.ndarray, target: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same for one channel when the guess at the light may still change: what a change explains as well proves nothing.

        To first order a change of light on the (n, texels) reference is the reference times the light's basis; these six unknowns are
        eliminated (Schur complement), so that they need not be found in many small turns.
        """
        gram, right = self(weights, target[:, None])
        weights = weights * reference * self.share
        cross = (weights @ self.cross_products).reshape(len(weights), -1, 6)
        own = ((weights * reference) @ self.lamp_products).reshape(-1, 6, 6).astype(np.float64) + _LAMP_PRECISION * np.eye(6)
        other = np.concatenate([cross.transpose(0, 2, 1), ((weights * target) @ self.lamp)[:, :, None]], axis=2)
        explained = cross @ np.linalg.solve(own, other).astype(np.float32)
        return gram - explained[:, :, :-1], right - explained[:, :, -1]


def encode_textures(textures: TextureSet, prior: AppearancePrior) -> PictureCodes:
    """Appearance, light and skin tone of pictures under a prior.

    Args:
        textures: unwrapped pictures; their size need not be the prior's (64 texels are enough, and fast).
        prior: whose coefficients are wanted; it is not changed.

    Returns:
        Codes in the order of the pictures. With them ``prior(shapes, angles, appearance)`` resembles each picture's luma over its
        :func:`.light.light_gain`, and its chroma less ``tone`` plus ``prior.tone_mean[1:]``. Texels without trust have no say.
    """
    count, size = len(textures), textures.luma.shape[-1]
    half = size // 2
    light, num_appearance = LightModel(size), len(prior.luma_appearance)
    by_shape, color_by_shape = texture_maps(prior.luma, size), texture_maps(prior.chroma, half)
    luma_equations = _Equations(texture_maps(prior.luma_appearance, size)[:, None], _LUMA_INFORMATION, light.basis)
    chroma_equations = _Equations(texture_maps(prior.chroma_appearance, half), _CHROMA_INFORMATION)
    neutral = prior.tone_mean[1:].detach().cpu().numpy()
    color_place = np.full(count, -1)
    color_place[textures.color_rows] = np.arange(len(textures.color_rows))
    codes = PictureCodes(np.zeros((count, num_appearance), np.float32), np.zeros((count, 6), np.float32), np.zeros((count, 2), np.float32))
    statistics = (prior.shape_mean.detach().cpu(), prior.shape_basis.detach().cpu())
    for start in range(0, count, _CHUNK):
        rows = slice(start, min(count, start + _CHUNK))
        shapes, angles = torch.from_numpy(textures.shapes[rows]), torch.from_numpy(textures.angles[rows])
        features = shape_features(shapes, angles, *statistics, prior.num_quadratic).numpy()
        luma = textures.luma[rows].reshape(len(features), -1).astype(np.float32)
        trust = textures.trust[rows].astype(np.float32) / 255
        predicted = features @ by_shape.reshape(len(by_shape), -1)
        # color does not depend on the light's turns: its equations are made once
        gram = np.repeat(np.eye(num_appearance, dtype=np.float32)[None], len(features), axis=0)
        right = np.zeros((len(features), num_appearance), np.float32)
        colored = np.flatnonzero(color_place[rows] >= 0)
        if len(colored):
            chroma = textures.chroma[color_place[rows][colored]].astype(np.float32) - 128
            seen = trust[colored][:, ::2, ::2]
            tone = skin_tone(chroma, seen, light).astype(np.float32)
            codes.tone[rows][colored] = tone
            expected = (features[colored] @ color_by_shape.reshape(len(color_by_shape), -1)).reshape(-1, 2, half * half)
            target = (chroma - tone[:, None, None] + neutral).reshape(-1, half * half, 2).transpose(0, 2, 1) - expected
            more = chroma_equations(seen.reshape(len(seen), -1), target)
            gram[colored] += more[0]
            right[colored] += more[1]
        trust = trust.reshape(luma.shape)
        reference = predicted
        for _ in range(_TURNS):
            codes.light[rows] = light.fit(luma, trust, reference)
            even = np.clip(luma / light.gain(codes.light[rows]), 0, 400)
            more = luma_equations.less_light(trust, even - predicted, reference)
            solved = np.linalg.solve(gram + more[0], (right + more[1])[:, :, None])[:, :, 0]
            codes.appearance[rows] = np.clip(solved, -_LIMIT, _LIMIT)
            reference = predicted + codes.appearance[rows] @ luma_equations.columns[:, 0]
    return codes
