"""The real face detector, for the tests of its parts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ganon_hf.core.detection_search import YuNetDetector


@pytest.fixture(scope="module")
def detector() -> Iterator[YuNetDetector]:
    made = YuNetDetector(threads=2)
    yield made
    made.close()
