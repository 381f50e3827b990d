"""The words of a look: what they mean, that they come back, and what is refused."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from typing import Any, get_args

import pytest

from ganon_hf.core.look import AGES, MAX_AGE, SEXES, SHADES, Age, Look, age_class, check_look, parse_look


def every_look() -> list[Look]:
    parts = itertools.product((None, *get_args(Age)), (None, *SEXES), (None, True, False), (None, *SHADES), (None, *SHADES))
    return [Look(*values) for values in parts if not (values[2] and values[0] in ("toddler", "child", "teen"))]


def test_the_words_of_every_look_give_it_back() -> None:
    looks = every_look()
    assert len(looks) > 1000 and len({str(look) for look in looks}) == len(looks)
    for look in looks:
        assert parse_look(str(look)) == look
        check_look(str(look))


@pytest.mark.parametrize(
    ("text", "look"),
    [
        ("match", Look()),
        (" Match ", Look()),
        ("woman, 30", Look("young", "woman")),
        ("man, old, beard", Look("old", "man", beard=True)),
        ("child", Look("child")),
        ("12", Look("child")),
        ("13, man", Look("teen", "man")),
        ("17", Look("teen")),
        ("18", Look("young")),
        ("CLEAN-SHAVEN,dark   skin , light brows", Look(beard=False, brows="light", skin="dark")),
        ("unsure, 0", Look("toddler", "unsure")),
    ],
)
def test_words(text: str, look: Look) -> None:
    assert parse_look(text) == look


def test_the_borders_of_the_ages() -> None:
    assert [age_class(years) for years in (0, 3, 4, 12, 13, 34, 35, 59, 60, MAX_AGE)] == [age for age in AGES for _ in range(2)]
    for years in (-1, MAX_AGE + 1, float("nan")):
        with pytest.raises(ValueError, match="age must be 0 to 120 years"):
            age_class(years)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "'' is none of them"),
        ("girl", "'girl' is none of them"),
        ("woman,", "'' is none of them"),
        ("woman, man", "it says the sex twice"),
        ("30, old", "it says the age twice"),
        ("121", "'121' is none of them"),
        ("²", "'²' is none of them"),
        ("random", "'random' is none of them"),
        ("match, woman", "'match' is none of them"),
        ("dark", "'dark' is none of them"),
        (7, "it is no text"),
    ],
)
def test_what_is_no_look(text: Any, complaint: str) -> None:
    """The error names the words that were given, those that are accepted, and what is wrong."""
    with pytest.raises(ValueError, match=re.escape(f"but got {text!r}: {complaint}.")) as caught:
        parse_look(text)
    assert "'toddler', 'child'" in str(caught.value) and "'dark skin'" in str(caught.value)


def test_random_is_an_option_and_not_a_look() -> None:
    check_look("random")
    with pytest.raises(ValueError, match="'random' draws anybody"):
        check_look("girl")


@pytest.mark.parametrize(
    "values", [{"age": "teenager"}, {"age": 30}, {"sex": "male"}, {"beard": "yes"}, {"beard": 1}, {"brows": "black"}, {"skin": "pale"}]
)
def test_parts_are_checked(values: dict[str, Any]) -> None:
    (name,) = values
    with pytest.raises(ValueError, match=rf"Look\.{name} must be None or one of .* but got {re.escape(repr(values[name]))}"):
        Look(**values)


def test_children_have_no_beards() -> None:
    for age in ("toddler", "child"):
        with pytest.raises(ValueError, match=f"a {age} has no beard"):
            parse_look(f"{age}, beard")


def test_a_look_is_completed_by_the_photo() -> None:
    seen = Look("middle", "man", beard=True, brows="dark", skin="medium")
    assert Look().complete(seen) == seen and seen.complete(Look("old", "woman")) == seen
    assert Look("old", skin="dark").complete(seen) == Look("old", "man", beard=True, brows="dark", skin="dark")
    # the photo's beard does not go to a child or a woman; one asked for makes an adult
    assert Look("child").complete(seen) == Look("child", "man", beard=False, brows="dark", skin="medium")
    assert Look(sex="woman").complete(seen).beard is False and Look(sex="woman", beard=True).complete(seen).beard is True
    assert Look(beard=True).complete(Look("toddler", "unsure", beard=False)) == Look("young", "unsure", beard=True)


def test_help_stays_fast() -> None:
    """The options import this file: nothing but the standard library may come with it."""
    code = "import sys, ganon_hf.core.options; print([name for name in ('numpy', 'torch', 'PIL', 'cv2') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
