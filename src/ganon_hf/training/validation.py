"""Held-out errors and picture grids during training. The grids show real people: they stay with the run, nothing uploads them."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from ..core.modeling_ganon import GanonModel
from .gpu_dataset import DotsBank, MeshBank
from .training_step import luma_of

_BATCH = 8
_SHOWN = 8


def _detail(luma: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Energy of the finest octave inside the mask: what a blurred face lacks."""
    inner = -functional.max_pool2d(-mask, 7, stride=1, padding=3)  # the outline is no detail
    fine = luma - functional.avg_pool2d(luma, 3, stride=1, padding=1, count_include_pad=False)
    return ((fine**2) * inner).sum() / inner.sum().clamp_min(1)


@torch.no_grad()
def validate(model: GanonModel, bank: MeshBank | DotsBank, patch: int, limit: int = 256) -> tuple[dict[str, float], np.ndarray]:
    """Errors on held-out faces and a grid of some.

    Args:
        model: generator; left in training mode as it was found.
        bank: held-out faces.
        patch: side of what is looked at, as in training.
        limit: at most so many faces, evenly spread.

    Returns:
        ``l1``: mean absolute luma error in levels inside the mask; ``detail``: energy of the finest octave over the pictures' (1 = as much
        as in photos, sharp pictures only); ``l1_coarse`` and ``detail_coarse``: the prior's (mesh). The grid is (H, W, 3) uint8: rows
        picture, coarse face (mesh), generated face, and the same geometry with another person's appearance (mesh).
    """
    was_training = model.training
    model.eval()
    rows = np.unique(np.linspace(0, len(bank) - 1, min(limit, len(bank))).astype(int))
    draws = np.tile([0.5, 0.5, 1.0], (_BATCH, 1))  # in the middle, not mirrored
    sums = {"l1": 0.0, "l1_coarse": 0.0, "pixels": 0.0, "generated": 0.0, "generated_coarse": 0.0, "real": 0.0}
    shown: list[list[torch.Tensor]] = []
    every = max(1, len(rows) // _SHOWN)
    for start in range(0, len(rows), _BATCH):
        part = rows[start : start + _BATCH]
        batch = bank.batch(part, patch, draws[: len(part)])
        output = model(**batch.inputs)
        mask = batch.mask
        pictures = [batch.target, output.images]
        sums["l1"] += float((luma_of(output.images - batch.target).abs() * mask).sum()) * 127.5
        sums["pixels"] += float(mask.sum())
        if output.coarse is not None:
            sums["l1_coarse"] += float((luma_of(output.coarse - batch.target).abs() * mask).sum()) * 127.5
            # the neighbor's coefficients: another person with the same expression
            other = model(**{**batch.inputs, "appearance": batch.inputs["appearance"].roll(1, 0)})
            pictures = [batch.target, output.coarse, output.images, other.images]
        for number in torch.nonzero(batch.sharp > 0).flatten().tolist():
            one = slice(number, number + 1)
            sums["generated"] += float(_detail(luma_of(output.images[one]), mask[one]))
            sums["real"] += float(_detail(luma_of(batch.target[one]), mask[one]))
            if output.coarse is not None:
                sums["generated_coarse"] += float(_detail(luma_of(output.coarse[one]), mask[one]))
        for number in range(len(part)):
            if (start + number) % every == 0 and len(shown) < _SHOWN:
                visible = batch.inputs["pixel_values"][number, 2:3] if output.coarse is not None else mask[number]
                shown.append([picture[number].float().clamp(-1, 1) * visible + visible - 1 for picture in pictures])
    model.train(was_training)
    columns = [torch.cat(column, dim=1) for column in shown]
    grid = torch.cat(columns, dim=2).permute(1, 2, 0).cpu().numpy()
    errors = {"l1": sums["l1"] / max(sums["pixels"], 1.0)}
    if sums["l1_coarse"]:
        errors["l1_coarse"] = sums["l1_coarse"] / max(sums["pixels"], 1.0)
    if sums["real"]:
        errors["detail"] = sums["generated"] / sums["real"]
        if sums["generated_coarse"]:
            errors["detail_coarse"] = sums["generated_coarse"] / sums["real"]
    return errors, np.round((grid + 1) * 127.5).astype(np.uint8)
