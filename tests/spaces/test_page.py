"""The controls of the Space's page are the fields of the options; its links and examples lead somewhere."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from ganon_hf import AnonymizeOptions
from ganon_hf.core.options import choices_of

pytest.importorskip("gradio")

SPACE = Path(__file__).parents[2] / "spaces"


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SPACE))
    import parts

    return parts


def test_controls_are_the_fields(parts: ModuleType) -> None:
    fields = {option.name: option for option in dataclasses.fields(AnonymizeOptions)}
    controls = parts.controls()
    assert list(controls) == [name for name in fields if name not in ("seed", "min_score", "on_no_face")]
    for name, control in {**controls, "seed": parts.control("seed"), "min_score": parts.control("min_score")}.items():
        option = fields[name]
        assert control.value == option.default and control.info == option.metadata["help"]
        assert control.label == name.replace("_", " ").capitalize()
        if choices := choices_of(option):
            assert [value for _, value in control.choices] == list(choices)
        elif "range" in option.metadata:
            assert (control.minimum, control.maximum) == option.metadata["range"]


def test_the_controls_give_the_default_options(parts: ModuleType) -> None:
    import work

    values = {name: control.preprocess(control.value) for name, control in parts.controls().items()}
    assert work.make_options(7, **values) == AnonymizeOptions(seed=7)


def test_a_tab_has_them_all_and_suggests_looks(parts: ModuleType) -> None:
    import gradio as gr

    with gr.Blocks():
        options = parts.options("photo")
        video = parts.options("video", without=("output",))
    assert list(options.choices) == list(parts.controls()) and set(options.choices) - set(video.choices) == {"output"}
    look = options.choices["look"]
    assert [value for _, value in look.choices] == list(parts.LOOKS) and look.info == parts.controls()["look"].info
    for words in (*parts.LOOKS, "man, 33, beard"):
        AnonymizeOptions(look=look.preprocess(words))


def test_links(parts: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    urls = tomllib.loads((SPACE.parent / "pyproject.toml").read_text())["project"]["urls"]
    assert (parts.PAPER, parts.CODE) == (urls["Paper"], urls["Repository"])
    monkeypatch.delenv("SPACE_ID", raising=False)
    monkeypatch.delenv("GANON_MODEL", raising=False)
    assert parts.CODE in parts.links() and "Model" not in parts.links() and "API" in parts.links()
    monkeypatch.setenv("GANON_MODEL", "name/model")
    monkeypatch.setenv("SPACE_ID", "name/space")
    assert 'href="https://huggingface.co/name/model"' in parts.links()
    assert 'href="https://huggingface.co/spaces/name/space/tree/main"' in parts.links(), "a Space's code lies beside it"
    monkeypatch.setenv("GANON_MODEL", str(tmp_path))
    assert "Model" not in parts.links() and str(tmp_path) not in parts.links(), "a folder of the server is no link"


def test_every_example_is_shown_and_small(parts: ModuleType) -> None:
    files = {path.name: path.stat().st_size for path in (SPACE / "examples").iterdir()}
    assert set(parts.EXAMPLES) == set(files) and max(files.values()) < 100_000
    shown = parts.examples("photo").value
    assert shown.count("data:image/jpeg;base64,") == len(files) and len(shown) < 60_000
