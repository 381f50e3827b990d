"""Groups of people are found again, and drawn people look like them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ganon_hf.geometry import Population, draw_identity
from ganon_hf.modeling_ganon import ShapeStatistics
from ganon_hf.training.encode import PictureCodes
from ganon_hf.training.people import fit_people, identity_coefficients
from tiny import tiny_model


def geometry() -> ShapeStatistics:
    """Identity directions that do not touch the expression's, as the fit makes them."""
    statistics = tiny_model().geometry
    random = np.random.default_rng(0)
    basis = np.linalg.qr(random.standard_normal((1434, 7)))[0]
    statistics.identity_basis.copy_(torch.from_numpy(basis[:, :4] * 0.3))
    statistics.expression_decode.copy_(torch.from_numpy(basis[:, 4:]))
    statistics.expression_encode.copy_(torch.from_numpy(basis[:, 4:].T))
    return statistics


def shapes_of(coefficients: np.ndarray, statistics: ShapeStatistics, expression: float) -> np.ndarray:
    random = np.random.default_rng(1)
    flat = statistics.mean.numpy() + coefficients @ statistics.identity_basis.numpy().T
    flat = flat + expression * random.standard_normal((len(flat), 3)) @ statistics.expression_decode.numpy().T
    return flat.reshape(-1, 478, 3).astype(np.float32)


def test_identity_is_read_whatever_the_expression() -> None:
    statistics = geometry()
    wanted = np.random.default_rng(2).uniform(-2, 2, (20, 4))
    read = identity_coefficients(shapes_of(wanted, statistics, expression=0.5), statistics)
    assert np.allclose(read, wanted / 1.02, atol=1e-3)  # a ridge of 2 %
    assert np.abs(identity_coefficients(shapes_of(wanted * 100, statistics, 0.0), statistics)).max() <= 3.0


def two_kinds() -> tuple[np.ndarray, np.ndarray, PictureCodes, ShapeStatistics]:
    """90 people with two pictures each, two in three of one kind; one person in front of the camera a thousand times."""
    statistics, random = geometry(), np.random.default_rng(3)
    kind = np.repeat(np.arange(90) % 3 == 0, 2)
    persons = np.repeat(np.arange(90), 2)
    shape = np.where(kind[:, None], 1.0, -0.5) * np.array([1, 0, 0, 0]) + 0.1 * random.standard_normal((180, 4))
    appearance = np.where(kind[:, None], -1.0, 1.0) * np.array([0, 1, 0, 0]) + 0.1 * random.standard_normal((180, 4))
    shape, appearance = np.vstack([shape, np.tile(shape[:1], (300, 1))]), np.vstack([appearance, np.tile(appearance[:1], (300, 1))])
    persons = np.concatenate([persons, np.zeros(300, np.int64)])
    codes = PictureCodes(appearance.astype(np.float32), np.zeros((480, 6), np.float32), np.zeros((480, 2), np.float32))
    return shapes_of(shape, statistics, 0.2), persons, codes, statistics


def test_groups_are_kinds_of_people_not_of_pictures() -> None:
    shapes, persons, codes, statistics = two_kinds()
    fitted = fit_people(shapes, np.zeros((480, 2), np.float32), persons, codes, statistics, 2)
    centers = fitted["people_centers"].numpy()
    centers = centers[np.argsort(centers[:, 0])]
    assert np.allclose(centers[:, 0], np.array([-0.5, 1.0]) * 1.5, atol=0.12), "further apart than they are"
    assert np.allclose(centers[:, 5], np.array([1.0, -1.0]) * 1.5, atol=0.12)
    population = Population(centers, fitted["people_spread"].numpy(), 4)
    drawn = np.array([draw_identity(1, i, population).shape[0] > 0.35 for i in range(200)])
    assert 0.3 < drawn.mean() < 0.7, "the rarer kind is drawn as often as the other"


def test_turned_heads_and_unknown_people() -> None:
    shapes, persons, codes, statistics = two_kinds()
    angles = np.zeros((480, 2), np.float32)
    angles[2:] = 60
    with pytest.raises(ValueError, match="8 groups.*but got 1"):
        fit_people(shapes, angles, persons, codes, statistics, 8)
    again = fit_people(shapes, angles * 0, np.full(480, -1), codes, statistics, 2)  # everybody is somebody else
    assert again["people_centers"].shape == (2, 8) and again["people_spread"].shape == (8,)
