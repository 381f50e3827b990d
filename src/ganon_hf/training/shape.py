"""Closed-form fit of the shape model (``ganon_hf.geometry.ShapeModel``): what of a face's shape is the person, and what the moment.

Two-covariance model (Ioffe 2006) on pose-normalised landmarks of people with two pictures or more: B between people, W within. The
expression code is the Wiener estimate W_r (B + W)^-1 of the within-person part, with W cut to its r strongest directions in a metric
that values mouth, brows and eyes; r is small because every further number that passes also names the person.
"""

from __future__ import annotations

import numpy as np
import torch

from ..geometry import OUTLINE_FREEDOM
from ..modeling_ganon import GanonConfig
from ..topology import (
    LEFT_EYE_CORNERS,
    LEFT_EYE_LOWER,
    LEFT_EYE_UPPER,
    LEFT_IRIS,
    MOUTH_CORNERS,
    MOUTH_LOWER,
    MOUTH_UPPER,
    RIGHT_EYE_CORNERS,
    RIGHT_EYE_LOWER,
    RIGHT_EYE_UPPER,
    RIGHT_IRIS,
)
from .textures import mirror_shapes

# Weights of the points when the strongest directions of change are chosen: what speaks counts, the outline stays the photo's anyway.
_MOUTH_WEIGHT, _BROW_WEIGHT, _EYE_WEIGHT, _IRIS_WEIGHT = 8.0, 4.0, 2.0, 0.1
_OUTER_LIPS = [61, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409, 146, 91, 181, 84, 17, 314, 405, 321, 375]
_BROWS = [70, 63, 105, 66, 107, 55, 65, 52, 53, 46, 300, 293, 334, 296, 336, 285, 295, 282, 283, 276]
_SUBSPACE = 120


def between_and_within(codes: np.ndarray, persons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Covariances between and within people of (n, d) codes; people with a single picture or the label -1 do not count.

    Raises:
        ValueError: fewer than two people have two pictures.
    """
    labels, inverse, sizes = np.unique(persons, return_inverse=True, return_counts=True)
    usable = (sizes[inverse] >= 2) & (persons >= 0)
    kept, inverse, sizes = np.unique(persons[usable], return_inverse=True, return_counts=True)
    if len(kept) < 2:
        raise ValueError(f"covariances between people need at least two people with two pictures, but got {len(kept)}.")
    means = np.zeros((len(kept), codes.shape[1]))
    np.add.at(means, inverse, codes[usable])
    means /= sizes[:, None]
    deviations = codes[usable] - means[inverse]
    within = deviations.T @ deviations / (len(deviations) - len(kept))
    # the spread of the means holds 1 / n of the variation within
    between = np.cov(means.T) - within * (1 / sizes).mean()
    values, vectors = np.linalg.eigh(between)
    return (vectors * np.maximum(values, 1e-9 * values[-1])) @ vectors.T, within


def _point_weights() -> np.ndarray:
    """(1434,) metric of shape differences."""
    weights = np.ones(len(OUTLINE_FREEDOM))
    weights[[*MOUTH_CORNERS, *MOUTH_UPPER, *MOUTH_LOWER, *_OUTER_LIPS]] = _MOUTH_WEIGHT
    weights[_BROWS] = _BROW_WEIGHT
    eyes = [*RIGHT_EYE_CORNERS, *RIGHT_EYE_UPPER, *RIGHT_EYE_LOWER, *LEFT_EYE_CORNERS, *LEFT_EYE_UPPER, *LEFT_EYE_LOWER]
    weights[eyes] = _EYE_WEIGHT
    weights[[*RIGHT_IRIS, *LEFT_IRIS]] = _IRIS_WEIGHT  # gaze is carried on its own
    return np.repeat(weights * (0.05 + 0.95 * OUTLINE_FREEDOM), 3)


def fit_shape_model(
    shapes: np.ndarray, persons: np.ndarray, angles: np.ndarray, neutral: np.ndarray, config: GanonConfig
) -> dict[str, torch.Tensor]:
    """Fit the buffers of ``ShapeStatistics`` but those of the people (``people.py``).

    Args:
        shapes: (n, 478, 3) pose-normalised landmarks.
        persons: (n,) labels, -1 unknown.
        angles: (n, 2) yaw and pitch in degrees; strongly turned heads have unsure shapes and are left out.
        neutral: (n,) bool, pictures labelled as showing no emotion. Their mean is the origin: about the mean of all pictures, which
            smiles, a stretched neutral face would frown.
        config: sizes.

    Returns:
        name -> float32 tensor, ready for ``model.geometry.load_state_dict(..., strict=False)``.
    """
    frontal = np.abs(angles[:, 0]) < 35
    origin = shapes[neutral & frontal] if (neutral & frontal).sum() >= 20 else shapes[frontal]
    mean = np.concatenate([origin, mirror_shapes(origin)]).reshape(2 * len(origin), -1).astype(np.float64).mean(axis=0)
    metric = np.sqrt(_point_weights())
    flat = (shapes[frontal].reshape(frontal.sum(), -1) - mean) * metric
    mirrored = (mirror_shapes(shapes[frontal]).reshape(len(flat), -1) - mean) * metric
    directions = np.linalg.eigh(flat.T @ flat + mirrored.T @ mirrored)[1][:, ::-1][:, :_SUBSPACE]
    between, within = between_and_within(flat @ directions, persons[frontal])
    vectors = np.linalg.eigh(within)[1][:, ::-1][:, : config.num_expression]
    encode = vectors.T @ within @ np.linalg.inv(between + within)
    # A Wiener estimate shrinks, and an expression at two thirds of its strength looks tired: stretch the code until a change within a
    # person comes out as large as it went in.
    encode = (vectors.T @ within @ vectors) @ np.linalg.inv(encode @ within @ vectors) @ encode
    outside = np.eye(len(vectors)) - vectors @ vectors.T
    spread, axes = np.linalg.eigh(outside @ between @ outside)
    spread, axes = np.maximum(spread[::-1][: config.num_identity], 0), axes[:, ::-1][:, : config.num_identity]
    state = {
        "mean": mean,
        "identity_basis": (directions @ axes * np.sqrt(spread)) / metric[:, None],
        "expression_encode": (encode @ directions.T) * metric,
        "expression_decode": (directions @ vectors) / metric[:, None],
    }
    return {name: torch.from_numpy(np.ascontiguousarray(value, dtype=np.float32)) for name, value in state.items()}
