"""Training of the expression code (``ganon_hf.core.geometry.ShapeModel``): as much expression in as few bits as possible.

Information bottleneck (Tishby et al. 1999; variational form: Alemi et al., ICLR 2017). Everything that the code takes from the original
shape can also identify its owner, so the capacity of the noisy code is penalized: every bit a little, and those that tell who it is
(:mod:`.identity_price`) far more. The reconstruction term asks that the decoded face, which has another person's neutral shape, has the
blendshape scores and the emotion of the original (:mod:`.expression_losses`).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from tqdm import trange

from ..core.modeling_ganon import ShapeStatistics
from .expression_losses import BlendshapePredictor, ExpressionLosses, OneCycleAdam, StudentOptions, with_mirrored
from .identity_price import PersonPairs, identity_information
from .options import require_noise_range, require_positive
from .shape_space import ShapePopulation

logger = logging.getLogger(__name__)

# Pairs of pictures from which the price of identity is measured at every step.
_PAIRS = 384


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
        require_noise_range(self.noise)


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
    of_student = StudentOptions(2 * options.steps, options.batch_size, options.learning_rate, options.num_synthetic_shapes, options.seed)
    losses = ExpressionLosses(population, statistics, predict_blendshapes, of_student, generator)
    between, within = population.between, population.within
    pairs = PersonPairs(losses.real, with_mirrored(population.persons), between, within)
    wiener = torch.from_numpy(within @ np.linalg.inv(between + within)).float()  # shape -> estimate of its expression
    for layer in statistics.modules():
        if isinstance(layer, nn.Linear):
            layer.reset_parameters()
    parameters = list(statistics.parameters())
    for parameter in parameters:
        parameter.requires_grad_(True)
    optimizer = OneCycleAdam(parameters, options.learning_rate, options.steps)
    low, high = options.noise
    history: list[tuple[float, float, float, float]] = []
    for _ in trange(options.steps, desc="expression code", leave=False):
        shapes = losses.draw(options.batch_size, generator)
        count = len(shapes)
        noise = low * (high / low) ** torch.rand(count, 1, generator=generator)
        people = torch.randn(count, statistics.identity_basis.shape[1], generator=generator).clamp(-2, 2)
        clean = statistics.encode(shapes)
        decoded = statistics.decode(clean + noise * torch.randn(clean.shape, generator=generator), people, noise)
        lost, missed, implausibility = losses.lost(decoded, shapes), losses.missed(decoded, shapes), losses.implausible(decoded)
        expression = decoded - people @ statistics.identity_basis.T
        movement_error = (((expression - shapes @ wiener.T) @ losses.identity_whitening) ** 2).mean()
        rate = 0.5 * torch.log1p(clean.var(dim=0)).sum()
        first, second = statistics.encode(torch.cat(pairs.draw(_PAIRS, generator))).chunk(2)
        identity = identity_information(first, second, (low * high) ** 0.5)
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
