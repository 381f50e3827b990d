"""The eyes of portraits, freed of what their gaze and their lids left in them.

The canonical texture has an eyeball without its iris, and each iris in a patch of its own, so that eyes can look anywhere
(``core/landmarks.py``). A portrait shows the white only beside its iris, and of the iris only what the lids leave open. Taken as they are,
eyes that look elsewhere would show the portrait's iris beside their own. So the white is the prior's, and an iris is what it is on average
along each circle around its center, with a little of its own pattern and a catch light.
"""

from __future__ import annotations

import numpy as np
import torch

from ..core.face_mesh import RIGHT_EYE_START, TRIANGLES
from ..core.landmarks import iris_texels, texel_table
from ..core.modeling_ganon import NUM_POINTS, GanonModel, enlarge
from ..core.opencv import cv2

# Standard deviation of the mean along circles, in radii of the iris.
_CIRCLE_WIDTH = 0.09
# What is brighter than the mean of its circle by more gray values is a catch light or a lid and counts as this.
_BRIGHTER = 10.0
# Share of the iris's own pattern that is kept, and its limit in gray values.
_PATTERN, _MOST_PATTERN = 0.5, 18.0
# From here to the edge of the patch an iris becomes the white around it, in radii.
_EDGE = (1.0, 1.15)
# Catch light: place in radii (right, down), standard deviation in radii, gray values.
_CATCH_LIGHT, _CATCH_SIZE, _CATCH_STRENGTH = (-0.25, -0.3), 0.14, 70.0
# Trusted texels of both irises, as a share, below which an iris is that of the other portraits.
_MIN_SEEN = 0.2


def eyeball_mask(size: int) -> np.ndarray:
    """(size, size) float32, 1 on the texels between the lids, with a soft edge inwards: lashes belong to the lids."""
    return opening_mask(size, RIGHT_EYE_START, len(TRIANGLES))


def opening_mask(size: int, first: int, stop: int) -> np.ndarray:
    """(size, size) float32, 1 on the texels of some triangles, with an edge of about a texel inwards."""
    rows, columns, owner, _ = texel_table(size)
    inside = (owner >= first) & (owner < stop)
    mask = np.zeros((size, size), np.float32)
    mask[rows[inside], columns[inside]] = 1
    return cv2.GaussianBlur(mask, (0, 0), size / 384) * mask


def clean_eyes(luma: np.ndarray, chroma: np.ndarray, predicted: np.ndarray, trust: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Portraits with the prior's eyeballs and round irises.

    Args:
        luma: (n, T, T) float32 under even light.
        chroma: (n, 2, T / 2, T / 2) float32, relative to the prior's.
        predicted: (n, T, T) luma that the prior predicts for their shapes.
        trust: (n, T, T) 0..1.

    Returns:
        new arrays like ``luma`` and ``chroma``.
    """
    size = luma.shape[-1]
    mask = eyeball_mask(size)
    luma, chroma = luma + mask * (predicted - luma), chroma * (1 - cv2.resize(mask, (size // 2,) * 2, interpolation=cv2.INTER_AREA))
    white = np.stack([one[mask > 0.5].mean() for one in predicted])
    rows, columns, local = _texels_of_both(size)
    values, seen = luma[:, rows, columns], trust[:, rows, columns]
    circles = _along_circles(values, seen, local)
    pattern = np.clip(_PATTERN * seen * (values - circles), -_MOST_PATTERN, _MOST_PATTERN)
    outside = _outside(local)
    catch = _CATCH_STRENGTH * np.exp(-((local - _CATCH_LIGHT) ** 2).sum(axis=1) / (2 * _CATCH_SIZE**2))
    luma[:, rows, columns] = (1 - outside) * (circles + pattern + catch) + outside * white[:, None]
    rows, columns, local = _texels_of_both(size // 2)
    seen = trust[:, 2 * rows, 2 * columns]
    for plane in chroma.swapaxes(0, 1):
        plane[:, rows, columns] = (1 - _outside(local)) * _along_circles(plane[:, rows, columns], seen, local)
    return luma, chroma


def color_irises(model: GanonModel, who: np.ndarray) -> None:
    """Make the color of irises even along circles, and that of their rims the white's (in place).

    In the prior an iris is reddish where lids hide it in photos, and its rim has the color of skin: eyes would have a red edge.

    Args:
        model: with a bank, whose chroma is changed, and a prior, to which it is added. Both count as they are for the mean face.
        who: (n,) numbers of the people whose irises are changed.

    Raises:
        ValueError: the model has no bank.
    """
    people, prior = model.people, model.prior
    if people is None or prior is None:
        raise ValueError("only a model with conditioning='mesh' has a bank with irises.")
    half, chosen = people.luma.shape[-1] // 2, torch.from_numpy(who)
    mean = prior.shape_mean.detach().reshape(1, NUM_POINTS, 3)
    with torch.no_grad():
        _, tint = prior(mean, torch.zeros(1, 2), torch.zeros(1, len(prior.luma_appearance)))
        broad = enlarge(people.broad[chosen, 1:].float(), half)
        total = (enlarge(tint, half) + broad + people.chroma[chosen].float() / 2).numpy()
    eyeball = cv2.resize(eyeball_mask(2 * half), (half, half), interpolation=cv2.INTER_AREA) > 0.5
    rows, columns, local = _texels_of_both(half)
    outside = _outside(local)
    for channel in range(2):
        plane = total[:, channel]
        values = plane[:, rows, columns]
        white = plane[:, eyeball].mean(axis=1, keepdims=True)
        wanted = (1 - outside) * _along_circles(values, np.ones_like(values), local) + outside * white
        change = np.zeros_like(plane)
        change[:, rows, columns] = 2 * (wanted - values)
        stored = people.chroma[chosen, channel].float() + torch.from_numpy(change).float()
        people.chroma[chosen, channel] = stored.round().clamp(-127, 127).to(people.chroma.dtype)


def _texels_of_both(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, columns and (m, 2) places in radii of the texels of the right and then the left iris of a (size, size) texture."""
    rows, columns, local = (np.concatenate(parts) for parts in zip(*iris_texels(size), strict=True))
    return rows, columns, local


def _outside(local: np.ndarray) -> np.ndarray:
    """(m,) 0 on the iris to 1 beyond it, for (m, 2) places in radii."""
    return np.clip((np.linalg.norm(local, axis=1) - _EDGE[0]) / (_EDGE[1] - _EDGE[0]), 0, 1)


def _along_circles(values: np.ndarray, seen: np.ndarray, local: np.ndarray) -> np.ndarray:
    """Mean of (n, m) values along circles, by trust (n, m), both eyes together; (m, 2) places in radii -> (n, m)."""
    radius = np.linalg.norm(local, axis=1)
    near = np.exp(-((radius[:, None] - radius) ** 2) / (2 * _CIRCLE_WIDTH**2))
    # of an iris that is hidden nothing is known but how others look
    enough = seen[:, radius < 1].mean(axis=1) > _MIN_SEEN
    usual = np.average(values[enough], axis=0, weights=seen[enough] + 1e-3) if enough.any() else values.mean(axis=0)
    values, weights = np.where(enough[:, None], values, usual), np.where(enough[:, None], seen, 1.0) + 1e-3
    bright, mean = values, values
    for _ in range(4):
        mean = (bright * weights) @ near / (weights @ near)
        bright = np.minimum(values, mean + _BRIGHTER)
    return mean
