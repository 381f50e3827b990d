"""Shape space, people and the expression code, fitted on an invented population whose every law is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from invented_shapes import CHANGES, DIFFERENCES, fitted, invented, toy_scores

from ganon_hf.core.face_mesh import MEAN_LANDMARKS
from ganon_hf.core.modeling_ganon import ShapeStatistics
from ganon_hf.training.expression_code import ExpressionOptions, fit_expression_code
from ganon_hf.training.shape_space import ShapePopulation, between_within_covariance
from ganon_hf.training.textures import mirror_shapes


@pytest.fixture(scope="module")
def known() -> tuple[ShapeStatistics, ShapePopulation, np.ndarray, np.ndarray]:
    shapes, persons, who, moments = invented()
    return *fitted(shapes, persons), who, moments


# ---- shape space


def test_coordinates_hold_the_shapes_and_are_about_one(known: tuple) -> None:
    statistics, population, _, _ = known
    shapes = invented()[0].reshape(-1, 1434)
    back = (population.coordinates * statistics.deviations.numpy()) @ statistics.axes.numpy().T + statistics.mean.numpy()
    assert np.abs(back - shapes).max() < 0.01
    assert population.coordinates[:, :5].std(axis=0) == pytest.approx(np.ones(5), abs=0.1)
    assert np.allclose(statistics.axes.T @ statistics.axes, np.eye(6), atol=1e-5)


def test_drawn_people_differ_as_people_do(known: tuple) -> None:
    statistics, _, _, _ = known
    basis = (statistics.axes * statistics.deviations).numpy() @ statistics.identity_basis.numpy()
    drawn = basis @ np.random.default_rng(0).standard_normal((3, 500))
    real = DIFFERENCES.T @ np.random.default_rng(1).standard_normal((3, 500))
    assert np.sqrt((drawn**2).sum(axis=0).mean() / (real**2).sum(axis=0).mean()) == pytest.approx(1, abs=0.2)


def test_the_neutral_pictures_are_the_origin() -> None:
    shapes, persons, _, _ = invented()
    neutral = np.arange(len(shapes)) < 30
    statistics, _ = fitted(shapes, persons, neutral=neutral)
    expected = shapes[neutral].astype(float)
    expected = (expected.mean(axis=0) + mirror_shapes(expected).mean(axis=0)) / 2
    assert np.allclose(statistics.mean.numpy().reshape(478, 3), expected, atol=1e-5)


def test_turned_heads_do_not_count() -> None:
    shapes, persons, _, _ = invented()
    angles = np.zeros((len(shapes), 2))
    spoilt = shapes.copy()
    spoilt[300:] += np.random.default_rng(0).normal(0, 1, spoilt[300:].shape).astype(np.float32)
    angles[300:, 0] = 40
    turned, population = fitted(spoilt, persons, angles=angles)
    without, _ = fitted(shapes[:300], persons[:300])
    assert population.rows.tolist() == list(range(300))
    assert all(torch.equal(value, without.state_dict()[name]) for name, value in turned.state_dict().items() if "code" not in name)
    with pytest.raises(ValueError, match="6 axes need at least as many faces.*but got 4"):
        fitted(shapes[:4], persons[:4])


def test_covariances_between_and_within_people() -> None:
    generator = np.random.default_rng(0)
    persons = np.repeat(np.arange(800), 3)
    people, moments = np.array([3.0, 1.0, 0.0]), np.array([0.5, 2.0, 1.0])
    codes = generator.normal(0, people, (800, 3))[persons] + generator.normal(0, moments, (2400, 3))
    between, within = between_within_covariance(codes, persons)
    assert np.allclose(np.sqrt(np.diag(between)), people, atol=0.25) and np.allclose(np.sqrt(np.diag(within)), moments, atol=0.1)
    strangers = np.concatenate([codes, generator.normal(0, 50, (500, 3))])
    labels = np.concatenate([persons, np.full(250, -1), np.arange(10_000, 10_250)])
    again = between_within_covariance(strangers, labels)
    assert np.allclose(again[0], between) and np.allclose(again[1], within), "unknown and single pictures do not count"
    with pytest.raises(ValueError, match="at least two people"):
        between_within_covariance(codes[:3], persons[:3])


# ---- people


def test_identity_is_read_whatever_the_expression(known: tuple) -> None:
    statistics, population, who, _ = known
    read = population.identity_coefficients(statistics.identity_basis.double().numpy())
    wanted = who[population.persons]
    explained = np.linalg.lstsq(read, wanted, rcond=None)[0]
    left = wanted - read @ explained
    assert (left**2).sum() < 0.1 * (wanted**2).sum()


# ---- expression code


@pytest.fixture(scope="module")
def trained() -> tuple[ShapeStatistics, ShapePopulation, np.ndarray, np.ndarray, dict[str, float]]:
    shapes, persons, who, moments = invented()
    statistics, population = fitted(shapes, persons)
    options = ExpressionOptions(
        steps=600, batch_size=128, learning_rate=5e-3, num_synthetic_shapes=600, noise=(0.3, 3.0), rate_weight=0.003
    )
    return statistics, population, who, moments, fit_expression_code(population, statistics, toy_scores, options)


def made_for(trained: tuple, noise: float, seed: int = 0) -> np.ndarray:
    """(n, 1434) shapes of strangers with the expressions of the invented population."""
    statistics, population = trained[:2]
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        code = statistics.encode(torch.from_numpy(population.coordinates).float())
        code = code + noise * torch.randn(code.shape, generator=random)
        coordinates = statistics.decode(code, torch.randn(len(code), 3, generator=random), torch.full((len(code), 1), noise))
        return (coordinates * statistics.deviations @ statistics.axes.T + statistics.mean).numpy()


def explained(values: np.ndarray, by: np.ndarray) -> float:
    """Share of the variance of (n, a) values that a linear map of (n, b) explains."""
    by = np.column_stack([by, np.ones(len(by))])
    left = values - by @ np.linalg.lstsq(by, values, rcond=None)[0]
    return 1 - float((left**2).sum() / ((values - values.mean(axis=0)) ** 2).sum())


def test_expressions_pass_and_people_hardly_do(trained: tuple) -> None:
    _, population, who, moments, figures = trained
    made = made_for(trained, 0.3)
    seen = (made - MEAN_LANDMARKS.ravel()) @ np.linalg.pinv(np.vstack([CHANGES, DIFFERENCES]))
    assert explained(moments, seen[:, :2]) > 0.7
    assert explained(who[population.persons], seen) < 0.25, "everybody else's shape is a stranger's"
    assert 0 < figures["lost"] < 0.5 and 0 < figures["bits"] < 12


def test_scores_survive_and_more_noise_takes_more(trained: tuple) -> None:
    _, population, _, _, _ = trained
    original = toy_scores(invented()[0])[:, :2]
    agreement = [np.corrcoef(original.ravel(), toy_scores(made_for(trained, noise))[:, :2].ravel())[0, 1] for noise in (0.3, 3.0)]
    assert agreement[0] > 0.9 and agreement[1] < agreement[0] - 0.02


def test_a_price_of_identity_hides_the_person_and_keeps_the_expression() -> None:
    def one_of_each(shapes: np.ndarray) -> np.ndarray:
        seen = (np.asarray(shapes, np.float64).reshape(len(shapes), -1) - MEAN_LANDMARKS.ravel()) @ np.linalg.pinv(
            np.vstack([CHANGES, DIFFERENCES])
        )
        scores = np.full((len(seen), 52), 0.01)
        scores[:, 0], scores[:, 1] = 1 / (1 + np.exp(-1.5 * seen[:, 0])), 1 / (1 + np.exp(-1.5 * seen[:, 2]))
        return scores.astype(np.float32)

    told, kept = [], []
    for weight in (0.0, 0.5):
        shapes, persons, who, moments = invented()
        statistics, population = fitted(shapes, persons)
        options = ExpressionOptions(200, 128, 1e-2, 600, (0.3, 3.0), rate_weight=0.001, identity_weight=weight)
        figures = fit_expression_code(population, statistics, one_of_each, options)
        code = statistics.encode(torch.from_numpy(population.coordinates).float()).numpy()
        noisy = code + np.random.default_rng(0).standard_normal(code.shape)
        told.append((figures["identity_bits"], explained(who[persons][:, :1], noisy)))
        kept.append(explained(moments[:, :1], noisy))
    assert told[1][0] < 0.5 * told[0][0] and told[1][1] < 0.5 * told[0][1]
    assert kept[1] > 0.7


def test_training_is_repeatable_and_leaves_the_code_fixed(trained: tuple) -> None:
    statistics = trained[0]
    assert not any(parameter.requires_grad for parameter in statistics.parameters())
    shapes, persons, _, _ = invented()
    runs = []
    for _ in range(2):
        again, population = fitted(shapes, persons)
        fit_expression_code(population, again, toy_scores, ExpressionOptions(steps=5, batch_size=16, num_synthetic_shapes=20))
        runs.append(again.state_dict())
    assert all(torch.equal(value, runs[1][name]) for name, value in runs[0].items())


@pytest.mark.parametrize(("name", "value"), [("steps", 0), ("batch_size", 0), ("learning_rate", -1.0), ("noise", (2.0, 1.0))])
def test_options_check_themselves(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        ExpressionOptions(**{name: value})
