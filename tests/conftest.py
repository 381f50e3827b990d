"""What every test gets: private caches, no network, a real photo, and a stand-in engine for tests that are about files."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from PIL import Image
from standins import Run, SquareEngine
from typer.testing import CliRunner

# Before anything imports huggingface_hub: it reads these once.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="ganon-hf-tests-")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """GPU tests are skipped where there is none; torch is imported only if such a test was collected."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked:
        import torch

        if not torch.cuda.is_available():
            for item in marked:
                item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(scope="session")
def playwright() -> Iterator[Any]:
    """What drives browsers; only one can run in a process."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def astronaut_path() -> Path:
    """The sample photo: Eileen Collins by NASA, public domain, 512 x 512, from scikit-image's wheel."""
    spec = importlib.util.find_spec("skimage")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "data" / "astronaut.png"


@pytest.fixture(scope="session")
def _astronaut(astronaut_path: Path) -> Image.Image:
    with Image.open(astronaut_path) as image:
        return image.convert("RGB")


@pytest.fixture
def astronaut(_astronaut: Image.Image) -> Image.Image:
    """A fresh copy for each test."""
    return _astronaut.copy()


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> SquareEngine:
    engine = SquareEngine()
    monkeypatch.setattr("ganon_hf.cli.main._load_engine", lambda model, device, threads: engine)
    return engine


@pytest.fixture
def run(engine: SquareEngine) -> Run:
    """``ganon-hf anonymize`` with the engine for squares; any traceback fails the test."""

    def call(*arguments: object) -> Result:
        from ganon_hf.cli import main as cli

        result = CliRunner().invoke(cli.app, ["anonymize", "--processes", "1", *map(str, arguments)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert "Traceback" not in result.output
        return result

    return call
