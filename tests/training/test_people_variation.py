"""People of a bank: what only one has is limited, groups are brought closer together, and their means and everybody else stay."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from tiny import tiny_model

from ganon_hf.core.face_mesh import IRIS_PATCHES, UV_MAP
from ganon_hf.core.look import Age, Look
from ganon_hf.core.modeling_ganon import GanonModel
from ganon_hf.core.people import look_classes
from ganon_hf.training.people_variation import bring_together, even_beards, limit_outliers
from ganon_hf.training.portrait_eyes import color_irises

SIZE = 64


def looks(count: int, age: Age = "young", *, beard: bool = False) -> np.ndarray:
    return np.array([look_classes(Look(age, "man", beard, "medium", "medium"))] * count)


def model(num_people: int = 6) -> GanonModel:
    return tiny_model(people_texture_size=SIZE, num_people=num_people, num_mouths=4, mouth_box=(20, 44, 24, 12))


@pytest.mark.parametrize(
    "change",
    [
        limit_outliers,
        even_beards,
        lambda model: color_irises(model, np.arange(3)),
        lambda model: bring_together(model, np.arange(3), 0.5, [np.arange(3)]),
    ],
)
def test_a_model_without_a_bank_has_nobody_to_change(change: Callable[[GanonModel], None]) -> None:
    with pytest.raises(ValueError, match="conditioning='mesh'"):
        change(tiny_model(conditioning="landmarks", image_size=256))


def test_what_one_has_and_nobody_who_looks_alike_is_limited() -> None:
    network = model(24)
    some = network.people
    assert some is not None
    classes = np.array([looks(1, "young")[0], looks(1, "young", beard=True)[0]]).repeat(12, axis=0)
    network.geometry.people_looks.copy_(torch.from_numpy(classes))
    detail = np.random.default_rng(0).normal(0, 3, (24, SIZE, SIZE))
    detail[12:, 40:] *= 10  # beards, each of its own
    detail[:, 20:24, 30:34] += 40  # what everybody has
    detail[3, 8:12, 20:40] -= 60  # a strand of hair
    detail[15, 8:12, 20:40] -= 60
    before = torch.from_numpy(detail.clip(-127, 127)).round().to(torch.int8)
    some.luma.copy_(before)
    limit_outliers(network)
    change = (some.luma.float() - before.float()).numpy()
    for person in (3, 15):
        assert np.median(change[person, 8:12, 20:40]) > 45, "a strand"
    change[[3, 15], 8:12, 20:40] = 0
    assert np.abs(change[:12]).mean() < 0.03 and np.abs(change[12:, 44:]).mean() < 0.5, "skin and beards differ as they did"
    assert some.luma[12:, 44:].float().std() > 20
    assert some.luma[:, 20:24, 30:34].float().mean() > 36


def test_people_who_are_brought_together_are_like_those_whom_they_shall_resemble() -> None:
    network, before = model(), model()
    assert network.people is not None and before.people is not None
    who, other = np.array([0, 1, 2]), np.array([4])
    bring_together(network, who, 0.25, [who, other])
    column, row = np.floor(IRIS_PATCHES[0] * SIZE).astype(int)
    for name in ("broad", "luma", "chroma"):
        new, old = getattr(network.people, name).float(), getattr(before.people, name).float()
        assert torch.equal(new[3:], old[3:]), "nobody else changes"
        center = (old[:3].mean(dim=0) + old[4]) / 2
        expected = center + 0.25 * (old[:3] - old[:3].mean(dim=0))
        tolerance = 0.51 if name != "broad" else 1e-4  # whole numbers are stored
        middle = (..., slice(SIZE // 4, SIZE // 3), slice(SIZE // 6, SIZE // 3)) if name == "luma" else (..., slice(2, 8), slice(10, 20))
        assert torch.allclose(new[:3][middle], expected[middle], atol=tolerance), name
    iris = (slice(0, 3), row, column)
    own = before.people.luma[iris].float() - before.people.luma[iris].float().mean()
    left = network.people.luma[iris].float() - network.people.luma[iris].float().mean()
    assert torch.allclose(own, left, atol=1.1), "irises stay as different as they were"


@pytest.mark.parametrize(("who", "like"), [([], [[1]]), ([0, 1], [[0, 1], []])])
def test_nobody_can_be_brought_close_to_nobody(who: list[int], like: list[list[int]]) -> None:
    network = model()
    with pytest.raises(ValueError, match="groups of people"):
        bring_together(network, np.array(who, int), 0.5, [np.array(group, int) for group in like])


def test_beards_of_one_age_become_more_alike_and_nothing_else_does() -> None:
    network, before = model(), model()
    assert network.people is not None and before.people is not None
    for one in (network, before):
        classes = np.concatenate([looks(2, "young", beard=True), looks(2, "middle", beard=True), looks(2, "young")])
        one.geometry.people_looks.copy_(torch.from_numpy(classes))
    even_beards(network)

    def differences(some: GanonModel, point: int) -> torch.Tensor:
        column, row = np.floor(UV_MAP[point] * SIZE).astype(int)
        values = some.people.luma[:, row, column].float()  # type: ignore[union-attr]
        return values[::2] - values[1::2]

    chin, brow = 199, 105
    assert torch.allclose(differences(network, chin)[:2], 0.6 * differences(before, chin)[:2], atol=1.1)
    assert torch.equal(differences(network, chin)[2], differences(before, chin)[2]), "who has no beard stays"
    assert torch.allclose(differences(network, brow), differences(before, brow), atol=1.1)
    for pair in (slice(0, 2), slice(2, 4)):
        means = [one.people.luma[pair].float().mean(dim=0) for one in (network, before)]  # type: ignore[union-attr]
        assert torch.allclose(*means, atol=0.6), "the mean of the age stays"
