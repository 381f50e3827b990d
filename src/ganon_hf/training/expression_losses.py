"""What a decoded face should keep of the expression, as losses: blendshape scores, the labeled emotion, and a plausible shape.

A small student network predicts the 52 blendshape scores from coordinates; it is first distilled from MediaPipe's network, which has no
gradients. Expressions that the scores do not know are asked for by :mod:`.emotion_reader`.
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
from .shape_space import ShapePopulation

logger = logging.getLogger(__name__)

# Pictures by which the variance of the emotions is measured.
_NUM_BALANCED = 20_000
# Share of a person's own variation that counts among how people differ, for a metric in which small differences between people are large.
_WITHIN_SHARE = 0.05

# (n, 478, 3) shapes -> (n, 52) blendshape scores, 0 to 1
BlendshapePredictor = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class StudentOptions:
    """How the student is trained.

    Attributes:
        steps: training steps.
        batch_size: shapes per step.
        learning_rate: maximum of the one-cycle schedule (Smith and Topin 2017).
        num_synthetic_shapes: shapes beside the real ones: one person's expression on the neutral shape of another.
        seed: of all random numbers but the initial weights, which are torch's next ones.
    """

    steps: int = 12_000
    batch_size: int = 256
    learning_rate: float = 2e-3
    num_synthetic_shapes: int = 30_000
    seed: int = 0


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


def _whitening(covariance: np.ndarray) -> torch.Tensor:
    """Lower triangular L with L L^T the inverse of a covariance: the sum of (x @ L) ** 2 is the squared Mahalanobis distance of x."""
    floor = 1e-6 * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    return torch.from_numpy(np.linalg.cholesky(np.linalg.inv(covariance + floor))).float()


def _mirror_coordinates(coordinates: np.ndarray, statistics: ShapeStatistics) -> np.ndarray:
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
    """Adam with a one-cycle schedule.

    Args:
        parameters: what is trained.
        learning_rate: the maximum.
        steps: of the cycle.
    """

    def __init__(self, parameters: list[nn.Parameter], learning_rate: float, steps: int):
        self.optimizer = torch.optim.Adam(parameters, learning_rate)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, learning_rate, steps)

    def step(self, loss: torch.Tensor) -> None:
        """Take one step down the gradient of the loss."""
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()


def _distill_blendshapes(
    real: torch.Tensor,
    population: ShapePopulation,
    statistics: ShapeStatistics,
    predict_blendshapes: BlendshapePredictor,
    options: StudentOptions,
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
    optimizer = OneCycleAdam(list(student.parameters()), options.learning_rate, options.steps)
    for _ in trange(options.steps, desc="blendshape student", leave=False):
        rows = torch.randint(len(shapes), (options.batch_size,), generator=generator)
        optimizer.step(functional.binary_cross_entropy_with_logits(student(shapes[rows]), scores[rows]))
    with torch.no_grad():
        target = scores[: len(real)]
        unexplained = ((student(real).sigmoid() - target) ** 2).sum() / ((target - target.mean(dim=0)) ** 2).sum()
    logger.info("blendshape student: %.2f %% of the variance is not explained", 100 * float(unexplained))
    return student.requires_grad_(False).eval()


class ExpressionLosses:
    """Training shapes and their mirror images, and what decoded shapes lose of their expressions.

    Args:
        population: training shapes.
        statistics: the shape space.
        predict_blendshapes: teacher of the student.
        options: of the student.
        generator: of the pictures by which the variance of the emotions is measured.

    Attributes:
        real: (n, d) coordinates.
        identity_whitening: (d, d) L; the length of x @ L is in units of how people differ.
    """

    def __init__(
        self,
        population: ShapePopulation,
        statistics: ShapeStatistics,
        predict_blendshapes: BlendshapePredictor,
        options: StudentOptions,
        generator: torch.Generator,
    ):
        both = np.concatenate([population.coordinates, _mirror_coordinates(population.coordinates, statistics)])
        self.real, emotions = torch.from_numpy(both).float(), (*population.emotions, *population.emotions)
        self._student = _distill_blendshapes(self.real, population, statistics, predict_blendshapes, options)
        self._groups = list(rows_by_emotion(emotions).values())
        self._reader = EmotionReader.fit(self.real.double().numpy(), emotions)
        self.identity_whitening = _whitening(population.between + _WITHIN_SHARE * population.within)
        self._shape_whitening = _whitening(population.between + population.within)
        with torch.no_grad():
            self._variance = self._student(self.real).sigmoid().var(dim=0).sum()
            if self._reader is not None:
                self._shown = self._reader(self.real[balanced_rows(self._groups, _NUM_BALANCED, generator)]).var(dim=0).sum()

    def draw(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """(count, d) shapes, half of which show every emotion as often, if they are labeled: most pictures are neutral or smile."""
        rows = torch.randint(len(self.real), (count,), generator=generator)
        if self._reader is not None:
            rows = torch.cat([rows[::2], balanced_rows(self._groups, count // 2, generator)])
        return self.real[rows]

    def lost(self, decoded: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Share of the blendshapes' variance that is lost, of (B, d) shapes."""
        return ((self._student(decoded).sigmoid() - self._student(wanted).sigmoid()) ** 2).sum(dim=1).mean() / self._variance

    def missed(self, decoded: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Share of the emotions' variance that is lost; 0 without labels."""
        if self._reader is None:
            return torch.zeros(())
        return ((self._reader(decoded) - self._reader(wanted)) ** 2).sum(dim=1).mean() / self._shown

    def implausible(self, decoded: torch.Tensor) -> torch.Tensor:
        """How much further from the mean shapes are than real ones."""
        return (((decoded @ self._shape_whitening) ** 2).mean(dim=1) - 1).relu().pow(2).mean()
