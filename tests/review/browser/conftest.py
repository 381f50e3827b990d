"""Headless Chromium for the review page. Skipped where Chromium or Playwright is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from space_browser import CHROMIUM


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = [] if CHROMIUM else ["chromium (apt-get install chromium)"]
    try:
        __import__("playwright")
    except ImportError:
        missing.append("the Python package playwright")
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.slow)
            if missing:
                item.add_marker(pytest.mark.skip(reason=f"needs {', '.join(missing)}: `make test-browser` installs what it can"))
