"""Losses. Judgments are lists over scales of lists of feature maps, the scores last, as the discriminators return them.

Averages run over all pixels of the batch, weighted ones too, so that the mean of two processes' gradients is that of one with both batches.
"""

from __future__ import annotations

import torch
from torch.nn import functional

Judgment = list[list[torch.Tensor]]


def _mean(value: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """(B, c, h, w) or less, (B,) -> weighted mean over everything."""
    return (value.flatten(1).mean(dim=1) * weights).mean()


def discriminator_loss(real: Judgment, fake: Judgment, weights: torch.Tensor, kind: str) -> torch.Tensor:
    """What the discriminator minimizes.

    Args:
        real, fake: judgments.
        weights: (B,) how much each picture counts.
        kind: ``"hinge"`` (Lim & Ye 2017) or ``"lsgan"`` (Mao et al. 2017; half the sum, as published).
    """
    if kind == "hinge":
        terms = [
            _mean(functional.relu(1 - r[-1]), weights) + _mean(functional.relu(1 + f[-1]), weights) for r, f in zip(real, fake, strict=True)
        ]
    else:
        terms = [_mean((r[-1] - 1) ** 2, weights) / 2 + _mean(f[-1] ** 2, weights) / 2 for r, f in zip(real, fake, strict=True)]
    return torch.stack(terms).mean()


def adversarial_loss(fake: Judgment, weights: torch.Tensor, kind: str) -> torch.Tensor:
    """What the generator minimizes to pass for real; arguments as in :func:`discriminator_loss`."""
    terms = [_mean(-f[-1] if kind == "hinge" else (f[-1] - 1) ** 2, weights) for f in fake]
    return torch.stack(terms).mean()


def feature_matching_loss(real: Judgment, fake: Judgment, weights: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of the discriminator's features (Wang et al., pix2pixHD, 2018); no gradient into the real ones."""
    terms = [
        _mean((f - r.detach()).abs(), weights) for rs, fs in zip(real, fake, strict=True) for r, f in zip(rs[:-1], fs[:-1], strict=True)
    ]
    return torch.stack(terms).mean() if terms else weights.new_zeros(())
