"""The controls of the Space's page are the fields of the options."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import ModuleType

import pytest

from ganon_hf import AnonymizeOptions
from ganon_hf.core.options import choices_of

pytest.importorskip("gradio")

SPACE = Path(__file__).parents[2] / "spaces"


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SPACE))
    import page

    return page


def test_controls_are_the_fields(page: ModuleType) -> None:
    fields = {option.name: option for option in dataclasses.fields(AnonymizeOptions)}
    controls = page.controls()
    assert list(controls) == [name for name in fields if name not in ("seed", "min_score", "on_no_face")]
    for name, control in {**controls, "seed": page.control("seed"), "min_score": page.control("min_score")}.items():
        option = fields[name]
        assert control.value == option.default and control.info == option.metadata["help"]
        assert control.label == name.replace("_", " ").capitalize()
        if choices := choices_of(option):
            assert [value for _, value in control.choices] == list(choices)
        elif "range" in option.metadata:
            assert (control.minimum, control.maximum) == option.metadata["range"]


def test_the_controls_give_the_default_options(page: ModuleType) -> None:
    import work

    values = {name: control.preprocess(control.value) for name, control in page.controls().items()}
    assert work.make_options(7, **values) == AnonymizeOptions(seed=7)
