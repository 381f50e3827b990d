"""What a noisy code tells about the person, on people and moments whose law is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ganon_hf.training.identity_price import PersonPairs, identity_information
from ganon_hf.training.shape_space import between_within_covariance

# Standard deviations of people and of moments along three directions.
PEOPLE, MOMENTS = torch.tensor([2.0, 1.0, 0.0]), torch.tensor([0.5, 1.0, 2.0])


def pictures(count: int, each: int, seed: int = 0) -> tuple[torch.Tensor, np.ndarray]:
    """(count * each, 3) shapes and who they show."""
    generator = torch.Generator().manual_seed(seed)
    persons = np.repeat(np.arange(count), each)
    who = torch.randn(count, 3, generator=generator) * PEOPLE
    return who[persons] + torch.randn(len(persons), 3, generator=generator) * MOMENTS, persons


def pairs_of(shapes: torch.Tensor, persons: np.ndarray) -> PersonPairs:
    return PersonPairs(shapes, persons, *between_within_covariance(shapes.double().numpy(), persons))


@pytest.mark.parametrize("noise", [0.5, 2.0])
def test_the_information_is_that_of_the_known_law(noise: float) -> None:
    shapes, _ = pictures(20_000, 2)
    expected = 0.5 * torch.log((PEOPLE**2 + MOMENTS**2 + noise**2) / (MOMENTS**2 + noise**2)).sum()
    assert identity_information(shapes[::2], shapes[1::2], noise).item() == pytest.approx(expected.item(), abs=0.03)


def test_only_directions_in_which_people_differ_cost() -> None:
    shapes, _ = pictures(2000, 2)
    scale = torch.ones(3, requires_grad=True)
    identity_information(shapes[::2] * scale, shapes[1::2] * scale, 1.0).backward()
    first, _, last = scale.grad.tolist()
    assert first > 0.2 and abs(last) < 0.05


def test_real_pairs_show_one_person_twice_and_never_one_picture() -> None:
    persons = np.array([4, 7, 4, -1, 9, 7, 4, -1])
    shapes = torch.arange(8.0)[:, None]  # the shape is the row number; rows 3, 4 and 7 have no partner
    pairs = PersonPairs(shapes, persons, np.eye(1), np.eye(1))
    first, second = (some[:100, 0].long().numpy() for some in pairs.draw(300, torch.Generator().manual_seed(0)))
    assert (persons[first] == persons[second]).all() and (first != second).all()
    assert {*zip(first.tolist(), second.tolist(), strict=True)} == {(0, 2), (2, 0), (0, 6), (6, 0), (2, 6), (6, 2), (1, 5), (5, 1)}


def test_invented_people_follow_the_law_of_real_ones() -> None:
    shapes, persons = pictures(4000, 2)
    first, second = (some[10_000:] for some in pairs_of(shapes, persons).draw(30_000, torch.Generator().manual_seed(0)))
    between, within = between_within_covariance(
        torch.stack([first, second], 1).flatten(0, 1).double().numpy(), np.repeat(np.arange(20_000), 2)
    )
    assert np.allclose(np.sqrt(np.diag(between))[:2], PEOPLE[:2], atol=0.1) and between[2, 2] < 0.1
    assert np.allclose(np.sqrt(np.diag(within)), MOMENTS, atol=0.1)


def test_pairs_need_somebody_with_two_pictures() -> None:
    with pytest.raises(ValueError, match="two pictures"):
        PersonPairs(torch.zeros(3, 1), np.array([0, -1, -1]), np.eye(1), np.eye(1))
