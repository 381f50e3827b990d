"""The review page of a film in headless Chromium: what was missed is added and followed, what is none is left, by mouse and by keys."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from film_runs import FALSE_FIND, FRAMES, FilmRun, composed_film_run, composed_frame, mistaken_film_engine, second_at
from PIL import Image
from review_runs import serving
from reviewing import Reviewer
from space_browser import CHROMIUM, TIMEOUT

from ganon_hf.core.options import AnonymizeOptions
from ganon_hf.video import anonymize_video, read_film_corrections
from ganon_hf.video.reader import VideoReader

NUMBER = 12  # the frame in which somebody draws a box


class FilmReviewer(Reviewer):
    """Somebody on the page of a film."""

    def go_to_frame(self, number: int) -> None:
        """With the slider."""
        self.page.locator("#scrub").fill(str(number))
        self.until("number => state.frame === number && !state.busy", number)
        self.until("(i => i && i.complete)(document.querySelector('#picture img'))")


@contextmanager
def visiting(playwright: Any, run: FilmRun, profile: Path, **settings: Any) -> Iterator[FilmReviewer]:
    """Somebody who opens the page of a film, in a browser of their own."""
    with run.session() as session, serving(session) as server:
        settings = {"viewport": {"width": 1280, "height": 860}} | settings
        context = playwright.chromium.launch_persistent_context(str(profile), executable_path=CHROMIUM, args=["--no-sandbox"], **settings)
        context.set_default_timeout(TIMEOUT)
        reviewer = FilmReviewer(context.new_page())
        reviewer.page.goto(server.url)
        reviewer.until("typeof state !== 'undefined' && state.photo && !state.busy")
        yield reviewer
        context.close()
        known = (server.url, "chrome")
        assert reviewer.errors == []
        assert all(url.startswith(known) or url.endswith("/favicon.ico") for url in reviewer.requests), "nothing from elsewhere"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> FilmRun:
    return composed_film_run(tmp_path_factory.mktemp("film"), astronaut())


@pytest.fixture
def run(finished: FilmRun, tmp_path: Path) -> FilmRun:
    """A copy that a test may change."""
    copies = [Path(shutil.copy(path, tmp_path)) for path in (finished.target, finished.report)]
    return FilmRun(finished.source, *copies, mistaken_film_engine)


def astronaut() -> Image.Image:
    from skimage import data

    return Image.fromarray(data.astronaut())


def frames(path: Path) -> np.ndarray:
    with VideoReader(path) as reader:
        return np.stack([one.image for one in reader]).astype(int)


def test_a_missed_face_is_drawn_with_the_mouse_and_followed_both_ways(playwright: Any, run: FilmRun, tmp_path: Path) -> None:
    before = frames(run.target)
    with visiting(playwright, run, tmp_path / "profile") as reviewer:
        page = reviewer.page
        reviewer.go_to_frame(NUMBER)
        x, y, height = second_at(NUMBER)
        reviewer.drag((x - height * 0.4, y - height / 2, x + height * 0.4, y + height / 2))
        page.get_by_role("button", name="Replace it").click()
        reviewer.said("Saved")
        assert page.locator("#strips .track").count() == 3 and "needs Redo" in page.locator("#strips").inner_text()
        page.click("#redo")
        reviewer.said("Done again")
        assert page.locator("#faces .box.replaced").count() == 2
        reviewer.shoot("film")
    after = frames(run.target)
    for number in range(FRAMES):
        x, y, _ = second_at(number)
        inside = np.s_[number, round(y) - 20 : round(y) + 20, round(x) - 16 : round(x) + 16]
        assert np.abs(after[inside] - before[inside]).mean() > 6, number
    (row,) = read_film_corrections(run.corrections)
    anonymize_video(run.source, tmp_path / "fresh.mp4", AnonymizeOptions(seed=3), anonymizer=mistaken_film_engine(), corrections=row)
    assert (tmp_path / "fresh.mp4").read_bytes() == run.target.read_bytes()


def test_a_false_cover_is_removed_by_keyboard_alone_and_what_was_looked_at_is_remembered(
    playwright: Any, run: FilmRun, tmp_path: Path
) -> None:
    with visiting(playwright, run, tmp_path / "profile") as reviewer:
        page = reviewer.page
        assert page.evaluate("state.boxes[state.selected].kind") == "doubtful", "the first one"
        number = page.evaluate("state.frame")
        reviewer.press("ArrowRight", "ArrowRight", "ArrowLeft")
        assert page.evaluate("state.frame") == number + 1 and page.evaluate("state.boxes[state.selected].kind") == "doubtful"
        reviewer.press("n")
        reviewer.said("Saved")
        reviewer.press("r")
        reviewer.said("Done again")
        reviewer.press("f")
        reviewer.until("document.getElementById('progress').textContent.startsWith('1 of 2')")
    left, top, right, bottom = (int(value) for value in FALSE_FIND)
    inside = np.s_[top + 15 : bottom - 15, left + 15 : right - 15]
    for number, image in enumerate(frames(run.target)):
        assert np.abs(image[inside] - composed_frame(astronaut(), number)[inside].astype(int)).mean() < 4, number
    with visiting(playwright, run, tmp_path / "profile") as reviewer:
        assert reviewer.page.locator("#progress").inner_text() == "1 of 2 faces looked at"
        for control in reviewer.page.locator("button, input, select").all():
            if control.is_visible():
                label = control.evaluate("e => e.getAttribute('aria-label') || e.innerText || e.labels?.[0]?.innerText")
                assert label, control.evaluate("e => e.outerHTML")


def test_the_original_is_shown_on_request_only_and_nothing_of_it_stays(playwright: Any, run: FilmRun, tmp_path: Path) -> None:
    with visiting(playwright, run, tmp_path / "profile") as reviewer:
        reviewer.press("j", "k")
        assert not any("/original/" in url for url in reviewer.requests)
        with reviewer.page.expect_response(lambda response: "/original/" in response.url) as waiting:
            reviewer.press("o")
        shown, cache = waiting.value.body(), waiting.value.headers["cache-control"]
        reviewer.until("document.querySelector('#picture img').complete")
        assert "can be recognized" in reviewer.page.locator("#banner").inner_text() and cache == "no-store"
        reviewer.press("ArrowRight")
        assert reviewer.page.locator("#banner").is_hidden(), "the next frame is an anonymized one again"
        assert reviewer.page.evaluate("[localStorage.length, sessionStorage.length, document.cookie.length]") == [0, 0, 0]
    middle = shown[len(shown) // 2 :][:64]
    for file in (path for path in (tmp_path / "profile").rglob("*") if path.is_file()):
        content = file.read_bytes()
        assert middle not in content and b"\xff\xd8\xff\xe0" not in content, f"{file.name} holds a picture"


def test_on_a_phone_in_the_dark(playwright: Any, run: FilmRun, tmp_path: Path) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "color_scheme": "dark"}
    with visiting(playwright, run, tmp_path / "profile", **phone) as reviewer:
        page = reviewer.page
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "nothing reaches beyond the screen"
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 22, 22)"
        page.locator("#next").tap()
        reviewer.until("state.at === 1 && !state.busy")
        page.locator("#add").tap()
        assert page.locator("#drawn").is_visible()
        page.locator("#drawn-cancel").tap()
        strip = page.locator(".strip").first
        strip.scroll_into_view_if_needed()
        strip.tap()
        reviewer.until("state.at === 0 && !state.busy")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
