"""Errors and sample grids on held-out faces during training.

The grids show real people: they stay in the folder of the run and are never uploaded.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from ..core.modeling_ganon import GanonModel
from .gpu_dataset import DotDataset, MeshDataset
from .losses import luma_of

_BATCH_SIZE = 8
_NUM_SAMPLES = 8


def _detail(luma: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Energy of the highest octave of frequencies inside the mask, which a blurred face lacks."""
    inner = -functional.max_pool2d(-mask, 7, stride=1, padding=3)  # without the outline, which is no detail of the face
    fine = luma - functional.avg_pool2d(luma, 3, stride=1, padding=1, count_include_pad=False)
    return ((fine**2) * inner).sum() / inner.sum().clamp_min(1)


@torch.no_grad()
def validate(
    model: GanonModel, dataset: MeshDataset | DotDataset, patch_size: int, limit: int = 256
) -> tuple[dict[str, float], np.ndarray]:
    """Errors on held-out faces, and a grid of samples.

    Args:
        model: the generator. Its training mode is restored.
        dataset: held-out faces.
        patch_size: side of the patches in pixels, as in training.
        limit: at most this many faces, evenly spread over the data set.

    Returns:
        errors and grid. ``l1``: mean absolute luma error in gray values (0-255) inside the mask. ``detail``: energy of the highest octave
        relative to the photos', sharp pictures only; 1 means as much detail as in photos. ``l1_coarse``, ``detail_coarse``: the same
        for the prior (mesh). The grid is (H, W, 3) uint8 with the rows photo, coarse face (mesh), generated face, and the same geometry
        with another person's appearance (mesh).
    """
    was_training = model.training
    model.eval()
    rows = np.unique(np.linspace(0, len(dataset) - 1, min(limit, len(dataset))).astype(int))
    draws = np.tile([0.5, 0.5, 1.0], (_BATCH_SIZE, 1))  # centered, not mirrored
    sums = {"l1": 0.0, "l1_coarse": 0.0, "pixels": 0.0, "generated": 0.0, "generated_coarse": 0.0, "real": 0.0}
    shown: list[list[torch.Tensor]] = []
    every = max(1, len(rows) // _NUM_SAMPLES)
    for start in range(0, len(rows), _BATCH_SIZE):
        chunk = rows[start : start + _BATCH_SIZE]
        batch = dataset.batch(chunk, patch_size, draws[: len(chunk)])
        output = model(**batch.inputs)
        mask = batch.mask
        pictures = [batch.target, output.images]
        sums["l1"] += float((luma_of(output.images - batch.target).abs() * mask).sum()) * 127.5
        sums["pixels"] += float(mask.sum())
        if output.coarse is not None:
            sums["l1_coarse"] += float((luma_of(output.coarse - batch.target).abs() * mask).sum()) * 127.5
            # the coefficients of the next picture in the batch: another person with the same expression
            other = model(**{**batch.inputs, "appearance": batch.inputs["appearance"].roll(1, 0)})
            pictures = [batch.target, output.coarse, output.images, other.images]
        for number in torch.nonzero(batch.adversarial_weights > 0).flatten().tolist():
            one = slice(number, number + 1)
            sums["generated"] += float(_detail(luma_of(output.images[one]), mask[one]))
            sums["real"] += float(_detail(luma_of(batch.target[one]), mask[one]))
            if output.coarse is not None:
                sums["generated_coarse"] += float(_detail(luma_of(output.coarse[one]), mask[one]))
        for number in range(len(chunk)):
            if (start + number) % every == 0 and len(shown) < _NUM_SAMPLES:
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
