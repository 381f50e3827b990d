"""The review page in headless Chromium, on thirty composed photos: what was missed is added, what is none is left, by mouse and by keys."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from review_runs import FALSE_FIND, PLACES, Run, composed_run, mistaken_engine, serving
from reviewing import Reviewer
from space_browser import CHROMIUM, SCREENSHOTS, TIMEOUT
from standins import names

from ganon_hf.bulk import folder
from ganon_hf.bulk.correction_file import read_corrections
from ganon_hf.bulk.tasks import Settings
from ganon_hf.core.options import AnonymizeOptions
from ganon_hf.review.server import ReviewServer
from ganon_hf.review.sheet import sheet_of, write_sheet

X, Y, HEIGHT = PLACES[2]
MISSED = (X - 30, Y - 36, X + 30, Y + 36)
INSIDE = np.s_[Y - 20 : Y + 20, X - 14 : X + 14]
COVER = np.s_[265:290, 40:70]  # well inside what the detector invents


class PhotoReviewer(Reviewer):
    """Somebody on the page of a run."""

    def __init__(self, page: Any, server: ReviewServer) -> None:
        super().__init__(page)
        self.server = server

    def open(self, name: str) -> None:
        """By the list."""
        self.page.locator("#filters button").first.click()
        self.until("!state.busy")
        at = [photo.name for photo in self.server.routes.session.run.photos].index(name)
        self.page.evaluate("at => { document.getElementById('list-pane').scrollTop = at * 72; }", at)
        self.page.locator(f"#rows button[data-number='{at}']").click()
        self.until("name => state.photo && state.photo.name === name && !state.busy", name)
        self.until("(i => !i || i.complete)(document.querySelector('#picture img'))")


def visit(playwright: Any, server: ReviewServer, profile: Path, **settings: Any) -> tuple[Any, PhotoReviewer]:
    context = playwright.chromium.launch_persistent_context(
        str(profile), executable_path=CHROMIUM, args=["--no-sandbox"], viewport={"width": 1280, "height": 860}, **settings
    )
    context.set_default_timeout(TIMEOUT)
    reviewer = PhotoReviewer(context.new_page(), server)
    reviewer.page.on("console", lambda message: reviewer.errors.append(message.text) if message.type == "error" else None)
    reviewer.page.goto(server.url)
    reviewer.until("typeof state !== 'undefined' && state.photo && !state.busy")
    return context, reviewer


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    from skimage import data

    return composed_run(tmp_path_factory.mktemp("composed"), Image.fromarray(data.astronaut()))


@pytest.fixture
def run(finished: Run, tmp_path: Path) -> Run:
    """A copy that a test may change; times of the files are kept, by which a run knows its results."""
    return Run(finished.photos, shutil.copytree(finished.out, tmp_path / "out"), Path(shutil.copy(finished.report, tmp_path)))


@pytest.fixture
def server(run: Run) -> Iterator[ReviewServer]:
    with run.session(load_engine=mistaken_engine) as session, serving(session) as server:
        yield server


@pytest.fixture
def reviewer(playwright: Any, server: ReviewServer, tmp_path: Path) -> Iterator[PhotoReviewer]:
    context, reviewer = visit(playwright, server, tmp_path / "profile")
    yield reviewer
    context.close()
    assert all(url.startswith((server.url, "chrome")) or url.endswith("/favicon.ico") for url in reviewer.requests), (
        "nothing from elsewhere"
    )
    assert [error for error in reviewer.errors if "status of 4" not in error] == [], "an answer that says no is none"


def pixels(folder: Path, name: str) -> np.ndarray:
    return np.asarray(Image.open(folder / name)).astype(int)


def test_a_missed_face_is_drawn_with_the_mouse_and_gone_after_redo(reviewer: PhotoReviewer, run: Run) -> None:
    original = pixels(run.photos, "05.png")
    assert np.array_equal(pixels(run.out, "05.png")[INSIDE], original[INSIDE]), "the detector has missed it"
    reviewer.open("05.png")
    reviewer.drag(MISSED)
    reviewer.page.get_by_role("button", name="Replace it").click()
    reviewer.said("Saved")
    reviewer.shoot("drawn")
    reviewer.page.click("#redo")
    reviewer.said("Done again")
    assert np.abs(pixels(run.out, "05.png")[INSIDE] - original[INSIDE]).mean() > 8
    assert [face["status"] for face in reviewer.server.routes.session.details(reviewer.page.evaluate("state.photo.number"))["faces"]] == [
        "replaced"
    ] * 3
    assert reviewer.page.locator("#faces .box.replaced").count() == 3


def test_a_false_cover_is_removed_with_the_mouse(reviewer: PhotoReviewer, run: Run) -> None:
    original = pixels(run.photos, "00.png")
    assert not np.array_equal(pixels(run.out, "00.png")[COVER], original[COVER])
    reviewer.open("00.png")
    reviewer.page.locator("#faces .box.doubtful").click()
    reviewer.shoot("doubtful")
    reviewer.page.get_by_role("button", name="Not a face").click()
    reviewer.said("Saved")
    reviewer.page.click("#redo")
    reviewer.said("Done again")
    assert np.array_equal(pixels(run.out, "00.png")[COVER], original[COVER])
    assert reviewer.page.locator("#faces .box.left").count() == 1, "so that it can be taken back"


def test_by_keyboard_alone(reviewer: PhotoReviewer, run: Run) -> None:
    """The first photo is a doubtful one; the missed face is found further on."""
    page = reviewer.page
    while page.evaluate("state.photo.name") != "10.png":
        reviewer.press("j")
    while not page.evaluate("document.activeElement.classList.contains('doubtful')"):
        page.keyboard.press("Tab")
    reviewer.press("n")
    reviewer.said("Saved")
    reviewer.press("r")
    reviewer.said("Done again")
    assert np.array_equal(pixels(run.out, "10.png")[COVER], pixels(run.photos, "10.png")[COVER])
    reviewer.press("f")
    while page.evaluate("state.photo.name") != "15.png":
        reviewer.press("j")
    page.keyboard.press("a")
    for _ in range(60):  # the box starts in the middle
        box = page.evaluate("state.drawn")
        across, down = X - (box[0] + box[2]) / 2, Y - (box[1] + box[3]) / 2
        step = (box[3] - box[1]) / 10
        if box[3] - box[1] > 80:
            page.keyboard.press("Shift+ArrowUp")
        elif box[2] - box[0] > 66:
            page.keyboard.press("Shift+ArrowLeft")
        elif abs(across) > step:
            page.keyboard.press("ArrowRight" if across > 0 else "ArrowLeft")
        elif abs(down) > step:
            page.keyboard.press("ArrowDown" if down > 0 else "ArrowUp")
        else:
            break
    reviewer.press("Enter")
    reviewer.said("Saved")
    reviewer.press("r")
    reviewer.said("Done again")
    assert np.abs(pixels(run.out, "15.png")[INSIDE] - pixels(run.photos, "15.png")[INSIDE]).mean() > 8
    reviewer.press("f")
    looked = page.locator("#progress").inner_text()
    assert looked == "2 of 30 looked at"


def test_another_person_a_look_and_a_cover(reviewer: PhotoReviewer, run: Run) -> None:
    before = pixels(run.out, "01.png")
    reviewer.open("01.png")
    first = np.s_[100:150, 90:130]
    reviewer.page.locator("#faces .box").first.click()
    reviewer.page.click("#face-person")
    reviewer.said("Saved")
    reviewer.page.click("#redo")
    reviewer.said("Done again")
    other = pixels(run.out, "01.png")
    assert np.abs(other[first] - before[first]).mean() > 3
    reviewer.page.locator("#faces .box").first.click()
    reviewer.page.fill("#face-look", "nobody I know")
    reviewer.page.click("#face-look-set")
    reviewer.said("nobody i know")
    reviewer.page.fill("#face-look", "man, old, beard")
    reviewer.page.click("#face-look-set")
    reviewer.said("Saved")
    reviewer.page.locator("#faces .box").nth(1).click()
    reviewer.page.click("#face-cover")
    reviewer.said("Saved")
    reviewer.page.click("#redo")
    reviewer.said("Done again")
    faces = {face["status"]: face for face in reviewer.page.evaluate("state.photo.faces")}
    assert set(faces) == {"replaced", "covered"} and "old, man" in faces["replaced"]["look"]


def test_the_corrections_give_the_same_bytes_in_a_fresh_run(run: Run, tmp_path: Path) -> None:
    missed = {"box": list(MISSED), "do": "replace", "drawn": True}
    with run.session(load_engine=mistaken_engine) as session:
        numbers = {photo.name: number for number, photo in enumerate(session.run.photos)}
        first, second = (
            [face["box"][name] for name in ("xmin", "ymin", "xmax", "ymax")] for face in session.details(numbers["01.png"])["faces"]
        )
        wanted = {
            "00.png": [{"box": list(FALSE_FIND), "do": "leave"}],
            "01.png": [{"box": first, "do": "replace", "seed": "12", "look": "man, old, beard"}, {"box": second, "do": "cover"}],
            "05.png": [missed],
        }
        for name, corrections in wanted.items():
            session.set_corrections(numbers[name], corrections)
            session.redo(numbers[name])
    jobs = [job for job in folder.plan([str(run.photos)], str(tmp_path / "fresh"))[0] if job.name in (*wanted, "02.png")]
    settings = Settings(AnonymizeOptions(seed=7), corrections=read_corrections(run.corrections))
    assert [outcome.status for outcome in folder.run(jobs, settings, mistaken_engine, None)] == ["ok"] * 4
    for name in names(tmp_path / "fresh"):
        assert (tmp_path / "fresh" / name).read_bytes() == (run.out / name).read_bytes(), name


def test_the_original_is_shown_on_request_only_and_nothing_of_it_stays(playwright: Any, server: ReviewServer, tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    context, reviewer = visit(playwright, server, profile)
    reviewer.press("j", "k")
    assert not any("/original/" in url for url in reviewer.requests)
    with reviewer.page.expect_response(lambda response: "/original/" in response.url) as waiting:
        reviewer.press("o")
    shown, cache = waiting.value.body(), waiting.value.headers["cache-control"]
    reviewer.until("document.querySelector('#picture img').complete")
    assert "can be recognized" in reviewer.page.locator("#banner").inner_text() and cache == "no-store"
    reviewer.press("j")
    assert reviewer.page.locator("#banner").is_hidden(), "the next photo is an anonymized one again"
    kept = reviewer.page.evaluate("[localStorage.length, sessionStorage.length, document.cookie.length]")
    context.close()
    assert kept == [0, 0, 0]
    middle = shown[len(shown) // 2 :][:64]
    for file in (path for path in profile.rglob("*") if path.is_file()):
        content = file.read_bytes()
        assert middle not in content and b"\xff\xd8\xff\xe0" not in content, f"{file.name} holds a picture"


def test_on_a_phone_in_the_dark(playwright: Any, server: ReviewServer, tmp_path: Path) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "color_scheme": "dark"}
    context, reviewer = _phone(playwright, server, tmp_path / "profile", phone)
    page = reviewer.page
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "nothing reaches beyond the screen"
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert back == "rgb(22, 22, 22)"
    page.locator("#list-toggle").tap()
    page.wait_for_selector("#list-pane.open #rows button")
    page.locator("#list-toggle").tap()
    page.locator("#next").tap()
    reviewer.until("state.at === 1 && !state.busy")
    page.locator("#add").tap()
    assert page.locator("#drawn").is_visible()
    page.touchscreen.tap(*reviewer.at(380, 60))
    drawn = page.evaluate("state.drawn")
    assert abs((drawn[0] + drawn[2]) / 2 - 380) < 15
    reviewer.shoot("phone")
    page.locator("#drawn-cancel").tap()
    page.locator("#faces .box").first.tap()
    assert page.locator("#face").is_visible()
    assert reviewer.errors == []
    context.close()


def _phone(playwright: Any, server: ReviewServer, profile: Path, settings: dict[str, Any]) -> tuple[Any, PhotoReviewer]:
    context = playwright.chromium.launch_persistent_context(str(profile), executable_path=CHROMIUM, args=["--no-sandbox"], **settings)
    context.set_default_timeout(TIMEOUT)
    reviewer = PhotoReviewer(context.new_page(), server)
    reviewer.page.on("pageerror", lambda error: reviewer.errors.append(str(error)))
    reviewer.page.goto(server.url)
    reviewer.until("typeof state !== 'undefined' && state.photo && !state.busy")
    return context, reviewer


def test_the_page_to_sign_opens_without_a_network_and_prints(playwright: Any, run: Run, tmp_path: Path) -> None:
    page_file = tmp_path / "review.html"
    with run.session(load_engine=mistaken_engine) as session:
        write_sheet(page_file, sheet_of(session))
    context = playwright.chromium.launch_persistent_context(
        str(tmp_path / "profile"), executable_path=CHROMIUM, args=["--no-sandbox"], offline=True, viewport={"width": 1280, "height": 860}
    )
    page, requests, errors = context.new_page(), [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: errors.append(message.text))
    page.goto(page_file.as_uri())
    assert {url.split(":")[0] for url in requests} <= {"file", "data"} and errors == []
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0) && document.images.length") == 30
    assert page.pdf().startswith(b"%PDF")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "review-sheet.jpg", type="jpeg", quality=85)
    context.close()


def test_what_was_looked_at_is_remembered(playwright: Any, run: Run, tmp_path: Path) -> None:
    with run.session() as session, serving(session) as server:
        context, reviewer = visit(playwright, server, tmp_path / "profile")
        reviewer.press("f", "f")
        context.close()
    with run.session() as session, serving(session) as server:
        context, reviewer = visit(playwright, server, tmp_path / "profile")
        assert reviewer.page.locator("#progress").inner_text() == "2 of 30 looked at"
        context.close()


def test_every_control_has_a_name(reviewer: PhotoReviewer) -> None:
    for control in reviewer.page.locator("button, input").all():
        if control.is_visible():
            label = control.evaluate("e => e.getAttribute('aria-label') || e.innerText || e.labels?.[0]?.innerText")
            assert label, control.evaluate("e => e.outerHTML")
