"""How the small networks of this package are trained: AdamW, a learning rate that rises shortly and falls to zero, clipped gradients."""

from __future__ import annotations

import logging
import math
import time

import numpy as np
import torch
from torch import nn

logger = logging.getLogger(__name__)

_RISE = 100  # steps in which the learning rate rises
_LOG_EVERY = 50


class Descent:
    """The steps of one training; the progress is logged.

    Args:
        network: is trained; its weights change in place.
        steps: how many there will be.
        learning_rate: the highest, after the rise; it falls to zero along a cosine.
        weight_decay: of AdamW.
        max_norm: of the gradient of all weights together; a larger one is scaled down to it.
    """

    def __init__(self, network: nn.Module, steps: int, learning_rate: float, weight_decay: float, max_norm: float):
        self._network, self._steps, self._peak, self._max_norm = network, steps, learning_rate, max_norm
        self._optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=weight_decay)
        self._losses: list[float] = []
        self._begun = time.perf_counter()

    @property
    def done(self) -> int:
        """How many steps were made."""
        return len(self._losses)

    def step(self, loss: torch.Tensor) -> None:
        """Change the weights against the gradient of a loss."""
        rise, fall = min(1.0, (self.done + 1) / _RISE), 0.5 * (1 + math.cos(math.pi * self.done / self._steps))
        self._optimizer.param_groups[0]["lr"] = self._peak * rise * fall
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self._network.parameters(), self._max_norm)
        self._optimizer.step()
        self._losses.append(float(loss.detach()))
        if self.done % _LOG_EVERY == 0:
            seconds, mean = time.perf_counter() - self._begun, float(np.mean(self._losses[-_LOG_EVERY:]))
            logger.info("step %d of %d, loss %.4f, %.0f s", self.done, self._steps, mean, seconds)
