"""Reads the labeled emotion from a face's shape, with gradients: what the expression code has to keep beyond the blendshape scores.

Nine of the 52 scores hardly ever leave zero, those of a wrinkled nose and of raised cheeks among them. A code that is only asked for
scores keeps a smile and loses anger. The labels of the training pictures know these expressions, noisily. Rare emotions have a hundred
pictures, of which a network learns every one by heart; Fisher's discriminants (1936) with a shrunk covariance do not.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch

logger = logging.getLogger(__name__)

# An emotion with fewer pictures is not learned.
_MIN_PICTURES = 80
# Share of the mean variance in the covariance within emotions.
_SHRINKAGE = 0.1


def rows_by_emotion(emotions: Sequence[str | None]) -> dict[str, np.ndarray]:
    """Row numbers of each emotion with enough pictures, by name, in alphabetical order."""
    counts = Counter(emotion for emotion in emotions if emotion)
    labels = np.array([emotion or "" for emotion in emotions])
    return {name: np.flatnonzero(labels == name) for name in sorted(counts) if counts[name] >= _MIN_PICTURES}


def balanced_rows(groups: Sequence[np.ndarray], count: int, generator: torch.Generator) -> torch.Tensor:
    """``count`` row numbers, drawn from every group as often."""
    group = torch.randint(len(groups), (count,), generator=generator).tolist()
    place = torch.rand(count, generator=generator).tolist()
    return torch.tensor([int(groups[g][int(p * len(groups[g]))]) for g, p in zip(group, place, strict=True)])


class EmotionReader:
    """(B, d) coordinates in the shape space -> (B, k) probabilities of emotions, all equally likely beforehand.

    Args:
        weights: (d, k).
        offsets: (k,).
        names: of the k emotions.
    """

    def __init__(self, weights: torch.Tensor, offsets: torch.Tensor, names: Sequence[str]):
        self._weights, self._offsets, self.names = weights, offsets, tuple(names)

    def __call__(self, coordinates: torch.Tensor) -> torch.Tensor:
        return (coordinates @ self._weights + self._offsets).softmax(dim=1)

    @classmethod
    def fit(cls, coordinates: np.ndarray, emotions: Sequence[str | None]) -> EmotionReader | None:
        """Fit to labeled shapes; every emotion counts alike.

        Args:
            coordinates: (n, d) of the shapes.
            emotions: (n,) labels, None for unknown.

        Returns:
            the reader; None where fewer than two emotions have enough pictures.
        """
        groups = rows_by_emotion(emotions)
        if len(groups) < 2:
            logger.warning("fewer than two emotions have %d labeled pictures: only blendshapes are learned", _MIN_PICTURES)
            return None
        means = np.stack([coordinates[rows].mean(axis=0) for rows in groups.values()])
        within = np.mean([np.cov(coordinates[rows].T, bias=True) for rows in groups.values()], axis=0)
        size = len(within)
        within = (1 - _SHRINKAGE) * within + _SHRINKAGE * np.trace(within) / size * np.eye(size)
        weights = np.linalg.solve(within, means.T)
        offsets = -(means.T * weights).sum(axis=0) / 2
        return cls(torch.from_numpy(weights).float(), torch.from_numpy(offsets).float(), list(groups))
