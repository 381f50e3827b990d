"""The options: what they accept, and that whatever else names them agrees: docs, curve of privacy, both pipelines."""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ganon_hf
from ganon_hf.core import geometry
from ganon_hf.core.look import MATCH, RANDOM
from ganon_hf.core.options import AnonymizeOptions, PrivacyLevel, choices_of

PAGE = Path(__file__).parents[2] / "docs" / "photos.md"
FIELDS = dataclasses.fields(AnonymizeOptions)

REFUSED = {
    "seed": [-1, 2**63, 1.5, 7.0, "7", True],
    "geometry": ["none", None, "Anonymous"],
    "privacy": ["none", 1],
    "skin_tone": ["pale"],
    "look": ["", "girl", "woman, man", "woman; 30", "121", "woman,,30", "random, woman", None, 30],
    "output": ["both"],
    "cover": ["blur", "pixelate", None],
    "keep_occluders": [None, 1, "yes"],
    "min_face_size": [7, 4097, 24.5, "24", None, math.nan, True],
    "min_score": [-0.1, 1.1, "high", None, math.nan, False],
    "on_no_face": ["copy", "ignore"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in REFUSED.items() for value in values])
def test_options_name_what_is_wrong(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} must be") as caught:
        AnonymizeOptions(**{name: value})
    assert repr(value) in str(caught.value)


def test_a_level_of_privacy_that_would_have_no_effect_is_refused() -> None:
    for level in ("low", "high"):
        with pytest.raises(ValueError, match=f"privacy '{level}' has no effect with geometry 'original'"):
            AnonymizeOptions(geometry="original", privacy=level)  # type: ignore[arg-type]
    assert AnonymizeOptions(geometry="original").privacy == "medium"


def test_every_option_is_checked() -> None:
    assert list(REFUSED) == [option.name for option in FIELDS]


def test_options_accept_their_limits() -> None:
    for values in ({"seed": 0}, {"seed": 2**63 - 1}, {"min_face_size": 8}, {"min_face_size": 4096}, {"min_score": 0}, {"min_score": 1}):
        AnonymizeOptions(**values)  # type: ignore[arg-type]
    for look in ("match", "random", "woman, 30", "man, old, beard", "Child", "dark skin,  light  brows"):
        assert AnonymizeOptions(look=look).look == look
    AnonymizeOptions(seed=np.int64(3), min_face_size=np.int32(32), min_score=np.float32(0.25))  # type: ignore[arg-type]


def test_the_error_says_the_rule() -> None:
    for values, rule in (
        ({"seed": -1}, "seed must be None or an integer from 0 to 9223372036854775807, but got -1."),
        ({"min_score": 2}, "min_score must be a number from 0 to 1, but got 2."),
        ({"output": "both"}, "output must be one of 'photo', 'crop', but got 'both'."),
    ):
        with pytest.raises(ValueError, match=re.escape(rule)):
            AnonymizeOptions(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize("option", FIELDS, ids=lambda option: option.name)
def test_every_field_describes_itself(option: dataclasses.Field[Any]) -> None:
    """Command line, Space and docs are made from this."""
    assert option.metadata["help"].endswith(".")
    assert [bool(choices_of(option)), "range" in option.metadata, "check" in option.metadata, option.type is bool].count(True) == 1
    for choice in choices_of(option) if option.name != "privacy" else ("low", "high"):
        assert f"`{choice}`" in option.metadata["help"]


def test_a_photo_without_a_face_is_an_error_by_default() -> None:
    assert AnonymizeOptions().on_no_face == "raise"


def test_every_level_of_privacy_has_its_numbers() -> None:
    assert tuple(geometry.PRIVACY) == typing.get_args(PrivacyLevel)


def test_the_table_in_the_docs_is_that_of_the_fields() -> None:
    _, _, table = PAGE.read_text(encoding="utf-8").partition("| option | default | values | meaning |\n|---|---|---|---|\n")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.partition("\n\n")[0].splitlines()]
    written = [(name, default, values) for name, default, values, _ in rows]

    def shown(value: object) -> str:
        return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"

    def values(option: dataclasses.Field[Any]) -> str:
        if option.name == "look":
            return f"{shown(MATCH)}, {shown(RANDOM)} or words"
        if option.type is bool:
            return "`True`, `False`"
        low, high = option.metadata.get("range", (0, 0))
        return ", ".join(map(shown, choices_of(option))) or f"{low} to {high}".replace(str(2**63 - 1), "2^63 - 1")

    assert written == [(f"`{option.name}`", shown(option.default), values(option)) for option in FIELDS]


def documented(call: Callable[..., Any]) -> dict[str, str]:
    """The entries of a Google style docstring's Args, each on one line."""
    args = inspect.getdoc(call).partition("\nArgs:\n")[2].partition("\n\n")[0]  # type: ignore[union-attr]
    entries = re.split(r"^    (?=\w+: )", args, flags=re.M)[1:]
    return {name: " ".join(text.split()) for name, _, text in (entry.partition(": ") for entry in entries)}


@pytest.mark.parametrize("name", ["FaceAnonymizationPipeline", "GanonPipeline"])
def test_both_pipelines_name_the_options(name: str) -> None:
    """Names, types, defaults and words of the signature and of the docstring are those of the fields."""
    if name == "GanonPipeline":
        pytest.importorskip("diffusers")
    call = getattr(ganon_hf, name).__call__
    signature, hints, docs = inspect.signature(call), typing.get_type_hints(inspect.unwrap(call)), documented(call)
    assert [parameter for parameter in signature.parameters if parameter in REFUSED] == list(REFUSED)
    assert all(parameter.kind is not inspect.Parameter.VAR_KEYWORD for parameter in signature.parameters.values())
    for option in FIELDS:
        assert signature.parameters[option.name].default == option.default
        assert hints[option.name] == option.type
        assert docs[option.name].casefold() == option.metadata["help"].casefold()
    assert list(docs) == [parameter for parameter in signature.parameters if parameter != "self"], "every argument is documented"
