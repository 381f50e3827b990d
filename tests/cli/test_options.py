"""The flags of every command that anonymizes are the fields of the options."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from ganon_hf.cli import main as cli
from ganon_hf.cli.options import anonymize_flags
from ganon_hf.core.options import AnonymizeOptions

# What a command does not offer, and where its default is another one.
DIFFERENT: dict[str, tuple[set[str], dict[str, object]]] = {
    "anonymize": (set(), {}),
    "video": ({"output"}, {}),
    "webcam": ({"output", "on_no_face"}, {"min_face_size": 64}),
    "scale": (set(), {}),
}


@pytest.mark.parametrize("command", DIFFERENT)
def test_flags_are_the_fields(command: str) -> None:
    """Names, defaults, choices, ranges and help; in their order."""
    without, defaults = DIFFERENT[command]
    flags = {parameter.name: parameter for parameter in get_command(cli.app).commands[command].params}  # type: ignore[attr-defined]
    fields = {option.name: option for option in dataclasses.fields(AnonymizeOptions)}
    commands = {known.name or known.callback.__name__: known.callback for known in cli.app.registered_commands if known.callback}
    signatures = {name: inspect.signature(callback) for name, callback in commands.items()}
    assert [name for name in flags if name in fields] == [name for name in fields if name not in without]
    for name, option in fields.items():
        if name in without:
            continue
        flag = flags[name]
        assert flag.opts == [f"--{name.replace('_', '-')}"] and flag.help == option.metadata["help"]
        assert flag.default == defaults.get(name, option.default)
        kind, info = typing.get_args(signatures[command].parameters[name].annotation)
        assert kind == option.type and (info.min, info.max) == option.metadata.get("range", (None, None))


@pytest.mark.parametrize("command", [name for name in DIFFERENT if name != "webcam"])
def test_the_place_of_the_result_is_another_flag(command: str) -> None:
    """``--output`` is the option photo or crop wherever it exists."""
    names = {name for parameter in get_command(cli.app).commands[command].params for name in parameter.opts}  # type: ignore[attr-defined]
    assert ("--output" in names) == (command != "video") and ("--out" in names) == (command != "scale")


WRONG = {
    "seed": (-1, 2**63, "x"),
    "geometry": ("none",),
    "look": ("", "girl", "woman, man"),
    "cover": ("blur",),
    "min_face_size": (7, 4097, 24.5),
    "min_score": (-0.1, 1.1, "nan"),
    "on_no_face": ("refuse", "copy"),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
@pytest.mark.parametrize("command", ["anonymize", "video", "scale"])
def test_values_that_cannot_be_are_usage_errors(command: str, name: str, value: object, tmp_path: Path) -> None:
    places = [str(tmp_path), str(tmp_path / "out")] if command == "scale" else [str(tmp_path / "a.mp4"), "-o", str(tmp_path / "out")]
    flag = f"--{name.replace('_', '-')}"
    result = CliRunner().invoke(cli.app, [command, *places, f"{flag}={value}"])
    assert result.exit_code == 2 and (flag in result.output or name in result.output), result.output
    assert not list(tmp_path.iterdir())


def test_a_command_gets_the_options_in_one_piece() -> None:
    """Beside its own arguments; what it does not offer has the library's default."""
    got: list[object] = []

    @anonymize_flags(without=["output"], min_score=0.25)
    def command(place: str, options: AnonymizeOptions, own: int = 3) -> None:
        got.extend([place, options, own])

    command(
        place="here",
        seed=7,
        geometry="anonymous",
        privacy="low",
        skin_tone="match",
        look="woman, 30",
        cover="black",
        keep_occluders=False,
        min_face_size=8,
        min_score=0.25,
        on_no_face="keep",
        own=4,
    )
    assert got == ["here", AnonymizeOptions(7, "anonymous", "low", "match", "woman, 30", "photo", "black", False, 8, 0.25, "keep"), 4]
