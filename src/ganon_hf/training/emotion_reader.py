"""Reads the labeled emotion from a face's shape, with gradients: what the expression code has to keep beyond the blendshape scores.

Nine of the 52 scores hardly ever leave zero, those of a wrinkled nose and of raised cheeks among them. A code that is only asked for
scores keeps a smile and loses anger. The labels of the training pictures know these expressions, noisily.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from tqdm import trange

logger = logging.getLogger(__name__)

# An emotion with fewer pictures is not learned: its pictures would be learned by heart.
_MIN_PICTURES = 100
_WIDTH, _DROPOUT = 96, 0.3
_STEPS, _BATCH, _LEARNING_RATE, _WEIGHT_DECAY, _SMOOTHING = 3000, 280, 1e-3, 1e-2, 0.1


def rows_by_emotion(emotions: Sequence[str | None]) -> dict[str, np.ndarray]:
    """Row numbers of each emotion with enough pictures, by name, in alphabetical order."""
    counts = Counter(emotion for emotion in emotions if emotion)
    labels = np.array([emotion or "" for emotion in emotions])
    return {name: np.flatnonzero(labels == name) for name in sorted(counts) if counts[name] >= _MIN_PICTURES}


def balanced_rows(groups: Sequence[np.ndarray], count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """``count`` row numbers, every group as often, and the numbers of their groups."""
    group = torch.randint(len(groups), (count,), generator=generator)
    place = torch.rand(count, generator=generator)
    rows = [int(groups[int(g)][int(p * len(groups[int(g)]))]) for g, p in zip(group, place, strict=True)]
    return torch.tensor(rows), group


class EmotionReader(nn.Module):
    """(B, d) coordinates in the shape space -> (B, k) logits of emotions.

    Args:
        scale: (d,) standard deviations by which the coordinates are divided.
        num_emotions: k.
    """

    scale: torch.Tensor

    def __init__(self, scale: torch.Tensor, num_emotions: int):
        super().__init__()
        self.register_buffer("scale", scale)
        self.layers = nn.Sequential(
            nn.Dropout(_DROPOUT), nn.Linear(len(scale), _WIDTH), nn.SiLU(), nn.Dropout(_DROPOUT), nn.Linear(_WIDTH, num_emotions)
        )

    def forward(self, coordinates: torch.Tensor) -> torch.Tensor:
        return self.layers(coordinates / self.scale)


def train_emotion_reader(coordinates: torch.Tensor, emotions: Sequence[str | None], *, seed: int = 0) -> EmotionReader | None:
    """Train a reader on labeled shapes, every emotion as often.

    Args:
        coordinates: (n, d) of the shapes.
        emotions: (n,) labels, None for unknown.
        seed: of weights, order and dropout.

    Returns:
        the reader, without gradients of its own; None where fewer than two emotions have enough pictures.
    """
    groups = rows_by_emotion(emotions)
    if len(groups) < 2:
        logger.warning(
            "fewer than two emotions have %d labeled pictures: expressions beyond the blendshapes are not learned", _MIN_PICTURES
        )
        return None
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        reader = EmotionReader(coordinates.std(dim=0).clamp_min(1e-6), len(groups))
        optimizer = torch.optim.AdamW(reader.parameters(), _LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4 * _LEARNING_RATE, _STEPS)
        for _ in trange(_STEPS, desc="emotion reader", leave=False):
            rows, target = balanced_rows(list(groups.values()), _BATCH, generator)
            loss = functional.cross_entropy(reader(coordinates[rows]), target, label_smoothing=_SMOOTHING)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    reader = reader.requires_grad_(False).eval()
    shares = [float((reader(coordinates[rows]).argmax(dim=1) == number).float().mean()) for number, rows in enumerate(groups.values())]
    logger.info("emotion reader: %s", ", ".join(f"{name} {100 * share:.0f} %" for name, share in zip(groups, shares, strict=True)))
    return reader
