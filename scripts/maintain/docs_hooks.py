"""Hooks of MkDocs: links out of docs/ lead to the repository, and the page of the command line is made from the commands themselves."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import posixpath
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, get_args, get_origin

from typer.models import OptionInfo

_LINK = re.compile(r"\]\((?P<target>(?![a-z]+:|#|/)[^)\s]+)\)")
_FIELDS = "<!-- fields of the options -->"
_COMMAND = re.compile(r"^<!-- options of: (?P<name>[a-z]+) -->$", re.M)


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Called for each page before it becomes HTML."""
    folder = posixpath.dirname(page.file.src_uri)

    def outside(link: re.Match[str]) -> str:
        place = posixpath.normpath(posixpath.join(folder, link["target"].partition("#")[0]))
        if not place.startswith("../"):
            return link[0]
        anchor = link["target"][len(link["target"].partition("#")[0]) :]
        return f"]({config['repo_url'].rstrip('/')}/blob/main/{place.removeprefix('../')}{anchor})"

    markdown = _LINK.sub(outside, markdown).replace(_FIELDS, fields_table())
    return _COMMAND.sub(lambda mark: options_table(mark["name"]), markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Roles in docstrings become code."""
    return re.sub(r":(?:class|func|meth|mod|data|attr):<code>~?\.?([\w.]+)</code>", lambda role: f"<code>{_last(role[1])}</code>", html)


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def fields_table() -> str:
    """The fields of ``AnonymizeOptions``, as Markdown."""
    from ganon_hf.core.options import AnonymizeOptions, choices_of

    lines = ["| option | default | values | meaning |", "|---|---|---|---|"]
    for option in dataclasses.fields(AnonymizeOptions):
        low, high = option.metadata.get("range", ("", ""))
        values = ", ".join(f"`{choice!r}`" for choice in choices_of(option)) or (f"{low} to {high}" if option.metadata.get("range") else "")
        lines.append(f"| `{option.name}` | `{option.default!r}` | {values} | {option.metadata['help']} |")
    return "\n".join(lines)


def commands() -> dict[str, Callable[..., Any]]:
    """Names of the commands and what they call."""
    from ganon_hf.cli.main import app

    return {command.name or command.callback.__name__: command.callback for command in app.registered_commands}  # type: ignore[union-attr]


def options_table(name: str) -> str:
    """A command's help and its options, as Markdown."""
    command = commands()[name]
    lines = [inspect.getdoc(command) or "", "", "| argument or option | default | meaning |", "|---|---|---|"]
    lines += [_row(parameter) for parameter in inspect.signature(command, eval_str=True).parameters.values()]
    return "\n".join(lines)


def _row(parameter: inspect.Parameter) -> str:
    kind, info, default = _read(parameter)
    names = flags_of(parameter) or [info.metavar or parameter.name]
    metavar = info.metavar.replace("|", "\\|") if flags_of(parameter) and info.metavar else ""
    choices = next((get_args(one) for one in (kind, *get_args(kind)) if get_origin(one) is Literal), ())
    values = f" ({', '.join(f'`{choice}`' for choice in choices)})" if choices else ""
    required = default is ... or default is inspect.Parameter.empty
    shown = "required" if required else "" if default is None or default is False or default == "" else f"`{default}`"
    help_text = " ".join((info.help or "").split()).replace("|", "\\|")
    return f"| {', '.join(f'`{one}`' for one in names)}{f' `{metavar}`' if metavar else ''} | {shown} | {help_text}{values} |"


def flags_of(parameter: inspect.Parameter) -> list[str]:
    """How an option is typed; empty for an argument."""
    kind, info, default = _read(parameter)
    if not isinstance(info, OptionInfo):
        return []
    flag = f"--{parameter.name.replace('_', '-')}"
    named = [one for names in info.param_decls or () for one in names.split("/")]
    return named or [flag, *([f"--no-{flag[2:]}"] if kind is bool and default is True else [])]


def _read(parameter: inspect.Parameter) -> tuple[Any, Any, Any]:
    """Type, description and default of a parameter; both of typer's spellings."""
    if get_origin(parameter.annotation) is not Annotated:
        return parameter.annotation, parameter.default, parameter.default.default
    kind, info = get_args(parameter.annotation)
    if isinstance(info.default, str):  # in an annotation the first name stands where a default would
        info = copy.copy(info)
        info.param_decls, info.default = (info.default, *(info.param_decls or ())), ...
    return kind, info, parameter.default
