"""One training step: from a batch to the two losses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from ..core.color import LUMA_WEIGHTS
from .discriminator import MultiScaleDiscriminator, PublishedDiscriminator
from .gpu_dataset import FaceBatch
from .losses import Judgment, adversarial_loss, discriminator_loss, feature_matching_loss
from .options import TrainingOptions

# A face's luma has a standard deviation of about 0.3, its detail one of 0.05.
_DETAIL_GAIN = 8.0


def build_discriminator(options: TrainingOptions) -> nn.Module:
    """The judge of the preset: (picture, condition) -> judgment."""
    if options.preset == "paper":
        return PublishedDiscriminator()
    # luma and its detail; u, v, mask and dots
    return MultiScaleDiscriminator(2 + 4, options.discriminator_channels)


def luma_of(images: torch.Tensor) -> torch.Tensor:
    """(B, 3, H, W) RGB -> (B, 1, H, W), same range."""
    return (images * images.new_tensor(LUMA_WEIGHTS)[:, None, None]).sum(dim=1, keepdim=True)


def detail_of(luma: torch.Tensor) -> torch.Tensor:
    """(B, 1, H, W) -> what is finer than five pixels, enlarged to about the luma's own range.

    Skin is told from paint by a few levels: beside a face's light and dark a judge of bounded slope hardly sees them.
    """
    kernel = luma.new_tensor([1, 4, 6, 4, 1]) / 16
    blurred = functional.pad(luma, (2, 2, 2, 2), mode="replicate")
    blurred = functional.conv2d(functional.conv2d(blurred, kernel.view(1, 1, 1, 5)), kernel.view(1, 1, 5, 1))
    return _DETAIL_GAIN * (luma - blurred)


@dataclass(frozen=True)
class Objective:
    """Losses of a preset.

    For the mesh generator the adversary sees luma alone: nearly all sharp pictures of the training set are gray, and skin, hair and teeth
    are told by their luma. Color is learned from the color pictures by its mean absolute error.
    """

    options: TrainingOptions

    def judged(self, images: torch.Tensor, batch: FaceBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """What the discriminator sees of (B, 3, H, W) images: picture and condition."""
        if self.options.preset == "paper":
            return images, batch.inputs["pixel_values"]
        u_and_v = batch.inputs["pixel_values"][:, :2] * 2 - 1
        condition = torch.cat([u_and_v * batch.mask, batch.mask, batch.inputs["pixel_values"][:, 3:] * batch.mask], dim=1)
        luma = luma_of(images)
        return torch.cat([luma, detail_of(luma)], dim=1) * batch.mask, condition

    def of_discriminator(self, judge: Callable[..., Judgment], images: torch.Tensor, batch: FaceBatch) -> tuple[torch.Tensor, Judgment]:
        """Loss of the discriminator on ``images`` without a gradient into them, and its judgment of the real pictures."""
        count = len(batch)
        pictures, conditions = zip(*(self.judged(one, batch) for one in (batch.target, images.detach())), strict=True)
        judgment = judge(torch.cat(pictures), torch.cat(conditions))  # one pass: every process runs the judge as often as it steps
        real = [[features[:count] for features in scale] for scale in judgment]
        fake = [[features[count:] for features in scale] for scale in judgment]
        return discriminator_loss(real, fake, batch.sharp, self.options.adversarial_loss), real

    def generator_loss(
        self, images: torch.Tensor, batch: FaceBatch, judge: Callable[..., Judgment] | None, real: Judgment | None
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Loss of the generator, and its parts; ``judge`` None leaves out the adversarial ones."""
        options = self.options
        if options.preset == "paper":
            parts = {"l1": (images - batch.target).abs().mean()}
        else:
            difference = (images - batch.target) * batch.mask
            luma = luma_of(difference)
            of_color = (difference - luma).abs().flatten(1).mean(dim=1) * batch.color
            parts = {"l1": ((luma.abs().flatten(1).mean(dim=1) + of_color) * batch.weights).mean()}
        loss = options.l1_weight * parts["l1"]
        if judge is not None and real is not None:
            fake = judge(*self.judged(images, batch))
            parts["adversarial"] = adversarial_loss(fake, batch.sharp, options.adversarial_loss)
            loss = loss + options.adversarial_weight * parts["adversarial"]
            if options.feature_matching_weight:
                parts["feature_matching"] = feature_matching_loss(real, fake, batch.sharp)
                loss = loss + options.feature_matching_weight * parts["feature_matching"]
        return loss, {name: value.detach() for name, value in parts.items()}
