"""The look of a person in coarse classes: what decides of which group a synthetic person is drawn, and nothing else.

Only the standard library is imported: ``options.py`` reads this file, and ``ganon-hf --help`` reads that.
"""
# ruff: noqa: I002

from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

Age = Literal["toddler", "child", "teen", "young", "middle", "old"]
Sex = Literal["woman", "man", "unsure"]
Shade = Literal["light", "medium", "dark"]

TEEN: Age = "teen"
# Classes of the network and of the people in the bank; teenagers are blended from two of them.
AGES: tuple[Age, ...] = tuple(age for age in get_args(Age) if age != TEEN)
SEXES: tuple[Sex, ...] = get_args(Sex)
SHADES: tuple[Shade, ...] = get_args(Shade)
# First year of each of these, where teenagers count as young; and first year of somebody who is no teenager.
AGE_STARTS, TEEN_END = (0, 4, 13, 35, 60), 18
MAX_AGE = 120
# What stands for a look that is left to the photo, and for none at all.
MATCH, RANDOM = "match", "random"
_BEARDLESS: tuple[Age, ...] = ("toddler", "child", TEEN)
_BEARD = {True: "beard", False: "clean-shaven"}
_WORDS = (*get_args(Age), *SEXES, *_BEARD.values(), *(f"{shade} {part}" for part in ("brows", "skin") for shade in SHADES))


@dataclass(frozen=True)
class Look:
    """Coarse classes of how a person looks. A part that is None is not decided: it is read from the photo.

    ``str(look)`` gives the words that :func:`parse_look` reads.

    Attributes:
        age: ``"toddler"`` is 0 to 3 years, ``"child"`` 4 to 12, ``"teen"`` 13 to 17, and also between child and young adult;
            ``"young"`` 18 to 34, ``"middle"`` 35 to 59, ``"old"`` 60 and more.
        sex: ``"unsure"`` is between: an adult is a blend of either sex, or a man if there is a beard.
        beard: also a moustache or stubble that is seen at once. Toddlers, children and teens have none.
        brows: how dark the brows are beside the skin.
        skin: ``"light"`` is an individual typology angle above 41 degrees, ``"dark"`` one below 10 (see ``skin_tone.py``).

    Raises:
        ValueError: a part is none of the choices, or somebody below 18 has a beard.
    """

    age: Age | None = None
    sex: Sex | None = None
    beard: bool | None = None
    brows: Shade | None = None
    skin: Shade | None = None

    def __post_init__(self) -> None:
        choices: dict[str, tuple[object, ...]] = {
            "age": get_args(Age),
            "sex": SEXES,
            "beard": (True, False),
            "brows": SHADES,
            "skin": SHADES,
        }
        for name, accepted in choices.items():
            value = getattr(self, name)
            if value is not None and (value not in accepted or (name == "beard" and not isinstance(value, bool))):
                raise ValueError(f"Look.{name} must be None or one of {', '.join(map(repr, accepted))}, but got {value!r}.")
        if self.beard and self.age in _BEARDLESS:
            raise ValueError(f"a {self.age} has no beard: leave out one of the two.")

    def __str__(self) -> str:
        shades = [f"{shade} {part}" for part, shade in (("brows", self.brows), ("skin", self.skin)) if shade]
        words = [self.age, self.sex, None if self.beard is None else _BEARD[self.beard], *shades]
        return ", ".join(word for word in words if word) or MATCH

    @property
    def is_child(self) -> bool:
        """Toddler or child."""
        return self.age in ("toddler", "child")

    @property
    def may_have_stubble(self) -> bool:
        """A grown man without a beard."""
        return self.sex == "man" and self.age in AGES[2:] and not self.beard

    def complete(self, other: "Look") -> "Look":
        """The parts that are None taken from another look; nobody below 18 gets a beard from it, nor does a woman from a man."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        values = {name: getattr(other, name) if value is None else value for name, value in given.items()}
        if self.beard is None and values["beard"] and (values["age"] in _BEARDLESS or values["sex"] == "woman"):
            values["beard"] = False
        if self.beard and self.age is None and values["age"] in _BEARDLESS:
            values["age"] = "young"
        return replace(self, **values)


def age_class(years: float) -> Age:
    """The class of an age in years, one of :data:`AGES`.

    Raises:
        ValueError: below 0 or above 120.
    """
    if not 0 <= years <= MAX_AGE:
        raise ValueError(f"an age must be 0 to {MAX_AGE} years, but got {years!r}.")
    return AGES[sum(years >= start for start in AGE_STARTS) - 1]


def parse_look(text: str) -> Look:
    """Read a look from words, e.g. ``"woman, 30"``, ``"man, old, beard"``, ``"child"`` or ``"dark skin"``.

    Args:
        text: words separated by commas, in any order and case, each part of the look at most once; a number is the age in years.
            ``"match"`` alone leaves everything to the photo.

    Raises:
        ValueError: a word is unknown, or two words speak of the same part.
    """
    words = [" ".join(word.casefold().split()) for word in text.split(",")] if isinstance(text, str) else []
    if words == [MATCH]:
        return Look()
    parts = [_part_of(word) for word in words]
    names = [name for name, _ in parts]
    if not parts or "" in names or len(set(names)) < len(names):
        known = ", ".join(map(repr, _WORDS))
        raise ValueError(
            f"look must be words separated by commas, each part once, from {known} or an age in years, but got {text!r}: "
            f"{_complaint(words, names)}."
        )
    return Look(**dict(parts))  # type: ignore[arg-type]  # checked there


def check_look(text: str) -> None:
    """Raise ValueError unless the text is ``"match"``, ``"random"`` or words of a look."""
    if text != RANDOM:
        try:
            parse_look(text)
        except ValueError as error:
            raise ValueError(f"{str(error).rstrip('.')}. {MATCH!r} reads the look from the photo, {RANDOM!r} draws anybody.") from None


def _part_of(word: str) -> tuple[str, object]:
    """Name and value of the part that a word speaks of; an empty name where it is no word of a look."""
    if word in get_args(Age):
        return "age", word
    if word in SEXES:
        return "sex", word
    if word in _BEARD.values():
        return "beard", word == _BEARD[True]
    if word.isascii() and word.isdigit() and len(word) <= 3 and int(word) <= MAX_AGE:
        years = int(word)
        return "age", TEEN if AGE_STARTS[2] <= years < TEEN_END else age_class(years)
    shade, _, part = word.partition(" ")
    return (part, shade) if part in ("brows", "skin") and shade in SHADES else ("", None)


def _complaint(words: list[str], names: list[str]) -> str:
    """What is wrong with words that give no look."""
    if not words:
        return "it is no text"
    if "" in names:
        return f"{words[names.index('')]!r} is none of them"
    return f"it says the {next(name for name in names if names.count(name) > 1)} twice"
