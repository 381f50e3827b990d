"""Prose of README, changelog and docs has short lines: what is read as text, a change of one sentence shows as one or two lines."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
MOST = 120


def long_lines(text: str) -> list[str]:
    """Lines of prose that are too long. Code, tables and the addresses of links do not count."""
    prose = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.M | re.S)
    lines = [re.sub(r"\]\([^)\s]*\)", "]", line) for line in prose.splitlines() if not line.startswith("|")]
    return [line for line in lines if len(line) > MOST]


def test_code_tables_and_addresses_may_be_long() -> None:
    long = "word " * 30
    assert long_lines(f"short\n{long}\nshort") == [long]
    assert long_lines(f"```\n{long}\n```\n| {long} |\n[link](https://x.org/{'a' * 130})\n") == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_prose_has_short_lines(page: Path) -> None:
    assert long_lines(page.read_text(encoding="utf-8")) == []
