"""Headless Chromium for the review page. Skipped where Chromium or Playwright is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from space_browser import mark_browser_tests


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark_browser_tests(items, Path(__file__).parent, ("playwright",))
