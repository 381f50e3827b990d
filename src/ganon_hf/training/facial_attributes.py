"""Attributes of unlabeled people: signs of sex, age and facial hair in their shape and in the neutral, frontal texture that a prior
generates for them.

Each attribute is a weighted sum of measures, each in standard deviations over a reference group of people:

* facial hair: upper lip, chin and jaw are darker and less red than the cheeks;
* femininity: lips darker and redder than the skin (women have more contrast between features and skin: Russell, Perception 2009), no beard
  shadow, higher brows, larger eyes, narrower nose and jaw, fewer wrinkles;
* age: wrinkles below nose and mouth and beside the eyes, thin lips, narrow eyes, light brows;
* eyeglasses: dark lines over the bridge of the nose and below the eyes;
* bangs, shaded nose: forehead or nose darker than the cheeks, which comes from hair on the forehead or from lighting.

They are signs and not facts about a person, but reliable enough that averages over a hundred people look as their attributes say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch

from ..core.face_mesh import LEFT_LID_LOWER, LEFT_LID_UPPER, MIRROR, RIGHT_LID_LOWER, RIGHT_LID_UPPER, UV_MAP
from ..core.modeling_ganon import NUM_POINTS, AppearancePrior, ShapeStatistics, shape_features
from ..core.opencv import cv2
from .texture_encoding import resize_maps

# Hulls of landmarks of the right half of the face, each with its mirror image.
_REGIONS = {
    "upper lip": (165, 92, 39, 37, 0, 164, 167),
    "chin": (18, 83, 201, 194, 32, 208, 199, 200),
    "jaw": (192, 214, 210, 135, 138, 169),
    "cheek": (50, 101, 36, 205, 187, 123),
    "brow": (46, 70, 63, 105, 66, 107, 55, 65, 52, 53),
    "forehead": (103, 67, 109, 10, 151, 108, 69),
    "nose": (195, 51, 45, 4, 5),
    "red of the upper lip": (61, 185, 40, 39, 37, 0, 11, 72, 73, 74, 184, 76),
    "red of the lower lip": (61, 146, 91, 181, 84, 17, 16, 85, 180, 90, 77),
}
# Wrinkles and rims of eyeglasses: lines between landmarks of the right half of the face, each with its mirror image.
_LINES = {
    "nose to mouth": ((129, 203), (203, 206), (206, 216)),
    "mouth to chin": ((57, 202), (202, 204)),
    "below the eye": ((121, 120), (120, 119), (119, 118), (121, 47)),
    "beside the eye": ((35, 31), (124, 35), (226, 35)),
    "bridge of the nose": ((193, 168), (168, 417), (122, 6), (6, 351), (245, 122)),
    "rim": ((230, 119), (119, 118), (118, 117), (117, 111)),
}
# The measures of each attribute and their weights. A region is measured by how much lighter than the cheeks it is, a line by how dark.
_ATTRIBUTES: Mapping[str, Mapping[str, float]] = {
    "femininity": {
        "upper lip": 1.0,
        "chin": 0.7,
        "jaw": 1.0,
        "red of the upper lip": -0.8,
        "red of the lower lip": -0.8,
        "redness of the lips": 0.8,
        "brow to eye": 1.0,
        "opening of the eyes": 1.0,
        "width of the nose": -0.7,
        "width of the jaw": -0.7,
        "height of the lips": 0.5,
        "nose to mouth": -0.7,
        "mouth to chin": -0.7,
        "below the eye": -0.7,
        "beside the eye": -0.7,
        "bridge of the nose": -0.5,
    },
    "age": {
        "nose to mouth": 1.0,
        "mouth to chin": 1.0,
        "beside the eye": 0.5,
        "height of the lips": -0.7,
        "opening of the eyes": -0.5,
        "brow": 0.7,
    },
    "facial hair": {"upper lip": -1.0, "chin": -1.0, "jaw": -1.0, "redness of the beard": -1.0},
    "eyeglasses": {"bridge of the nose": 1.0, "rim": 1.0},
    "bangs": {"forehead": -1.0},
    "shaded nose": {"nose": -1.0},
}
ATTRIBUTES = tuple(_ATTRIBUTES)
_SIZE = 64  # side of the textures in texels
_CHUNK = 500
# Lines are measured in the difference of two Gaussian blurs with these standard deviations in texels.
_FINE_SIGMA, _COARSE_SIGMA = 0.6, 2.5
_OVERSAMPLING = 8
_LINE_WIDTH = 14  # in oversampled texels
_MAX_DEVIATION = 3.0  # measures are clipped to this many standard deviations
# Smallest standard deviation of a measure (relative to the luma of the cheeks, or to the width of the face): below is rounding noise.
_MIN_DEVIATION = 1e-4


def _mask(size: int, polygons: list[np.ndarray], width: int = 0) -> np.ndarray:
    """(size, size) weights of the texels that lie in the convex hulls of UV map points, or with ``width`` on lines; they sum to one."""
    side = size * _OVERSAMPLING
    canvas = np.zeros((side, side), np.uint8)
    for polygon in polygons:
        corners = np.round(UV_MAP[polygon] * side).astype(np.int32)
        if width:
            cv2.line(canvas, corners[0].tolist(), corners[1].tolist(), 1, width)
        else:
            cv2.fillConvexPoly(canvas, cv2.convexHull(corners), 1)
    share = cv2.resize(canvas.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
    return share / max(float(share.sum()), 1e-6)


def _with_mirrored(points: tuple[int, ...]) -> list[np.ndarray]:
    return [np.array(points), MIRROR[list(points)]]


class AttributeScorer:
    """Measures the attributes of people from their coefficients.

    Args:
        statistics: decodes the shapes.
        prior: generates the textures.
        people: (p, k + a) coefficients of the reference group, k of shape and a of appearance.
    """

    def __init__(self, statistics: ShapeStatistics, prior: AppearancePrior, people: np.ndarray):
        arrays = (statistics.mean, statistics.axes, statistics.deviations, statistics.identity_basis)
        self._mean, self._axes, self._deviations, self._basis = (array.double().cpu().numpy() for array in arrays)
        self._statistics = (prior.shape_mean.detach().cpu().float(), prior.shape_basis.detach().cpu().float(), prior.num_quadratic)
        self._luma = [resize_maps(maps, _SIZE).reshape(len(maps), -1) for maps in (prior.luma, prior.luma_appearance)]
        self._chroma = [resize_maps(maps, _SIZE).reshape(len(maps), -1) for maps in (prior.chroma[:, 1], prior.chroma_appearance[:, 1])]
        self._regions = {name: _mask(_SIZE, _with_mirrored(points)) for name, points in _REGIONS.items()}
        self._lines = {
            name: _mask(_SIZE, [pair for points in pairs for pair in _with_mirrored(points)], _LINE_WIDTH) for name, pairs in _LINES.items()
        }
        raw = self._measures(people)
        self._scale = {name: (float(values.mean()), max(float(values.std()), _MIN_DEVIATION)) for name, values in raw.items()}
        sums = self._sums(raw)
        self._spread = np.maximum(sums.std(axis=0), 0.1)

    def __call__(self, people: np.ndarray) -> np.ndarray:
        """(n, k + a) coefficients -> (n, len(ATTRIBUTES)) attributes in standard deviations from the mean of the reference group."""
        return self._sums(self._measures(people)) / self._spread

    def brow_lightness(self, people: np.ndarray) -> np.ndarray:
        """(n, k + a) coefficients -> (n,) luma of the brows minus that of the cheeks, relative to the cheeks."""
        return self._measures(people)["brow"]

    def _sums(self, raw: Mapping[str, np.ndarray]) -> np.ndarray:
        standard = {
            name: np.clip((raw[name] - mean) / spread, -_MAX_DEVIATION, _MAX_DEVIATION) for name, (mean, spread) in self._scale.items()
        }
        return np.stack([sum(weight * standard[name] for name, weight in weights.items()) for weights in _ATTRIBUTES.values()], axis=1)

    def _measures(self, people: np.ndarray) -> dict[str, np.ndarray]:
        chunks = list(self._chunks(people))
        return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}

    def _chunks(self, people: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
        count = self._basis.shape[1]
        for start in range(0, len(people), _CHUNK):
            chunk = people[start : start + _CHUNK]
            shapes = (self._mean + (chunk[:, :count] @ self._basis.T * self._deviations) @ self._axes.T).reshape(-1, NUM_POINTS, 3)
            mean, basis, num_quadratic = self._statistics
            pose = torch.zeros(len(chunk), 2)
            features = shape_features(torch.from_numpy(shapes.astype(np.float32)), pose, mean, basis, num_quadratic).numpy()
            appearance = chunk[:, count:].astype(np.float32)
            luma, red = (features @ first + appearance @ second for first, second in (self._luma, self._chroma))
            yield {**self._texture(luma.reshape(-1, _SIZE, _SIZE), red), **_proportions(shapes)}

    def _texture(self, luma: np.ndarray, red: np.ndarray) -> dict[str, np.ndarray]:
        flat = luma.reshape(len(luma), -1)
        lumas = {name: flat @ mask.ravel() for name, mask in self._regions.items()}
        redness = {name: red @ mask.ravel() for name, mask in self._regions.items()}
        cheek = np.maximum(lumas["cheek"], 1.0)
        measures = {name: (value - cheek) / cheek for name, value in lumas.items() if name != "cheek"}
        lips = (redness["red of the upper lip"] + redness["red of the lower lip"]) / 2
        measures["redness of the lips"] = lips - redness["cheek"]
        measures["redness of the beard"] = redness["upper lip"] + redness["chin"] + redness["jaw"] - 3 * redness["cheek"]
        fine = np.stack([cv2.GaussianBlur(one, (0, 0), _FINE_SIGMA) - cv2.GaussianBlur(one, (0, 0), _COARSE_SIGMA) for one in luma])
        fine = fine.reshape(len(luma), -1)
        return {**measures, **{name: -(fine @ mask.ravel()) / cheek for name, mask in self._lines.items()}}


def _proportions(shapes: np.ndarray) -> dict[str, np.ndarray]:
    """(n, 478, 3) shapes -> distances relative to the width of the face."""

    def distance(first: int, second: int) -> np.ndarray:
        return np.linalg.norm(shapes[:, first, :2] - shapes[:, second, :2], axis=1)

    width = np.maximum(distance(234, 454), 1e-6)
    return {
        "width of the jaw": distance(172, 397) / width,
        "width of the nose": distance(129, 358) / width,
        "brow to eye": (distance(52, RIGHT_LID_UPPER) + distance(282, LEFT_LID_UPPER)) / width,
        "opening of the eyes": (distance(RIGHT_LID_UPPER, RIGHT_LID_LOWER) + distance(LEFT_LID_UPPER, LEFT_LID_LOWER)) / width,
        "height of the lips": (distance(0, 13) + distance(14, 17)) / np.maximum(distance(61, 291), 1e-6),
    }
