"""The Space's cards of faces, its phone layout, download and share, seen through a browser."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from space_browser import EXAMPLES, Site, Visitor, visiting

TWO, PORTRAIT = EXAMPLES / "two_people.jpg", EXAMPLES / "portrait.jpg"
PHONE = {"width": 390, "height": 844}
TABS = ("Photo", "Several photos", "Video", "Webcam", "How private is it")
NO_SIDEWAYS = "document.documentElement.scrollWidth <= window.innerWidth"
# A device with a share sheet: what is handed to it stays in the page.
SHARE_SHEET = """
    navigator.canShare = data => data.files.every(file => file.type === 'image/jpeg');
    navigator.share = async data => { window.shared = { keys: Object.keys(data), files: data.files }; };
"""
SHARED = """async () => ({ keys: window.shared.keys, names: window.shared.files.map(file => file.name),
    bytes: Array.from(new Uint8Array(await window.shared.files[0].arrayBuffer())) })"""


def difference(first: np.ndarray, second: np.ndarray, place: tuple[slice, slice]) -> float:
    """Mean absolute difference in levels."""
    return float(np.abs(first[place].astype(float) - second[place].astype(float)).mean())


def test_a_kept_face_stays_as_it_is_after_a_warning(visitor: Visitor) -> None:
    visitor.upload(TWO)
    visitor.pictures()
    card = visitor.page.locator("#faces article").first
    confirm = card.locator("button[data-choice=leave]")
    assert not confirm.is_visible() and not card.locator(".warning").is_visible(), "one click must not show a face"
    card.locator("summary", has_text="Keep this face").click()
    assert "can recognize this person" in card.locator(".warning").inner_text()
    visitor.click_and_wait("#faces article >> nth=0 >> button[data-choice=leave]")
    assert "1 of 2 faces replaced, 1 left as it is by your choice." in visitor.said()
    assert visitor.page.locator("#said [role=alert]").count() == 1
    assert card.get_attribute("data-status") == "left as it is"
    before, after = visitor.pictures()
    assert np.array_equal(before[visitor.place_of(0)], after[visitor.place_of(0)])
    assert difference(before, after, visitor.place_of(1)) > 6
    visitor.click_and_wait("#new-people")
    before, after = visitor.pictures()
    assert np.array_equal(before[visitor.place_of(0)], after[visitor.place_of(0)]), "what was decided stays for this photo"
    visitor.click_and_wait("#faces article >> nth=0 >> button[data-choice=undo]")
    before, after = visitor.pictures()
    assert difference(before, after, visitor.place_of(0)) > 6 and "2 of 2 faces replaced." in visitor.said()


def test_decisions_do_not_pass_to_another_photo(visitor: Visitor) -> None:
    visitor.upload(TWO)
    visitor.pictures()
    visitor.keep(1)
    visitor.page.evaluate("document.querySelector('#said p').setAttribute('data-old', '1')")
    visitor.page.locator("#examples-photo button", has_text="One person").click()
    visitor.page.wait_for_selector("#said p:not([data-old])")
    assert visitor.said().startswith("1 face found, replaced.")


def test_a_new_person_for_one_face_changes_only_that_one(visitor: Visitor) -> None:
    visitor.upload(TWO)
    _, first = visitor.pictures()
    visitor.click_and_wait("#faces article >> nth=1 >> button[data-choice=new]", "#faces article")
    visitor.page.wait_for_timeout(500)  # the picture comes with the cards, but is loaded after them
    _, second = visitor.pictures()
    assert difference(first, second, visitor.place_of(1)) > 2 and difference(first, second, visitor.place_of(0)) < 0.5
    visitor.click_and_wait("#faces article >> nth=0 >> button[data-choice=cover]")
    assert "1 of 2 faces replaced, 1 covered by your choice." in visitor.said()


def test_shared_is_the_anonymized_picture_alone(visitor: Visitor) -> None:
    visitor.page.add_init_script(SHARE_SHEET)
    visitor.page.reload()
    visitor.page.wait_for_selector("#photo input[type=file]", state="attached")
    visitor.upload(PORTRAIT)
    _, after = visitor.pictures()
    visitor.page.wait_for_timeout(1000)  # until the page holds the result
    visitor.page.click("#share")
    visitor.page.wait_for_function("window.shared !== undefined")
    shared = visitor.page.evaluate(SHARED)
    assert shared["keys"] == ["files"] and shared["names"] == ["anonymized.jpg"], "no address, no text"
    with Image.open(io.BytesIO(bytes(shared["bytes"]))) as image:
        assert np.array_equal(np.asarray(image.convert("RGB")), after)


def test_without_a_share_sheet_there_is_no_button_for_it(visitor: Visitor) -> None:
    visitor.upload(PORTRAIT)
    visitor.pictures()
    visitor.page.wait_for_selector("#download")
    assert not visitor.page.locator("#share").is_visible()


def open_tab_on_a_phone(visitor: Visitor, name: str) -> None:
    """Tabs that do not fit stand in a menu."""
    tab = visitor.page.get_by_role("tab", name=name, exact=True)
    if tab.count() and tab.first.is_visible():
        tab.first.click()
        return
    visitor.page.locator(".overflow-menu button").first.click()
    visitor.page.locator(".overflow-dropdown button", has_text=name).click()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone(chromium: Any, site: Site, scheme: str) -> None:
    """The upload is there without scrolling, nothing is wider than the screen, and what is done can be seen."""
    with visiting(chromium, site, viewport=PHONE, color_scheme=scheme) as visitor:
        upload = visitor.page.locator("#photo").bounding_box()
        assert upload["y"] + upload["height"] < PHONE["height"]
        visitor.upload(TWO)
        visitor.pictures()
        assert visitor.page.evaluate(NO_SIDEWAYS)
        slider = visitor.page.locator("#slider").bounding_box()
        assert 0 <= slider["y"] < PHONE["height"], "the page scrolls to where the progress is shown"
        visitor.page.locator("#faces article summary").first.click()
        widths = visitor.page.locator("#faces article").evaluate_all("cards => cards.map(card => card.scrollWidth - card.clientWidth)")
        assert max(widths) <= 0 and visitor.page.evaluate(NO_SIDEWAYS)
        if scheme == "dark":
            visitor.shoot("phone")
        visitor.page.locator("#options-photo button").first.click()
        for tab in TABS:
            open_tab_on_a_phone(visitor, tab)
            visitor.page.wait_for_timeout(300)
            assert visitor.page.evaluate(NO_SIDEWAYS), tab
        cut = "cells => cells.filter(cell => cell.getBoundingClientRect().right > window.innerWidth).length"
        assert visitor.page.locator("#report td").count() > 10 and visitor.page.locator("#report td").evaluate_all(cut) == 0


@pytest.mark.parametrize("width", [390, 1280])
def test_the_api_is_one_click_away(chromium: Any, site: Site, width: int) -> None:
    with visiting(chromium, site, viewport={"width": width, "height": 844}) as visitor:
        visitor.page.locator("#header").get_by_role("button", name="API").click()
        visitor.page.wait_for_selector(":text('/anonymize_video')")
        hosts = visitor.page.locator("#header a").evaluate_all("links => links.map(link => new URL(link.href).host)")
        assert "doi.org" in hosts and len(hosts) >= 2
