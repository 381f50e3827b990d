"""Training of the look classifier (:class:`.LookClassifier`): pictures of heads with labels, partly probabilities, -> a small network.

The pictures come from good photos, but the network must read faces of 24 px in gray, blurred or noisy photos. So every picture is changed
at random each time it is seen: cut close to the face, mirrored, moved, turned, scaled, shrunk to few pixels and back, blurred, lit from a
side, covered in part, compressed, in gray mixed anew from its colors.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional

from ..core.modeling_ganon import GanonConfig, LookClassifier
from ..core.opencv import cv2
from .batch_normalization import normalized, without_normalization
from .descent import Descent
from .look_samples import SEEN_SIZE, SMALL_FACES, STORED_SIZE, LookSamples
from .options import require_positive

# Sides in pixels of the classifier's crop in a photo: a face of 24 px is in a crop of 38.
_SMALLEST, _LARGEST = 28, 200
# Learning rate of a trained network, relative to that of a new one.
_FURTHER = 0.15
# Height of a face over the side of the classifier's crop around it.
_FACE_SHARE = 0.63
# Standard deviation of the noise that is added to the components of the shape.
_SHAPE_NOISE = 0.3
# Share of the pictures in which something covers a part of the face: a child with a helmet must not become an adult.
_COVERED_SHARE = 0.4
# Share of the children that are blended with another child of like age: there are few, and blends are faces that the network has not seen.
_BLENDED_SHARE = 0.5
# Classes of children among the ages, the first ones.
_NUM_CHILDREN = 2
# Shapes whose principal components are computed; the first of them are the most diverse set.
_MAX_SHAPES = 5000
# Largest norm of a gradient.
_MAX_NORM = 5.0


@dataclass(frozen=True)
class LookTrainingOptions:
    """How the classifier is trained.

    Attributes:
        channels: width of the network, see ``GanonConfig.look_channels``.
        steps: number of batches.
        batch_size: pictures per batch.
        learning_rate: the highest, after a short rise; it falls to zero along a cosine.
        weight_decay: of AdamW.
        smoothing: share of each label that is spread evenly, so that the network stays unsure of what is rare.
        seed: of weights, order and changes.
        threads: of torch; the result depends on it.

    Raises:
        ValueError: a number is not positive.
    """

    channels: int = 14
    steps: int = 1600
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    smoothing: float = 0.04
    seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        require_positive(self, "channels", "steps", "batch_size", "learning_rate", "threads")


def draw_side(generator: np.random.Generator) -> int:
    """A random side in pixels that the classifier's crop has in a photo, where it is no larger than what the classifier sees."""
    if generator.uniform() < 0.35:
        return SEEN_SIZE
    return min(SEEN_SIZE, round(math.exp(generator.uniform(math.log(_SMALLEST), math.log(_LARGEST)))))


def shape_for(side: int) -> int:
    """Which of the shapes of :class:`.LookSamples` belongs to a crop of that side: the exact one, or of the face nearest in height."""
    if side >= SEEN_SIZE:
        return 0
    return 1 + int(np.argmin([abs(math.log(side * _FACE_SHARE / height)) for height in SMALL_FACES]))


def blend_children(samples: LookSamples, rows: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Which other sample each one is blended with, and how much of it: children of one class of age with each other, at random.

    Args:
        samples: all of them.
        rows: (n,) those of a batch.
        generator: decides.

    Returns:
        (n,) rows of the others, and (n,) shares between 0 and 0.5; 0 where nothing is blended in.
    """
    likeliest, others, shares = samples.ages.argmax(axis=1), rows.copy(), np.zeros(len(rows), np.float32)
    for place, row in enumerate(rows):
        if likeliest[row] < _NUM_CHILDREN and generator.uniform() < _BLENDED_SHARE:
            others[place] = generator.choice(np.flatnonzero(likeliest == likeliest[row]))
            shares[place] = generator.uniform(0.2, 0.5)
    return others, shares


def vary(picture: np.ndarray, side: int, generator: np.random.Generator) -> np.ndarray:
    """One random change of a stored picture, as a photo might have shown it.

    Args:
        picture: (160, 160, 3) uint8.
        side: of the classifier's crop in that photo, in pixels.
        generator: decides everything else.

    Returns:
        (128, 128) float32 luma.
    """
    uniform = generator.uniform
    shares = generator.dirichlet((3.0, 6.0, 2.0)) if uniform() < 0.6 else np.array([0.299, 0.587, 0.114])
    gray = picture.astype(np.float32) @ shares.astype(np.float32)
    if uniform() < 0.3:
        gray = _cut(gray, generator)
    angle, size = math.radians(generator.normal(0, 5)), side / SEEN_SIZE * math.exp(generator.normal(0, 0.05))
    turned = size * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    turned[:, 0] *= math.exp(generator.normal(0, 0.04)) * (-1 if uniform() < 0.5 else 1)
    shift = side / 2 - turned @ np.full(2, STORED_SIZE / 2) + generator.normal(0, 0.025 * side, 2)
    shift += turned @ np.array([0.5, 0.5]) - 0.5  # OpenCV has pixel centers at integers
    if size < 0.75:
        gray = cv2.GaussianBlur(gray, (0, 0), 0.4 / size)
    gray = cv2.warpAffine(gray, np.hstack([turned, shift[:, None]]), (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    if uniform() < 0.3:
        gray = cv2.GaussianBlur(gray, (0, 0), uniform(0.3, 1.6))
    gray = _relight(gray, generator)
    if uniform() < _COVERED_SHARE:
        gray = _cover(gray, generator)
    if uniform() < 0.5:
        gray = gray + generator.normal(0, uniform(1, 9), gray.shape).astype(np.float32)
    gray = np.clip(gray, 0, 255)
    if uniform() < 0.5:
        quality = int(uniform(25, 90))
        gray = cv2.imdecode(cv2.imencode(".jpg", gray.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_GRAYSCALE)
    return cv2.resize(gray.astype(np.float32), (SEEN_SIZE, SEEN_SIZE), interpolation=cv2.INTER_LINEAR)


def _cut(gray: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The edge of a photo close to the face, beyond which the last pixels are repeated, as in the crop of such a photo."""
    side = len(gray)
    top, bottom, left, right = (int(side * share) for share in generator.uniform(0.0, (0.3, 0.22, 0.3, 0.3)))
    inside = gray[top : side - bottom, left : side - right]
    return cv2.copyMakeBorder(np.ascontiguousarray(inside), top, bottom, left, right, cv2.BORDER_REPLICATE)


def _relight(gray: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Another exposure, contrast, and direction of light."""
    uniform = generator.uniform
    values = 255 * np.clip(gray / 255, 0, 1) ** math.exp(generator.normal(0, 0.3))
    values = values * math.exp(generator.normal(0, 0.25)) + generator.normal(0, 12)
    if uniform() < 0.5:
        direction, strength = uniform(0, 2 * math.pi), uniform(0, 0.55)
        place = np.linspace(-1, 1, len(gray), dtype=np.float32)
        values = values * (1 + strength * (math.cos(direction) * place[None] + math.sin(direction) * place[:, None]))
    return values.astype(np.float32)


def _cover(gray: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Something in front of the face: a helmet or cap, a mask, a hand or hair from one side, or a rectangle somewhere."""
    uniform, side = generator.uniform, len(gray)
    mask = np.zeros((side, side), np.float32)
    kind = generator.choice(("cap", "mask", "side", "rectangle"))
    if kind == "rectangle":
        height, width = (int(side * uniform(0.1, 0.35)) for _ in range(2))
        top, left = int(uniform(0, side - height)), int(uniform(0, side - width))
        mask[top : top + height, left : left + width] = 1
    else:  # a large ellipse that reaches in from an edge, no further than the brows, the nose, or the nearer eye
        reach, radius = (
            side * {"cap": uniform(0.1, 0.4), "mask": uniform(0.2, 0.48), "side": uniform(0.1, 0.5)}[kind],
            side * uniform(0.5, 2),
        )
        x, y = uniform(0.35, 0.65) * side, reach - radius
        center = {"cap": (x, y), "mask": (x, side - y), "side": (y, uniform(0.3, 0.8) * side)}[kind]
        axes = (radius, radius * uniform(0.4, 1)) if kind == "side" else (radius * uniform(0.6, 1), radius)
        cv2.ellipse(mask, (center, (2 * axes[0], 2 * axes[1]), uniform(-15, 15)), 1, -1)
    texture = cv2.GaussianBlur(generator.standard_normal((side, side)).astype(np.float32), (0, 0), side * uniform(0.01, 0.08))
    paint = uniform(0, 255) + uniform(0, 50) * texture / max(float(texture.std()), 1e-6)
    mask = cv2.GaussianBlur(mask, (0, 0), side * uniform(0.003, 0.02))
    return gray + mask * (paint - gray)


def train_look_classifier(samples: LookSamples, options: LookTrainingOptions, start: LookClassifier | None = None) -> LookClassifier:
    """Train a classifier; the same samples and options give the same network on the same machine.

    Args:
        samples: pictures with labels.
        options: how it is trained.
        start: a trained network that is trained further, at 0.15 of the learning rate; it keeps its width and the principal
            components of the shape. None begins anew.
    """
    generator = np.random.default_rng(options.seed)
    threads = torch.get_num_threads()
    torch.set_num_threads(options.threads)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            if start is None:
                network = normalized(LookClassifier(GanonConfig(look_channels=options.channels)))
                fit_components(network, samples.shapes[:, 0])
            else:
                network = copy.deepcopy(start).requires_grad_(True)
                options = replace(options, learning_rate=options.learning_rate * _FURTHER)
            _run(network, samples, options, generator)
    finally:
        torch.set_num_threads(threads)
    return without_normalization(network)


def _run(network: LookClassifier, samples: LookSamples, options: LookTrainingOptions, generator: np.random.Generator) -> None:
    descent = Descent(network, options.steps, options.learning_rate, options.weight_decay, _MAX_NORM)
    chances = samples.frequency / samples.frequency.sum()
    components = network.components(torch.from_numpy(samples.shapes).flatten(0, 1)).unflatten(0, samples.shapes.shape[:2])
    targets, weights = torch.from_numpy(samples.targets), torch.from_numpy(samples.weights.astype(np.float32))
    network.train()
    for _ in range(options.steps):
        rows = generator.choice(len(samples), options.batch_size, p=chances)
        sides = [draw_side(generator) for _ in rows]
        others, shares = blend_children(samples, rows, generator)
        blended = samples.pictures[rows] * (1 - shares[:, None, None, None]) + samples.pictures[others] * shares[:, None, None, None]
        pictures = torch.from_numpy(np.stack([vary(one, side, generator) for one, side in zip(blended, sides, strict=True)]))
        exactness, parts = [shape_for(side) for side in sides], torch.from_numpy(shares)[:, None]
        shapes = components[rows, exactness] * (1 - parts) + components[others, exactness] * parts
        shapes = shapes + _SHAPE_NOISE * torch.from_numpy(generator.standard_normal(shapes.shape, np.float32))
        descent.step(look_loss(network(pictures[:, None], shapes), targets[rows], weights[rows], options.smoothing))
    network.eval()


def fit_components(network: LookClassifier, shapes: np.ndarray) -> None:
    """Principal components of (n, 478, 3) canonical landmarks; there are as many as the smaller of n - 1 and 48, the rest stay zero."""
    flat = shapes.reshape(len(shapes), -1).astype(np.float64)
    mean = flat.mean(axis=0)
    _, sizes, directions = np.linalg.svd((flat - mean)[:_MAX_SHAPES], full_matrices=False)
    count = min(network.num_components, len(sizes) - 1)
    deviations = np.maximum(sizes[:count] / max(len(flat[:_MAX_SHAPES]) - 1, 1) ** 0.5, 1e-6)
    network.shape_mean.copy_(torch.from_numpy(mean))
    network.shape_basis.zero_()
    network.shape_basis[:, :count] = torch.from_numpy((directions[:count].T / deviations).astype(np.float32))


def look_loss(logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Cross-entropies of (B, 7) logits and targets, each part weighted by (B, 3) and averaged over what counts.

    Args:
        logits, targets: in the classifier's order; targets are probabilities.
        weights: of age, sex and beard.
        smoothing: share of each target that is spread evenly over the answers.
    """
    ages = targets[:, :-2] * (1 - smoothing) + smoothing / (targets.shape[1] - 2)
    signs = targets[:, -2:] * (1 - smoothing) + smoothing / 2
    age = functional.cross_entropy(logits[:, :-2], ages, reduction="none")
    parts = functional.binary_cross_entropy_with_logits(logits[:, -2:], signs, reduction="none")
    losses = torch.stack([age, 1.5 * parts[:, 0], parts[:, 1]], dim=1) * weights
    return (losses.sum(dim=0) / weights.sum(dim=0).clamp_min(1.0)).sum()
