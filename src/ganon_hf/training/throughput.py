"""Floating point operations: how many a training step needs, and how many per second the device reaches."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Floating point operations per second that this device reaches in a large matrix product at this precision."""
    size, repeats = (8192, 20) if device.type == "cuda" else (1024, 10)
    a = torch.randn(size, size, device=device, dtype=dtype)

    def run(count: int) -> float:
        start = time.perf_counter()
        for _ in range(count):
            torch.mm(a, a)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - start

    run(3)
    return 2 * size**3 * repeats / run(repeats)


def count_flops(work: Callable[[], object]) -> int:
    """Number of floating point operations of the matrix products and convolutions in ``work``, backward passes included."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()
