"""An invented population of shapes whose every law is known."""

from __future__ import annotations

import numpy as np

from ganon_hf.core.face_mesh import MEAN_LANDMARKS, UV_MAP
from ganon_hf.core.modeling_ganon import GanonConfig, ShapeStatistics
from ganon_hf.training.shape_space import ShapePopulation, fit_shape_space

PEOPLE, PICTURES = 150, 4
CONFIG = GanonConfig(
    image_size=64, texture_size=32, num_appearance=4, num_shape_axes=6, num_identity=3, num_expression=2, expression_width=16, num_people=2
)
U, V = (UV_MAP.T - 0.5) * 2


def field(x: np.ndarray | float = 0.0, y: np.ndarray | float = 0.0) -> np.ndarray:
    values = np.zeros((478, 3))
    values[:468, 0], values[:468, 1] = x, y
    return values.ravel()


# Three ways in which people differ and two in which a person changes, all symmetric; numbers are standard deviations.
DIFFERENCES = np.stack([field(x=0.12 * U), field(y=0.1 * V), field(x=0.06 * U * V)])
CHANGES = np.stack([field(y=-0.15 * np.exp(-((V - 0.5) ** 2 + U**2) / 0.1)), field(y=-0.1 * np.exp(-((V + 0.5) ** 2) / 0.05))])


def invented(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """shapes, persons, who (PEOPLE, 3), moments (n, 2)."""
    random = np.random.default_rng(seed)
    who, moments = random.standard_normal((PEOPLE, 3)), random.standard_normal((PEOPLE * PICTURES, 2))
    persons = np.repeat(np.arange(PEOPLE), PICTURES)
    flat = MEAN_LANDMARKS.ravel() + who[persons] @ DIFFERENCES + moments @ CHANGES + 1e-3 * random.standard_normal((len(persons), 1434))
    return flat.reshape(-1, 478, 3).astype(np.float32), persons, who, moments


def fitted(shapes: np.ndarray, persons: np.ndarray, **changes: np.ndarray) -> tuple[ShapeStatistics, ShapePopulation]:
    statistics = ShapeStatistics(CONFIG)
    angles, neutral = np.zeros((len(shapes), 2)), changes.get("neutral", np.ones(len(shapes), bool))
    emotions = ["neutral" if at_rest else None for at_rest in neutral]
    population = fit_shape_space(shapes, persons, changes.get("angles", angles), emotions, statistics)
    return statistics, population


def toy_scores(shapes: np.ndarray) -> np.ndarray:
    """Scores that see the two changes, and of the person a little."""
    flat = np.asarray(shapes, np.float64).reshape(len(shapes), -1) - MEAN_LANDMARKS.ravel()
    seen = flat @ np.linalg.pinv(np.vstack([CHANGES, DIFFERENCES]))
    scores = np.full((len(flat), 52), 0.01)
    scores[:, :2] = 1 / (1 + np.exp(-1.5 * seen[:, :2] - 0.3 * seen[:, 2:4]))
    return scores.astype(np.float32)
