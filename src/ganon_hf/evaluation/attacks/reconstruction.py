"""Reconstruction attack: a network learns to turn anonymized crops back into the originals.

The attacker has the program: it anonymizes pictures of known people, trains the network on the pairs, reconstructs the pictures of unknown
people, and runs a recognizer on the results. The same attack on a blur shows how strong it is; where nothing can be reconstructed, the
figures are those of the anonymized picture, or lower. Source of the network: Isola et al., "Image-to-Image Translation with Conditional
Adversarial Networks" (CVPR 2017), without the adversary.

Conventions: crops are gray uint8 (n, S, S); inside the network float (B, 1, S, S) in [-1, 1].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ..metrics.estimates import Estimate
from ..metrics.recognition import Recognizer, impostor_threshold, recognition_measures, similarity
from .anonymized_pairs import AnonymizedPairs, embed_crops


@dataclass(frozen=True)
class ReconstructionOptions:
    """How the reconstruction network is trained.

    Attributes:
        size: side of the network's pictures in pixels, a multiple of 16.
        steps: of the optimizer.
        batch: pictures of a step.
        width: channels at the finest scale.
        learning_rate: at the top of one cycle.
        seed: of weights and order.
    """

    size: int = 64
    steps: int = 800
    batch: int = 16
    width: int = 16
    learning_rate: float = 2e-3
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("size", "steps", "batch", "width", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, but got {getattr(self, name)!r}.")
        if self.size % 16:
            raise ValueError(f"size must be a multiple of 16, but got {self.size}.")


def _block(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out), nn.ReLU())


class _UNet(nn.Module):
    """Residual U-Net: four scales down and up with skips."""

    def __init__(self, width: int):
        super().__init__()
        widths = [width, 2 * width, 4 * width, 4 * width, 4 * width]
        self.first = _block(1, widths[0], 1)
        self.down = nn.ModuleList(nn.Sequential(_block(a, b, 2), _block(b, b, 1)) for a, b in zip(widths, widths[1:], strict=False))
        self.up = nn.ModuleList(_block(a + b, b, 1) for a, b in zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.out = nn.Conv2d(widths[0], 1, 3, padding=1)
        nn.init.zeros_(self.out.weight)  # begins as the identity
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """(B, 1, S, S) -> (B, 1, S, S)."""
        skips = [self.first(pictures)]
        for block in self.down:
            skips.append(block(skips[-1]))
        hidden = skips.pop()
        for block in self.up:
            skip = skips.pop()
            hidden = block(torch.cat([functional.interpolate(hidden, scale_factor=2.0, mode="nearest"), skip], dim=1))
        return pictures + self.out(hidden)


def resized(crops: np.ndarray, size: int) -> np.ndarray:
    """(n, S, S) uint8 -> (n, size, size) uint8, pixels averaged on the way down."""
    pictures = torch.from_numpy(np.ascontiguousarray(crops))[:, None].float()
    # without antialiasing on the way up: there it would blur what is compared
    small = functional.interpolate(pictures, size=(size, size), mode="bilinear", align_corners=False, antialias=size < crops.shape[1])
    return small[:, 0].round().clamp(0, 255).byte().numpy()


def _tensor(crops: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(crops))[:, None].float() / 127.5 - 1


class Reconstructor:
    """The trained network.

    Args:
        network: (B, 1, S, S) in [-1, 1] -> the same.
        size: S.
    """

    def __init__(self, network: nn.Module, size: int) -> None:
        self._network, self._size = network.eval(), size

    @torch.inference_mode()
    def __call__(self, crops: np.ndarray) -> np.ndarray:
        """(n, any, any) uint8 gray crops -> (n, S, S) uint8, the reconstructed originals."""
        small = resized(crops, self._size)
        found = [self._network(_tensor(small[start : start + 64])) for start in range(0, len(small), 64)]
        if not found:
            return small
        return ((torch.cat(found)[:, 0] + 1) * 127.5).round().clamp(0, 255).byte().numpy()


def train_reconstructor(train: AnonymizedPairs, options: ReconstructionOptions | None = None) -> Reconstructor:
    """Train a network that turns ``train.anonymized`` into ``train.targets``; crops are mirrored at random.

    Raises:
        ValueError: there is no picture to learn from.
    """
    options = options or ReconstructionOptions()
    if not len(train):
        raise ValueError("there is no picture to learn the reconstruction from.")
    before, after = (_tensor(resized(crops, options.size)) for crops in (train.targets, train.anonymized))
    order = np.random.default_rng(options.seed)
    with torch.random.fork_rng(devices=[]):  # the global generator is left as it was
        torch.manual_seed(options.seed)
        network = _UNet(options.width)
    optimizer = torch.optim.AdamW(network.parameters(), lr=options.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=options.learning_rate, total_steps=options.steps)
    network.train()
    for _ in range(options.steps):
        rows = order.integers(len(before), size=options.batch)
        mirrored = torch.from_numpy(order.random(options.batch) < 0.5)[:, None, None, None]
        seen, wanted = (torch.where(mirrored, some[rows].flip(3), some[rows]) for some in (after, before))
        optimizer.zero_grad()
        functional.l1_loss(network(seen), wanted).backward()
        optimizer.step()
        schedule.step()
    return Reconstructor(network, options.size)


@dataclass(frozen=True, eq=False)
class ReconstructionResult:
    """Result of the reconstruction attack.

    Attributes:
        measures: the figures.
        sheet: (h, w, 3) uint8, per person in a row: anonymized, reconstruction, original.
    """

    measures: dict[str, Estimate]
    sheet: np.ndarray


def reconstruction_measures(
    train: AnonymizedPairs,
    gallery: AnonymizedPairs,
    probe: AnonymizedPairs,
    recognizer: Recognizer,
    options: ReconstructionOptions | None = None,
    *,
    repeats: int = 1000,
) -> ReconstructionResult:
    """Train, reconstruct, recognize. All probes are gray crops of one size, with and without the attack.

    Args:
        train: pairs of other people.
        gallery, probe: pairs of the people under test, row by row the same person: the originals of ``gallery`` are the gallery, the
            anonymized pictures of ``probe`` the probes.
        recognizer: identifies the reconstructions.
        options: None takes the defaults.
        repeats: bootstrap resamples.

    Returns:
        ``reconstruction_rank1``, ``_rank5``, ``_tar`` of the reconstructions; ``unattacked_...`` of the anonymized crops as they are;
        ``original_...`` of the untouched crops, an upper bound. ``tar`` is the true accept rate at a threshold that 1 %
        of the same probes' impostor pairs exceed.

    Raises:
        ValueError: there is no picture to learn from, or ``gallery`` and ``probe`` show different people.
    """
    options = options or ReconstructionOptions()
    if not np.array_equal(gallery.persons, probe.persons):
        raise ValueError("gallery and probe must show the same people row by row.")
    reconstruct = train_reconstructor(train, options)
    probes = {
        "reconstruction": reconstruct(probe.anonymized),
        "unattacked": resized(probe.anonymized, options.size),
        "original": resized(probe.targets, options.size),
    }
    known = embed_crops(recognizer, gallery.originals)
    measures: dict[str, Estimate] = {}
    for name, crops in probes.items():
        between = similarity(embed_crops(recognizer, crops), known, recognizer.metric)
        found = recognition_measures(between, probe.persons, threshold=impostor_threshold(between), repeats=repeats)
        measures |= {f"{name}_{key}": estimate for key, estimate in found.items()}
    columns = [probes["unattacked"], probes["reconstruction"], probes["original"]]
    rows = [np.hstack(some) for some in zip(*(column[:12] for column in columns), strict=True)]
    return ReconstructionResult(measures, np.repeat(np.vstack(rows)[..., None], 3, axis=2))
