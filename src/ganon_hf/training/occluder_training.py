"""Training of the network for the occluder map (:class:`.OccluderNetwork`) on faces with things laid over them.

A face that is kept by mistake is worse than a mask that is painted over. So what belongs to a face counts more, most of all in eyes, nose
and mouth, and the thresholds of ``core/occluder_map.py`` come on top.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ..core.modeling_ganon import GanonConfig, OccluderNetwork
from ..core.occluders import GLASSES, NONE, SUNGLASSES
from .batch_normalization import normalized, without_normalization
from .descent import Descent
from .occluder_samples import NO_GLASSES, Samples
from .options import require_positive

# How much a pixel counts: of a face, of its eyes, nose and mouth, of thin things, of what is known not to be spectacles.
_FACE_WEIGHT, _FEATURE_WEIGHT, _GLASSES_WEIGHT, _OUTSIDE_WEIGHT = 2.5, 6.0, 3.0, 0.3
# Learning rate of a trained network, relative to that of a new one.
_FURTHER = 0.25
# Largest change of a color channel, of brightness and contrast, as each picture is seen once more.
_TINT, _BRIGHTNESS, _CONTRAST = 0.06, 0.1, 0.12
# Largest norm of a gradient.
_MAX_NORM = 2.0


@dataclass(frozen=True)
class OccluderTrainingOptions:
    """How the network is trained.

    Attributes:
        channels: width of the network, see ``GanonConfig.occluder_channels``.
        steps: number of batches.
        batch_size: faces per batch.
        learning_rate: the highest, after a short rise; it falls to zero along a cosine.
        weight_decay: of AdamW.
        average: decay of the averaged weights, which are the result.
        seed: of weights, order and changes.

    Raises:
        ValueError: a number is not positive.
    """

    channels: int = 16
    steps: int = 4000
    batch_size: int = 24
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    average: float = 0.998
    seed: int = 0

    def __post_init__(self) -> None:
        require_positive(self, "channels", "steps", "batch_size", "learning_rate")


def to_tensors(samples: Samples, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Some samples as the network takes them: pictures in [-1, 1], hulls of 0 or 1, labels (B, 128, 128) int64."""
    pictures = torch.from_numpy(samples.pictures[rows]).permute(0, 3, 1, 2).float() / 127.5 - 1
    hulls = torch.from_numpy(samples.hulls[rows]).permute(0, 3, 1, 2).float() / 255
    return pictures, hulls, torch.from_numpy(samples.labels[rows].astype(np.int64))


def vary(pictures: torch.Tensor, hulls: torch.Tensor, labels: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    """Mirror half of the samples, and change tint, brightness and contrast of all."""
    count = len(pictures)
    mirrored = torch.rand(count, generator=generator) < 0.5
    turned = (torch.where(mirrored.view(-1, *[1] * (values.dim() - 1)), values.flip(-1), values) for values in (pictures, hulls, labels))
    pictures, hulls, labels = turned
    tint = _TINT * torch.randn(count, 3, 1, 1, generator=generator) + _BRIGHTNESS * torch.randn(count, 1, 1, 1, generator=generator)
    contrast = torch.exp(_CONTRAST * torch.randn(count, 1, 1, 1, generator=generator))
    return (pictures * contrast + tint).clamp(-1, 1), hulls, labels


def occluder_loss(logits: torch.Tensor, hulls: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Weighted cross-entropy of (B, 7, S, S) logits and (B, S, S) labels of :class:`.Samples`."""
    known = labels < logits.shape[1]
    targets = torch.where(known, labels, -1)
    losses = functional.cross_entropy(logits, targets, ignore_index=-1, reduction="none")
    weights = known.float()
    weights = torch.where(labels == NONE, _FACE_WEIGHT * weights, weights)
    weights = torch.where((labels == NONE) & (hulls[:, 1:].amax(dim=1) > 0.5), _FEATURE_WEIGHT * weights / _FACE_WEIGHT, weights)
    weights = torch.where((labels == GLASSES) | (labels == SUNGLASSES), _GLASSES_WEIGHT * weights, weights)
    spectacles = logits[:, [GLASSES, SUNGLASSES]].logsumexp(dim=1) - logits.logsumexp(dim=1)
    absent = -torch.log1p(-spectacles.exp().clamp_max(1 - 1e-4))
    outside = _OUTSIDE_WEIGHT * (labels == NO_GLASSES).float()
    return (losses * weights + absent * outside).sum() / (weights + outside).sum().clamp_min(1.0)


def train_occluders(
    load: Callable[[np.random.Generator], Samples],
    options: OccluderTrainingOptions,
    start: OccluderNetwork | None = None,
    save: Callable[[OccluderNetwork, int], None] | None = None,
    save_every: int = 500,
) -> OccluderNetwork:
    """Train a network; torch's number of threads is the caller's.

    Args:
        load: gives some samples, all of which are seen once before it is called again.
        options: how it is trained.
        start: a trained network that is trained further, at a quarter of the learning rate; it keeps its width.
        save: called with the network so far and the number of steps.
        save_every: steps between those calls.
    """
    generator, random = np.random.default_rng(options.seed), torch.Generator().manual_seed(options.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        network = normalized(OccluderNetwork(GanonConfig(occluder_channels=options.channels))) if start is None else copy.deepcopy(start)
    peak = options.learning_rate * (1 if start is None else _FURTHER)
    network.requires_grad_(True)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a third faster on a CPU
    averaged = copy.deepcopy(network)
    descent = Descent(network, options.steps, peak, options.weight_decay, _MAX_NORM)
    network.train()
    while descent.done < options.steps:
        samples = load(generator)
        order = generator.permutation(len(samples))
        for first in range(0, len(order) - options.batch_size + 1, options.batch_size):
            if descent.done == options.steps:
                break
            pictures, hulls, labels = vary(*to_tensors(samples, order[first : first + options.batch_size]), random)
            seen, known = (values.contiguous(memory_format=torch.channels_last) for values in (pictures, hulls))
            descent.step(occluder_loss(network(seen, known), hulls, labels))
            _follow(averaged, network, min(options.average, descent.done / (descent.done + 20)))
            if save is not None and descent.done % save_every == 0:
                save(finished(averaged), descent.done)
    return finished(averaged)


@torch.no_grad()
def _follow(averaged: nn.Module, network: nn.Module, decay: float) -> None:
    for ours, theirs in zip(averaged.state_dict().values(), network.state_dict().values(), strict=True):
        if ours.dtype.is_floating_point:
            ours.lerp_(theirs, 1 - decay)
        else:
            ours.copy_(theirs)


def finished(network: OccluderNetwork) -> OccluderNetwork:
    """A copy for use, with the normalization merged into the convolutions."""
    return without_normalization(network).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload,no-any-return]


def blend_networks(before: OccluderNetwork, after: OccluderNetwork, share: float) -> OccluderNetwork:
    """The weights between those of a network and those that it had after it was trained further.

    On pictures that are unlike those of the training, such weights are often better than either (Wortsman et al., "Robust fine-tuning of
    zero-shot models", CVPR 2022).

    Args:
        before, after: of the same width.
        share: of the later weights, from 0 to 1.

    Raises:
        ValueError: the share is not from 0 to 1, or the widths differ.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must be from 0 to 1, but got {share}.")
    blended, later = copy.deepcopy(before), after.state_dict()
    for name, weights in blended.state_dict().items():
        if weights.shape != later[name].shape:
            raise ValueError(
                f"both networks must have the same width, but {name} has the shapes {[*weights.shape]} and {[*later[name].shape]}."
            )
        weights.lerp_(later[name], share)
    return blended
