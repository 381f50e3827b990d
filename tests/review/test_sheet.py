"""The page to sign: everything in one file, nothing of an original, nothing loaded."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from review_runs import PLAIN, Run, tiny_run
from standins import Run as Command
from standins import names, save, square_photo

from ganon_hf.core.options import AnonymizeOptions
from ganon_hf.review.sheet import SIDE, sheet_of, write_sheet


class Page(HTMLParser):
    """What a browser would load, and the words that it would show."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.text = path.read_text()
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href")]

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def pictures(self) -> list[np.ndarray]:
        contents = [base64.b64decode(link.removeprefix("data:image/jpeg;base64,")) for link in self.links]
        return [np.asarray(Image.open(io.BytesIO(content))) for content in contents]


@pytest.fixture
def finished(tmp_path: Path) -> Run:
    return tiny_run(tmp_path)


def test_it_is_whole_and_loads_nothing(finished: Run, tmp_path: Path) -> None:
    with finished.session() as session:
        session.set_fine(0, True)
        write_sheet(tmp_path / "review.html", sheet_of(session))
    page = Page(tmp_path / "review.html")
    assert all(link.startswith("data:image/jpeg;base64,") for link in page.links) and len(page.links) == 4
    assert not {"script", "link", "iframe", "object", "embed", "form"} & set(page.tags)
    assert not re.search(r"https?:|url\(|@import", page.text)
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in page.text
    words = " ".join(page.words)
    for count in (
        "Photos written 4",
        "Faces replaced 3",
        "Faces covered 1",
        "Doubtful covers 1",
        "Looked at and found fine 1",
        "Not looked at 4",
    ):
        assert count in words
    assert "tiny@0" in words and "no face was found" in words and "medium" in words
    assert page.tags.count("rect") == 2 * 5, "an outline and its halo for every face"


def test_nothing_of_an_original_is_in_it(finished: Run, tmp_path: Path) -> None:
    with finished.session() as session:
        write_sheet(tmp_path / "review.html", sheet_of(session))
        targets = [photo.target for photo in session.run.photos if photo.written]
    page = Page(tmp_path / "review.html")
    assert str(finished.photos) not in page.text and "seed" not in page.text.replace("<th scope=row>seed</th><td>chosen</td>", "")
    for target, shown in zip(targets, page.pictures, strict=True):
        result, original = (np.asarray(Image.open(folder / target.name)).astype(int) for folder in (finished.out, finished.photos))
        face = np.s_[45:75, 38:62]
        assert np.abs(shown[face] - result[face]).mean() < 20 < np.abs(shown[face] - original[face]).mean()


def test_corrections_that_are_not_in_the_picture_are_told(finished: Run, tmp_path: Path) -> None:
    with finished.session() as session:
        session.set_corrections(0, [{"box": [5, 5, 40, 40], "do": "cover", "drawn": True}])
        write_sheet(tmp_path / "review.html", sheet_of(session))
        words = " ".join(Page(tmp_path / "review.html").words)
        assert "With corrections that are NOT in the picture yet 1" in words and words.count("corrections are NOT in the picture") == 1
        session.redo(0)
        write_sheet(tmp_path / "review.html", sheet_of(session))
    words = " ".join(Page(tmp_path / "review.html").words)
    assert "NOT" not in words and "corrected by hand; not looked at" in words


def test_names_are_texts_and_pictures_small(tmp_path: Path) -> None:
    save(tmp_path / "in" / "<img src=x onerror=alert(1)>.png", Image.fromarray(np.full((400, 900, 3), 90, np.uint8)))
    run = tiny_run(tmp_path, [PLAIN], options=AnonymizeOptions(seed=1, on_no_face="keep"))
    with run.session() as session:
        write_sheet(tmp_path / "review.html", sheet_of(session))
    page = Page(tmp_path / "review.html")
    assert len(page.links) == 2 and "onerror" not in [link[:7] for link in page.links]
    assert "<img src=x onerror=alert(1)>.png" in " ".join(page.words)
    assert max(max(picture.shape) for picture in page.pictures) == SIDE


def test_program_and_weights_are_told_apart(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, [PLAIN], model="my models/new one@0123456789ab ganon-hf 0.1.0")
    with run.session() as session:
        write_sheet(tmp_path / "page.html", sheet_of(session))
    words = Page(tmp_path / "page.html").words
    assert words[words.index("program") + 1] == "ganon-hf 0.1.0"
    assert words[words.index("weights and their digest") + 1] == "my models/new one@0123456789ab"


def test_anonymize_writes_it(run: Command, tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", square_photo())
    save(tmp_path / "in" / "b.png", square_photo(box=None))
    result = run(tmp_path / "in", "-o", tmp_path / "out", "--review-page", tmp_path / "review.html")
    assert result.exit_code == 3, result.output
    page = Page(tmp_path / "review.html")
    assert len(page.pictures) == 1 and names(tmp_path / "out") == ["a.png"]
    assert "no face was found" in " ".join(page.words) and "Not looked at" not in " ".join(page.words)
    magenta = (page.pictures[0][..., 0] > 170) & (page.pictures[0][..., 1] < 90) & (page.pictures[0][..., 2] > 170)
    assert not magenta.any(), "the face of the original"


WRONG = {
    "another suffix": (["--review-page", "in/a.png"], "ends in .html"),
    "no folder": (["--review-page", "nowhere/review.html"], "does not exist"),
    "crops": (["--review-page", "review.html", "--output", "crop"], "--output must be photo"),
}


@pytest.mark.parametrize("row", WRONG)
def test_a_page_that_cannot_be_written_is_found_before_the_run(
    row: str, run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "in" / "a.png", square_photo())
    arguments, message = WRONG[row]
    result = run("in", "-o", "out", *arguments)
    assert result.exit_code == 2 and message in result.output and names(tmp_path) == ["in/a.png"]
