"""Drawing synthetic people from a bank: the same from the same seed, of the wanted look, and nobody of the bank as a whole."""

from __future__ import annotations

import numpy as np
import pytest

from ganon_hf.core.look import AGES, SEXES, SHADES, Look
from ganon_hf.core.modeling_ganon import NUM_REGIONS
from ganon_hf.core.open_mouths import OpenMouths
from ganon_hf.core.people import NUM_BLENDED, Population, draw_identity, look_classes, look_of

# every age with either sex, bearded men among the adults, all shades; three of each, with shapes that tell the ages apart
LOOKS = [
    Look(age, sex, beard, brows, skin)
    for age in AGES
    for sex in ("woman", "man")
    for beard in ((False, True) if sex == "man" and age not in ("toddler", "child") else (False,))
    for brows in ("light", "dark")
    for skin in ("light", "dark")
]


def bank(num_mouths: int = 30) -> Population:
    classes = np.array([look_classes(look) for look in LOOKS for _ in range(3)])
    shapes = np.random.default_rng(0).standard_normal((len(classes), 10)) * 0.5
    shapes[:, 0] = classes[:, 0] - 2
    scales = np.linspace(0.8, 1.3, len(classes))
    levels = np.random.default_rng(1).choice([30.0, 150.0], num_mouths)
    mouths = OpenMouths(np.stack([np.linspace(0.05, 0.4, num_mouths), np.full(num_mouths, 0.7)], axis=1), levels)
    return Population(shapes, classes, scales, scales[::-1], mouths)


def drawn(look: Look | None, count: int = 40) -> list[Look]:
    """Looks of the people of the bank that go into people drawn for a look."""
    population = bank()
    identities = [draw_identity(1, index, population, look=look) for index in range(count)]
    return [look_of(population.looks[person]) for identity in identities for person in identity.people]


def test_an_identity_is_the_same_everywhere() -> None:
    first, again = (draw_identity(5, 2, bank(), num_expression=3) for _ in range(2))
    for name in (
        "shape",
        "iris_scale",
        "lid_scale",
        "people",
        "shares",
        "mouths",
        "look",
        "tone",
        "grain_seed",
        "expression_noise",
        "turn",
    ):
        assert np.array_equal(getattr(first, name), getattr(again, name)), name
    assert (first.shape.shape, first.tone.shape, first.expression_noise.shape) == ((10,), (3,), (3,))
    assert first.shares.shape == (NUM_BLENDED, 1 + NUM_REGIONS) and first.shares.dtype == np.float32


@pytest.mark.parametrize("other", [(5, 3), (6, 2), (2, 5), (2**63 - 1, 2)])
def test_another_seed_or_place_is_another_person(other: tuple[int, int]) -> None:
    first, second = (draw_identity(*pair, bank(), look=Look("young", "woman")) for pair in ((5, 2), other))
    assert np.abs(first.shape - second.shape).max() > 0.3
    assert not np.array_equal(first.shares, second.shares) and first.grain_seed != second.grain_seed


def test_another_attempt_is_another_person_of_the_same_look() -> None:
    look = Look("old", "man", True)
    identities = [draw_identity(5, 2, bank(), look=look, attempt=attempt) for attempt in range(6)]
    assert np.array_equal(identities[0].shape, draw_identity(5, 2, bank(), look=look).shape), "the first one is the usual one"
    assert len({one.grain_seed for one in identities}) == 6
    assert {(one.look.age, one.look.sex, one.look.beard) for one in identities} == {("old", "man", True)}


def test_nobody_of_the_bank_appears_as_a_whole() -> None:
    for index in range(50):
        identity = draw_identity(9, index, bank())
        assert len(set(identity.people)) == NUM_BLENDED
        assert np.allclose(identity.shares.sum(axis=0), 1)
        assert (identity.shares[:, 1:].max(axis=0) == 1).all(), "a region is one person's"
        assert ((identity.shares[:, 1:] > 0).sum(axis=1) < NUM_REGIONS).all() and identity.shares[:, 0].max() < 1


def test_the_look_decides_who_is_drawn() -> None:
    assert {look.sex for look in drawn(Look(sex="woman"))} == {"woman"}
    assert {look.beard for look in drawn(Look("middle", "man", True))} == {True}
    ages = [look.age for look in drawn(Look("toddler"))]
    assert ages.count("toddler") > 0.7 * len(ages) and set(ages) <= {"toddler", "child"}, "a child of the right skin is close, too"
    skins = [look.skin for look in drawn(Look("young", "woman", False, "light", "dark"))]
    assert 0.6 < skins.count("dark") / len(skins) < 0.9, "six of the eight who come closest, of all brows"


def test_an_adult_never_stands_in_for_a_child() -> None:
    # too few toddlers of this kind: older children come first, never an adult of the same shades
    ages = {look.age for look in drawn(Look("toddler", "woman", False, "dark", "dark"))}
    assert ages <= {"toddler", "child"}
    assert {look.age for look in drawn(Look("young", "man"))} & {"toddler", "child"} == set()


def test_unsure_is_people_of_either_sex_without_a_beard() -> None:
    looks = drawn(Look("young", "unsure", False), 80)
    assert {look.sex for look in looks} == {"woman", "man"} and not any(look.beard for look in looks)


@pytest.mark.parametrize("age", ["young", "middle", "old"])
def test_a_beard_makes_an_unsure_adult_a_man(age: str) -> None:
    looks = drawn(Look(age, "unsure", True), 80)  # type: ignore[arg-type]
    assert {look.sex for look in looks} == {"man"} and all(look.beard for look in looks)


@pytest.mark.parametrize(
    ("looks", "reason"),
    [
        ([Look("young", "woman", False, "light", "light")], "a bank of one person"),
        ([Look("young", "woman", False, shade, "light") for shade in SHADES] * 3, "no man in the bank"),
        ([Look("young", sex, False, "light", "light") for sex in ("woman", "man")], "one of either"),
    ],
)
@pytest.mark.parametrize("wanted", [Look("young", "unsure", False), Look("teen", "unsure", False)])
def test_small_banks(looks: list[Look], reason: str, wanted: Look) -> None:
    population = Population(np.zeros((len(looks), 4)), np.array([look_classes(look) for look in looks]), *np.ones((2, len(looks))))
    for index in range(20):
        identity = draw_identity(2, index, population, look=wanted)
        assert len(set(identity.people)) == len(identity.people), reason
        assert np.allclose(identity.shares.sum(axis=0), 1) and np.isfinite(identity.shape).all()


def test_the_shape_of_a_teen_lies_between_those_of_the_groups() -> None:
    """The first coefficient of the bank tells the age."""
    population, look = bank(), Look("teen", "woman", False, "light", "light")
    children, adults = (population.shapes[group, 0].mean() for group in population.groups(look))
    shapes = np.array([draw_identity(3, index, population, look=look).shape[0] for index in range(600)])
    assert adults - children > 0.9
    assert shapes.mean() == pytest.approx((2 * children + adults) / 3, abs=0.06), "two children to one adult, and no further away"


@pytest.mark.parametrize("age", ["young", "middle", "old"])
def test_an_adult_of_unsure_sex_has_a_mans_eyes_and_a_womans_mouth(age: str) -> None:
    """Make-up about the eyes on a man, and stubble on a woman, are what people notice first."""
    population = bank()
    for index in range(40):
        identity = draw_identity(4, index, population, look=Look(age, "unsure", False))  # type: ignore[arg-type]
        sexes = [look_of(population.looks[number]).sex for number in identity.people]
        eyes, nose, lower, skin = ([sexes[person] for person in np.flatnonzero(part)] for part in identity.shares[:, 1:].T)
        assert (eyes, nose, lower, skin) == (["man"], ["woman"], ["woman"], ["man"])


def test_children_of_unsure_sex_are_drawn_as_other_children_are() -> None:
    looks = drawn(Look("child", "unsure", False), 80)
    assert {look.sex for look in looks} == {"woman", "man"}
    population = bank()
    eyes = {int(np.flatnonzero(draw_identity(4, index, population, look=Look("child", "unsure")).shares[:, 1])[0]) for index in range(40)}
    assert eyes == {0, 1, 2}, "any of the three gives the eyes"


def test_children_of_the_bank_who_are_either_stand_in_for_both() -> None:
    classes = np.array([look_classes(Look("child", "unsure", False, "medium", "medium"))] * 8 + [look_classes(LOOKS[-1])] * 8)
    population = Population(np.zeros((16, 2)), classes, *np.ones((2, 16)))
    for sex in ("woman", "man"):
        (group,) = population.groups(Look("child", sex, False))  # type: ignore[arg-type]
        assert (group < 8).all()


def test_a_teen_is_blended_from_two_children_and_a_young_adult() -> None:
    population = bank()
    people = [draw_identity(3, index, population, look=Look("teen", "woman")).people for index in range(200)]
    ages = [[look_of(population.looks[number]).age for number in some] for some in people]
    assert all(some.count("young") == 1 and set(some) <= {"toddler", "child", "young"} for some in ages), "the others are children"


def test_without_a_look_anybody_is_drawn() -> None:
    looks = drawn(None, 300)
    assert {look.age for look in looks} == set(AGES) and {look.beard for look in looks} == {True, False}


def test_people_have_mouths_of_their_own() -> None:
    drawn = {tuple(draw_identity(1, index, bank(60)).mouths) for index in range(60)}
    assert len(drawn) > 50 and draw_identity(3, 0, bank(0)).mouths.shape == (0,)


def test_shapes_vary_as_people_do_around_those_of_their_look() -> None:
    shapes = np.array([draw_identity(1, i, bank(), look=Look("old", "woman")).shape for i in range(200)])
    assert shapes[:, 0].mean() == pytest.approx(1.8, abs=0.25), "about the mean of the old"
    assert 0.4 < shapes[:, 1:].std() < 0.8 and np.abs(shapes).max() <= 3


def test_a_group_far_from_the_mean_is_not_cut_off_and_its_people_are_no_caricatures() -> None:
    usual, far = bank(), bank()
    children = far.looks[:, 0] < AGES.index("young")
    far.shapes[children, 1] += 4.5
    far.shapes[children, 2] *= 8
    shapes = np.array([draw_identity(1, i, far, look=Look("toddler", "woman", False)).shape for i in range(200)])
    assert shapes[:, 1].mean() == pytest.approx(4.5, abs=0.25) and shapes[:, 1].std() > 0.2 and 5.2 < shapes[:, 1].max() < 5.8
    assert np.abs(shapes[:, 2]).max() <= 3
    young = Look("young", "man")
    assert all(np.array_equal(*(draw_identity(1, i, one, look=young).shape for one in (usual, far))) for i in range(9)), (
        "nobody else changes"
    )


@pytest.mark.parametrize(
    ("shapes", "looks", "iris_scales", "lid_scales"),
    [
        (np.zeros((0, 4)), np.zeros((0, 5), int), np.zeros(0), np.zeros(0)),  # nobody to draw
        (np.zeros((2, 4)), np.zeros((3, 5), int), np.ones(2), np.ones(2)),
        (np.zeros(4), np.zeros((4, 5), int), np.ones(4), np.ones(4)),
        (np.zeros((2, 4)), np.zeros((2, 4), int), np.ones(2), np.ones(2)),
        (np.zeros((2, 4)), np.zeros((2, 5), int), np.ones(3), np.ones(2)),
        (np.zeros((2, 4)), np.zeros((2, 5), int), np.ones(2), np.ones(3)),
    ],
)
def test_a_population_checks_itself(shapes: np.ndarray, looks: np.ndarray, iris_scales: np.ndarray, lid_scales: np.ndarray) -> None:
    with pytest.raises(ValueError, match="shapes must be"):
        Population(shapes, looks, iris_scales, lid_scales)


def test_irises_are_as_large_and_eyes_as_open_as_those_of_whom_a_person_is_blended_from() -> None:
    population = bank()
    for index in range(20):
        identity = draw_identity(5, index, population)
        for own, scales in ((identity.iris_scale, population.iris_scales), (identity.lid_scale, population.lid_scales)):
            blended = scales[identity.people]
            assert blended.min() <= own <= blended.max()
            assert own == pytest.approx(identity.shares[:, 0] @ blended)


def test_a_person_of_the_bank_needs_a_whole_look() -> None:
    assert all(look_of(np.array(look_classes(look))) == look for look in LOOKS)
    assert (len(AGES), len(SEXES), len(SHADES)) == (5, 3, 3)
    with pytest.raises(ValueError, match="all parts"):
        look_classes(Look("young"))
