"""How much people of a bank differ from those who look alike: what only one has is limited, and some are brought closer together.

Blends of four portraits still show what single portraits have: strands of hair, scars, patchy beards. A group with few portraits, in hard
light, has it as its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..core.modeling_ganon import GanonModel, PeopleTextures
from ..core.opencv import cv2
from ..core.robust_statistics import MEDIAN_TO_DEVIATION
from .calm_skin import CalmSkin
from .people_bank import iris_sources

# Detail in which one person of the bank differs from people who look alike is compressed from the first number of their standard deviations
# on and stays below the second. So many gray values are added to these, in quadrature; the last number is their blur as a share of the
# texture's side.
_OUTLIERS, _LEAST_DEVIATION, _DEVIATION_BLUR = (1.5, 3.0), 1.0, 0.012
# Share that is left of the differences between beards: those of a few portraits are patchy.
_BEARD_SHARE = 0.6


def limit_outliers(model: GanonModel) -> None:
    """Limit (in place) the detail that one person of a bank has and nobody of the same age, sex and beard: strands of hair, scars.

    Raises:
        ValueError: the model has no bank.
    """
    people, looks = _bank_of(model), model.geometry.people_looks.numpy()
    size = people.luma.shape[-1]
    for look in np.unique(looks[:, :3], axis=0):
        rows = torch.from_numpy(np.flatnonzero((looks[:, :3] == look).all(axis=1)))
        detail = people.luma[rows].float().numpy()
        middle = np.median(detail, axis=0)
        deviation = MEDIAN_TO_DEVIATION * np.median(np.abs(detail - middle), axis=0)
        usual = np.sqrt(cv2.GaussianBlur(deviation**2, (0, 0), _DEVIATION_BLUR * size) + _LEAST_DEVIATION**2)
        start, room = _OUTLIERS[0], _OUTLIERS[1] - _OUTLIERS[0]
        away = (detail - middle) / usual
        excess = np.maximum(np.abs(away) - start, 0)
        limited = detail + np.sign(away) * usual * (room * np.tanh(excess / room) - excess)
        with torch.no_grad():
            people.luma[rows] = torch.from_numpy(limited).round().to(people.luma.dtype)


def bring_together(model: GanonModel, who: np.ndarray, share: float, like: Sequence[np.ndarray], area: np.ndarray | None = None) -> None:
    """Bring the textures of some people of a bank closer together (in place); the detail of irises stays as different as it is.

    Args:
        model: with a bank.
        who: (n,) numbers of the people.
        share: of the differences among them that is left.
        like: groups of numbers of people; the mean of their means becomes that of the people.
        area: (T, T) 0..1, where this is done; None is everywhere.

    Raises:
        ValueError: the model has no bank, or there is nobody in a group.
    """
    people = _bank_of(model)
    if not len(who) or not all(map(len, like)):
        raise ValueError(
            f"people are brought closer to groups of people, but there are {len(who)} of them, and {[*map(len, like)]} in the groups."
        )
    rows = torch.from_numpy(who)
    with torch.no_grad():
        for stored in (people.broad, people.luma, people.chroma):
            size = stored.shape[-1]
            left = torch.full((size, size), share)
            if stored is not people.broad:
                for iris_rows, columns, _ in iris_sources(size):
                    left[iris_rows, columns] = 1
            values = stored[rows].float()
            mean = torch.stack([stored[torch.from_numpy(group)].float().mean(dim=0) for group in like]).mean(dim=0)
            closer = mean + left * (values - values.mean(dim=0))
            if area is not None:
                closer = values + torch.from_numpy(cv2.resize(area, (size, size), interpolation=cv2.INTER_AREA)) * (closer - values)
            stored[rows] = (closer if stored.is_floating_point() else closer.round().clamp(-127, 127)).to(stored.dtype)


def even_beards(model: GanonModel) -> None:
    """Bring the beards of people of a bank closer to those of others of the same age (in place).

    Raises:
        ValueError: the model has no bank.
    """
    looks, area = model.geometry.people_looks.numpy(), CalmSkin(_bank_of(model).luma.shape[-1]).beard
    bearded = looks[:, 2] == 1
    for age in np.unique(looks[bearded, 0]):
        who = np.flatnonzero(bearded & (looks[:, 0] == age))
        bring_together(model, who, _BEARD_SHARE, [who], area)


def _bank_of(model: GanonModel) -> PeopleTextures:
    if model.people is None:
        raise ValueError("only a model with conditioning='mesh' has a bank whose people can be compared.")
    return model.people
