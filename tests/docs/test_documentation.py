"""The docs tell what is there, all of it, and nothing else: names, options, arguments, links, examples."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from script_loading import load_script

import ganon_hf
import ganon_hf.bulk

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *DOCS.rglob("*.md")])
HOOKS = load_script("maintain/docs_hooks")
MODULES = {"ganon_hf": "ganon_hf.md", "ganon_hf.bulk": "bulk.md", "ganon_hf.video": "video.md"}
# What torch and transformers decide, or what a class is made from and not by a user.
NOT_ARGUMENTS = {"self", "cls", "args", "kwargs"}


def module(name: str) -> ModuleType:
    for needed in {"ganon_hf.video": ["av", "scipy"], "ganon_hf.bulk": ["pyarrow"], "ganon_hf": ["diffusers"]}[name]:
        pytest.importorskip(needed)
    return importlib.import_module(name)


def public_calls(name: str) -> list[tuple[str, Callable[..., Any]]]:
    """Public functions, and public methods of public classes that are defined here."""
    calls: list[tuple[str, Callable[..., Any]]] = []
    for public in module(name).__all__:
        value = getattr(module(name), public)
        if inspect.isfunction(value):
            calls.append((public, value))
        elif inspect.isclass(value):
            members = {key: member for key, member in vars(value).items() if not key.startswith("_") or key == "__call__"}
            functions = {key: getattr(member, "__func__", member) for key, member in members.items()}
            calls += [(f"{public}.{key}", function) for key, function in functions.items() if inspect.isfunction(function)]
    return calls


@pytest.mark.parametrize("name", MODULES)
def test_the_reference_has_every_public_name_and_no_other(name: str) -> None:
    written = re.findall(rf"^::: {re.escape(name)}\.(\w+)$", (DOCS / "reference" / MODULES[name]).read_text(), re.M)
    assert sorted(written) == sorted(set(module(name).__all__) - {"__version__"})


@pytest.mark.parametrize("name", MODULES)
def test_every_public_argument_is_documented_and_no_stale_one(name: str) -> None:
    wrong = []
    for where, call in public_calls(name):
        text = inspect.getdoc(call) or ""
        part = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", text, re.M | re.S)
        written = set(re.findall(r"^    (\w+): ", part[1], re.M)) if part else set()
        arguments = set(inspect.signature(call).parameters) - NOT_ARGUMENTS
        if part is None and ((len(arguments) <= 2 and len(text.splitlines()) <= 12) or "see :meth:" in text):
            continue  # one sentence says it, or another docstring
        if written - {"kwargs"} != arguments:
            wrong.append(f"{where}: documented {sorted(written)}, there are {sorted(arguments)}")
    assert not wrong, wrong


def test_every_command_has_its_place_in_the_reference() -> None:
    page = (DOCS / "reference" / "cli.md").read_text()
    marks = re.findall(r"^<!-- options of: (\w+) -->$", page, re.M)
    assert sorted(marks) == sorted(HOOKS.commands()) and marks == re.findall(r"^## ganon-hf (\w+)$", page, re.M)
    filled = HOOKS.on_page_markdown(page, type("Page", (), {"file": type("File", (), {"src_uri": "reference/cli.md"})}), {"repo_url": "x"})
    assert "<!--" not in filled
    for name, command in HOOKS.commands().items():
        table = HOOKS.options_table(name)
        for parameter in inspect.signature(command, eval_str=True).parameters.values():
            assert all(f"`{flag}`" in table for flag in HOOKS.flags_of(parameter)), parameter.name
        rows = [line.replace("\\|", "") for line in table.splitlines() if line.startswith("|")]
        assert all(line.count("|") == 4 and not line.endswith("|  |") for line in rows), "three cells, and the last says what it does"


def test_no_page_names_an_option_that_is_gone() -> None:
    known = {
        name: {flag for parameter in inspect.signature(call, eval_str=True).parameters.values() for flag in HOOKS.flags_of(parameter)}
        for name, call in HOOKS.commands().items()
    }
    stale = []
    for page in PAGES:
        for line in page.read_text().splitlines():
            for command, rest in re.findall(r"ganon-hf (\w+)((?: [^|`&#\n]*)?)", line):
                flags = set(re.findall(r"(?<!\S)--[a-z][a-z-]*", rest))
                if command in known and flags - known[command] - {"--help"}:
                    stale.append(f"{page.name}: {command} {flags - known[command]}")
    assert not stale, stale


def links(page: Path) -> list[str]:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    return re.findall(r"\]\((?![a-z]+:)([^)\s]+)\)", text)


def slug(heading: str) -> str:
    """A heading's anchor, as GitHub and MkDocs make it."""
    plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", plain.strip().lower()))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = page if not name else (page.parent / name).resolve()
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", target.read_text(), flags=re.S), re.M)
            assert anchor in map(slug, headings), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_examples_are_python_and_import_what_is_there(page: Path) -> None:
    for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.S):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ganon_hf"):
                if node.module == "ganon_hf.video":
                    pytest.importorskip("av")
                names = [alias.name for alias in node.names]
                assert all(hasattr(importlib.import_module(str(node.module)), name) for name in names), names


def test_runnable_examples_of_docstrings() -> None:
    """All of public names, with their output."""
    examples = 0
    for name in ("ganon_hf", "ganon_hf.bulk"):
        for public in set(module(name).__all__) - {"__version__"}:
            value = getattr(module(name), public)
            scope = vars(sys.modules[value.__module__]).copy()
            for test in doctest.DocTestFinder(recurse=True).find(value, public, globs=scope):
                runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
                assert runner.run(test).failed == 0, test.name
                examples += len(test.examples)
    assert examples >= 8


def test_the_readme_of_the_wheel_has_absolute_links() -> None:
    setup = load_script("../setup")
    text = '[a](docs/video.md#x) ![p](docs/images/a.png) [w](https://x.org) [h](#here) [l](LICENSE) <img src="docs/b.png" width=3>'
    assert setup.with_absolute_links(text, "https://github.com/o/n") == (
        "[a](https://github.com/o/n/blob/main/docs/video.md#x) ![p](https://raw.githubusercontent.com/o/n/main/docs/images/a.png) "
        "[w](https://x.org) [h](https://github.com/o/n#here) [l](https://github.com/o/n/blob/main/LICENSE) "
        '<img src="https://raw.githubusercontent.com/o/n/main/docs/b.png" width=3>'
    )
    assert not re.search(r"\]\((?![a-z]+:)", setup.with_absolute_links((ROOT / "README.md").read_text(), "https://github.com/o/n"))


@pytest.mark.parametrize("template", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda path: path.name)
def test_files_for_github_can_be_read(template: Path) -> None:
    yaml = pytest.importorskip("yaml")
    content = yaml.safe_load(template.read_text())
    if template.parent.name == "ISSUE_TEMPLATE" and template.name != "config.yml":
        assert "Never attach a private photo" in content["body"][0]["attributes"]["value"]


def test_the_citation_names_this_version() -> None:
    yaml = pytest.importorskip("yaml")
    content = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert content["version"] == ganon_hf.__version__ and content["preferred-citation"]["doi"] == "10.1145/3641107"
