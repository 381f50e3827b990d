"""scripts/benchmarks/compare_geometry.py: ways of exchanging identities, attacked by their target landmarks, on toy people."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count

import numpy as np
import pytest
from script_loading import load_script

from ganon_hf.core.face_mesh import MEAN_LANDMARKS, MOUTH_CORNERS, UV_MAP
from ganon_hf.core.geometry import ShapeModel
from ganon_hf.core.look import Look
from ganon_hf.core.people import Identity

_SCRIPT = load_script("benchmarks/compare_geometry")
KSame, target_measures = _SCRIPT.KSame, _SCRIPT.target_measures

U, V = (UV_MAP.T - 0.5) * 2
PEOPLE = 60


def field(x: np.ndarray | float = 0.0, y: np.ndarray | float = 0.0) -> np.ndarray:
    values = np.zeros((478, 3))
    values[:468, 0], values[:468, 1] = x, y
    return values


DIFFERENCES = np.stack([field(x=0.08 * np.sin(k * V)) for k in (1, 2, 3)] + [field(y=0.06 * np.cos(k * U)) for k in (1, 2, 3)])
SMILE = field(y=-0.12 * np.exp(-((V - 0.45) ** 2) / 0.03) * np.abs(U))


def shapes(people: int, smile: float, seed: int) -> np.ndarray:
    """(people, 478, 3), the same people for the same seed; smiles vary by a tenth."""
    random = np.random.default_rng(seed)
    who = random.standard_normal((people, 6))
    smiles = smile + 0.1 * np.random.default_rng([seed, int(10 * smile)]).standard_normal(people)
    return MEAN_LANDMARKS + np.tensordot(who, DIFFERENCES, 1) + smiles[:, None, None] * SMILE


def photo(some: np.ndarray) -> np.ndarray:
    return (100 * some + 300).astype(np.float32)


def read(some: Iterable[np.ndarray]) -> np.ndarray:
    """Two scores: how far the corners of the mouth are up against its middle, and a half of it."""
    up = np.array([shape[13, 1] - shape[list(MOUTH_CORNERS), 1].mean() for shape in some])
    scores = np.zeros((len(up), 52))
    scores[:, 0], scores[:, 1] = up, up / 2
    return scores


def drawing() -> Callable[[], Identity]:
    numbers = count()

    def draw() -> Identity:
        shape = np.random.default_rng(next(numbers)).standard_normal(6)
        nobody = np.zeros(0, np.int64)
        return Identity(shape, 1.0, 1.0, nobody, np.zeros((0, 5)), nobody, Look(), np.zeros(3), 0, np.zeros(0), np.zeros(3))

    return draw


def model() -> tuple[ShapeModel, np.ndarray]:
    """Axes that hold people and smile, and the basis of people in them."""
    axes, _ = np.linalg.qr(np.concatenate([DIFFERENCES, SMILE[None]]).reshape(7, -1).T)
    basis = axes.T @ DIFFERENCES.reshape(6, -1).T
    return ShapeModel(MEAN_LANDMARKS.ravel(), axes, np.ones(7), lambda code: code, lambda code, identity, noise: code), basis


@pytest.fixture(scope="module")
def training() -> tuple[np.ndarray, np.ndarray]:
    people = np.concatenate([photo(shapes(PEOPLE, smile, 1)) for smile in (0.0, 1.0)])
    return people, np.tile(np.arange(PEOPLE), 2)


@pytest.fixture(scope="module")
def bank() -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([shapes(PEOPLE, smile, 2) for smile in (0.0, 1.0)]), np.tile(np.arange(PEOPLE), 2)


def test_who_passes_landmarks_through_is_found_and_k_same_hides(training: tuple, bank: tuple) -> None:
    neutral, smiling = (photo(shapes(20, smile, 3)) for smile in (0.0, 1.0))
    open_, hidden = (
        target_measures(training, neutral, smiling, way, drawing(), read, repeats=0)
        for way in (lambda points, identity: points, KSame(*model(), *bank, read(bank[0]), read, 10))
    )
    assert open_["geometry_rank1"].value > 0.9 and open_["parrot_geometry_rank1"].value > 0.9
    assert open_["blendshape_correlation"].value == pytest.approx(1, abs=1e-3)
    assert hidden["geometry_rank1"].value < 0.3, "chance is 0.05"
    # blink and mouth opening are carried over, in this world without any noise: a parrot makes something of that
    assert hidden["parrot_geometry_rank1"].value < open_["parrot_geometry_rank1"].value
    assert hidden["blendshape_correlation"].value > 0.3, "smiles are left"
    assert hidden["geometry_rank1"].count == 20


def test_a_mean_is_taken_over_people_of_the_same_expression(bank: tuple) -> None:
    way = KSame(*model(), *bank, read(bank[0]), read, 5)
    some = shapes(1, 1.0, 9)[0]
    rows, distance = way.nearest(some), ((read(bank[0]) - read([some])) ** 2).sum(axis=1)
    assert len(set(bank[1][rows])) == len(rows) == 5, "five people"
    assert rows[0] == distance.argmin() and distance[rows].max() < np.median(distance)
    everybody = KSame(*model(), bank[0], np.full(2 * PEOPLE, -1), read(bank[0]), read, 2 * PEOPLE)
    assert len(everybody.nearest(bank[0][0])) == 2 * PEOPLE, "unknown people are all different"


@pytest.mark.parametrize("k", [0, PEOPLE + 1])
def test_k_must_fit_the_people(bank: tuple, k: int) -> None:
    with pytest.raises(ValueError, match=f"1 to {PEOPLE}.*but got {k}"):
        KSame(*model(), *bank, read(bank[0]), read, k)
