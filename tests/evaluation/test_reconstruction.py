"""The way back: a blur can be undone, a solid cover cannot."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ganon_hf.evaluation.attacks.anonymized_pairs import AnonymizedPairs
from ganon_hf.evaluation.attacks.reconstruction import ReconstructionOptions, reconstruction_measures, resized, train_reconstructor

SIZE = 16
QUICK = ReconstructionOptions(size=SIZE, steps=100, batch=8, width=8)


def blurred(pictures: np.ndarray) -> np.ndarray:
    values = torch.from_numpy(pictures)[:, None].float()
    padded = torch.nn.functional.pad(values, (2, 2, 2, 2), mode="replicate")
    return torch.nn.functional.avg_pool2d(padded, 5, stride=1)[:, 0].round().byte().numpy()


def people(count: int, each: int, first: int = 0, *, cover: bool = False) -> AnonymizedPairs:
    """Everybody is a pattern of four stripes, and every picture has a brightness of its own."""
    generator = np.random.default_rng([3, first])
    stripes = np.repeat(generator.integers(0, 2, (count, 4)) * 120 + 40, SIZE // 4, axis=1)
    rows = np.repeat(stripes, each, axis=0) + generator.integers(0, 40, (count * each, 1))
    pictures = np.repeat(rows[:, :, None], SIZE, axis=2).astype(np.uint8)
    after = np.zeros_like(pictures) if cover else blurred(pictures)
    points = np.zeros((len(rows), 478, 3))
    return AnonymizedPairs(np.repeat(np.arange(count), each) + first, np.arange(len(rows)), points, points, pictures, after, pictures)


class Stripes:
    """Recognizes who is dark where."""

    name, metric = "stripes", "cosine"

    def __call__(self, photo: np.ndarray, box: tuple[float, ...]) -> np.ndarray:
        column = photo[:, :, 0].astype(float).mean(axis=1)
        return column - column.mean() + 1e-9 * np.arange(len(column))


def error(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first.astype(float) - second).mean())


def test_a_blur_can_be_undone() -> None:
    reconstruct = train_reconstructor(people(60, 2), QUICK)
    tested = people(20, 1, first=500)
    assert error(reconstruct(tested.anonymized), tested.targets) < 0.5 * error(tested.anonymized, tested.targets)
    again = train_reconstructor(people(60, 2), QUICK)
    assert (again(tested.anonymized) == reconstruct(tested.anonymized)).all(), "the same seed, the same network"


def test_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(5)
    wanted = torch.rand(2)
    torch.manual_seed(5)
    train_reconstructor(people(4, 1), ReconstructionOptions(size=SIZE, steps=2, batch=2, width=4))
    assert torch.equal(torch.rand(2), wanted)


@pytest.mark.parametrize(("cover", "low", "high"), [(False, 0.5, 1.0), (True, 0.0, 0.15)], ids=["blur", "solid cover"])
def test_who_comes_back(cover: bool, low: float, high: float) -> None:
    tested = people(12, 2, first=900, cover=cover)
    distinct = np.unique(tested.originals[::2, :, 0].astype(int) - tested.originals[::2, :1, 0], axis=0, return_index=True)[1]
    known, unknown = tested.take(2 * np.sort(distinct)), tested.take(2 * np.sort(distinct) + 1)
    result = reconstruction_measures(people(60, 2, cover=cover), known, unknown, Stripes(), QUICK, repeats=10)  # type: ignore[arg-type]
    assert result.measures["original_rank1"].value == 1
    chance = 1 / len(known)
    assert low <= result.measures["reconstruction_rank1"].value <= high + (chance if cover else 0)
    assert result.sheet.shape == (SIZE * min(12, len(known)), 3 * SIZE, 3) and result.sheet.dtype == np.uint8


def test_different_people_are_not_compared() -> None:
    some = people(4, 2)
    with pytest.raises(ValueError, match="same people"):
        reconstruction_measures(some, some.take([0, 2]), some.take([3, 5]), Stripes(), QUICK)  # type: ignore[arg-type]


def test_nothing_to_learn_from() -> None:
    with pytest.raises(ValueError, match="no picture"):
        train_reconstructor(people(2, 1).take([]), QUICK)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 24}, "multiple of 16"),  # four halvings
        ({"steps": 0}, "steps must be above 0"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
    ],
)
def test_options_check_themselves(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ReconstructionOptions(**change)  # type: ignore[arg-type]


def test_resizing_averages_and_keeps() -> None:
    pictures = np.zeros((1, 32, 32), np.uint8)
    pictures[:, ::2] = 200
    assert resized(pictures, 8)[0, 3, 3] == pytest.approx(100, abs=8), "fine stripes become gray, not black or white"
    assert (resized(pictures, 32) == pictures).all()
    assert resized(pictures, 64).shape == (1, 64, 64)
