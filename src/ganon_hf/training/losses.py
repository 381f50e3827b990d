"""Losses of the discriminator and the generator.

Averages run over all pixels of the batch, weighted ones too. So the mean of two processes' gradients equals the gradient of one process
with both batches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

from ..core.color import LUMA_WEIGHTS
from .discriminator import DiscriminatorFeatures
from .gpu_dataset import FaceBatch
from .options import TrainingOptions

# The luma of a face has a standard deviation of about 0.3, its fine detail one of 0.05.
_DETAIL_GAIN = 8.0


def luma_of(images: torch.Tensor) -> torch.Tensor:
    """(B, 3, H, W) RGB -> (B, 1, H, W) luma in the same range."""
    return (images * images.new_tensor(LUMA_WEIGHTS)[:, None, None]).sum(dim=1, keepdim=True)


def amplified_detail(luma: torch.Tensor) -> torch.Tensor:
    """(B, 1, H, W) luma -> its detail finer than about five pixels, amplified to about the luma's own range.

    Skin and paint differ by a few gray values. Next to the large differences in a face, a discriminator of bounded slope hardly sees them.
    """
    kernel = luma.new_tensor([1, 4, 6, 4, 1]) / 16
    blurred = functional.pad(luma, (2, 2, 2, 2), mode="replicate")
    blurred = functional.conv2d(functional.conv2d(blurred, kernel.view(1, 1, 1, 5)), kernel.view(1, 1, 5, 1))
    return _DETAIL_GAIN * (luma - blurred)


def _weighted_mean(value: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """(B, ...) values, (B,) weights -> mean over all elements of weight times value."""
    return (value.flatten(1).mean(dim=1) * weights).mean()


def adversarial_discriminator_loss(
    real: DiscriminatorFeatures, fake: DiscriminatorFeatures, weights: torch.Tensor, kind: str
) -> torch.Tensor:
    """Adversarial loss of the discriminator.

    Args:
        real, fake: what the discriminator returned for real and generated pictures.
        weights: (B,) weight of each picture.
        kind: ``"hinge"`` (Lim & Ye 2017) or ``"lsgan"`` (Mao et al. 2017; half the sum, as published).
    """
    if kind == "hinge":
        terms = [
            _weighted_mean(functional.relu(1 - r[-1]), weights) + _weighted_mean(functional.relu(1 + f[-1]), weights)
            for r, f in zip(real, fake, strict=True)
        ]
    else:
        terms = [
            _weighted_mean((r[-1] - 1) ** 2, weights) / 2 + _weighted_mean(f[-1] ** 2, weights) / 2 for r, f in zip(real, fake, strict=True)
        ]
    return torch.stack(terms).mean()


def adversarial_generator_loss(fake: DiscriminatorFeatures, weights: torch.Tensor, kind: str) -> torch.Tensor:
    """Adversarial loss of the generator; arguments as for :func:`adversarial_discriminator_loss`."""
    terms = [_weighted_mean(-f[-1] if kind == "hinge" else (f[-1] - 1) ** 2, weights) for f in fake]
    return torch.stack(terms).mean()


def feature_matching_loss(real: DiscriminatorFeatures, fake: DiscriminatorFeatures, weights: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of the discriminator's features (Wang et al., pix2pixHD, 2018); no gradient into the real ones."""
    terms = [
        _weighted_mean((f - r.detach()).abs(), weights)
        for rs, fs in zip(real, fake, strict=True)
        for r, f in zip(rs[:-1], fs[:-1], strict=True)
    ]
    return torch.stack(terms).mean() if terms else weights.new_zeros(())


@dataclass(frozen=True)
class GanLosses:
    """The losses of a preset, from a batch and the generated images.

    For the mesh generator the discriminator sees only luma: nearly all sharp training pictures are grayscale, and luma is enough to judge
    skin, hair and teeth. Color is learned from the color pictures by its mean absolute error.
    """

    options: TrainingOptions

    def discriminator_inputs(self, images: torch.Tensor, batch: FaceBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """What the discriminator sees of (B, 3, H, W) images: picture and condition, each (B, channels, H, W)."""
        if self.options.preset == "paper":
            return images, batch.inputs["pixel_values"]
        u_and_v = batch.inputs["pixel_values"][:, :2] * 2 - 1
        condition = torch.cat([u_and_v * batch.mask, batch.mask, batch.inputs["pixel_values"][:, 3:] * batch.mask], dim=1)
        luma = luma_of(images)
        return torch.cat([luma, amplified_detail(luma)], dim=1) * batch.mask, condition

    def discriminator_loss(
        self, discriminator: Callable[..., DiscriminatorFeatures], images: torch.Tensor, batch: FaceBatch
    ) -> tuple[torch.Tensor, DiscriminatorFeatures]:
        """Loss of the discriminator on ``images``, with no gradient into them, and its features of the real pictures."""
        count = len(batch)
        pictures, conditions = zip(*(self.discriminator_inputs(one, batch) for one in (batch.target, images.detach())), strict=True)
        # real and generated in one forward pass, because DDP expects one backward pass per forward pass
        features = discriminator(torch.cat(pictures), torch.cat(conditions))
        real = [[layer[:count] for layer in scale] for scale in features]
        fake = [[layer[count:] for layer in scale] for scale in features]
        return adversarial_discriminator_loss(real, fake, batch.adversarial_weights, self.options.adversarial_loss), real

    def generator_loss(
        self,
        images: torch.Tensor,
        batch: FaceBatch,
        discriminator: Callable[..., DiscriminatorFeatures] | None,
        real: DiscriminatorFeatures | None,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Loss of the generator on ``images``.

        Args:
            images: (B, 3, H, W) generated images.
            batch: what they were generated from.
            discriminator: None leaves out the adversarial terms.
            real: the discriminator's features of the real pictures, from :meth:`discriminator_loss`; None with no discriminator.

        Returns:
            the weighted sum, and its unweighted terms by name, detached.
        """
        options = self.options
        if options.preset == "paper":
            terms = {"l1": (images - batch.target).abs().mean()}
        else:
            difference = (images - batch.target) * batch.mask
            luma = luma_of(difference)
            color_error = (difference - luma).abs().flatten(1).mean(dim=1) * batch.color_weights
            terms = {"l1": ((luma.abs().flatten(1).mean(dim=1) + color_error) * batch.weights).mean()}
        loss = options.l1_weight * terms["l1"]
        if discriminator is not None and real is not None:
            fake = discriminator(*self.discriminator_inputs(images, batch))
            terms["adversarial"] = adversarial_generator_loss(fake, batch.adversarial_weights, options.adversarial_loss)
            loss = loss + options.adversarial_weight * terms["adversarial"]
            if options.feature_matching_weight:
                terms["feature_matching"] = feature_matching_loss(real, fake, batch.adversarial_weights)
                loss = loss + options.feature_matching_weight * terms["feature_matching"]
        return loss, {name: value.detach() for name, value in terms.items()}
