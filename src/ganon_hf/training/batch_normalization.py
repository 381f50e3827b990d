"""Batch normalization for training networks that do without it in use."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Layer = TypeVar("Layer", bound=nn.Module)
Network = TypeVar("Network", bound=nn.Module)


def normalized(network: Network) -> Network:
    """A copy with batch normalization after each convolution, for training."""
    network = copy.deepcopy(network)
    for parent, name, layer in _layers(network, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, a=0.2, nonlinearity="leaky_relu")
        normalization = nn.BatchNorm2d(layer.out_channels)
        if name == "conv2":
            nn.init.constant_(normalization.weight, 0.2)  # a block starts close to the identity
        setattr(parent, name, nn.Sequential(layer, normalization))
    return network


def without_normalization(network: Network) -> Network:
    """A copy with the batch normalization merged into the convolutions: the same outputs in evaluation mode."""
    network = copy.deepcopy(network).eval()
    for parent, name, layer in _layers(network, nn.Sequential):
        convolution, normalization = layer
        if isinstance(convolution, nn.Conv2d) and isinstance(normalization, nn.BatchNorm2d):
            setattr(parent, name, fuse_conv_bn_eval(convolution, normalization))
    return network.requires_grad_(False)


def _layers(network: nn.Module, kind: type[Layer]) -> list[tuple[nn.Module, str, Layer]]:
    return [(parent, name, layer) for parent in network.modules() for name, layer in parent.named_children() if isinstance(layer, kind)]
