"""How the small networks are trained: the average of the weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ganon_hf.training.descent import Descent


def run(steps: int, average: float) -> tuple[Descent[nn.BatchNorm1d], list[torch.Tensor]]:
    """Steps that change the weights, and the weights after each one."""
    torch.manual_seed(0)
    network = nn.BatchNorm1d(3)
    descent, seen = Descent(network, steps, learning_rate=0.1, weight_decay=0.0, max_norm=1.0, average=average), []
    for _ in range(steps):
        descent.step((network(torch.randn(8, 3)) - 1).square().mean())
        seen.append(network.weight.detach().clone())
    return descent, seen


def test_the_average_follows_the_weights() -> None:
    descent, seen = run(steps=60, average=0.5)
    expected = torch.ones(3)
    for number, weights in enumerate(seen, 1):
        decay = min(0.5, number / (number + 20))
        expected = decay * expected + (1 - decay) * weights
    torch.testing.assert_close(descent.averaged.weight, expected)
    assert not torch.equal(descent.averaged.weight, seen[-1])


@pytest.mark.parametrize("name", ["running_mean", "num_batches_tracked"])
def test_the_average_has_all_that_the_network_has(name: str) -> None:
    descent, _ = run(steps=20, average=0.0)  # the weights themselves
    state = descent.averaged.state_dict()
    assert set(state) == {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
    assert bool((state[name] != nn.BatchNorm1d(3).state_dict()[name]).any())


def test_the_network_is_not_the_average() -> None:
    torch.manual_seed(0)
    network = nn.Linear(2, 1)
    descent = Descent(network, 1, learning_rate=0.1, weight_decay=0.0, max_norm=1.0, average=0.99)
    descent.step(network(torch.ones(4, 2)).sum())
    assert descent.averaged is not network
    descent.averaged.weight.data.zero_()
    assert bool(network.weight.any())
