"""Who a face becomes: synthetic people, drawn from a seed among the people of the model's bank who have a given look."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .look import AGES, SEXES, SHADES, TEEN, Age, Look, Sex
from .modeling_ganon import NUM_LOOK_PARTS, NUM_REGIONS, PeopleTextures, ShapeStatistics
from .open_mouths import OpenMouths

# People of the bank that one synthetic person is blended from.
NUM_BLENDED = 3
# A person is drawn among at least so many people of the bank: those who come closest to the look.
_MIN_POOL = 8
# How much a part of the look that differs counts. A child among adults, or an adult among children, is the worst mistake; shades decide
# among people of one age.
_SEX_COST, _BEARD_COST, _CHILD_COST, _AGE_COST, _SKIN_COST, _BROWS_COST = 12.0, 12.0, 30.0, 4.0, 1.4, 0.5
_CHILD_STEP = 0.25  # from toddler to child, in steps of age
_ADULT = AGES.index("young")  # the first class of adults
# Whom a teen, and an adult of either sex, are blended from: two of the first group, one of the second.
_TEEN: tuple[Age, Age] = ("child", "young")
_EITHER: tuple[Sex, Sex] = ("woman", "man")
_MAN = 1  # his number among the three
# Standard deviation of what is added to the blended shape, in standard deviations of all people.
_SHAPE_NOISE = 0.35
# In standard deviations: people further from the mean look like caricatures. Groups may be further from it than single people, as children
# are; their people stay within the last number of the group's mean, where that is further.
_TRUNCATION, MAX_SHAPE, MAX_MEAN_SHAPE, _SHAPE_REACH = 2.0, 3.0, 5.0, 1.0


@dataclass(frozen=True, eq=False)
class Identity:
    """One synthetic person, drawn from a seed; of a photo only the look matters.

    Attributes:
        shape: (k,) coefficients of the neutral shape.
        iris_scale: factor of the diameter of the irises that the shape gives.
        lid_scale: factor of how far the eyes are open by the shape.
        people: (p,) int64 numbers of the people of the bank whose textures are blended.
        shares: (p, 1 + r) float32 shares of each in the broad structure, and in the detail of each region; they sum to one over p.
        mouths: (m,) int64 numbers of the open mouths in the bank.
        look: of whom the person was drawn.
        tone: (3,) standard normal coefficients of the skin tone.
        grain_seed: seed of the fine skin structure.
        expression_noise: (r,) standard normal noise for the expression code. It belongs to the person: were it drawn anew for every frame
            of a video, it would average out.
        turn: (3,) standard normal; pitch, yaw and roll by which the head is turned a little.
    """

    shape: np.ndarray
    iris_scale: float
    lid_scale: float
    people: np.ndarray
    shares: np.ndarray
    mouths: np.ndarray
    look: Look
    tone: np.ndarray
    grain_seed: int
    expression_noise: np.ndarray
    turn: np.ndarray


@dataclass(frozen=True, eq=False)
class Population:
    """The people of the bank, as far as drawing needs them.

    Attributes:
        shapes: (n, k) coefficients of the neutral shapes.
        looks: (n, 5) int numbers of the classes of age, sex, beard, brows and skin, see :func:`look_classes`.
        iris_scales: (n,) factors of the diameter of the irises that the shapes give.
        lid_scales: (n,) factors of how far the eyes are open by the shapes.
        mouths: the insides of its open mouths.

    Raises:
        ValueError: wrong shapes, or nobody.
    """

    shapes: np.ndarray
    looks: np.ndarray
    iris_scales: np.ndarray
    lid_scales: np.ndarray
    mouths: OpenMouths = OpenMouths(np.zeros((0, 2)), np.zeros(0))  # noqa: RUF009  # frozen

    def __post_init__(self) -> None:
        count = len(self.shapes)
        given = self.shapes.shape, self.looks.shape, self.iris_scales.shape, self.lid_scales.shape
        if self.shapes.ndim != 2 or not count or given[1:] != ((count, NUM_LOOK_PARTS), (count,), (count,)):
            raise ValueError(
                f"shapes must be (people, n), looks (people, {NUM_LOOK_PARTS}), iris_scales and lid_scales (people,), but got "
                f"{', '.join(map(str, given))}."
            )

    @classmethod
    def of(cls, statistics: ShapeStatistics, textures: PeopleTextures | None) -> Population:
        """The people of a model's bank; a model without a bank has no mouths either."""
        stored = statistics.people_shapes, statistics.people_irises, statistics.people_lids
        shapes, irises, lids = (values.double().cpu().numpy() for values in stored)
        looks = statistics.people_looks.cpu().numpy()
        if textures is None:
            return cls(shapes, looks, irises, lids)
        inside = (values.double().cpu().numpy() for values in (textures.mouth_luma, textures.mouth_mask, textures.mouth_shapes))
        return cls(shapes, looks, irises, lids, OpenMouths.of(*inside))

    def groups(self, look: Look) -> list[np.ndarray]:
        """Numbers of the people who come closest to a look: one group, or two, of which the first gives two people and the second one.

        A teen is two children and a young adult: the other way round, children of ten who were taken for teens looked grown up. A
        clean-shaven adult of unsure sex is two women and a man, see :func:`draw_identity`. Nobody is in both groups.
        """
        looks = [look]
        if look.age == TEEN:
            looks = [replace(look, age=age) for age in _TEEN]
        elif _is_of_either_sex(look):
            looks = [replace(look, sex=sex) for sex in _EITHER]
        first, *others = (self._alike(one) for one in looks)
        others = [np.setdiff1d(group, first) for group in others]
        return [first, *(group for group in others if len(group))]

    def _alike(self, look: Look) -> np.ndarray:
        """At least :data:`_MIN_POOL` people, and all who are as close as these."""
        age, sex, beard, brows, skin = self.looks.T
        cost = np.zeros(len(self.looks))
        if look.age is not None:
            wanted = AGES.index(look.age)
            steps = np.abs(np.maximum(age, _ADULT - 1) - max(wanted, _ADULT - 1)) + _CHILD_STEP * (np.minimum(age, 1) != min(wanted, 1))
            cost += _AGE_COST * steps + _CHILD_COST * ((age < _ADULT) != (wanted < _ADULT))
        if look.sex is not None and look.sex != "unsure":
            cost += _SEX_COST * ((sex != SEXES.index(look.sex)) & (sex != SEXES.index("unsure")))  # children of the bank are either
        if look.beard is not None:
            cost += _BEARD_COST * (beard != look.beard)
        for part, shade, weight in ((brows, look.brows, _BROWS_COST), (skin, look.skin, _SKIN_COST)):
            if shade is not None:
                cost += weight * np.abs(part - SHADES.index(shade))
        limit = np.sort(cost)[min(_MIN_POOL, len(cost)) - 1]
        return np.flatnonzero(cost <= limit)


def _is_of_either_sex(look: Look) -> bool:
    return look.sex == "unsure" and look.age in AGES[_ADULT:] and not look.beard


def look_classes(look: Look) -> tuple[int, int, int, int, int]:
    """A look with all its parts -> numbers of the classes of age, sex, beard, brows and skin, as a bank stores them."""
    if None in (look.age, look.sex, look.beard, look.brows, look.skin):
        raise ValueError(f"a person of the bank needs all parts of a look, but got {look}.")
    return (
        AGES.index(look.age),  # type: ignore[arg-type]
        SEXES.index(look.sex),  # type: ignore[arg-type]
        int(bool(look.beard)),
        SHADES.index(look.brows),  # type: ignore[arg-type]
        SHADES.index(look.skin),  # type: ignore[arg-type]
    )


def look_of(classes: np.ndarray) -> Look:
    """The inverse of :func:`look_classes`."""
    age, sex, beard, brows, skin = (int(value) for value in classes)
    return Look(AGES[age], SEXES[sex], bool(beard), SHADES[brows], SHADES[skin])


def _truncated_normal(generator: np.random.Generator, count: int) -> np.ndarray:
    values = generator.standard_normal(count)
    while (outside := np.abs(values) > _TRUNCATION).any():
        values[outside] = generator.standard_normal(int(outside.sum()))
    return values.astype(np.float32)


def draw_identity(
    seed: int, index: int, population: Population, *, look: Look | None = None, num_expression: int = 0, attempt: int = 0
) -> Identity:
    """Draw synthetic person number ``index`` of a seed; the same arguments give the same person everywhere.

    Args:
        seed: 0 to 2**63 - 1.
        index: number of the face in the photo; every face of a photo becomes a different person.
        population: the people of the bank.
        look: of whom to draw; None is the look of anybody in the bank.
        num_expression: length of the expression code, for its noise.
        attempt: 0, or the number of another person that stands in where the ones before it do not fit a face.
    """
    generator = np.random.default_rng([seed, index, attempt] if attempt else [seed, index])
    anybody = look_of(population.looks[int(generator.integers(len(population.looks)))])
    look = anybody if look is None else look.complete(anybody)
    groups = population.groups(look)
    orders = [generator.permutation(group) for group in groups]
    # of each group in turn: somebody of every group is among them
    blended = np.array([order[rank] for rank in range(NUM_BLENDED) for order in orders if rank < len(order)][:NUM_BLENDED])
    weights = generator.dirichlet(np.full(len(blended), 2.0))
    # each region is one person's, and no two neighbors are the same one's: nobody of the bank appears as a whole
    first = int(generator.integers(len(blended)))
    if _is_of_either_sex(look):
        first = min(_MAN, len(blended) - 1)  # whose eyes wear no make-up; nose, mouth and chin are the women's, who have no stubble
    turns = (first + np.arange(NUM_REGIONS)) % len(blended)
    shares = np.zeros((len(blended), 1 + NUM_REGIONS), np.float32)
    shares[:, 0] = weights
    shares[turns, 1 + np.arange(NUM_REGIONS)] = 1
    # a mean of several people varies less than people do
    center = weights @ np.array([population.shapes[group].mean(axis=0) for one in blended for group in groups if one in group])
    shape = center + (weights @ population.shapes[blended] - center) / np.sqrt((weights**2).sum())
    shape += _SHAPE_NOISE * _truncated_normal(generator, len(shape))
    mouths = population.mouths.draw(generator)
    tone, grain_seed = _truncated_normal(generator, 3), int(generator.integers(2**31))
    turn, noise = _truncated_normal(generator, 3), generator.standard_normal(num_expression).astype(np.float32)
    limit = np.maximum(MAX_SHAPE, np.abs(center) + _SHAPE_REACH)
    shape = np.clip(shape, -limit, limit).astype(np.float32)
    iris_scale, lid_scale = (float(weights @ scales[blended]) for scales in (population.iris_scales, population.lid_scales))
    return Identity(shape, iris_scale, lid_scale, blended.astype(np.int64), shares, mouths, look, tone, grain_seed, noise, turn)
