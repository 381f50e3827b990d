"""How much is attacked, from which seed, and a summary of what came of it.

``GANON_ATTACK_SCALE`` (1) multiplies the numbers of mutated files and kills; ``GANON_ATTACK_SEED`` (1) makes other ones.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

_TALLIES: dict[str, Counter[str]] = {}


def scale() -> int:
    """How many times the usual number."""
    return int(os.environ.get("GANON_ATTACK_SCALE", "1"))


@pytest.fixture
def attack_scale() -> int:
    return scale()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(int(os.environ.get("GANON_ATTACK_SEED", "1")))


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Counter[str]]:
    """Counts of this test, printed at the end of the run."""
    yield _TALLIES.setdefault(request.node.name, Counter())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the counts."""
    if _TALLIES:
        terminalreporter.section("attacks")
        for name, counts in sorted(_TALLIES.items()):
            terminalreporter.write_line(f"{name}: " + ", ".join(f"{count} {what}" for what, count in sorted(counts.items())))
