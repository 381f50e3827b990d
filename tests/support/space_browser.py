"""A Space in a process of its own, and somebody who looks at it through a browser."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
SPACE = ROOT / "spaces"
EXAMPLES = SPACE / "examples"
SCREENSHOTS = Path(os.environ.get("GANON_SCREENSHOTS") or ROOT / "out" / "browser")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
TIMEOUT = 150_000.0  # milliseconds; a free machine needs one or two seconds, a busy one much longer
SERVE = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
import app
page = app.build(app.App(), sweep=int(sys.argv[2]), keep=int(sys.argv[3]))
app.launch(page, server_name="127.0.0.1", server_port=int(sys.argv[1]), quiet=True)
"""
REPORT = ROOT / "src" / "ganon_hf" / "card" / "report.json"  # as `make space` shows it


@dataclass(frozen=True)
class Site:
    """A running Space: address, the folder that holds its files, seconds from the first answer back to the start of the process."""

    url: str
    scratch: Path
    log: Path


@contextlib.contextmanager
def serving(folder: Path, *, sweep: int = 10, keep: int = 45, limit: float = 400.0) -> Iterator[Site]:
    """A Space in a fresh process, its files below ``folder``."""
    log = folder / "log.txt"
    (folder / "tmp").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GANON_", "GRADIO_"))}
    environment |= {"GANON_REPORT": str(REPORT), "TMPDIR": str(folder / "tmp")}
    command = [sys.executable, "-c", SERVE, str(port), str(sweep), str(keep)]
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as output, subprocess.Popen(command, cwd=SPACE, env=environment, stdout=output, stderr=output) as process:
        try:
            end = time.monotonic() + limit
            while not _answers(url):
                if process.poll() is not None or time.monotonic() > end:
                    pytest.fail(f"the Space did not start:\n{log.read_text()[-3000:]}")
                time.sleep(0.2)
            yield Site(url, folder / "tmp", log)
        finally:
            process.terminate()
            process.wait(30)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (OSError, urllib.error.URLError):
        return False


@dataclass
class Visitor:
    """Somebody on the page."""

    page: Any
    requests: list[str]
    errors: list[str]

    def upload(self, path: Path | str, where: str = "#photo") -> None:
        self.page.set_input_files(f"{where} input[type=file]", str(path))

    def open_tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name, exact=True).click()

    def said(self, where: str = "#said", *, timeout: float = TIMEOUT) -> str:
        """What the status line says once it says something."""
        self.page.wait_for_selector(f"{where} p", timeout=timeout)
        return "\n".join(self.page.locator(f"{where} p").all_inner_texts())

    def pictures(self, timeout: float = TIMEOUT) -> tuple[np.ndarray, np.ndarray]:
        """Before and after, (height, width, 3) uint8, as the server gave them."""
        self.page.wait_for_selector("#slider img >> nth=1", state="attached", timeout=timeout)
        first, second = (self.page.locator("#slider img").nth(i).get_attribute("src") for i in (0, 1))
        return self.fetch(first), self.fetch(second)

    def fetch(self, address: str | None) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(self.bytes_of(address))).convert("RGB"))

    def bytes_of(self, address: str | None) -> bytes:
        assert address
        with urllib.request.urlopen(address) as answer:
            return bytes(answer.read())

    def set_seed(self, seed: int, tab: str = "photo") -> None:
        """In the options of a tab, which must be open."""
        field, steady = self.page.locator(f"#seed-{tab} input"), 0
        if not field.is_visible():
            self.page.locator(f"#options-{tab}").get_by_role("button", name="Options").click()
        while steady < 3:  # the page draws a seed of its own when it is loaded, which on a busy machine can be just now
            if field.input_value() != str(seed):
                field.fill(str(seed))
                field.press("Tab")
                steady = 0
            self.page.wait_for_timeout(200)
            steady += 1

    def click_and_wait(self, button: str, where: str = "#said p") -> None:
        """Click, and wait until the answer, which differs from what is there, is on the page."""
        self.page.evaluate("where => document.querySelectorAll(where).forEach(one => one.setAttribute('data-old', '1'))", where)
        self.page.click(button)
        self.page.wait_for_selector(f"{where}:not([data-old])", timeout=TIMEOUT)

    def place_of(self, face: int) -> tuple[slice, slice]:
        """Rows and columns of a face, as its card says."""
        words = self.page.locator("#faces article").nth(face).inner_text()
        width, height, x, y = map(int, re.findall(r"(\d+) x (\d+) pixels at (\d+), (\d+)", words)[0])
        return slice(y, y + height), slice(x, x + width)

    def keep(self, face: int) -> None:
        """Keep a face as it is: open the warning, confirm it."""
        card = f"#faces article >> nth={face}"
        self.page.locator(card).locator("details.keep summary").click()
        self.click_and_wait(f"{card} >> button[data-choice=leave]")

    def shoot(self, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.wait_for_timeout(400)  # pictures fade in
        self.page.screenshot(path=SCREENSHOTS / f"space-{name}.jpg", type="jpeg", quality=55, full_page=True)


@contextlib.contextmanager
def visiting(browser: Any, site: Site, **settings: Any) -> Iterator[Visitor]:
    """A fresh visitor on the page, ready to upload."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 860}, "permissions": ["camera"], **settings})
    context.set_default_timeout(TIMEOUT)
    page, requests, errors = context.new_page(), [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(site.url)
    page.wait_for_selector("#photo input[type=file]", state="attached")
    try:
        yield Visitor(page, requests, errors)
    finally:
        context.close()


def mark_browser_tests(items: Iterable[pytest.Item], folder: Path, packages: Iterable[str]) -> None:
    """Mark the tests of a folder, and skip them where Chromium or a package is missing."""
    missing = [] if CHROMIUM else ["chromium (apt-get install chromium)"]
    for name in packages:
        try:
            __import__(name)
        except ImportError:
            missing.append(f"the Python package {name}")
    for item in items:
        if item.path.parent == folder:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.slow)
            if missing:
                item.add_marker(pytest.mark.skip(reason=f"needs {', '.join(missing)}: `make test-browser` installs what it can"))
