"""Training of the decoder alone, after the expression code: faces must move as far as the ones they stand for.

``expression_code.py`` trains encoder and decoder on single pictures, and an uncertain decoder moves a face less than the original moved:
corners of the mouth rose three quarters as far. Here the encoder stays as it is, and with it everything that the code says about a person.
The decoder learns from two pictures of one person at a time: decoded with the same noise and onto the same synthetic person, they must
differ as the originals do, whose identity cancels. At rest, faces stay as they were.

:func:`center_decoder` then moves everybody by the mean difference that is left between training faces and the faces in their place.
"""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import trange

from ..core.face_mesh import (
    LEFT_EYE_LOWER,
    LEFT_EYE_UPPER,
    LEFT_IRIS,
    MOUTH_LOWER,
    MOUTH_UPPER,
    RIGHT_EYE_LOWER,
    RIGHT_EYE_UPPER,
    RIGHT_IRIS,
)
from ..core.geometry import PRIVACY, ShapeModel
from ..core.look import AGES
from ..core.modeling_ganon import NUM_POINTS, ShapeStatistics
from ..core.occluders import FEATURES
from ..core.people import Population, draw_identity, look_of
from .expression_code import ExpressionOptions
from .expression_losses import BlendshapePredictor, ExpressionLosses, OneCycleAdam, StudentOptions, with_mirrored
from .identity_price import PersonPairs
from .options import require_noise_range, require_positive
from .portraits import mouth_shapes
from .shape_space import ShapePopulation, ridge_solution

logger = logging.getLogger(__name__)

# Synthetic people onto whom is decoded.
_NUM_PEOPLE = 4000
# How much the landmarks of the outline and the cheeks count in a movement, relative to those of features; and depth, relative to the rest:
# both are less sure.
_OUTLINE, _DEPTH = 0.2, 0.2
# At most so many faces of each kind are looked at for the mean difference; and the opening of the mouth, in distances of the outer corners
# of the eyes, below which a face without a label of emotion is at rest.
_NUM_CENTERED, _CLOSED = 1500, 0.03
# Ridge penalty of the mean difference, as a share of the mean axis: small axes follow noise.
_CENTER_RIDGE = 0.01
# What is set after the decoder: the inner lips, the lids and the irises.
_LIDS = (RIGHT_EYE_UPPER, RIGHT_EYE_LOWER, LEFT_EYE_UPPER, LEFT_EYE_LOWER)
_SET_LATER = sorted({index for line in (MOUTH_UPPER, MOUTH_LOWER, *_LIDS, RIGHT_IRIS, LEFT_IRIS) for index in line})


@dataclass(frozen=True)
class MovementOptions:
    """How the decoder is trained further.

    Attributes:
        steps: training steps.
        batch_size: pairs, and single faces per step.
        learning_rate: maximum of the one-cycle schedule.
        movement_weight: weight of the share of movements that is lost.
        rest_weight: weight of changes of faces at rest, as a share of the variance of all faces.
        blendshape_weight, emotion_weight, plausibility_weight: of what ``expression_code.py`` asks for, too.
        unlikely_weight: weight of movements that differ in directions in which people hardly differ.
        noise: lowest and highest standard deviation of the code's noise, sampled uniformly on a logarithmic scale.
        student_steps, num_synthetic_shapes: of the network that predicts the blendshapes, see :class:`.expression_losses.StudentOptions`.
        seed: of all random numbers.

    Raises:
        ValueError: a value is out of range.
    """

    steps: int = 6000
    batch_size: int = 256
    learning_rate: float = 2e-3
    movement_weight: float = 4.0
    rest_weight: float = 1.0
    blendshape_weight: float = 3.0
    emotion_weight: float = 0.7
    unlikely_weight: float = 0.01
    plausibility_weight: float = 0.02
    noise: tuple[float, float] = ExpressionOptions.noise
    student_steps: int = StudentOptions.steps
    num_synthetic_shapes: int = StudentOptions.num_synthetic_shapes
    seed: int = 0

    def __post_init__(self) -> None:
        require_positive(self, "steps", "batch_size", "learning_rate", "student_steps", "num_synthetic_shapes")
        require_noise_range(self.noise)


def fit_movement_decoder(
    population: ShapePopulation,
    statistics: ShapeStatistics,
    people: Population,
    predict_blendshapes: BlendshapePredictor,
    options: MovementOptions | None = None,
) -> dict[str, float]:
    """Train the decoder of ``statistics`` further (in place); its encoder and all else stay.

    Args:
        population: training shapes in the space of ``statistics``, some of them labeled as neutral.
        statistics: with a trained expression code.
        people: of the bank, onto whom is decoded.
        predict_blendshapes: see :func:`.expression_code.fit_expression_code`.
        options: None takes the defaults, with which the bundled checkpoint was trained.

    Returns:
        means over the first twenty and the last hundred steps of the lost shares of movements (``movement_lost_before``,
        ``movement_lost``) and of the blendshapes' variance (``lost_before``, ``lost``).

    Raises:
        ValueError: no picture is labeled as neutral, or nobody has two pictures.
    """
    options = options or MovementOptions()
    generator = torch.Generator().manual_seed(options.seed)
    neutral = torch.tensor([row for row, emotion in enumerate(population.emotions) if emotion == "neutral"], dtype=torch.int64)
    if not len(neutral):
        raise ValueError("the decoder is kept as it is for faces at rest, but no picture is labeled as neutral.")
    neutral = torch.cat([neutral, neutral + len(population.emotions)])  # and their mirror images
    of_student = StudentOptions(options.student_steps, num_synthetic_shapes=options.num_synthetic_shapes, seed=options.seed)
    with torch.random.fork_rng(devices=[]):  # the network's initial weights are random, too
        torch.manual_seed(options.seed)
        losses = ExpressionLosses(population, statistics, predict_blendshapes, of_student, generator)
    real = losses.real
    pairs = PersonPairs(real, with_mirrored(population.persons), population.between, population.within)
    metric, everywhere = _movement_metric(statistics), ((real * statistics.deviations) ** 2).sum(dim=1).mean()
    shapes = torch.from_numpy(np.stack([draw_identity(seed, 0, people).shape for seed in range(_NUM_PEOPLE)])).float()
    before = copy.deepcopy(statistics)
    parameters = [*statistics.linear_decoder.parameters(), *statistics.decoder.parameters()]
    for parameter in parameters:
        parameter.requires_grad_(True)
    optimizer = OneCycleAdam(parameters, options.learning_rate, options.steps)
    (low, high), count = options.noise, options.batch_size
    history: list[tuple[float, float]] = []

    def noise_on(code: torch.Tensor, deviation: torch.Tensor) -> torch.Tensor:
        return deviation * torch.randn(code.shape, generator=generator)

    for _ in trange(options.steps, desc="movement decoder", leave=False):
        deviation = low * (high / low) ** torch.rand(count, 1, generator=generator)
        person = shapes[torch.randint(len(shapes), (count,), generator=generator)]
        first, second = pairs.draw(count, generator)
        codes = statistics.encode(first), statistics.encode(second)
        noise = noise_on(codes[0], deviation)
        ours = statistics.decode(codes[0] + noise, person, deviation) - statistics.decode(codes[1] + noise, person, deviation)
        theirs = first - second
        moved = ((ours - theirs) @ metric).square().sum() / (theirs @ metric).square().sum()
        unlikely = ((ours - theirs) @ losses.identity_whitening).square().mean()
        wanted = losses.draw(count, generator)
        code = statistics.encode(wanted)
        decoded = statistics.decode(code + noise_on(code, deviation), person, deviation)
        lost, missed, implausible = losses.lost(decoded, wanted), losses.missed(decoded, wanted), losses.implausible(decoded)
        code = statistics.encode(real[neutral[torch.randint(len(neutral), (count,), generator=generator)]])
        code = code + noise_on(code, deviation)
        change = statistics.decode(code, person, deviation) - before.decode(code, person, deviation)
        rest = (change * statistics.deviations).square().sum(dim=1).mean() / everywhere
        optimizer.step(
            options.movement_weight * moved
            + options.unlikely_weight * unlikely
            + options.blendshape_weight * lost
            + options.emotion_weight * missed
            + options.plausibility_weight * implausible
            + options.rest_weight * rest
        )
        history.append((moved.item(), lost.item()))
    for parameter in parameters:
        parameter.requires_grad_(False)
    figures = np.concatenate([np.mean(some, axis=0) for some in (history[:20], history[-100:])])
    result = dict(zip(("movement_lost_before", "lost_before", "movement_lost", "lost"), figures.tolist(), strict=True))
    logger.info("movement decoder: %s", ", ".join(f"{name} {value:.3f}" for name, value in result.items()))
    return result


def center_decoder(
    population: ShapePopulation, statistics: ShapeStatistics, model: ShapeModel, people: Population, *, seed: int = 0
) -> float:
    """Move all decoded shapes (in place) by the mean difference between faces at rest and random synthetic adults in their place.

    It is measured with the noise of medium privacy, and is the mean of two kinds of pictures, which count alike: those that are labeled as
    neutral, and those without a label with closed lips. Either kind may be missing. Lips, lids and irises do not count: where they are is
    set after the decoder (``openings.py``).

    Args:
        population: training shapes.
        statistics: whose decoder is changed.
        model: the same decoder as the engine uses it.
        people: of the bank.
        seed: of the choice of faces and people.

    Returns:
        by how far they move, as the root mean square over the landmarks in canonical units.

    Raises:
        ValueError: there are no faces at rest, or no adults in the bank.
    """
    generator = np.random.default_rng(seed)
    emotions = np.array([emotion or "" for emotion in population.emotions])
    adults = np.flatnonzero(people.looks[:, 0] >= AGES.index("young"))
    if not len(adults):
        raise ValueError("faces at rest are compared with synthetic adults, but the bank has none.")
    differences = []
    for rows in (np.flatnonzero(emotions == "neutral"), np.flatnonzero(emotions == "")):
        found = []
        for row in generator.permutation(rows)[:_NUM_CENTERED]:
            original = model.canonical_landmarks(population.coordinates[row])
            if not emotions[row] and mouth_shapes(original[None])[0, 0] > _CLOSED:
                continue
            look = look_of(people.looks[int(generator.choice(adults))])
            identity = draw_identity(
                int(generator.integers(2**31)), 0, people, look=look, num_expression=statistics.linear_encoder.out_features
            )
            found.append(original - model.exchange_identity(original, identity, PRIVACY["medium"].noise))
        if found:
            differences.append(np.mean(found, axis=0))
    if not differences:
        raise ValueError("the decoder is centered on faces at rest, but none is labeled as neutral or has closed lips.")
    difference = np.mean(differences, axis=0)
    counted = np.ones(difference.shape)
    counted[_SET_LATER] = 0
    movements = (statistics.axes * statistics.deviations).double().numpy()
    shift = ridge_solution(movements * counted.reshape(-1, 1), difference.ravel(), _CENTER_RIDGE)
    with torch.no_grad():
        statistics.linear_decoder.bias.add_(torch.from_numpy(shift).float())
    return float(np.sqrt(np.square(movements @ shift).sum() / len(counted)))


def _movement_metric(statistics: ShapeStatistics) -> torch.Tensor:
    """(d, d) lower triangular L: the squared length of x @ L is that of the landmarks' movement by coordinates x, weighted."""
    weights = torch.full((NUM_POINTS, 3), _OUTLINE)
    weights[sorted({index for group in FEATURES for index in group})] = 1
    weights[:, 2] *= _DEPTH
    movements = statistics.axes * statistics.deviations
    squared = movements.T @ (weights.reshape(-1, 1) * movements)
    return torch.linalg.cholesky(squared + 1e-6 * torch.eye(len(squared)))
