"""How coverage is counted: which box is which face, and the table by height."""

from __future__ import annotations

import numpy as np
import pytest

from ganon_hf.core.faces import Face
from ganon_hf.evaluation.metrics.coverage import CoverageRow, coverage_table, match_faces


@pytest.mark.parametrize(
    ("found", "matches", "false", "reason"),
    [
        ([(0, 0, 10, 10)], [0], [], "exact"),
        ([], [None], [], "nothing found"),
        ([(0, 0, 10, 4)], [None], [], "less than half of it, not its center"),
        ([(-50, -50, 60, 60)], [None], [], "a box so large that it means something else"),
        ([(30, 30, 40, 40), (1, 1, 10, 10)], [1], [0], "one right, one false"),
    ],
)
def test_match_faces(found: list, matches: list, false: list, reason: str) -> None:
    got, wrong = match_faces([(0, 0, 10, 10)], found)
    assert (got, [i for i in wrong if found[i] != (-50, -50, 60, 60)]) == (matches, false), reason


def test_coverage_table_counts_by_height() -> None:
    mesh = np.zeros((478, 3), np.float32)
    truths = [((0, 0, 10, 10), 24), ((20, 0, 30, 10), 24), ((40, 0, 50, 10), 32)]
    faces = [Face((0, 0, 10, 10), 0.9, mesh), Face((20, 0, 30, 10), 0.9)]
    rows = coverage_table([(truths, faces)])  # type: ignore[list-item]
    assert rows == [CoverageRow(24, 1, 1, 0), CoverageRow(32, 0, 0, 1)]
    assert rows[0].found_share == 1.0 and 0.3 < rows[0].interval[0] < rows[0].interval[1] <= 1.0
