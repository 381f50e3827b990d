"""Closed-form fit of the appearance prior (``AppearancePrior`` in ``modeling_ganon.py``).

1. Ridge regression from shape features to the luma texture. The light is removed from each picture, and hidden texels are filled in with
   the prediction of the last round (three rounds, similar to expectation-maximization).
2. Principal directions in which *people* differ in the residual (two-covariance model: variation between people without the variation
   within, Ioffe 2006), so that sampled coefficients change the person and not the lighting.
3. The same for chroma, on color pictures only.

Every picture is also used mirrored.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
import torch

from ..core.landmarks import texel_table
from ..core.modeling_ganon import NUM_OPENINGS, AppearancePrior, GanonConfig, shape_features
from ..core.opencv import cv2
from .lighting import LightModel
from .shape_space import between_within_covariance
from .textures import TextureSet, mirror_shapes

logger = logging.getLogger(__name__)

MEAN_LUMA = 120.0
_CHUNK_TEXELS = 10_000_000
# Structure broader than this share of the texture counts as lighting; this share of it is removed from the appearance maps.
_SHADING_SCALE = 0.075
_SHADING_SHARE = 0.75
_MIN_COLOR_PICTURES = 50


def _chunks(count: int, size: int) -> Iterator[slice]:
    """Slices of the pictures, so that a float array of one takes about 40 MB; about six such arrays are alive at once."""
    step = max(1, _CHUNK_TEXELS // (size * size))
    for start in range(0, count, step):
        yield slice(start, min(count, start + step))


def _flip(textures: np.ndarray, size: int) -> np.ndarray:
    """(n, texels[, ...]) textures -> their mirror images; the UV map is symmetric."""
    return textures.reshape(len(textures), size, size, -1)[:, :, ::-1].reshape(textures.shape)


def _flip_basis(basis: np.ndarray, size: int) -> np.ndarray:
    """The same for the columns of a (texels, k) matrix."""
    return basis.reshape(size, size, -1)[:, ::-1].reshape(basis.shape)


def _luma(textures: TextureSet, rows: slice | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    luma, trust = textures.luma[rows], textures.trust[rows]
    return luma.reshape(len(luma), -1).astype(np.float32), trust.reshape(len(trust), -1) / np.float32(255)


def fit_shape_basis(shapes: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(n, 478, 3) shapes and their mirror images -> mean (1434,), and principal directions over standard deviations (1434, count)."""
    flat = np.concatenate([shapes, mirror_shapes(shapes)]).reshape(2 * len(shapes), -1).astype(np.float64)
    mean = flat.mean(axis=0)
    values, vectors = np.linalg.eigh((flat - mean).T @ (flat - mean) / len(flat))
    deviations = np.sqrt(np.maximum(values[::-1][:count], 1e-12))
    return mean.astype(np.float32), (vectors[:, ::-1][:, :count] / deviations).astype(np.float32)


def _features(shapes: np.ndarray, angles: np.ndarray, mean: np.ndarray, basis: np.ndarray, config: GanonConfig) -> np.ndarray:
    """``shape_features`` for numpy arrays."""
    shape, pose = torch.from_numpy(shapes), torch.from_numpy(angles)
    return shape_features(shape, pose, torch.from_numpy(mean), torch.from_numpy(basis), config.num_quadratic).numpy()


def _mean_texture(textures: TextureSet, size: int) -> tuple[np.ndarray, np.ndarray]:
    total, seen = np.zeros(size * size), np.zeros(size * size)
    for rows in _chunks(len(textures), size):
        luma, trust = _luma(textures, rows)
        trust = trust * textures.weights[rows, None]
        brightness = (trust * luma).sum(axis=1) / np.maximum(trust.sum(axis=1), 1)
        total += (trust * luma / np.maximum(brightness, 20)[:, None]).sum(axis=0)
        seen += trust.sum(axis=0)
    total, seen = total + _flip(total[None], size)[0], seen + _flip(seen[None], size)[0]
    valid = seen > 1e-3 * len(textures)
    mean = np.where(valid, total / np.maximum(seen, 1e-9), 1.0) * MEAN_LUMA
    return mean.astype(np.float32), valid


def fit_prior(textures: TextureSet, config: GanonConfig, *, ridge: float = 30.0, rounds: int = 3, seed: int = 0) -> dict[str, torch.Tensor]:
    """Fit the parameters and buffers of ``AppearancePrior``.

    Args:
        textures: unwrapped training pictures of ``config.texture_size``.
        config: sizes of the model.
        ridge: penalty on each feature, in units of average pictures.
        rounds: passes over the pictures; each fills in hidden texels with the prediction of the last one.
        seed: of the randomized subspace iteration.

    Returns:
        name -> float32 tensor, for ``model.prior.load_state_dict(..., strict=False)``.
    """
    size, count = config.texture_size, len(textures)
    shape_mean, shape_basis = fit_shape_basis(textures.shapes, config.num_shape_components)
    flipped_angles = textures.angles * np.array([-1, 1], np.float32)
    features = _features(textures.shapes, textures.angles, shape_mean, shape_basis, config)
    mirrored = _features(mirror_shapes(textures.shapes), flipped_angles, shape_mean, shape_basis, config)
    weights = textures.weights
    gram = (features * weights[:, None]).T @ features + (mirrored * weights[:, None]).T @ mirrored
    penalty = np.full(len(gram), ridge * weights.mean())
    penalty[0] = 1e-6
    inverse = np.linalg.inv(gram.astype(np.float64) + np.diag(penalty)).astype(np.float32)
    light = LightModel(size)
    mean, valid = _mean_texture(textures, size)
    coefficients = np.zeros((features.shape[1], size * size), np.float32)
    coefficients[0] = mean
    average = (features * weights[:, None]).sum(axis=0) + (mirrored * weights[:, None]).sum(axis=0)
    average /= 2 * weights.sum()
    for iteration in range(rounds):
        right = np.zeros_like(coefficients)
        error = seen = 0.0
        for rows in _chunks(count, size):
            luma, trust = _luma(textures, rows)
            even, _ = light.remove(luma, trust, mean)
            predicted = features[rows] @ coefficients
            error += float((trust * (even - predicted) ** 2)[:, valid].sum())
            seen += float(trust[:, valid].sum())
            filled = trust * even + (1 - trust) * predicted
            right += (features[rows] * weights[rows, None]).T @ filled
            right += (mirrored[rows] * weights[rows, None]).T @ _flip(filled, size)
        coefficients = inverse @ right
        mean = average @ coefficients
        logger.info("round %d of %d: luma error before it %.2f gray values", iteration + 1, rounds, np.sqrt(error / max(seen, 1.0)))
    directions, residual_codes = _residual_directions(textures, features, coefficients, light, mean, size, 3 * config.num_appearance, seed)
    num_chroma = min(6, config.num_appearance // 4)
    basis, codes = _between_people(directions, residual_codes, textures.persons, config.num_appearance - num_chroma)
    state = {
        "shape_mean": shape_mean,
        "shape_basis": shape_basis,
        "luma": coefficients.reshape(-1, size, size),
        "luma_appearance": np.concatenate([basis.T, np.zeros((num_chroma, size * size), np.float32)]).reshape(-1, size, size),
    }
    state["luma_appearance"] = remove_shading(state["luma_appearance"].astype(np.float32))
    state.update(_fit_chroma(textures, features, codes, num_chroma, config, light, mean))
    return {name: torch.from_numpy(np.ascontiguousarray(value, dtype=np.float32)) for name, value in state.items()}


def squared_errors(textures: TextureSet, prior: AppearancePrior) -> tuple[np.ndarray, np.ndarray]:
    """How well each picture is predicted, with the light removed from it.

    Returns:
        (n, 2) sums of squared luma errors over trusted texels, of the average face and of the prior; (n,) sums of the trust.
    """
    size = prior.luma.shape[-1]
    shapes, angles = torch.from_numpy(textures.shapes), torch.from_numpy(textures.angles)
    features = shape_features(shapes, angles, prior.shape_mean, prior.shape_basis, prior.num_quadratic).numpy()
    coefficients = prior.luma.detach().numpy().reshape(features.shape[1], -1)
    light, mean = LightModel(size), features.mean(axis=0) @ coefficients
    squares, seen = np.zeros((len(textures), 2)), np.zeros(len(textures))
    for rows in _chunks(len(textures), size):
        luma, trust = _luma(textures, rows)
        even, _ = light.remove(luma, trust, mean)
        for number, predicted in enumerate((mean, features[rows] @ coefficients)):
            squares[rows, number] = (trust * (even - predicted) ** 2).sum(axis=1)
        seen[rows] = trust.sum(axis=1)
    return squares, seen


def held_out_error(textures: TextureSet, prior: AppearancePrior) -> dict[str, float]:
    """How well the prior predicts pictures that it was not fitted to, with the light removed from the pictures.

    Returns:
        RMS luma error over trusted texels in gray values (0-255): ``mean`` for the average face, ``prior`` for the regression.
    """
    squares, seen = squared_errors(textures, prior)
    return dict(zip(("mean", "prior"), np.sqrt(squares.sum(axis=0) / max(seen.sum(), 1.0)).tolist(), strict=True))


def _residual_directions(
    textures: TextureSet,
    features: np.ndarray,
    coefficients: np.ndarray,
    light: LightModel,
    mean: np.ndarray,
    size: int,
    count: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Principal directions of the residuals of the regression (randomized subspace iteration, Halko et al. 2011).

    Returns:
        (texels, count) orthonormal directions, (n, count) codes of the pictures.
    """
    total = len(textures)
    lights = np.concatenate([light.fit(*_luma(textures, rows), mean) for rows in _chunks(total, size)])

    def residuals(rows: slice) -> np.ndarray:
        """Residuals of some pictures. Computed again in every pass, because they take more memory than the pictures."""
        luma, trust = _luma(textures, rows)
        luma /= light.gain(lights[rows])
        np.clip(luma, 0, 400, out=luma)
        luma -= features[rows] @ coefficients
        luma *= trust
        return np.clip(luma, -120, 120, out=luma)

    count = min(count, total)
    basis = np.linalg.qr(np.random.default_rng(seed).standard_normal((size * size, min(count + 16, size * size))).astype(np.float32))[0]
    weights = np.sqrt(textures.weights)[:, None]
    for iteration in range(4):
        image, flipped = np.zeros_like(basis), _flip_basis(basis, size)
        for rows in _chunks(total, size):
            part = residuals(rows) * weights[rows]
            image += part.T @ (part @ basis) + _flip_basis(part.T @ (part @ flipped), size)
        basis = np.linalg.qr(image)[0]
        logger.info("subspace iteration %d of 4", iteration + 1)
    gram, flipped = np.zeros((basis.shape[1],) * 2), _flip_basis(basis, size)
    for rows in _chunks(total, size):
        part = residuals(rows) * weights[rows]
        for view in (basis, flipped):
            codes = part @ view
            gram += codes.T @ codes
    basis = basis @ np.linalg.eigh(gram)[1][:, ::-1][:, :count].astype(np.float32)
    codes = np.concatenate([residuals(rows) @ basis for rows in _chunks(total, size)])
    return basis, codes


def _between_people(directions: np.ndarray, codes: np.ndarray, persons: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Directions in which people differ, scaled so that coefficients of people are standard normal.

    Returns:
        (texels, count) basis, and the (n, count) coefficients of the pictures in it.
    """
    # To the covariances a face lit from one side is another person. Faces are nearly symmetric, so only symmetric directions are used.
    size = int(round(len(directions) ** 0.5))
    left, singular, right = np.linalg.svd(directions + _flip_basis(directions, size), full_matrices=False)
    kept = singular > 1.0  # 2 for a symmetric direction, 0 for its opposite
    codes = codes @ (directions.T @ left[:, kept])
    directions = left[:, kept]
    labels, sizes = np.unique(persons[persons >= 0], return_counts=True)
    # with too few people who have two pictures, all variation counts as variation between people
    between = between_within_covariance(codes, persons)[0] if (sizes >= 2).sum() >= 20 else np.cov(codes.T)
    values, vectors = np.linalg.eigh(between)
    values, vectors = np.maximum(values[::-1][:count], 1e-6), vectors[:, ::-1][:, :count]
    scale = np.sqrt(values)
    return (directions @ vectors * scale).astype(np.float32), (codes @ vectors / scale).astype(np.float32)


def remove_shading(maps: np.ndarray) -> np.ndarray:
    """Remove most of the broad shading and color from (k, T, T) appearance maps.

    Pictures of one person often share their lighting, so part of it is taken for the person. Brows, beards, lips and wrinkles are finer.
    Structure broader than about a tenth of the face is lighting, and compositing fits the light of the photo anyway.
    """
    size = maps.shape[-1]
    rows, columns, _, _ = texel_table(size)
    mask = np.zeros((size, size), np.float32)
    mask[rows, columns] = 1
    sigma = _SHADING_SCALE * size
    weight = np.maximum(cv2.GaussianBlur(mask, (0, 0), sigma), 1e-3)
    broad = np.stack([cv2.GaussianBlur(layer * mask, (0, 0), sigma) / weight * mask for layer in maps])
    return maps - _SHADING_SHARE * broad


def skin_tone(chroma: np.ndarray, trust: np.ndarray, light: LightModel) -> np.ndarray:
    """Mean chroma of the skin.

    Args:
        chroma: (m, T / 2, T / 2, 2) Cb and Cr, centered on 0.
        trust: (m, T / 2, T / 2) weight of each texel, 0 to 1.
        light: knows which texels are skin.

    Returns:
        (m, 2) Cb and Cr; 0 for pictures without visible skin.
    """
    half = trust.shape[-1]
    skin = np.zeros(4 * half * half, bool)
    skin[light.skin] = True
    on_skin = trust * skin.reshape(half, 2, half, 2).any(axis=(1, 3))
    return np.einsum("mij,mijc->mc", on_skin, chroma) / np.maximum(on_skin.sum(axis=(1, 2)), 1e-6)[:, None]


def _symmetric_chroma(maps: np.ndarray, half: int) -> np.ndarray:
    """(k, half * half * 2) chroma maps -> the mean of each map and its mirror image."""
    maps = maps.reshape(-1, half, half, 2)
    return ((maps + maps[:, :, ::-1]) / 2).reshape(len(maps), -1)


def _fit_chroma(
    textures: TextureSet, features: np.ndarray, codes: np.ndarray, num_chroma: int, config: GanonConfig, light: LightModel, mean: np.ndarray
) -> dict[str, np.ndarray]:
    """Chroma relative to the skin tone of each picture: from shape features, luma coefficients and a few directions of its own."""
    half, rows = config.texture_size // 2, textures.color_rows
    state = {
        "chroma": np.zeros((config.num_features, 2, half, half), np.float32),
        "chroma_appearance": np.zeros((config.num_appearance, 2, half, half), np.float32),
    }
    if len(rows) < _MIN_COLOR_PICTURES:
        logger.warning("A color model needs at least %d color pictures, but got %d: the prior stays gray.", _MIN_COLOR_PICTURES, len(rows))
        return state
    chroma = textures.chroma.astype(np.float32) - 128  # (m, h, h, 2)
    trust = textures.trust[rows, ::2, ::2] / np.float32(255)
    tone = skin_tone(chroma, trust, light)
    gains = np.empty(len(rows), np.float32)
    for chunk in _chunks(len(rows), config.texture_size):
        gain = light.gain(light.fit(*_luma(textures, rows[chunk]), mean))
        gains[chunk] = np.median(gain[:, light.skin], axis=1)
    tones = np.column_stack([gains, tone])
    center = np.median(tones, axis=0)
    covariance = np.cov(np.clip(tones - center, -3 * tones.std(axis=0), 3 * tones.std(axis=0)).T)
    chroma -= tone[:, None, None]
    average = np.einsum("mijc,mij->ijc", chroma, trust) / np.maximum(trust.sum(axis=0), 1e-3)[..., None]
    average = (average + average[:, ::-1]) / 2
    chroma -= average
    chroma *= trust[..., None]
    left = chroma.reshape(len(rows), -1)
    num_slopes = config.num_shape_components + NUM_OPENINGS
    design = np.concatenate([features[rows][:, 1 : 1 + num_slopes], np.clip(codes[rows], -4, 4)], axis=1)
    design_mean = design.mean(axis=0)
    design = design - design_mean
    # a hundred slopes from about two thousand pictures need a strong penalty
    solution = np.linalg.solve(design.T @ design + np.eye(design.shape[1]) * 0.15 * len(rows), design.T @ left)
    # faces are symmetric: a colored reflection on one cheek does not belong to the person
    solution[num_slopes:] = _symmetric_chroma(solution[num_slopes:], half)
    left -= design @ solution
    left = _symmetric_chroma(left, half)
    values, vectors = np.linalg.eigh((left @ left.T).astype(np.float64))
    values, vectors = values[::-1][:num_chroma], vectors[:, ::-1][:, :num_chroma]
    # half the spread of the pictures: the rest is white balance and colored shadows, which look like make-up on a face
    extra = 0.5 * (left.T @ vectors.astype(np.float32) / np.float32(np.sqrt(len(rows)))).T
    rows_of_maps = np.concatenate([[average.ravel() - design_mean @ solution], solution, extra])
    maps = rows_of_maps.reshape(-1, half, half, 2).transpose(0, 3, 1, 2)
    state["chroma"][: 1 + num_slopes] = maps[: 1 + num_slopes]
    state["chroma"][0] += center[1:, None, None]
    # broad color is lighting, too: sampled at random it gives gray and orange blotches
    broad_free = remove_shading(maps[1 + num_slopes :].reshape(-1, half, half).astype(np.float32))
    state["chroma_appearance"][:] = broad_free.reshape(-1, 2, half, half)
    state["tone_mean"] = center.astype(np.float32)
    state["tone_factor"] = np.linalg.cholesky(covariance + 1e-6 * np.eye(3)).astype(np.float32)
    return state
