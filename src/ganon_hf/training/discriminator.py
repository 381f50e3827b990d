"""Patch discriminators: is each part of a face real, given where it lies on the face?"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from .options import TrainingOptions

# What a discriminator returns: for each scale a list of feature maps (B, c, h, w), the last of which is the (B, 1, h, w) scores.
DiscriminatorFeatures = list[list[torch.Tensor]]


class PatchDiscriminator(nn.Module):
    """PatchGAN (Isola et al., CVPR 2017) with spectral normalization (Miyato et al., ICLR 2018), at one scale.

    Args:
        in_channels: channels of picture and condition together.
        channels: width of the first layer; each further layer doubles it.
        layers: number of layers; each halves the resolution.
    """

    def __init__(self, in_channels: int, channels: int, layers: int = 3):
        super().__init__()
        widths = [in_channels, *(channels * 2**i for i in range(layers))]
        self.blocks = nn.ModuleList(
            spectral_norm(nn.Conv2d(a, b, 4, stride=2, padding=1)) for a, b in zip(widths, widths[1:], strict=False)
        )
        self.out = spectral_norm(nn.Conv2d(widths[-1], 1, 3, padding=1))

    def forward(self, hidden: torch.Tensor) -> list[torch.Tensor]:
        """(B, in_channels, S, S) -> the features after each layer, then the (B, 1, S / 2^layers, S / 2^layers) scores."""
        features = []
        for block in self.blocks:
            hidden = functional.leaky_relu(block(hidden), 0.2)
            features.append(hidden)
        return [*features, self.out(hidden)]


class MultiScaleDiscriminator(nn.Module):
    """One patch discriminator for the picture and one for the picture at half the resolution (Wang et al., pix2pixHD, CVPR 2018)."""

    def __init__(self, in_channels: int, channels: int, scales: int = 2):
        super().__init__()
        self.scales = nn.ModuleList(PatchDiscriminator(in_channels, channels) for _ in range(scales))

    def forward(self, picture: torch.Tensor, condition: torch.Tensor) -> DiscriminatorFeatures:
        """(B, c, S, S), (B, k, S, S) -> features and scores of each scale."""
        hidden = torch.cat([picture, condition], dim=1)
        results = []
        for number, scale in enumerate(self.scales):
            if number:
                hidden = functional.avg_pool2d(hidden, 2)
            results.append(scale(hidden))
        return results


class PublishedDiscriminator(nn.Module):
    """The PatchGAN of GANonymization: picture and condition are RGB, concatenated in this order."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels_in, channels_out in ((6, 64), (64, 128), (128, 256), (256, 512)):
            layers.append(nn.Conv2d(channels_in, channels_out, 4, stride=2, padding=1))
            if channels_in != 6:
                layers.append(nn.InstanceNorm2d(channels_out))
            layers.append(nn.LeakyReLU(0.2))
        self.model = nn.Sequential(*layers, nn.ZeroPad2d((1, 0, 1, 0)), nn.Conv2d(512, 1, 4, padding=1, bias=False))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, 0.02)

    def forward(self, picture: torch.Tensor, condition: torch.Tensor) -> DiscriminatorFeatures:
        """(B, 3, S, S), (B, 3, S, S) -> [[(B, 1, S / 16, S / 16) scores]]."""
        return [[self.model(torch.cat([picture, condition], dim=1))]]


def build_discriminator(options: TrainingOptions) -> nn.Module:
    """The discriminator of the preset: (picture, condition) -> :data:`DiscriminatorFeatures`."""
    if options.preset == "paper":
        return PublishedDiscriminator()
    # luma and its detail; u, v, mask and dots
    return MultiScaleDiscriminator(2 + 4, options.discriminator_channels)
