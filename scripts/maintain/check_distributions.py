"""Check what `make build` has made, before it is uploaded: everything that the program needs lies in the wheel, and says its size.

python scripts/maintain/check_distributions.py dist/
"""

from __future__ import annotations

import argparse
import re
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "src" / "ganon_hf"
LIMIT = 100 * 1024 * 1024  # of PyPI, for one file


def needed() -> dict[str, bytes]:
    """Files of the package that are no code, by their names in a wheel."""
    found = (path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc"))
    return {f"ganon_hf/{path.relative_to(PACKAGE).as_posix()}": path.read_bytes() for path in found}


def problems_of_wheel(path: Path) -> list[str]:
    """What is wrong with a wheel."""
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
        wanted = needed()
        problems = [f"{name} is missing" for name in sorted(wanted.keys() - names)]
        problems += [f"{name} is another one" for name, content in sorted(wanted.items()) if name in names and wheel.read(name) != content]
        problems += [f"{name} does not belong there" for name in sorted(names) if not name.startswith(("ganon_hf/", "ganon_hf-"))]
        metadata = wheel.read(next(name for name in names if name.endswith(".dist-info/METADATA"))).decode()
    if re.search(r"\]\((?![a-z]+:)", metadata):
        problems.append("its description has relative links, which PyPI cannot follow")
    return problems


def problems_of_sdist(path: Path) -> list[str]:
    """What is wrong with a source distribution."""
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"pyproject.toml", "setup.py", "README.md", "LICENSE", *(f"src/{name}" for name in needed())}
    return [f"{name} is missing" for name in sorted(wanted - names)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print sizes and problems; 1 where there is one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="with one wheel and one source distribution")
    folder = parser.parse_args(arguments).folder
    kinds = {"*.whl": problems_of_wheel, "*.tar.gz": problems_of_sdist}
    problems: list[str] = []
    for pattern, check in kinds.items():
        files = sorted(folder.glob(pattern))
        if len(files) != 1:
            problems.append(f"{folder} has {len(files)} files {pattern}, but should have one")
            continue
        size = files[0].stat().st_size
        print(f"{files[0].name}: {size / 1024**2:.1f} MiB")
        problems += [f"{files[0].name}: {problem}" for problem in check(files[0])]
        if size > LIMIT:
            problems.append(f"{files[0].name} is larger than {LIMIT // 1024**2} MiB, which PyPI takes")
    print("\n".join(problems), end="\n" if problems else "", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
