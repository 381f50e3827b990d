"""Somebody on a review page, in headless Chromium."""

from __future__ import annotations

import time
from typing import Any

from space_browser import SCREENSHOTS, TIMEOUT


class Reviewer:
    """Somebody on the page: what the browser asked for, and what went wrong in it. Pictures of the tests are 480 x 320."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.requests: list[str] = []
        self.errors: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def until(self, expression: str, argument: Any = None) -> None:
        """Wait. Playwright's own way evaluates texts in the page, which its policy forbids."""
        end = time.monotonic() + TIMEOUT / 1000
        while not self.page.evaluate(expression, argument):
            assert time.monotonic() < end, expression
            self.page.wait_for_timeout(20)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
            self.until("!state.busy")

    def said(self, text: str) -> None:
        self.until("text => document.getElementById('said').textContent.includes(text)", text)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the picture is on the screen."""
        frame = self.page.locator("#canvas").bounding_box()
        return frame["x"] + x / 480 * frame["width"], frame["y"] + y / 320 * frame["height"]

    def drag(self, box: tuple[float, float, float, float]) -> None:
        """From the first corner to the second, in pixels of the picture."""
        self.page.mouse.move(*self.at(*box[:2]))
        self.page.mouse.down()
        self.page.mouse.move(*self.at(*box[2:]), steps=4)
        self.page.mouse.up()

    def shoot(self, name: str) -> None:
        """Write a screenshot."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.until("[...document.images].every(image => image.complete)")
        self.page.wait_for_timeout(200)
        self.page.screenshot(path=SCREENSHOTS / f"review-{name}.jpg", type="jpeg", quality=85)
