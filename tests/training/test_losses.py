"""Losses and discriminators of the training run."""

from __future__ import annotations

import pytest
import torch

from ganon_hf.training.discriminator import MultiScaleDiscriminator, PublishedDiscriminator
from ganon_hf.training.losses import (
    adversarial_discriminator_loss,
    adversarial_generator_loss,
    amplified_detail,
    feature_matching_loss,
)


@pytest.mark.parametrize(
    ("kind", "real", "fake", "discriminator", "generator"),
    [
        ("hinge", 2.0, -2.0, 0.0, 2.0),  # beyond both margins there is nothing to learn
        ("hinge", 0.0, 0.0, 2.0, 0.0),
        ("hinge", -1.0, 1.0, 4.0, -1.0),
        ("lsgan", 1.0, 0.0, 0.0, 1.0),
        ("lsgan", 0.0, 1.0, 1.0, 0.0),
        ("lsgan", 0.5, 0.5, 0.25, 0.25),
    ],
)
def test_adversarial_losses(kind: str, real: float, fake: float, discriminator: float, generator: float) -> None:
    scores = [[[torch.full((3, 1, 4, 4), value)] for _ in range(2)] for value in (real, fake)]
    weights = torch.ones(3)
    assert adversarial_discriminator_loss(*scores, weights, kind).item() == pytest.approx(discriminator)
    assert adversarial_generator_loss(scores[1], weights, kind).item() == pytest.approx(generator)
    assert adversarial_discriminator_loss(*scores, weights * 0, kind).item() == 0, "a picture of weight 0 does not count"


def test_feature_matching_has_gradients_into_the_generated_features_only() -> None:
    real = [[torch.ones(2, 3, 4, 4, requires_grad=True), torch.zeros(2, 1, 2, 2)]]
    fake = [[torch.zeros(2, 3, 4, 4, requires_grad=True), torch.ones(2, 1, 2, 2)]]
    loss = feature_matching_loss(real, fake, torch.tensor([1.0, 0.0]))
    loss.backward()
    assert loss.item() == pytest.approx(0.5)
    assert real[0][0].grad is None and fake[0][0].grad is not None and fake[0][0].grad[1].abs().max() == 0


def test_the_published_discriminator_has_the_published_layers() -> None:
    discriminator = PublishedDiscriminator()
    shapes = [tuple(module.weight.shape) for module in discriminator.modules() if isinstance(module, torch.nn.Conv2d)]
    assert shapes == [(64, 6, 4, 4), (128, 64, 4, 4), (256, 128, 4, 4), (512, 256, 4, 4), (1, 512, 4, 4)]
    scores = discriminator(torch.zeros(1, 3, 256, 256), torch.zeros(1, 3, 256, 256))[-1][-1]
    assert scores.shape == (1, 1, 16, 16)


def test_fine_detail_is_amplified_and_coarse_shading_removed() -> None:
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    pores, shade = 0.05 * torch.cos(torch.pi * x), 0.4 * torch.cos(torch.pi * y / 64)
    fine, coarse = (amplified_detail(one[None, None])[0, 0, 4:-4, 4:-4] for one in (pores, shade))
    assert fine.abs().mean() > 6 * pores.abs().mean() and coarse.abs().max() < 0.05 * shade.abs().max()
    assert torch.equal(amplified_detail(torch.full((1, 1, 8, 8), 0.5)), torch.zeros(1, 1, 8, 8))


def test_the_discriminator_has_two_scales_and_bounded_slope() -> None:
    discriminator = MultiScaleDiscriminator(5, 4)
    result = discriminator(torch.randn(2, 1, 64, 64), torch.randn(2, 4, 64, 64))
    assert [[tuple(f.shape[1:]) for f in scale] for scale in result] == [
        [(4, 32, 32), (8, 16, 16), (16, 8, 8), (1, 8, 8)],
        [(4, 16, 16), (8, 8, 8), (16, 4, 4), (1, 4, 4)],
    ]
    with torch.no_grad():
        for _ in range(30):  # the power iteration settles
            discriminator(torch.randn(2, 1, 64, 64), torch.randn(2, 4, 64, 64))
        norms = [torch.linalg.matrix_norm(m.weight.flatten(1), 2).item() for m in discriminator.modules() if isinstance(m, torch.nn.Conv2d)]
    assert max(norms) < 1.15
