"""The decoder alone, trained further: movements become as large as the originals', and nothing else of the code changes."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from invented_shapes import CONFIG, fitted, invented, toy_scores
from script_loading import load_script
from tiny import tiny_model
from training_faces import face_rows

from ganon_hf.core.geometry import ShapeModel
from ganon_hf.core.model_loading import load_model
from ganon_hf.core.modeling_ganon import ShapeStatistics
from ganon_hf.core.people import Population
from ganon_hf.training.checkpoints import save_model
from ganon_hf.training.expression_code import ExpressionOptions, fit_expression_code
from ganon_hf.training.movement_decoder import MovementOptions, center_decoder, fit_movement_decoder
from ganon_hf.training.shape_space import ShapePopulation, fit_shape_space_to_shards, measure_population
from ganon_hf.training.shards import SCHEMA, FaceShards

OPTIONS = MovementOptions(
    steps=400, batch_size=64, learning_rate=5e-3, noise=(0.3, 3.0), student_steps=200, num_synthetic_shapes=400, unlikely_weight=0.0
)
PEOPLE = Population(np.random.default_rng(0).standard_normal((12, 3)), np.tile([3, 0, 0, 1, 1], (12, 1)), *np.ones((2, 12)))
Trained = tuple[ShapeStatistics, ShapeStatistics, ShapePopulation, np.ndarray, dict[str, float]]


@pytest.fixture(scope="module")
def trained() -> Trained:
    """The statistics before and after, the population, its moments, and the figures."""
    shapes, persons, _, moments = invented()
    statistics, population = fitted(shapes, persons, neutral=np.abs(moments).max(axis=1) < 0.7)
    short = ExpressionOptions(steps=150, batch_size=128, learning_rate=5e-3, num_synthetic_shapes=400, noise=(0.3, 3.0), rate_weight=0.003)
    fit_expression_code(population, statistics, toy_scores, short)
    before = copy.deepcopy(statistics)
    return before, statistics, population, moments, fit_movement_decoder(population, statistics, PEOPLE, toy_scores, OPTIONS)


def decoded(statistics: ShapeStatistics, population: ShapePopulation, noise: float = 1.0) -> np.ndarray:
    """(n, d) coordinates of one synthetic person with the expressions of all pictures and the same noise."""
    with torch.no_grad():
        code = statistics.encode(torch.from_numpy(population.coordinates).float()) + noise
        return statistics.decode(code, torch.zeros(len(code), 3), torch.full((len(code), 1), noise)).numpy()


def moved_share(statistics: ShapeStatistics, population: ShapePopulation) -> float:
    """How far a face moves between two pictures of a person, as a share of the original's movement (the slope of a regression)."""
    made, original = decoded(statistics, population) * statistics.deviations.numpy(), population.coordinates * statistics.deviations.numpy()
    ours, theirs = (values[::4] - values[1::4] for values in (made, original))
    return float((ours * theirs).sum() / (theirs * theirs).sum())


def test_faces_move_further_and_no_further_than_the_originals(trained: Trained) -> None:
    before, after, population, _, figures = trained
    shares = [moved_share(some, population) for some in (before, after)]
    assert shares[0] + 0.05 < shares[1] < 1.05
    assert figures["movement_lost"] < figures["movement_lost_before"]


def test_what_passes_from_a_face_does_not_change(trained: Trained) -> None:
    before, after, _, _, _ = trained
    changed = {name for name, value in after.state_dict().items() if not torch.equal(value, before.state_dict()[name])}
    assert changed and all("decoder" in name for name in changed)
    assert not any(parameter.requires_grad for parameter in after.parameters())


def test_faces_at_rest_stay_as_they_were(trained: Trained) -> None:
    before, after, population, moments, _ = trained
    change = np.linalg.norm((decoded(after, population) - decoded(before, population)) * after.deviations.numpy(), axis=1)
    size = np.abs(moments).max(axis=1)
    assert change[size < 0.7].mean() < 0.5 * change[size > 1.5].mean()


def as_used(statistics: ShapeStatistics) -> ShapeModel:
    def encode(coordinates: np.ndarray) -> np.ndarray:
        return statistics.encode(torch.from_numpy(coordinates[None]).float())[0].detach().numpy()

    def decode(code: np.ndarray, identity: np.ndarray, noise: float) -> np.ndarray:
        values = (torch.from_numpy(np.asarray(some)[None]).float() for some in (code, identity, [noise]))
        return statistics.decode(*values)[0].detach().numpy()

    mean, axes, deviations = (getattr(statistics, name).double().numpy() for name in ("mean", "axes", "deviations"))
    return ShapeModel(mean, axes, deviations, encode, decode)


def test_the_mean_difference_is_taken_off(trained: Trained) -> None:
    _, statistics, population, _, _ = trained
    statistics = copy.deepcopy(statistics)
    with torch.no_grad():
        statistics.linear_decoder.bias[0] += 0.8  # faces become wider
    first = center_decoder(population, statistics, as_used(statistics), PEOPLE)
    second = center_decoder(population, statistics, as_used(statistics), PEOPLE)
    assert first > 0.01 and second < 0.3 * first


def test_children_of_the_bank_do_not_count(trained: Trained) -> None:
    _, statistics, population, _, _ = trained
    shapes, looks = np.full((6, 3), 2.9), np.tile([0, 2, 0, 1, 1], (6, 1))  # toddlers, far from everybody else
    with_children = Population(np.concatenate([PEOPLE.shapes, shapes]), np.concatenate([PEOPLE.looks, looks]), *np.ones((2, 18)))
    moved = []
    for people in (PEOPLE, with_children):
        some = copy.deepcopy(statistics)
        center_decoder(population, some, as_used(some), people)
        moved.append((some.linear_decoder.bias - statistics.linear_decoder.bias).numpy())
    assert np.abs(moved[1] - moved[0]).max() < 0.05


def test_without_faces_at_rest() -> None:
    shapes, persons, _, _ = invented()
    statistics, population = fitted(shapes, persons, neutral=np.zeros(len(shapes), bool))
    with pytest.raises(ValueError, match="no picture is labeled as neutral"):
        fit_movement_decoder(population, statistics, PEOPLE, toy_scores, OPTIONS)
    happy = ShapePopulation(population.rows, population.coordinates, population.persons, ("happiness",) * len(shapes), *[np.eye(6)] * 2)
    with pytest.raises(ValueError, match="none is labeled as neutral or has closed lips"):
        center_decoder(happy, statistics, as_used(statistics), PEOPLE)
    toddlers = Population(PEOPLE.shapes, np.tile([0, 2, 0, 1, 1], (12, 1)), *np.ones((2, 12)))
    with pytest.raises(ValueError, match="the bank has none"):
        center_decoder(population, statistics, as_used(statistics), toddlers)


def test_the_population_is_the_one_that_the_space_was_fitted_to() -> None:
    faces = FaceShards.from_table(pa.Table.from_pylist(face_rows(40), schema=SCHEMA))
    statistics = ShapeStatistics(CONFIG)
    fitted_to, measured = fit_shape_space_to_shards(faces, statistics), measure_population(faces, statistics)
    for name in ("rows", "persons", "emotions"):
        assert list(getattr(measured, name)) == list(getattr(fitted_to, name)), name
    for name in ("coordinates", "between", "within"):
        assert np.allclose(getattr(measured, name), getattr(fitted_to, name), atol=1e-3), name


def test_the_script_changes_nothing_but_the_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_model(tiny_model(), tmp_path / "model")
    shards = tmp_path / "train.parquet"
    pq.write_table(pa.Table.from_pylist(face_rows(40), schema=SCHEMA), shards)
    script = load_script("fit/decoder")
    monkeypatch.setattr(script, "BlendshapeNetwork", lambda: toy_scores)
    short = replace(OPTIONS, steps=3, batch_size=8, student_steps=2, num_synthetic_shapes=10)
    fit = script.fit_movement_decoder
    monkeypatch.setattr(script, "fit_movement_decoder", lambda *given: fit(*given[:4], replace(short, seed=given[4].seed)))
    script.main([str(tmp_path / "model"), str(shards), "--output-dir", str(tmp_path / "out")])
    before, after = (load_model(str(tmp_path / name)).state_dict() for name in ("model", "out"))
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed and all("decoder" in name for name in changed)


def test_the_same_seed_gives_the_same_decoder() -> None:
    shapes, persons, _, moments = invented()
    results = []
    for draws in (0, 7):
        torch.manual_seed(1)
        statistics, population = fitted(shapes, persons, neutral=np.abs(moments).max(axis=1) < 0.7)
        torch.rand(draws)  # what happened before must not matter
        fit_movement_decoder(population, statistics, PEOPLE, toy_scores, replace(OPTIONS, steps=3, student_steps=2))
        results.append(statistics.state_dict())
    assert all(torch.equal(value, results[1][name]) for name, value in results[0].items())


@pytest.mark.parametrize(
    "wrong",
    [{"steps": 0}, {"batch_size": 0}, {"learning_rate": -1.0}, {"student_steps": 0}, {"num_synthetic_shapes": 0}, {"noise": (2.0, 1.0)}],
)
def test_options_out_of_range(wrong: dict) -> None:
    with pytest.raises(ValueError, match="must be"):
        MovementOptions(**wrong)
