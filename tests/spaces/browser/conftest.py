"""The Space in a process of its own, and headless Chromium to look at it. Skipped where Chromium or Playwright is missing."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from space_browser import CHROMIUM, EXAMPLES, Site, Visitor, mark_browser_tests, serving, visiting


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark_browser_tests(items, Path(__file__).parent, ("playwright", "gradio", "gradio_client"))


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(tmp_path_factory.mktemp("space")) as site:
        yield site


@pytest.fixture(scope="session")
def chromium(playwright: Any) -> Iterator[Any]:
    """A browser whose camera shows the example portrait."""
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "camera.mjpeg"
        frame = io.BytesIO()
        with Image.open(EXAMPLES / "portrait.jpg") as image:
            image.resize((640, 640)).crop((0, 0, 640, 480)).save(frame, "JPEG", quality=90)
        film.write_bytes(frame.getvalue() * 30)
        arguments = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
        arguments += [f"--use-file-for-fake-video-capture={film}"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def visitor(chromium: Any, site: Site) -> Iterator[Visitor]:
    with visiting(chromium, site) as visitor:
        yield visitor
