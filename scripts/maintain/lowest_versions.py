"""Print the lowest versions that pyproject.toml admits, as constraints for pip: what is declared must work with them.

    python scripts/maintain/lowest_versions.py torch==2.13.0 > lowest.txt
    pip install -c lowest.txt -e ".[dev]"

Only what the project itself names is constrained. Arguments replace the lowest version of a package, for instance where there is no small
build of it. Needs nothing but Python, so that it runs before anything is installed.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9_.-]+)(?:\[[^\]]*\])?(?P<bounds>.*)")


def lowest_versions(requirements: Iterable[str]) -> dict[str, str]:
    """Package -> lowest version; of several bounds on one package the highest counts.

    Raises:
        ValueError: a requirement has no lower bound.
    """
    lowest: dict[str, str] = {}
    for requirement in requirements:
        match = _REQUIREMENT.fullmatch(requirement.replace(" ", ""))
        if match is None:
            raise ValueError(f"cannot read the requirement {requirement!r}.")
        bounds = re.findall(r"(?:>=|==)([^,;]+)", match["bounds"])
        if not bounds:
            raise ValueError(f"{requirement!r} must say from which version on it works: {match['name']}>=...")
        name = re.sub(r"[-_.]+", "-", match["name"]).lower()
        lowest[name] = max([*bounds, lowest.get(name, bounds[0])], key=_numbers)
    return lowest


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


def main() -> None:
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    optional = [requirement for extra in project["optional-dependencies"].values() for requirement in extra]
    lowest = lowest_versions(one for one in [*project["dependencies"], *optional] if not one.startswith(project["name"]))
    lowest |= dict(argument.split("==") for argument in sys.argv[1:])
    for name, version in sorted(lowest.items()):
        print(f"{name}=={version}")  # noqa: T201


if __name__ == "__main__":
    main()
