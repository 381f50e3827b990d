"""What is particular to the people of portraits: residual textures over the appearance prior, from which the bank of people is made.

A portrait's texture under even light, minus what the prior predicts for its shape, is what is particular to the person. Three more
things are taken out of it, so that it may stand on any face in any photo:

* expression: what blendshape scores and head pose explain (ridge regression over all portraits);
* hair, rims of eyeglasses, hats, hands: texels far from the distribution over all portraits are not trusted;
* skin tone: the mean chroma of the skin.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ..core.face_mesh import LEFT_EYE_OUTER, LEFT_IRIS, MEAN_LANDMARKS, RIGHT_EYE_OUTER, RIGHT_IRIS, TRIANGLES
from ..core.landmarks import frontal_facing, texel_table
from ..core.modeling_ganon import AppearancePrior, ShapeStatistics, shape_features
from ..core.open_mouths import mouth_shape
from ..core.opencv import cv2
from ..core.people import MAX_SHAPE
from .appearance_prior import skin_tone
from .blendshape_network import BLENDSHAPE_NAMES, BlendshapeNetwork
from .calm_skin import CalmSkin, above_brows
from .lighting import LightModel
from .portrait_eyes import clean_eyes
from .shape_space import ridge_solution
from .texture_encoding import resize_maps
from .textures import TextureSet

logger = logging.getLogger(__name__)

# Standard deviation of the Gaussian blur that leaves hair and rims, as a share of the texture's side.
_OUTLIER_SCALE = 0.016
# Robust standard deviations from the median at which a texel is trusted less, and not at all.
_OUTLIER = (3.2, 4.5)
# Above the brows, where most hair is, deviations count as so much larger.
_HAIR = 0.3
# Ridge penalties: of the regression on expression and pose in portraits, and of the shape's coefficients.
_REST_RIDGE, _SHAPE_RIDGE = 40.0, 0.3
# Quantile of the blendshape scores that counts as rest of the shape.
_SHAPE_REST = 0.15
# Portraits: largest yaw and pitch in degrees, largest opening of the mouth in distances of the outer corners of the eyes, least resolution,
# and the largest share of the skin that may be hidden or unlike skin.
_MAX_ANGLES, MAX_OPENING, MIN_RESOLUTION, _MAX_HIDDEN = (20.0, 18.0), 0.06, 0.4, 0.25
# Groups of fewer people are not compared among themselves.
_MIN_GROUP = 12
# Standard deviations of Gaussian blurs as shares of the texture's side: broader structure counts as broad, finer as fine, the rest between.
BROAD, FINE = 0.055, 0.016
# Much of broad structure is light: portraits with more of it than others who look alike, or further from rest, by so many robust standard
# deviations are left out. Contrast is limited to so many times the usual.
_MAX_FAULT, _MAX_CONTRAST = 1.8, 1.1
# Of those who look alike the calmer half is used, but no fewer than the second number.
_CALM_SHARE, _MIN_CALM = 0.5, 8
_UNREST = (
    "browDownLeft browDownRight mouthFrownLeft mouthFrownRight mouthSmileLeft mouthSmileRight noseSneerLeft noseSneerRight mouthPressLeft "
    "mouthPressRight mouthPucker mouthFunnel"
).split()
# Fair light: least luma of the skin, and its largest Cr as a share of the luma.
_FAIR_LUMA, _FAIR_CHROMA = 125.0, 0.14
# Cosines between surface and line of sight, of the mean face, from which a portrait shows a texel at all and well; |x| of the mean face
# below which that does not matter; and the standard deviation of the edge as a share of the texture's side.
_GRAZING, _BESIDE_THE_NOSE, _SIDE_BLUR = (0.35, 0.65), 0.5, 0.012


@dataclass(frozen=True, eq=False)
class Portraits:
    """What is particular to the people of n portraits, at rest and under even light.

    Attributes:
        luma: (n, T, T) float32, gray values over the prior's prediction.
        chroma: (n, 2, T / 2, T / 2) float32 Cb and Cr, likewise.
        trust: (n, T, T) float32, 0 where the person's skin is hidden.
        shape: (n, k) identity coefficients of the neutral shape.
        rows: (n,) indices of the pictures that they were made from.
        fair: (n,) bool, the light is fair enough for the color of lips and brows.
    """

    luma: np.ndarray
    chroma: np.ndarray
    trust: np.ndarray
    shape: np.ndarray
    rows: np.ndarray
    fair: np.ndarray

    def __len__(self) -> int:
        return len(self.luma)


def blurred(values: np.ndarray, weights: np.ndarray, sigma: float) -> np.ndarray:
    """Weighted Gaussian mean of (T, T) values; ``sigma`` as a share of T."""
    side = values.shape[0]
    weights = weights.astype(np.float32) + np.float32(1e-3)
    total = cv2.GaussianBlur(weights, (0, 0), sigma * side)
    return cv2.GaussianBlur(values.astype(np.float32) * weights, (0, 0), sigma * side) / np.maximum(total, 1e-3)


def split_bands(luma: np.ndarray, trust: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(T, T) luma -> its broad, middle and fine structure, which add up to it."""
    broad = blurred(luma, trust, BROAD)
    middle = blurred(luma - broad, trust, FINE)
    return broad, middle, luma - broad - middle


def half_size(values: np.ndarray) -> np.ndarray:
    """(h, w) -> (h / 2, w / 2) by area."""
    return cv2.resize(values, (values.shape[1] // 2, values.shape[0] // 2), interpolation=cv2.INTER_AREA)


def mouth_shapes(shapes: np.ndarray) -> np.ndarray:
    """(n, 478, 3) shapes -> (n, 2) openings and widths, see :func:`~ganon_hf.core.open_mouths.mouth_shape`."""
    return np.array([mouth_shape(shape) for shape in shapes]).reshape(-1, 2)


def iris_diameters(shapes: np.ndarray) -> np.ndarray:
    """(n, 478, 3) shapes -> (n,) mean diameter of the irises over the distance of the eyes' outer corners."""
    eyes = np.linalg.norm(shapes[:, RIGHT_EYE_OUTER] - shapes[:, LEFT_EYE_OUTER], axis=1)
    pairs = [pair for _, right, top, left, bottom in (RIGHT_IRIS, LEFT_IRIS) for pair in ((right, left), (top, bottom))]
    return np.mean([np.linalg.norm(shapes[:, one] - shapes[:, other], axis=1) for one, other in pairs], axis=0) / np.maximum(eyes, 1e-6)


def _explained(values: np.ndarray, conditions: np.ndarray, groups: np.ndarray, ridge: float) -> np.ndarray:
    """The part of (n, m) values that (n, c) conditions explain, relative to conditions of zero; linear, one intercept for each group.

    Without the groups the regression would take the large eyes of toddlers for an expression.
    """
    member = (groups[:, None] == np.unique(groups)).astype(np.float64)
    share = member / member.sum(axis=0)
    centered, deviations = (array - member @ (share.T @ array) for array in (conditions, values))
    gram = centered.T @ centered + ridge * np.diag(centered.var(axis=0) + 1e-6)
    return (conditions @ np.linalg.solve(gram, centered.T @ deviations)).astype(values.dtype)


def _at_rest(planes: np.ndarray, trust: np.ndarray, conditions: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(n, h, w) planes without what expression and pose explain; only structure that is not fine, for wrinkles never lie in one place."""
    side, small = planes.shape[-1], 64
    weights = trust + np.float32(1e-3)
    shrunk = [cv2.resize(one * w, (small, small), interpolation=cv2.INTER_AREA) for one, w in zip(planes, weights, strict=True)]
    weight = np.stack([cv2.resize(w, (small, small), interpolation=cv2.INTER_AREA) for w in weights])
    explained = _explained((np.stack(shrunk) / weight).reshape(len(planes), -1), conditions, groups, _REST_RIDGE).reshape(-1, small, small)
    return planes - np.stack([cv2.resize(one, (side, side), interpolation=cv2.INTER_CUBIC) for one in explained])


def read_portraits(
    textures: TextureSet,
    prior: AppearancePrior,
    statistics: ShapeStatistics,
    resolution: np.ndarray,
    usable: np.ndarray,
    groups: np.ndarray,
) -> Portraits:
    """Free portraits of light, expression, hair and skin tone.

    Args:
        textures: unwrapped pictures, in color; their size is the bank's.
        prior, statistics: of the model that the bank is for.
        resolution: (n,) photo pixels per crop pixel.
        usable: (n,) bool, False for pictures that must not be used (eyeglasses, hats, hands, paintings).
        groups: (n,) int, the same number for people who look alike.

    Raises:
        ValueError: fewer than 20 portraits are left.
    """
    size, light = textures.luma.shape[-1], LightModel(textures.luma.shape[-1])
    openings = mouth_shapes(textures.shapes)
    good = usable & (np.abs(textures.angles) < _MAX_ANGLES).all(axis=1) & (openings[:, 0] < MAX_OPENING) & (resolution > MIN_RESOLUTION)
    color = np.full(len(textures), -1)
    color[textures.color_rows] = np.arange(len(textures.color_rows))
    rows = np.flatnonzero(good & (color >= 0))
    if len(rows) < 20:
        raise ValueError(f"a bank needs at least 20 resting, frontal portraits in color, but got {len(rows)} of {len(textures)} pictures.")
    features, predicted = predicted_luma(prior, textures, rows)
    trust = np.stack([cv2.GaussianBlur(cv2.erode(one, np.ones((3, 3))), (0, 0), 1.5) for one in textures.trust[rows]]) / np.float32(255)
    luma, predicted = even_luma(textures, rows, predicted, light), predicted.reshape(-1, size, size)
    chroma, _, fair = relative_chroma(textures, rows, color[rows], light)
    expected = features @ resize_maps(prior.chroma, size // 2).reshape(features.shape[1], -1)
    expected = expected.reshape(-1, 2, size // 2, size // 2) - prior.tone_mean[1:].numpy()[:, None, None]
    chroma -= expected
    luma, chroma = clean_eyes(luma, chroma, predicted, trust)
    luma -= predicted
    scores, alike = BlendshapeNetwork()(textures.shapes[rows]), groups[rows]
    conditions = _conditions(scores, textures.angles[rows], alike)
    luma = _at_rest(luma, trust, conditions, alike)
    half_trust = np.stack([half_size(one) for one in trust])
    chroma = np.stack([_at_rest(chroma[:, channel], half_trust, conditions, alike) for channel in range(2)], axis=1)
    shape = identity_coefficients(textures.shapes[rows], statistics)
    # usual portraits look earnest: their shapes are brought further than their textures, which a line does not describe so well
    shape -= _explained(shape, _conditions(scores, textures.angles[rows], alike, _SHAPE_REST), alike, _REST_RIDGE)
    trust = _without_outliers(luma, chroma, trust, alike)
    hidden = np.array([1 - one.reshape(-1)[light.skin].mean() for one in trust])
    # hard light leaves broad structure on both sides of a face that others do not have
    unevenness = np.array([blurred(one, weight, BROAD).reshape(-1)[light.skin].std() for one, weight in zip(luma, trust, strict=True)])
    kept = hidden < _MAX_HIDDEN
    unrest = scores[:, [BLENDSHAPE_NAMES.index(name) for name in _UNREST]].sum(axis=1)
    for faults in (unevenness, unrest):
        kept &= _deviations(faults, alike) < _MAX_FAULT
    kept &= _calmer_half(luma, trust, alike, kept)
    logger.info(
        "%d of %d pictures are resting, frontal portraits; %d have even light, visible skin and a calm face",
        len(rows),
        len(textures),
        kept.sum(),
    )
    luma *= _contrast(luma, trust, alike)[:, None, None]
    trust *= seen_from_the_front(size)
    return Portraits(luma[kept], chroma[kept], trust[kept], shape[kept], rows[kept], fair[kept])


def seen_from_the_front(size: int) -> np.ndarray:
    """(T, T) float32, 0 at the sides of the head, where a few pixels of a portrait, often of ears or hair, fill many texels, else 1."""
    rows, columns, owner, _ = texel_table(size)
    seen = np.clip((frontal_facing() - _GRAZING[0]) / (_GRAZING[1] - _GRAZING[0]), 0, 1)
    # the sides of the nose are narrow, too, but nothing else is seen there
    middle = np.abs(MEAN_LANDMARKS[TRIANGLES, 0]).mean(axis=1) < _BESIDE_THE_NOSE
    mask = np.ones((size, size), np.float32)
    mask[rows, columns] = np.where(middle, 1, seen)[owner]
    return cv2.GaussianBlur(cv2.erode(mask, np.ones((3, 3))), (0, 0), _SIDE_BLUR * size)


def _calmer_half(luma: np.ndarray, trust: np.ndarray, groups: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """(n,) bool, of the usable portraits of each group those that look least worn: models frown, and blends take the frowns of all."""
    skin = CalmSkin(luma.shape[-1])
    wear = np.array([skin.wear(*split_bands(one, weight)[:2], weight) for one, weight in zip(luma, trust, strict=True)])
    calm = np.zeros(len(luma), bool)
    for group in np.unique(groups):
        some = np.flatnonzero((groups == group) & usable)
        calm[some[np.argsort(wear[some], kind="stable")][: max(_MIN_CALM, round(_CALM_SHARE * len(some)))]] = True
    return calm


def _contrast(luma: np.ndarray, trust: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(n,) factors that take portraits of high contrast down to what is usual among those who look alike."""
    strength = np.array(
        [np.sqrt((weight * (one - blurred(one, weight, BROAD)) ** 2).mean()) for one, weight in zip(luma, trust, strict=True)]
    )
    usual = _among_alike(strength, groups, np.median)
    return np.minimum(1, _MAX_CONTRAST * usual / np.maximum(strength, 1e-6)).astype(np.float32)


def predicted_luma(prior: AppearancePrior, textures: TextureSet, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(m, F) shape features of some of the pictures, and the (m, T * T) luma that the prior predicts from them."""
    shapes, angles = torch.from_numpy(textures.shapes[rows]), torch.from_numpy(textures.angles[rows])
    features = shape_features(shapes, angles, prior.shape_mean, prior.shape_basis, prior.num_quadratic).numpy()
    return features, features @ resize_maps(prior.luma, textures.luma.shape[-1]).reshape(features.shape[1], -1)


def even_luma(textures: TextureSet, rows: np.ndarray, predicted: np.ndarray, light: LightModel) -> np.ndarray:
    """(m, T, T) luma under even light, as bright as the (m, T * T) predicted faces."""
    luma = textures.luma[rows].reshape(len(rows), -1).astype(np.float32)
    even, _ = light.remove(luma, textures.trust[rows].reshape(len(rows), -1) / np.float32(255), predicted)
    return even.reshape(-1, *textures.luma.shape[1:]).astype(np.float32)


def _conditions(scores: np.ndarray, angles: np.ndarray, groups: np.ndarray, rest: float = 0.5) -> np.ndarray:
    """(m, c) expression and pose of pictures: leading components of the blendshape scores, and angles.

    Args:
        scores: (m, 52) blendshape scores.
        angles: (m, 2) yaw and pitch in degrees.
        groups: (m,) int, the same number for people who look alike.
        rest: the quantile of each score, among people who look alike, that counts as rest and becomes zero.
    """
    scores = scores - _among_alike(scores, groups, lambda some: np.quantile(some, rest, axis=0))
    deviations = scores.std(axis=0) + 0.02
    _, _, axes = np.linalg.svd((scores - scores.mean(axis=0)) / deviations, full_matrices=False)
    yaw, pitch = angles.T / 15
    return np.column_stack([scores / deviations @ axes[:12].T, yaw, pitch, np.abs(yaw) - np.median(np.abs(yaw))]).astype(np.float32)


def identity_coefficients(shapes: np.ndarray, statistics: ShapeStatistics) -> np.ndarray:
    """(n, 478, 3) shapes -> (n, k) coefficients of the neutral shape (ridge regression on the identity basis)."""
    mean, axes, deviations, basis = (
        array.double().cpu().numpy() for array in (statistics.mean, statistics.axes, statistics.deviations, statistics.identity_basis)
    )
    coordinates = (shapes.reshape(len(shapes), -1) - mean) @ axes / deviations
    return np.clip(ridge_solution(basis, coordinates.T, _SHAPE_RIDGE).T, -MAX_SHAPE, MAX_SHAPE)


def _among_alike(values: np.ndarray, groups: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """For each of n values the statistic of those who look alike, or of all where these are few."""
    everybody = statistic(values)
    result = np.empty((len(values), *np.shape(everybody)), values.dtype)
    for group in np.unique(groups):
        here = groups == group
        result[here] = statistic(values[here]) if here.sum() >= _MIN_GROUP else everybody
    return result


def _deviations(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(n, ...) values -> robust standard deviations from the median of those who look alike, or of all where these are few."""
    medians = _among_alike(values, groups, lambda some: np.median(some, axis=0))
    return (values - medians) / _among_alike(values, groups, _robust_deviation)


def _robust_deviation(values: np.ndarray) -> np.ndarray:
    """(n, ...) values -> (...) robust standard deviation over n, never 0."""
    deviation = 1.4826 * np.median(np.abs(values - np.median(values, axis=0)), axis=0)
    if deviation.ndim > 1:  # places where all are the same say little
        deviation = np.maximum(deviation, 0.5 * deviation.mean(axis=(-2, -1), keepdims=True))
    return deviation + 1e-6


def _without_outliers(luma: np.ndarray, chroma: np.ndarray, trust: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Trust that falls where a portrait is unlike those who look alike at the same place: hair over the forehead, rims, hands."""
    size = luma.shape[-1]
    small = max(16, size // 4)
    planes = []
    forehead = above_brows(size)
    for one, tint, weight in zip(luma, chroma, trust, strict=True):
        smooth = blurred(one, weight, _OUTLIER_SCALE)
        strands = forehead * np.log(2 + blurred(np.abs(one - smooth), weight, _OUTLIER_SCALE))
        tints = (cv2.resize(blurred(c, half_size(weight), _OUTLIER_SCALE), (size, size)) for c in tint)
        planes.append([cv2.resize(plane, (small, small), interpolation=cv2.INTER_AREA) for plane in (smooth, strands, *tints)])
    distance = np.abs(_deviations(np.array(planes, np.float32), groups)).max(axis=1)
    distance *= 1 + _HAIR * cv2.resize(forehead, (small, small), interpolation=cv2.INTER_AREA)
    doubt = np.clip((distance - _OUTLIER[0]) / (_OUTLIER[1] - _OUTLIER[0]), 0, 1)
    result = np.empty_like(trust)
    for number, one in enumerate(doubt):
        spread = cv2.GaussianBlur(cv2.dilate(one, np.ones((3, 3))), (0, 0), 1.0)
        result[number] = trust[number] * (1 - np.clip(cv2.resize(spread, (size, size)), 0, 1))
    return result


def relative_chroma(
    textures: TextureSet, rows: np.ndarray, color_rows: np.ndarray, light: LightModel
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Chroma relative to the skin's, the skin's own, and which pictures show it in fair light.

    Args:
        textures: unwrapped pictures.
        rows, color_rows: (m,) indices of the pictures, and their indices among the color pictures.
        light: knows which texels are skin.

    Returns:
        (m, 2, T / 2, T / 2) float32 Cb and Cr, (m, 2) those of the skin, and (m,) bool: differences of Cb and Cr grow with
        the exposure, and in a dark, warm photo lips have less of Cr than the skin because they are darker.
    """
    chroma = textures.chroma[color_rows].astype(np.float32) - 128
    tones = skin_tone(chroma, textures.trust[rows, ::2, ::2] / np.float32(255), light)
    chroma -= tones[:, None, None]
    levels = np.median(textures.luma[rows].reshape(len(rows), -1)[:, light.skin], axis=1)
    fair = (levels > _FAIR_LUMA) & (tones[:, 1] < _FAIR_CHROMA * levels)
    return np.ascontiguousarray(chroma.transpose(0, 3, 1, 2)), tones, fair
