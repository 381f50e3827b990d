"""Portraits to bank: what is particular to a person stays, and light, expression, hair and the single portrait do not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import tiny_model

from ganon_hf.core.face_mesh import IRIS_PATCHES, LEFT_EYE_CORNERS, MIRROR, UV_MAP
from ganon_hf.core.landmarks import texel_table
from ganon_hf.core.look import Age, Look
from ganon_hf.core.modeling_ganon import REGIONS_SIZE, GanonModel, enlarge
from ganon_hf.core.people import look_classes
from ganon_hf.training import people_bank
from ganon_hf.training import portraits as reading
from ganon_hf.training.people_bank import MEMBERS, BankEntry, Blender, fill_bank, mouth_mask, region_masks
from ganon_hf.training.portrait_mouths import Mouths, _spread_out
from ganon_hf.training.portraits import Portraits

SIZE = 64
Y, X = (np.mgrid[:SIZE, :SIZE] + 0.5) / SIZE * 2 - 1
WOMAN, MAN = (look_classes(Look("young", sex, False, "medium", "medium")) for sex in ("woman", "man"))


def portraits(count: int = 12, *, luma: np.ndarray | None = None, trust: np.ndarray | None = None, amplitude: float = 6.0) -> Portraits:
    """People who differ by fine noise of their own, with shapes of their own."""
    generator = np.random.default_rng(0)
    noise = generator.normal(0, amplitude, (count, SIZE, SIZE))
    luma = (noise if luma is None else luma).astype(np.float32)
    trust = np.ones((count, SIZE, SIZE), np.float32) if trust is None else trust
    chroma = generator.normal(0, 3, (count, 2, SIZE // 2, SIZE // 2)).astype(np.float32)
    return Portraits(luma, chroma, trust, generator.standard_normal((count, 4)) * 0.5, np.arange(count), np.ones(count, bool))


def mouths(count: int) -> Mouths:
    levels = np.linspace(40, 120, count, dtype=np.float32)[:, None, None]
    shapes = np.linspace([0.05, 0.5], [0.5, 0.8], count).astype(np.float32)
    return Mouths(
        levels + np.zeros((SIZE, SIZE), np.float32), np.zeros((count, 2, SIZE // 2, SIZE // 2), np.float32), shapes, np.arange(count)
    )


def looks(count: int, age: Age = "young", *, beard: bool = False) -> np.ndarray:
    return np.array([look_classes(Look(age, "man", beard, "medium", "medium"))] * count)


def blend(people: Portraits, seed: int = 0, age: Age = "young", *, beard: bool = False) -> BankEntry:
    """Of the first four, who look like all the others."""
    everybody = np.arange(len(people))
    return Blender(people, looks(len(people), age, beard=beard)).blend(everybody[:4], everybody, np.random.default_rng(seed))


def model() -> GanonModel:
    return tiny_model(people_texture_size=SIZE, num_people=6, num_mouths=4, mouth_box=(20, 44, 24, 12))


# ---- blending


def test_a_blend_is_as_rough_as_the_people_in_it() -> None:
    people = portraits(amplitude=2.0)
    middle = np.s_[24:40, 16:48]
    blends = [blend(people, seed).luma[middle] for seed in range(8)]
    own = np.std([one[middle] for one in people.luma], axis=(1, 2)).mean()
    assert 0.7 * own < np.mean([one.std() for one in blends]) < 1.1 * own, "a plain mean would have half of it"


def test_detail_comes_from_the_members_alone() -> None:
    changed = portraits()
    changed.luma[7] += 40 * np.cos(40 * X)
    entries = [Blender(people, looks(12)).blend(np.arange(4), np.arange(4), np.random.default_rng(3)) for people in (portraits(), changed)]
    assert np.array_equal(entries[0].luma, entries[1].luma) and np.array_equal(entries[0].shape, entries[1].shape)


def test_no_member_is_the_whole_face() -> None:
    stripes = np.stack([3 * np.cos((16 + 4 * number) * np.pi * X) for number in range(4)])
    for seed in range(6):
        luma = blend(portraits(4, luma=stripes), seed).luma
        shares = [abs((luma * one).mean()) / (one * one).mean() for one in stripes]
        assert sorted(shares)[-2] > 0.05 and max(shares) < 0.9


def test_light_from_the_side_does_not_stay() -> None:
    lit = np.stack([side * 30 * X for side in (1, 1, 1, -1, 1, 1)])
    assert np.abs(blend(portraits(6, luma=lit)).luma[8:56, 8:56]).max() < 6


@pytest.mark.parametrize(
    ("age", "beard", "low", "high", "reason"),
    [
        ("middle", True, 17, 30, "a beard is dark"),
        ("middle", False, 0, 5, "nobody else's chin is"),
        ("toddler", False, 9, 11.1, "what makes children stays, within the limit of light"),
    ],
)
def test_what_people_who_look_alike_share_stays_where_it_is_theirs(age: Age, beard: bool, low: float, high: float, reason: str) -> None:
    dark_chin = np.repeat(-30 * np.exp(-((Y - 0.5) ** 2) / 0.1)[None], 6, axis=0) + 0 * X
    luma = blend(portraits(6, luma=dark_chin), age=age, beard=beard).luma
    assert low < -luma[54, 32] < high, reason
    assert abs(luma[8, 32]) < 3


def test_hard_light_that_all_portraits_share_is_limited() -> None:
    lit = np.repeat(40 * np.exp(-(X**2 + Y**2) / 0.3)[None], 6, axis=0)
    assert 4 < blend(portraits(6, luma=lit)).luma.max() < 40 / 3


def test_gloss_of_lips_is_dimmed_and_their_shadows_are_not() -> None:
    shiny = np.repeat((40 * np.cos(60 * X) + 0 * Y)[None], 6, axis=0)
    column, row = np.floor(UV_MAP[0] * SIZE).astype(int)
    lip = blend(portraits(6, luma=shiny)).luma[row, column - 3 : column + 4]
    assert 12 < lip.max() < 0.75 * -lip.min()


def test_an_untrusted_part_is_filled_from_the_others() -> None:
    hair, trust = np.zeros((6, SIZE, SIZE)), np.ones((6, SIZE, SIZE), np.float32)
    hair[0, 8:20, 16:48], trust[0, 6:22, 14:50] = -80, 0
    for seed in range(4):
        assert blend(portraits(6, luma=hair, trust=trust), seed).luma[8:20, 16:48].min() > -8


def test_an_iris_is_one_persons() -> None:
    levels = np.stack([np.full((SIZE, SIZE), 40.0 * (-1) ** number) * np.cos(25 * Y) for number in range(4)])
    masks = Blender(portraits(4, luma=levels), looks(4))._masks(4, np.ones((4, SIZE, SIZE), np.float32), np.random.default_rng(1))
    eye = np.round(UV_MAP[list(LEFT_EYE_CORNERS)].mean(axis=0) * SIZE).astype(int)
    for center in IRIS_PATCHES:
        column, row = np.floor(center * SIZE).astype(int)
        assert masks[:, row, column].max() > 0.99
    column, row = np.floor(IRIS_PATCHES[1] * SIZE).astype(int)
    assert masks[:, row, column].argmax() == masks[:, eye[1], eye[0]].argmax()
    assert np.allclose(masks.sum(axis=0), 1, atol=1e-5)


# ---- the bank in the model


def test_the_model_gives_back_what_was_put_in(monkeypatch: pytest.MonkeyPatch) -> None:
    people, network, blended = portraits(8), model(), []

    class Recording(Blender):
        def blend(self, members: np.ndarray, cohort: np.ndarray, generator: np.random.Generator) -> BankEntry:
            blended.append(super().blend(members, cohort, generator))
            return blended[-1]

    monkeypatch.setattr(people_bank, "Blender", Recording)
    members = fill_bank(network, people, np.array([WOMAN] * 8), mouths(4), seed=5)
    assert len(members) == 6 and all(len(set(some)) == MEMBERS for some in members)
    rows, columns, _, _ = texel_table(SIZE)
    assert network.people is not None
    for number, entry in enumerate(blended):
        luma, chroma = network.people.residual(torch.tensor([[number]]), torch.ones(1, 1, 5))
        assert np.abs(luma[0, 0].numpy() - entry.luma)[rows, columns].max() < 0.51, "rounded to gray values"
        assert np.abs(chroma[0].numpy() - entry.chroma)[:, rows // 2, columns // 2].max() < 0.26, "rounded to halves of them"


def test_every_look_has_as_many_people_and_is_blended_of_its_own() -> None:
    looks = np.array([WOMAN] * 5 + [MAN] * 7)
    network = model()
    members = fill_bank(network, portraits(12), looks, mouths(4))
    stored = [tuple(look) for look in network.geometry.people_looks.tolist()]
    assert stored.count(WOMAN) == stored.count(MAN) == 3
    for some, look in zip(members, stored, strict=True):
        assert {tuple(looks[number]) for number in some} == {look}


def test_a_look_of_too_few_is_left_out_and_nobody_is_an_error() -> None:
    network = model()
    fill_bank(network, portraits(8), np.array([WOMAN] * 6 + [MAN] * 2), mouths(4))
    assert {tuple(look) for look in network.geometry.people_looks.tolist()} == {WOMAN}
    with pytest.raises(ValueError, match="at least 4 portraits of one age"):
        fill_bank(network, portraits(6), np.array([WOMAN] * 3 + [MAN] * 3), mouths(4))


def test_a_bank_belongs_to_a_mesh_model() -> None:
    with pytest.raises(ValueError, match="conditioning"):
        fill_bank(tiny_model(conditioning="landmarks", image_size=256), portraits(8), np.array([WOMAN] * 8), mouths(4))


def test_regions_cover_the_face_once() -> None:
    masks = region_masks(REGIONS_SIZE)
    assert masks.shape == (4, REGIONS_SIZE, REGIONS_SIZE) and np.allclose(masks.sum(axis=0), 1, atol=1e-5) and masks.min() >= 0

    def of(point: int) -> int:
        column, row = np.floor(UV_MAP[point] * REGIONS_SIZE).astype(int)
        return int(masks[:, row, column].argmax())

    # brow, lid, tip and wing of the nose, lips and chin, moustache, cheek and forehead, each with its mirror image
    expected = {105: 0, 159: 0, 4: 1, 48: 1, 0: 2, 17: 2, 152: 2, 164: 2, 165: 2, 50: 3, 151: 3}
    assert {point: of(point) for point in expected} == expected
    assert all(of(int(MIRROR[point])) == region for point, region in expected.items())
    column, row = np.floor(IRIS_PATCHES[0] * REGIONS_SIZE).astype(int)
    assert masks[0, row, column] == 1, "an iris belongs to the eyes"


# ---- portraits


def test_hair_over_one_forehead_is_not_trusted_and_everybody_else_is() -> None:
    generator = np.random.default_rng(2)
    luma = generator.normal(0, 4, (20, SIZE, SIZE)).astype(np.float32)
    luma[3, 6:16, 20:44] -= 70
    chroma = generator.normal(0, 1, (20, 2, SIZE // 2, SIZE // 2)).astype(np.float32)
    trust = reading._without_outliers(luma, chroma, np.ones((20, SIZE, SIZE), np.float32), np.zeros(20, int))
    assert trust[3, 8:14, 22:42].max() < 0.1 and trust[3, 30:, :].mean() > 0.85
    assert np.delete(trust, 3, axis=0).mean() > 0.8


def test_a_look_has_its_own_usual() -> None:
    """Beards of a few are outliers among all, but not among the bearded."""
    luma = np.random.default_rng(2).normal(0, 4, (40, SIZE, SIZE)).astype(np.float32)
    luma[:14, 44:58, 20:44] -= 60
    chroma, trust = np.zeros((40, 2, SIZE // 2, SIZE // 2), np.float32), np.ones((40, SIZE, SIZE), np.float32)
    bearded = np.arange(40) < 14
    apart = reading._without_outliers(luma, chroma, trust, bearded.astype(int))
    assert apart[:14, 46:56, 22:42].mean() > 0.8
    assert reading._without_outliers(luma, chroma, trust, np.zeros(40, int))[:14, 46:56, 22:42].mean() < 0.2


def test_expression_goes_and_the_person_stays() -> None:
    generator = np.random.default_rng(1)
    smiles, people = generator.standard_normal((200, 1)).astype(np.float32), generator.standard_normal(200)
    cheeks, brows = 8 * np.exp(-((Y - 0.2) ** 2) / 0.1) + 0 * X, 8 * np.exp(-((Y + 0.5) ** 2) / 0.05) + 0 * X
    luma = (smiles[:, :, None] * cheeks + people[:, None, None] * brows).astype(np.float32)
    rested = reading._at_rest(luma, np.ones_like(luma), smiles, np.zeros(200, int))
    row = int((0.2 + 1) / 2 * SIZE), int((-0.5 + 1) / 2 * SIZE)
    assert rested[:, row[0], 32].std() < 0.25 * luma[:, row[0], 32].std()
    assert np.corrcoef(rested[:, row[1], 32], people)[0, 1] > 0.98


def test_what_makes_children_is_no_expression() -> None:
    """Children have large eyes, and a network that reads expressions takes these for surprise."""
    generator = np.random.default_rng(1)
    children = np.arange(60) < 20
    surprise = 0.5 * children + generator.uniform(0, 0.3, 60)
    scores = generator.uniform(0, 0.02, (60, 52))
    scores[:, 21] += surprise
    values = (2.0 * children + 5 * surprise + generator.normal(0, 0.05, 60))[:, None]
    conditions = reading._conditions(scores, generator.normal(0, 2, (60, 2)), children.astype(int))
    rested = values - reading._explained(values, conditions, children.astype(int), 0.1)
    assert rested[children].mean() - rested[~children].mean() == pytest.approx(4.5, abs=0.3), "two, and five times the half"
    assert rested[children].std() < 0.4 * values[children].std(), "single expressions go"


def test_the_calmer_half_of_each_look_is_used() -> None:
    generator = np.random.default_rng(0)
    luma = generator.normal(0, 1, (60, SIZE, SIZE)).astype(np.float32)
    frowning, bearded = np.arange(60) % 3 == 0, np.arange(60) < 40
    luma[frowning] += (25 * np.cos(60 * X) * np.exp(-(X**2 + (Y + 0.45) ** 2) / 0.1)).astype(np.float32)
    usable = np.arange(60) != 1
    calm = reading._calmer_half(luma, np.ones_like(luma), bearded.astype(int), usable)
    assert not calm[frowning].any() and not calm[1]
    assert calm[bearded].sum() == 20 and calm[~bearded].sum() == 10


def test_high_contrast_comes_down_and_low_stays() -> None:
    luma = np.random.default_rng(0).normal(0, 5, (20, SIZE, SIZE)).astype(np.float32)
    luma[0] *= 3
    factors = reading._contrast(luma, np.ones_like(luma), np.zeros(20, int))
    assert factors[0] == pytest.approx(1.1 / 3, rel=0.1) and factors[1:].min() > 0.95 and factors.max() == 1


def test_chosen_mouths_differ() -> None:
    places = np.concatenate([np.zeros((50, 2)), [[1.0, 0], [0, 1], [1, 1]]]) + np.random.default_rng(0).normal(0, 0.01, (53, 2))
    assert set(_spread_out(places, 4)) > {50, 51, 52}


def test_the_mask_of_the_mouth_is_inside_the_lips() -> None:
    mask = mouth_mask(256)
    rows, columns = np.nonzero(mask)
    x, y, width, height = GanonModel.config_class().mouth_box
    assert x <= columns.min() and columns.max() < x + width and y <= rows.min() and rows.max() < y + height
    lips = UV_MAP[[13, 14, 61, 291]] * 256
    assert rows.min() >= lips[0, 1] - 2 and rows.max() <= lips[1, 1] + 2


def test_enlarged_broad_structure_has_no_edges() -> None:
    flat = enlarge(torch.full((1, 1, 32, 32), 7.0), 256)
    assert torch.allclose(flat, torch.full_like(flat, 7.0), atol=1e-4)
