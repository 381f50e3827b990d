"""Training of the expression code (``ganon_hf.core.geometry.ShapeModel``): as much expression in as few bits as possible.

Information bottleneck (Tishby et al. 1999; variational form: Alemi et al., ICLR 2017). Everything that the code takes from the original
shape can also identify its owner, so the capacity of the noisy code is penalized: every bit a little, and those that tell who it is
(:mod:`.identity_price`) far more. The reconstruction term asks that the 52 blendshape scores of the decoded face, which has another
person's neutral shape, equal those of the original. A small student network predicts the scores from coordinates; it is first distilled
from MediaPipe's network, which has no gradients. Expressions that the scores do not know are asked for by :mod:`.emotion_reader`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from tqdm import trange

from ..core.face_mesh import MIRROR
from ..core.modeling_ganon import ShapeStatistics
from .blendshape_network import NUM_BLENDSHAPES
from .emotion_reader import EmotionReader, balanced_rows, rows_by_emotion
from .identity_price import PersonPairs, identity_information
from .options import require_positive
from .shape_space import ShapePopulation

logger = logging.getLogger(__name__)

# Pairs of pictures from which the price of identity is measured at every step.
_PAIRS = 384

# (n, 478, 3) shapes -> (n, 52) blendshape scores, 0 to 1
BlendshapePredictor = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class ExpressionOptions:
    """How the code is trained.

    Attributes:
        steps: training steps of the code; the blendshape student takes twice as many.
        batch_size: shapes per step.
        learning_rate: maximum of the one-cycle schedule (Smith and Topin 2017).
        num_synthetic_shapes: shapes on which the student is trained beside the real ones: one person's expression on the neutral shape of
            another.
        noise: lowest and highest standard deviation of the code's noise, sampled uniformly on a logarithmic scale.
        rate_weight: weight of the capacity in nats (at noise 1), relative to the lost share of the blendshapes' variance.
        identity_weight: weight of the nats that tell the person (at the middle of ``noise``), relative to the same.
        emotion_weight: weight of the emotion that is read from the shape, relative to the lost share of the blendshapes' variance.
        movement_weight: weight of movements that differ from the original's, in units of how people differ.
        plausibility_weight: weight of shapes further from the mean than real ones.
        seed: of all random numbers.

    Raises:
        ValueError: a value is out of range.
    """

    steps: int = 6000
    batch_size: int = 256
    learning_rate: float = 2e-3
    num_synthetic_shapes: int = 30_000
    noise: tuple[float, float] = (0.5, 6.0)
    rate_weight: float = 0.003
    identity_weight: float = 0.07
    emotion_weight: float = 0.5
    movement_weight: float = 0.01
    plausibility_weight: float = 0.02
    seed: int = 0

    def __post_init__(self) -> None:
        require_positive(self, "steps", "batch_size", "learning_rate")
        if not 0 < self.noise[0] <= self.noise[1]:
            raise ValueError(f"noise must be (lowest, highest) with 0 < lowest <= highest, but got {self.noise!r}.")


class _BlendshapeStudent(nn.Module):
    """(B, d) coordinates in the shape space -> (B, 52) logits of blendshape scores.

    Args:
        scale: (d,) standard deviations by which the coordinates are divided.
    """

    scale: torch.Tensor

    def __init__(self, scale: torch.Tensor, width: int = 384):
        super().__init__()
        size = len(scale)
        self.register_buffer("scale", scale)
        self.layers = nn.Sequential(
            nn.Linear(size, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, NUM_BLENDSHAPES)
        )

    def forward(self, coordinates: torch.Tensor) -> torch.Tensor:
        return self.layers(coordinates / self.scale)


def whitening(covariance: np.ndarray) -> torch.Tensor:
    """Lower triangular L with L L^T the inverse of a covariance: the sum of (x @ L) ** 2 is the squared Mahalanobis distance of x."""
    floor = 1e-6 * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    return torch.from_numpy(np.linalg.cholesky(np.linalg.inv(covariance + floor))).float()


def mirror_coordinates(coordinates: np.ndarray, statistics: ShapeStatistics) -> np.ndarray:
    """(n, d) coordinates of shapes -> coordinates of their mirror images."""
    axes, mean = statistics.axes.double().numpy(), statistics.mean.double().numpy()
    deviations = statistics.deviations.double().numpy()
    flip = (axes.reshape(-1, 3, axes.shape[1])[MIRROR] * np.array([-1.0, 1.0, 1.0])[:, None]).reshape(axes.shape)
    shift = mean.reshape(-1, 3)[MIRROR] * np.array([-1.0, 1.0, 1.0])
    return ((coordinates * deviations) @ flip.T + shift.ravel() - mean) @ axes / deviations


def with_mirrored(persons: np.ndarray) -> np.ndarray:
    """(n,) labels -> (2 n,) labels of the shapes and of their mirror images, who are other people; unknown stays negative."""
    numbers = np.unique(persons, return_inverse=True)[1]
    return np.concatenate([np.where(persons < 0, -1, numbers), np.where(persons < 0, -1, numbers + len(persons))])


class OneCycleAdam:
    """Adam with a one-cycle schedule."""

    def __init__(self, parameters: list[nn.Parameter], options: ExpressionOptions, steps: int):
        self.optimizer = torch.optim.Adam(parameters, options.learning_rate)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, options.learning_rate, steps)

    def step(self, loss: torch.Tensor) -> None:
        """Take one step down the gradient of the loss."""
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()


def distill_blendshapes(
    real: torch.Tensor,
    population: ShapePopulation,
    statistics: ShapeStatistics,
    predict_blendshapes: BlendshapePredictor,
    options: ExpressionOptions,
) -> _BlendshapeStudent:
    """Train a student that predicts blendshape scores from coordinates, of real and of synthetic shapes."""
    generator = torch.Generator().manual_seed(options.seed)
    wiener = torch.from_numpy(population.within @ np.linalg.inv(population.between + population.within)).float()
    count = options.num_synthetic_shapes
    # estimated expressions of real shapes, also stronger ones, on the neutral shapes of synthetic people
    expressions = (
        real[torch.randint(len(real), (count,), generator=generator)] @ wiener.T * (1 + 0.5 * torch.rand(count, 1, generator=generator))
    )
    people = torch.randn(count, statistics.identity_basis.shape[1], generator=generator) @ statistics.identity_basis.T
    shapes = torch.cat([real, expressions + people * torch.rand(count, 1, generator=generator)])
    points = shapes * statistics.deviations @ statistics.axes.T + statistics.mean
    scores = torch.from_numpy(predict_blendshapes(points.reshape(len(points), -1, 3).numpy())).float()
    student = _BlendshapeStudent(real.std(dim=0).clamp_min(1e-6))
    optimizer = OneCycleAdam(list(student.parameters()), options, 2 * options.steps)
    for _ in trange(2 * options.steps, desc="blendshape student", leave=False):
        rows = torch.randint(len(shapes), (options.batch_size,), generator=generator)
        optimizer.step(functional.binary_cross_entropy_with_logits(student(shapes[rows]), scores[rows]))
    with torch.no_grad():
        target = scores[: len(real)]
        unexplained = ((student(real).sigmoid() - target) ** 2).sum() / ((target - target.mean(dim=0)) ** 2).sum()
    logger.info("blendshape student: %.2f %% of the variance is not explained", 100 * float(unexplained))
    return student.requires_grad_(False).eval()


def fit_expression_code(
    population: ShapePopulation,
    statistics: ShapeStatistics,
    predict_blendshapes: BlendshapePredictor,
    options: ExpressionOptions | None = None,
) -> dict[str, float]:
    """Train the expression encoder and decoder of ``statistics`` (in place).

    Args:
        population: training shapes from :func:`.shape_space.fit_shape_space`.
        statistics: with fitted mean, axes, deviations and identity basis.
        predict_blendshapes: (n, 478, 3) shapes -> (n, 52) blendshape scores, e.g. a :class:`.blendshape_network.BlendshapeNetwork`.
        options: None takes the defaults, with which the bundled checkpoint was trained.

    Returns:
        means over the last hundred steps: ``lost`` and ``missed``, the shares of the blendshapes' and of the emotions' variance that are
        lost, ``bits``, the capacity of the code at noise 1, and ``identity_bits``, what it tells about the person at middle noise.
    """
    options = options or ExpressionOptions()
    torch.manual_seed(options.seed)
    generator = torch.Generator().manual_seed(options.seed)
    real = torch.from_numpy(np.concatenate([population.coordinates, mirror_coordinates(population.coordinates, statistics)])).float()
    student = distill_blendshapes(real, population, statistics, predict_blendshapes, options)
    emotions = (*population.emotions, *population.emotions)  # of the shapes and of their mirror images
    reader, groups = EmotionReader.fit(real.double().numpy(), emotions), list(rows_by_emotion(emotions).values())
    with torch.no_grad():
        variance = student(real).sigmoid().var(dim=0).sum()
        if reader is not None:
            shown = reader(real[balanced_rows(groups, 20_000, generator)]).var(dim=0).sum()
    between, within = population.between, population.within
    pairs = PersonPairs(real, with_mirrored(population.persons), between, within)
    wiener = torch.from_numpy(within @ np.linalg.inv(between + within)).float()  # shape -> estimate of its expression
    identity_whitening, shape_whitening = whitening(between + 0.05 * within), whitening(between + within)
    for layer in statistics.modules():
        if isinstance(layer, nn.Linear):
            layer.reset_parameters()
    parameters = list(statistics.parameters())
    for parameter in parameters:
        parameter.requires_grad_(True)
    optimizer = OneCycleAdam(parameters, options, options.steps)
    low, high = options.noise
    history: list[tuple[float, float, float, float]] = []
    for _ in trange(options.steps, desc="expression code", leave=False):
        rows = torch.randint(len(real), (options.batch_size,), generator=generator)
        if reader is not None:  # half of the batch shows every emotion as often: most pictures are neutral or smile
            rows = torch.cat([rows[::2], balanced_rows(groups, options.batch_size // 2, generator)])
        shapes = real[rows]
        count = len(shapes)
        noise = low * (high / low) ** torch.rand(count, 1, generator=generator)
        people = torch.randn(count, statistics.identity_basis.shape[1], generator=generator).clamp(-2, 2)
        clean = statistics.encode(shapes)
        decoded = statistics.decode(clean + noise * torch.randn(clean.shape, generator=generator), people, noise)
        lost = ((student(decoded).sigmoid() - student(shapes).sigmoid()) ** 2).sum(dim=1).mean() / variance
        expression = decoded - people @ statistics.identity_basis.T
        movement_error = (((expression - shapes @ wiener.T) @ identity_whitening) ** 2).mean()
        implausibility = (((decoded @ shape_whitening) ** 2).mean(dim=1) - 1).relu().pow(2).mean()
        rate = 0.5 * torch.log1p(clean.var(dim=0)).sum()
        first, second = statistics.encode(torch.cat(pairs.draw(_PAIRS, generator))).chunk(2)
        identity = identity_information(first, second, (low * high) ** 0.5)
        missed = torch.zeros(())
        if reader is not None:
            missed = ((reader(decoded) - reader(shapes)) ** 2).sum(dim=1).mean() / shown
        loss = (
            lost
            + options.emotion_weight * missed
            + options.movement_weight * movement_error
            + options.plausibility_weight * implausibility
            + options.rate_weight * rate
            + options.identity_weight * identity
        )
        loss = loss + 1e-4 * (clean.mean(dim=0) ** 2).sum()  # nothing else fixes the origin of the code: keep it at 0
        optimizer.step(loss)
        history.append((lost.item(), missed.item(), rate.item() / float(np.log(2)), identity.item() / float(np.log(2))))
    for parameter in parameters:
        parameter.requires_grad_(False)
    lost_share, missed_share, bits, identity_bits = np.mean(history[-100:], axis=0).tolist()
    logger.info(
        "expression code: %.3f of the blendshapes' variance lost, %.3f of the emotions', %.1f bits at noise 1, %.2f about the person",
        lost_share,
        missed_share,
        bits,
        identity_bits,
    )
    return {"lost": lost_share, "missed": missed_share, "bits": bits, "identity_bits": identity_bits}
