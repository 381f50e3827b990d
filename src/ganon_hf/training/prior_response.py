"""How the appearance prior responds to a turned head, corrected on the faces that it is used for.

The prior is fitted to real textures by their own shapes, and few training faces are turned. In use, it gets the shape of a synthetic
person, and what is particular to that person is added: turned heads then have pale brows, a bright nose and patches on the cheek. So real
training faces are replaced, and by how much they differ from the synthetic faces is regressed on the pose. Other features belong to the
synthetic person or to the expression; a regression on those of the expression made faces softer than they are in photos.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from ..core.modeling_ganon import NUM_OPENINGS, NUM_POSE_FEATURES, AppearancePrior, GanonModel
from ..core.opencv import cv2
from .calibration import batches, without_eyes_and_mouth
from .lighting import LightModel
from .portraits import even_luma, half_size, predicted_luma
from .textures import FaceSample, unwrap_samples

# Ridge penalty of a feature of variance one, in faces and their mirror images, and the rounds in which hidden texels are filled in with
# what was found before: where few faces are seen, little is found.
_RIDGE, _ROUNDS = 300.0, 4
# Differences are limited to so many gray values: hair, hands and spectacles.
_LIMIT = 40.0
# Where less than the first share of the faces is seen, nothing changes; from the second one on all does.
_SEEN = (0.05, 0.15)
# Standard deviation of the blur of the change, as a share of the texture's side: fine lines lie elsewhere in everybody.
_BLUR = 0.011
# Faces of which a product is computed at once.
_CHUNK = 1000


@dataclass(frozen=True, eq=False)
class Comparison:
    """Real faces and the synthetic ones in their place.

    Attributes:
        features: (n, F) of the synthetic shapes, see :func:`~ganon_hf.core.modeling_ganon.shape_features`.
        difference: (n, T, T) float16, by how many gray values the real faces are brighter under even light.
        seen: (n, T, T) bool, where both are seen.
        grayscale: (n,) bool, faces of photos without color.
    """

    features: np.ndarray
    difference: np.ndarray
    seen: np.ndarray
    grayscale: np.ndarray


def compare_textures(model: GanonModel, pairs: Iterator[tuple[FaceSample, FaceSample]]) -> Comparison:
    """Compare real faces with the synthetic ones in their place, at half the size of the bank's textures.

    Args:
        model: with prior and bank.
        pairs: see :func:`.calibration.replaced_faces`.

    Raises:
        ValueError: there is no pair, or the model has no bank.
    """
    if model.people is None or model.prior is None:
        raise ValueError("only a model with conditioning='mesh' has a prior that responds to the head's pose.")
    size = model.config.people_texture_size
    light, parts = LightModel(size), []
    for batch in batches(pairs):
        real, synthetic = (unwrap_samples(side, size) for side in zip(*batch, strict=True))
        rows = np.arange(len(real))
        _, reference = predicted_luma(model.prior, real, rows)
        features, _ = predicted_luma(model.prior, synthetic, rows)
        levels = [even_luma(side, rows, reference, light) for side in (real, synthetic)]
        difference = np.stack([half_size(one - other) for one, other in zip(*levels, strict=True)]).astype(np.float16)
        seen = np.stack([half_size(trust) > 127 for trust in np.minimum(real.trust, synthetic.trust)])
        parts.append((features, difference, seen, np.array([sample.grayscale for sample, _ in batch])))
    if not parts:
        raise ValueError("the prior's response is corrected on real faces, but none were replaced.")
    return Comparison(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def fit_response(model: GanonModel, comparison: Comparison) -> np.ndarray:
    """By how much the prior's luma maps must change; the mean texture of faces in color stays as it is.

    Args:
        model: that drew the synthetic faces.
        comparison: with real faces.

    Returns:
        (F, t, t) float32, to be added to ``prior.luma``.

    Raises:
        ValueError: no face is in color.
    """
    prior: AppearancePrior = model.prior  # type: ignore[assignment]
    if comparison.grayscale.all():
        raise ValueError(f"all {len(comparison.grayscale)} faces are in grayscale, but the bank's mean belongs to faces in color.")
    mean, deviation = comparison.features.mean(axis=0), comparison.features.std(axis=0) + 1e-6
    first = 1 + prior.shape_basis.shape[1] + NUM_OPENINGS
    chosen = np.arange(first, first + NUM_POSE_FEATURES)
    # photos in color and in grayscale differ by more than poses
    kinds = np.stack([comparison.grayscale, ~comparison.grayscale], axis=1).astype(np.float32)
    mirrored = comparison.features.copy()
    mirrored[:, first] *= -1  # yaw
    sides = [((side - mean) / deviation)[:, chosen] for side in (comparison.features, mirrored)]
    found = _regress(comparison, [np.hstack([kinds, side]).astype(np.float32) for side in sides], len(kinds[0]))
    maps = found[2:].reshape(len(chosen), *comparison.difference.shape[1:]) * _where(comparison.seen)
    size = prior.luma.shape[-1]
    skin = cv2.resize(without_eyes_and_mouth(model.config.people_texture_size), (size, size), interpolation=cv2.INTER_AREA)
    change = np.zeros((comparison.features.shape[1], size, size), np.float32)
    usual = comparison.features[~comparison.grayscale].mean(axis=0)
    for number, one in zip(chosen, maps, strict=True):
        smooth = cv2.GaussianBlur(one.astype(np.float32), (0, 0), _BLUR * len(one))
        change[number] = cv2.resize(smooth, (size, size), interpolation=cv2.INTER_CUBIC) * skin / deviation[number]
        change[0] -= change[number] * usual[number]
    return change


def correct_prior(prior: AppearancePrior, change: np.ndarray) -> None:
    """Add a change to the prior's luma maps (in place)."""
    with torch.no_grad():
        prior.luma.add_(torch.from_numpy(change))


def _regress(comparison: Comparison, sides: list[np.ndarray], num_free: int) -> np.ndarray:
    """Ridge regression of the differences and of their mirror images; hidden texels are filled in with what is found.

    Args:
        comparison: of n faces.
        sides: (n, k) terms of the faces, and of their mirror images.
        num_free: the first terms have no penalty.

    Returns:
        (k, T * T) float64 maps.
    """
    penalty = np.full(sides[0].shape[1], _RIDGE)
    penalty[:num_free] = 1e-6
    inverse = np.linalg.inv(sum(side.T @ side for side in sides).astype(np.float64) + np.diag(penalty))
    maps = np.zeros((len(penalty), comparison.difference[0].size))
    for _ in range(_ROUNDS):
        right = np.zeros_like(maps)
        for start in range(0, len(sides[0]), _CHUNK):
            rows = slice(start, start + _CHUNK)
            for side, step in zip(sides, (1, -1), strict=True):
                difference = comparison.difference[rows, :, ::step].astype(np.float32).clip(-_LIMIT, _LIMIT).reshape(-1, maps.shape[1])
                seen = comparison.seen[rows, :, ::step].reshape(difference.shape)
                right += side[rows].T @ np.where(seen, difference, side[rows] @ maps.astype(np.float32))
        maps = inverse @ right
    return maps


def _where(seen: np.ndarray) -> np.ndarray:
    """(n, T, T) bool -> (T, T) float32 0..1, where enough faces or their mirror images are seen."""
    share = seen.mean(axis=0, dtype=np.float32)
    low, high = _SEEN
    return np.clip(((share + share[:, ::-1]) / 2 - low) / (high - low), 0, 1)
