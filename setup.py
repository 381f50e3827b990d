"""What the build needs beside pyproject.toml: the README with absolute links, because PyPI shows it without the files beside it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
_LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\[\]]*)\]\((?P<target>(?![a-z]+:)[^)\s]+)\)")
_SOURCE = re.compile(r"(?P<start><img[^>]*\bsrc=\")(?P<target>(?![a-z]+:)[^\"]+)")


def with_absolute_links(text: str, repository: str) -> str:
    """Links and pictures of Markdown that are relative to the repository, as addresses on the web.

    Args:
        text: Markdown.
        repository: its address, without a slash at the end.
    """
    raw = f"{repository.replace('https://github.com/', 'https://raw.githubusercontent.com/')}/main"

    def absolute(link: re.Match[str]) -> str:
        image, target = link["image"], link["target"].removeprefix("./")
        if target.startswith("#"):  # a heading of the README: not every site that shows it can jump there
            return f"[{link['text']}]({repository}{target})"
        return f"{image}[{link['text']}]({raw if image else repository + '/blob/main'}/{target})"

    text = _LINK.sub(absolute, text)
    return _SOURCE.sub(lambda source: f"{source['start']}{raw}/{source['target']}", text)


if __name__ == "__main__":
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    setup(
        long_description=with_absolute_links((ROOT / "README.md").read_text(encoding="utf-8"), project["urls"]["Repository"]),
        long_description_content_type="text/markdown",
    )
