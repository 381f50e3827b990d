"""Training of the expression code (``ganon_hf.core.geometry.ShapeModel``): as much expression through as few bits as possible.

Information bottleneck (Tishby et al. 1999; variational form: Alemi et al., ICLR 2017). Every number that passes from the original's
shape also names its owner: what remains is paid for by the bit, with the capacity of the noisy code, and spent where the 52 blendshape
scores of a face with somebody else's neutral shape come out as in the original. Those scores are read by a small network that is first
taught to read them as MediaPipe's own does, because thousands of gradients of that one would take hours.
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
from .shape_space import ShapePopulation

logger = logging.getLogger(__name__)

Reader = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class ExpressionOptions:
    """How the code is trained.

    Attributes:
        steps: of the code; the reader of blendshapes takes twice as many.
        batch_size: shapes a step.
        learning_rate: highest of the one-cycle schedule (Smith and Topin 2017).
        invented: shapes invented beside the real ones to teach the reader: one person's expression on another's neutral shape.
        noise: lowest and highest standard deviation of the code's noise; each is as likely as the others on a logarithmic scale.
        rate: price of a nat of capacity (at noise 1), against the share of the blendshapes' variance that is lost.
        movement: price of movements other than the original's, measured against how people differ.
        plausibility: price of shapes further from the mean than real ones.
        seed: of everything.
    """

    steps: int = 6000
    batch_size: int = 256
    learning_rate: float = 2e-3
    invented: int = 30_000
    noise: tuple[float, float] = (0.5, 6.0)
    rate: float = 0.01
    movement: float = 0.003
    plausibility: float = 0.02
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, but got {getattr(self, name)!r}.")
        if not 0 < self.noise[0] <= self.noise[1]:
            raise ValueError(f"noise must be a positive (lowest, highest), but got {self.noise!r}.")


class _Scores(nn.Module):
    """Coordinates -> (B, 52) blendshape scores, as logits.

    Args:
        scale: (d,) what coordinates are divided by.
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


def _root(matrix: np.ndarray) -> torch.Tensor:
    """Lower triangular L with L L^T the inverse: (x @ L) squared and summed is a Mahalanobis distance."""
    floor = 1e-6 * np.trace(matrix) / len(matrix) * np.eye(len(matrix))
    return torch.from_numpy(np.linalg.cholesky(np.linalg.inv(matrix + floor))).float()


def _mirrored(coordinates: np.ndarray, statistics: ShapeStatistics) -> np.ndarray:
    """(n, d) coordinates of the faces that a mirror shows."""
    axes, mean = statistics.axes.double().numpy(), statistics.mean.double().numpy()
    deviations = statistics.deviations.double().numpy()
    flip = (axes.reshape(-1, 3, axes.shape[1])[MIRROR] * np.array([-1.0, 1.0, 1.0])[:, None]).reshape(axes.shape)
    shift = mean.reshape(-1, 3)[MIRROR] * np.array([-1.0, 1.0, 1.0])
    return ((coordinates * deviations) @ flip.T + shift.ravel() - mean) @ axes / deviations


class _Descent:
    """Adam under a one-cycle schedule."""

    def __init__(self, parameters: list[nn.Parameter], options: ExpressionOptions, steps: int):
        self.optimizer = torch.optim.Adam(parameters, options.learning_rate)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, options.learning_rate, steps)

    def step(self, loss: torch.Tensor) -> None:
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()


def _teach_reader(
    real: torch.Tensor, population: ShapePopulation, statistics: ShapeStatistics, read: Reader, options: ExpressionOptions
) -> _Scores:
    """A network that reads ``read``'s scores from coordinates, also of shapes that nobody has."""
    generator = torch.Generator().manual_seed(options.seed)
    wiener = torch.from_numpy(population.within @ np.linalg.inv(population.between + population.within)).float()
    count = options.invented
    chosen = (
        real[torch.randint(len(real), (count,), generator=generator)] @ wiener.T * (1 + 0.5 * torch.rand(count, 1, generator=generator))
    )
    people = torch.randn(count, statistics.identity_basis.shape[1], generator=generator) @ statistics.identity_basis.T
    shapes = torch.cat([real, chosen + people * torch.rand(count, 1, generator=generator)])
    points = shapes * statistics.deviations @ statistics.axes.T + statistics.mean
    scores = torch.from_numpy(read(points.reshape(len(points), -1, 3).numpy())).float()
    reader = _Scores(real.std(dim=0).clamp_min(1e-6))
    descent = _Descent(list(reader.parameters()), options, 2 * options.steps)
    for _ in trange(2 * options.steps, desc="reader of blendshapes", leave=False):
        rows = torch.randint(len(shapes), (options.batch_size,), generator=generator)
        descent.step(functional.binary_cross_entropy_with_logits(reader(shapes[rows]), scores[rows]))
    with torch.no_grad():
        known = scores[: len(real)]
        left = ((reader(real).sigmoid() - known) ** 2).sum() / ((known - known.mean(dim=0)) ** 2).sum()
    logger.info("blendshapes are read from shapes; %.2f %% of their variance is missed", 100 * float(left))
    return reader.requires_grad_(False).eval()


def fit_expression_code(
    population: ShapePopulation, statistics: ShapeStatistics, read: Reader, options: ExpressionOptions | None = None
) -> dict[str, float]:
    """Train encoder and decoder of ``statistics`` (in place).

    Args:
        population: training shapes from :func:`.shape.fit_shape_space`.
        statistics: with mean, axes, deviations and identity basis fitted.
        read: (n, 478, 3) shapes -> (n, 52) blendshape scores, e.g. :class:`.blendshapes.BlendshapeNetwork`.
        options: None takes the defaults, with which the bundled checkpoint was made.

    Returns:
        figures of the last hundred steps: ``lost`` (share of the blendshapes' variance), ``bits`` (capacity of the code at noise 1).
    """
    options = options or ExpressionOptions()
    torch.manual_seed(options.seed)
    generator = torch.Generator().manual_seed(options.seed)
    real = torch.from_numpy(np.concatenate([population.coordinates, _mirrored(population.coordinates, statistics)])).float()
    reader = _teach_reader(real, population, statistics, read, options)
    with torch.no_grad():
        spread = reader(real).sigmoid().var(dim=0).sum()
    between, within = population.between, population.within
    moment = torch.from_numpy(within @ np.linalg.inv(between + within)).float()  # Wiener estimate of what is not the person
    apart, plausible = _root(between + 0.05 * within), _root(between + within)
    for layer in statistics.modules():
        if isinstance(layer, nn.Linear):
            layer.reset_parameters()
    parameters = list(statistics.parameters())
    for parameter in parameters:
        parameter.requires_grad_(True)
    descent = _Descent(parameters, options, options.steps)
    low, high = options.noise
    history: list[tuple[float, float]] = []
    for _ in trange(options.steps, desc="expression code", leave=False):
        shapes = real[torch.randint(len(real), (options.batch_size,), generator=generator)]
        count = len(shapes)
        noise = low * (high / low) ** torch.rand(count, 1, generator=generator)
        people = torch.randn(count, statistics.identity_basis.shape[1], generator=generator).clamp(-2, 2)
        clean = statistics.encode(shapes)
        made = statistics.decode(clean + noise * torch.randn(clean.shape, generator=generator), people, noise)
        lost = ((reader(made).sigmoid() - reader(shapes).sigmoid()) ** 2).sum(dim=1).mean() / spread
        moved = made - people @ statistics.identity_basis.T
        stray = (((moved - shapes @ moment.T) @ apart) ** 2).mean()
        strange = (((made @ plausible) ** 2).mean(dim=1) - 1).relu().pow(2).mean()
        rate = 0.5 * torch.log1p(clean.var(dim=0)).sum()
        loss = lost + options.movement * stray + options.plausibility * strange + options.rate * rate
        loss = loss + 1e-4 * (clean.mean(dim=0) ** 2).sum()  # the code's origin is free: keep it at 0
        descent.step(loss)
        history.append((lost.item(), rate.item() / float(np.log(2))))
    for parameter in parameters:
        parameter.requires_grad_(False)
    lost_share, bits = np.mean(history[-100:], axis=0)
    logger.info("expression code: %.3f of the blendshapes' variance lost, %.1f bits at noise 1", lost_share, bits)
    return {"lost": float(lost_share), "bits": float(bits)}
