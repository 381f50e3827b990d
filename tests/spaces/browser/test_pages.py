"""The Space, seen through a browser and through its API."""

from __future__ import annotations

import io
import json
import re
import time
import urllib.error
import urllib.request
import zipfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import write_clip
from PIL import Image
from space_browser import EXAMPLES, REPORT, SPACE, Site, Visitor, serving, visiting

PORTRAIT, TWO = EXAMPLES / "portrait.jpg", EXAMPLES / "two_people.jpg"
FACE = (slice(80, 170), slice(155, 235))  # of the portrait: well inside the face
AWAY = (slice(250, 380), slice(0, 380))  # the space suit


NAME_OF_FOCUS = "(e => e.getAttribute('aria-label') || e.innerText || e.labels?.[0]?.innerText || e.id)(document.activeElement)"
UNNAMED = """() => [...document.querySelectorAll('button, input:not([type=file]), [role=tab], [role=slider]')]
    .filter(e => e.offsetParent !== null)
    .filter(e => !(e.innerText || e.getAttribute('aria-label') || e.title || e.labels?.length || e.getAttribute('aria-labelledby')))
    .map(e => e.outerHTML.slice(0, 200))"""


def difference(first: np.ndarray, second: np.ndarray, place: tuple[slice, slice] = (slice(None), slice(None))) -> float:
    """Mean absolute difference in levels."""
    return float(np.abs(first[place].astype(float) - second[place].astype(float)).mean())


def test_an_upload_gives_before_and_after(visitor: Visitor) -> None:
    start = time.monotonic()
    visitor.upload(PORTRAIT)
    before, after = visitor.pictures()
    assert time.monotonic() - start < 30, "a warm server answers in two seconds; this machine may be busy"
    assert difference(before, after, FACE) > 6 and difference(before, after, AWAY) < 1
    assert visitor.said().startswith("1 face found, replaced. Seed ")
    assert visitor.page.locator("#faces article").evaluate_all("cards => cards.map(card => card.dataset.status)") == ["replaced"]
    visitor.page.click("#faces details.settings summary")
    names, values = (visitor.page.locator(f"#faces {tag}").all_inner_texts() for tag in ("dt", "dd"))
    row = dict(zip(names, values, strict=True))
    assert row["geometry"] == "anonymous" and row["skin tone"] == "match" and row["output"] == "photo"
    assert f"Seed {row['seed']}." in visitor.said()


def test_the_seed_is_the_person(visitor: Visitor) -> None:
    visitor.set_seed(1)
    visitor.upload(PORTRAIT)
    _, first = visitor.pictures()
    made = {1: first}
    for seed in (2, 1):
        visitor.set_seed(seed)
        visitor.click_and_wait("#anonymize")
        assert f"Seed {seed}." in visitor.said()
        _, after = visitor.pictures()
        if seed in made:
            assert np.array_equal(after, made[seed])
        made[seed] = after
    assert difference(made[1], made[2], FACE) > 2 and difference(made[1], made[2], AWAY) < 1


def test_new_people_are_other_people(visitor: Visitor) -> None:
    visitor.set_seed(5)
    visitor.upload(PORTRAIT)
    _, first = visitor.pictures()
    visitor.click_and_wait("#new-people")
    _, second = visitor.pictures()
    seed = visitor.page.input_value("#seed-photo input")
    assert seed != "5" and f"Seed {seed}." in visitor.said()
    assert difference(first, second, FACE) > 2


def test_two_faces_are_listed(visitor: Visitor) -> None:
    visitor.upload(TWO)
    visitor.page.wait_for_selector("#faces article >> nth=1")
    assert visitor.page.locator("#faces article").count() == 2
    assert visitor.page.locator("#faces article[data-status=replaced]").count() == 2


def test_an_example_works(visitor: Visitor) -> None:
    thumbnails = visitor.page.locator("#examples-photo button")
    assert thumbnails.locator("img").evaluate_all("all => all.every(one => one.complete && one.naturalWidth > 60)")
    assert thumbnails.count() == len(list(EXAMPLES.iterdir()))
    thumbnails.filter(has_text="Three people").click()
    visitor.page.wait_for_selector("#faces article >> nth=2")
    assert visitor.page.locator("#faces article").count() == 3
    visitor.keep(0)
    visitor.page.locator("#faces article >> nth=1").locator("details.keep summary").click()
    visitor.shoot("photo")


@pytest.fixture
def unusable(tmp_path: Path) -> dict[str, Path]:
    texture = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(texture).resize((400, 300)).save(tmp_path / "noface.png")
    (tmp_path / "broken.jpg").write_bytes(PORTRAIT.read_bytes()[:2000])
    (tmp_path / "text.png").write_text("This is no picture.")
    Image.new("1", (9000, 9000)).save(tmp_path / "huge.png")
    return {path.stem: path for path in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("noface", "No face was found, so nothing was changed and nothing is shown."),
        ("broken", "cannot be read as a picture"),
        ("text", "cannot be read as a picture"),
        ("huge", "9000 x 9000 pixels"),
    ],
)
def test_what_cannot_be_anonymized_is_said_and_not_shown(visitor: Visitor, unusable: dict[str, Path], name: str, words: str) -> None:
    visitor.upload(PORTRAIT)
    visitor.pictures()
    visitor.page.get_by_role("button", name="Remove Image").first.click()
    visitor.page.wait_for_selector("#photo input[type=file]", state="attached")
    visitor.upload(unusable[name])
    visitor.page.wait_for_selector("#said [role=alert]")
    assert words in visitor.said() and "/" not in visitor.said()
    assert visitor.page.locator("#slider img").count() == 0 and visitor.page.locator("#faces article").count() == 0
    assert not visitor.page.locator("#download").is_visible()
    if name == "noface":
        visitor.shoot("no-face")


def test_several_photos(visitor: Visitor, unusable: dict[str, Path]) -> None:
    visitor.open_tab("Several photos")
    visitor.page.set_input_files("#photos input[type=file]", [str(PORTRAIT), str(unusable["broken"]), str(TWO)])
    visitor.page.wait_for_selector("#photos :text('broken.jpg'), #photos :text('broken')")
    visitor.page.click("#anonymize-all")
    said = visitor.said("#said-many")
    assert "2 of 3 photos anonymized." in said and "Photo 2: This file cannot be read" in said and "Photo 3: 2 of 2 faces replaced" in said
    visitor.page.wait_for_selector("#gallery img >> nth=1")
    assert visitor.page.locator("#gallery button img").count() == 2
    with urllib.request.urlopen(visitor.page.locator("#zip a[download]").first.get_attribute("href")) as answer:
        archive = zipfile.ZipFile(io.BytesIO(answer.read()))
    assert archive.namelist() == ["photo-01.jpg", "photo-03.jpg"]
    with Image.open(archive.open("photo-01.jpg")) as image, Image.open(PORTRAIT) as original:
        assert image.size == original.size
        assert difference(np.asarray(image), np.asarray(original.convert("RGB")), FACE) > 6
    visitor.shoot("several-photos")


def test_the_webcam_streams(visitor: Visitor) -> None:
    visitor.open_tab("Webcam")
    visitor.page.get_by_text("Click to Access Webcam").click()
    visitor.page.get_by_role("button", name="capture photo").click()
    visitor.page.wait_for_selector("#live img")
    assert visitor.said("#said-live").startswith("Live. Seed ")
    seen = set()
    for _ in range(40):  # the stream goes on: the picture changes, because the film's grain and ours do not match frame by frame
        seen.add(visitor.page.locator("#live img").get_attribute("src"))
        visitor.page.wait_for_timeout(250)
    live = visitor.fetch(visitor.page.locator("#live img").get_attribute("src"))
    with Image.open(PORTRAIT) as image:
        film = np.asarray(image.convert("RGB").resize((640, 640)).crop((0, 0, 640, 480)).resize((live.shape[1], live.shape[0])))
    scale = live.shape[1] / 640 * 640 / 384
    face = tuple(slice(round(s.start * scale), round(s.stop * scale)) for s in FACE)
    assert difference(live, film, face) > 1.3 * difference(live, film, (slice(0, 40), slice(0, 100)))
    visitor.shoot("webcam")


def test_how_private_it_is(visitor: Visitor) -> None:
    visitor.open_tab("How private is it")
    (part, *_), shown = json.loads(REPORT.read_text())["sets"].values(), visitor.page.inner_text("#report")
    for method, key in (("ganon-hf", "dlib-resnet/rank1"), ("ganon-hf, privacy high", "geometry_rank1"), ("blur", "dlib-resnet/rank1")):
        value, low, high = (round(100 * part["figures"][method][key][name]) for name in ("value", "low", "high"))
        assert f"{value} % ({low} to {high})" in shown and method in shown
    assert "named first (dlib-resnet)" in shown
    visitor.upload(PORTRAIT, "#private-photo")
    visitor.page.locator("#seen").scroll_into_view_if_needed()  # it lies below the tables, and images load where they are looked at
    visitor.page.wait_for_selector("#seen img >> nth=2")
    assert visitor.page.locator("#seen img").count() == 3
    visitor.shoot("how-private")


def test_eight_users_at_once(chromium: Any, site: Site) -> None:
    """Everybody is served, and gets the own picture: the one that the API gives for the seed alone."""
    from gradio_client import Client, handle_file

    client = Client(site.url, verbose=False)
    with ExitStack() as stack:
        visitors = [stack.enter_context(visiting(chromium, site)) for _ in range(8)]
        for seed, visitor in enumerate(visitors):
            visitor.set_seed(seed)
        start = time.monotonic()
        for visitor in visitors:
            visitor.upload(PORTRAIT)
        pictures = [visitor.pictures()[1] for visitor in visitors]
        served = time.monotonic() - start
        for seed, visitor in enumerate(visitors):
            assert f"Seed {seed}." in visitor.said()
    for seed, picture in enumerate(pictures):
        alone, _ = client.predict(handle_file(str(PORTRAIT)), seed=seed, api_name="/anonymize")
        with Image.open(alone) as image:
            assert np.array_equal(np.asarray(image.convert("RGB")), picture), seed
    assert served < 120


def test_uploads_are_gone(chromium: Any, tmp_path: Path) -> None:
    """On a server that keeps files for three seconds: nothing of photos, videos, results and streams stays; asking for it again says so."""
    with serving(tmp_path, sweep=1, keep=3) as short:
        examples = {path.name for path in EXAMPLES.iterdir()} | {".ses", "lock"}  # onnxruntime's own and the folder's lock: no pictures

        def kept() -> list[str]:
            return sorted(str(path) for path in short.scratch.rglob("*") if path.is_file() and path.name not in examples)

        own = tmp_path / "myself.jpg"
        own.write_bytes(PORTRAIT.read_bytes())

        def wait_until_nothing_is_kept() -> None:
            end = time.monotonic() + 40
            while kept() and time.monotonic() < end:
                time.sleep(0.5)
            assert not kept()

        with visiting(chromium, short) as visitor:
            visitor.page.evaluate("const now = Date.now; Date.now = () => now() * 10")  # a clock that the short server keeps up with
            visitor.upload(own)
            visitor.pictures()
            assert kept(), "while it is worked on it has to be somewhere"
            visitor.open_tab("Several photos")
            visitor.page.set_input_files("#photos input[type=file]", [str(own)])
            visitor.page.wait_for_selector("#photos :text('myself')")
            visitor.page.click("#anonymize-all")
            visitor.said("#said-many")
            visitor.open_tab("Video")
            visitor.upload(write_clip(tmp_path / "film.mp4", [np.asarray(Image.open(own).convert("RGB"))] * 5), "#video")
            visitor.page.wait_for_selector("#video video", state="attached")
            visitor.page.click("#anonymize-video")
            assert visitor.said("#said-video").startswith("5 frames, 1 person")
            visitor.open_tab("Webcam")
            visitor.page.get_by_text("Click to Access Webcam").click()
            visitor.page.get_by_role("button", name="capture photo").click()
            visitor.page.wait_for_selector("#live img")
            visitor.page.wait_for_timeout(3000)
            visitor.page.get_by_role("button", name="capture photo").click()
            wait_until_nothing_is_kept()
            visitor.open_tab("Photo")
            visitor.click_and_wait("#new-people")
            assert visitor.said().startswith("1 face found, replaced."), "the browser sends the photo again"
            wait_until_nothing_is_kept()
            with visitor.page.expect_download() as saving:
                visitor.page.click("#download")
            with Image.open(saving.value.path()) as saved, Image.open(own) as original:
                assert saving.value.suggested_filename == "anonymized.jpg" and saved.size == original.size
                assert difference(np.asarray(saved.convert("RGB")), np.asarray(original.convert("RGB")), FACE) > 6
            visitor.page.evaluate("window.ganonSpace.holdPhoto(null)")  # a browser that does not keep the photo
            visitor.click_and_wait("#new-people")
            assert "has been deleted here already" in visitor.said()
            visitor.page.locator("#examples-photo button", has_text="Two people").click()
            visitor.page.wait_for_selector("#faces article >> nth=1")  # examples stay
    assert not list(short.scratch.glob("ganon-space-*")), "when the server ends its folder goes"


def test_within_a_minute() -> None:
    source = (SPACE / "app.py").read_text()
    sweep, keep = map(int, re.search(r"SWEEP_SECONDS, KEEP_SECONDS = (\d+), (\d+)", source).groups())  # type: ignore[union-attr]
    assert sweep + keep < 60


def test_nothing_is_loaded_from_elsewhere(visitor: Visitor, site: Site) -> None:
    visitor.upload(PORTRAIT)
    visitor.pictures()
    for tab in ("Several photos", "Video", "Webcam", "How private is it"):
        visitor.open_tab(tab)
        visitor.page.wait_for_timeout(300)
    strangers = {address for address in visitor.requests if not address.startswith((site.url, "data:", "blob:"))}
    assert not strangers


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize(
    "path", ["/etc/passwd", str(SPACE / "app.py"), str(SPACE / "README.md"), "/proc/self/environ", "../../../etc/passwd"]
)
def test_files_of_the_server_cannot_be_read(site: Site, path: str) -> None:
    assert status_of(f"{site.url}/gradio_api/file={path}") in (403, 404)


def test_no_history_is_kept(site: Site) -> None:
    assert status_of(f"{site.url}/gradio_api/runs") == 404


def test_a_path_of_the_server_is_no_upload(site: Site) -> None:
    from gradio_client import Client

    forged = {"path": "/etc/hostname", "meta": {"_type": "gradio.FileData"}, "orig_name": "a.jpg"}
    with pytest.raises(Exception) as caught:
        Client(site.url, verbose=False).submit(forged, seed=1, api_name="/anonymize").result()
    assert "hostname" not in str(caught.value)


def test_the_api(site: Site, tmp_path: Path) -> None:
    from gradio_client import Client, handle_file

    client = Client(site.url, verbose=False, download_files=str(tmp_path))
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert list(endpoints) == ["/anonymize", "/anonymize_video"]
    names = [parameter["parameter_name"] for parameter in endpoints["/anonymize"]["parameters"]]
    assert names == ["photo", "seed", "geometry", "privacy", "skin_tone", "look", "output", "cover", "keep_occluders", "min_face_size"]
    picture, faces = client.predict(handle_file(str(TWO)), seed=3, geometry="original", api_name="/anonymize")
    assert [face["status"] for face in faces] == ["replaced", "replaced"] and {face["seed"] for face in faces} == {3}
    with Image.open(picture) as image, Image.open(TWO) as original:
        assert image.size == original.size and not image.getexif()
    drawn = {client.predict(handle_file(str(PORTRAIT)), api_name="/anonymize")[1][0]["seed"] for _ in range(2)}
    assert len(drawn) == 2, "without a seed it is a fresh person"


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("noface", {}, "No face was found"),
        ("broken", {}, "cannot be read as a picture"),
        ("portrait", {"seed": -5}, "seed must be"),
        ("portrait", {"geometry": "none"}, "none"),
    ],
)
def test_the_api_says_what_is_wrong(site: Site, unusable: dict[str, Path], name: str, arguments: dict[str, Any], words: str) -> None:
    from gradio_client import Client, handle_file

    path = {**unusable, "portrait": PORTRAIT}[name]
    with pytest.raises(Exception, match=words):
        Client(site.url, verbose=False).predict(handle_file(str(path)), api_name="/anonymize", **arguments)


def test_a_narrow_screen_in_the_dark(chromium: Any, site: Site) -> None:
    with visiting(chromium, site, viewport={"width": 360, "height": 740}, color_scheme="dark") as visitor:
        visitor.upload(TWO)
        visitor.pictures()
        assert visitor.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        background = visitor.page.evaluate("getComputedStyle(document.querySelector('.gradio-container')).backgroundColor")
        assert max(map(float, re.findall(r"[\d.]+", background)[:3])) < 80
        visitor.shoot("narrow-dark")


def test_without_a_mouse(visitor: Visitor) -> None:
    """Everything that can be clicked can be reached with the Tab key and has a name, and Enter does what a click does."""
    visitor.set_seed(8)
    visitor.upload(PORTRAIT)
    visitor.pictures()
    cut = "document.querySelectorAll('#slider img')[1].style.clipPath"
    before = visitor.page.evaluate(cut)
    visitor.page.focus("#handle input[type=range]")
    visitor.page.keyboard.press("ArrowLeft")
    visitor.page.wait_for_function(f"{cut} !== '{before}'")
    visitor.page.evaluate("document.activeElement.blur()")
    reached = []
    for _ in range(90):
        visitor.page.keyboard.press("Tab")
        name = visitor.page.evaluate(NAME_OF_FOCUS)
        reached.append((name or "").strip())
        if name == "New people":
            break
    assert {"Photo", "Anonymize", "New people"} <= set(reached)
    visitor.page.evaluate("document.querySelector('#said p').setAttribute('data-old', '1')")
    visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_selector("#said p:not([data-old])")
    assert "Seed 8." not in visitor.said()
    assert not visitor.page.evaluate(UNNAMED)
