"""A user's own pictures of people: folders and listings, what is left out, what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganon_hf.core.faces import UnusableImageError
from ganon_hf.evaluation.data import samples as pairs
from ganon_hf.evaluation.data.picture_sets import NoPeopleError, open_pictures, without


def picture(path: Path, value: int = 9) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 8), (value,) * 3).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two people with two and three pictures, one with a single one, and things that are no pictures of anybody."""
    for number, name in enumerate(
        ["bea/2.png", "bea/1.jpg", "al/a.png", "al/b.PNG", "al/c.webp", "cy/only.png", "loose.png", ".hidden/x.png"]
    ):
        picture(tmp_path / name, number)
    (tmp_path / "al" / "notes.txt").write_text("no picture")
    return tmp_path


def test_a_folder_a_person(folder: Path) -> None:
    found = open_pictures(folder)
    assert found.people == {0: "al", 1: "bea"} and [sample.person for sample in found.samples] == [0, 0, 0, 1, 1]
    assert found.notes == ("people with a single picture: cy",)
    assert found.title.endswith(": 5 pictures of 2 people")
    assert int(found.samples[4].photo[0, 0, 0]) == 0 and found.samples[0].emotion == ""
    assert len(open_pictures(folder, people=1).people) == 1
    assert open_pictures(folder, border=0.25).samples[0].photo.shape == (12, 10, 3)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_listing(folder: Path, suffix: str) -> None:
    rows = [
        ("al/a.png", "x", "neutral"),
        ("loose.png", "y", ""),
        ("al/b.PNG", "x", "happiness"),
        ("bea/2.png", 7, None),
        ("bea/1.jpg", 7, ""),
    ]
    path = folder / f"list{suffix}"
    if suffix == ".csv":
        lines = ["emotion, file ,person"] + [f"{emotion or ''},{file},{person}" for file, person, emotion in rows]
        path.write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8")  # as spreadsheets write it
    else:
        keys = ("file", "person", "emotion")
        path.write_text("\n\n".join(json.dumps(dict(zip(keys, row, strict=True))) for row in rows))
    found = open_pictures(path)
    assert found.people == {0: "x", 1: "7"} and found.notes == ("people with a single picture: y",)
    assert [(sample.person, sample.emotion) for sample in found.samples] == [(0, "neutral"), (0, "happiness"), (1, ""), (1, "")]
    assert int(found.samples[0].photo[0, 0, 0]) == 2


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", '{"file": "/etc/passwd", "person": "x"}', "line 1.*relative"),  # outside of the listing's folder
        ("a.jsonl", '{"file": "../x.png", "person": "x"}', "line 1.*relative"),  # likewise
        ("a.jsonl", '{"file": "x.png"}', "line 1.*file and person"),  # whose?
        ("a.jsonl", '{"file": "x.png", "person": true}', "line 1.*file and person"),  # no name
        ("a.jsonl", '{"file": "x.png", "person": "p", "emotion": "smug"}', "line 1.*emotion must be one of"),
        ("a.jsonl", "[1]", "line 1.*expected an object"),
        ("a.jsonl", "{", "line 1.*is not JSON"),
        ("a.jsonl", "[" * 100_000, "line 1.*is not JSON"),  # nested until the parser gives up
        ("a.csv", "file,name\nx.png,p\n", "line 2.*file and person"),  # a column is missing
        ("a.csv", "file,person\n\x00", "line|single|nobody"),  # no text
        ("a.txt", "x", "folder, a .csv or a .jsonl"),  # another kind of file
    ],
)
def test_listings_that_make_no_sense(tmp_path: Path, name: str, content: str, words: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=words):
        open_pictures(tmp_path / name)


def test_nobody_to_compare(tmp_path: Path) -> None:
    picture(tmp_path / "al" / "only.png")
    with pytest.raises(NoPeopleError, match="1 pictures of 1 people, but nobody has two.*sub-folder a person"):
        open_pictures(tmp_path)
    (tmp_path / "x.parquet").write_bytes(b"")
    with pytest.raises(NoPeopleError, match="Parquet files are read when a set's name is given"):
        open_pictures(tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        open_pictures(tmp_path / "nowhere")


def test_links_do_not_leave_the_folder(tmp_path: Path) -> None:
    outside = picture(tmp_path / "outside" / "secret.png")
    picture(tmp_path / "in" / "al" / "a.png")
    os.symlink(outside, tmp_path / "in" / "al" / "b.png")
    linked = open_pictures(tmp_path / "in").samples[1]
    with pytest.raises(UnusableImageError, match="leaves the input folder"):
        _ = linked.photo


def test_unreadable_pictures_are_left_out_and_named(folder: Path) -> None:
    found = open_pictures(folder)
    left = without(found, {0: "a.png: is empty"})
    assert [sample.person for sample in left.samples] == [0, 0, 1, 1] and "not readable: a.png: is empty" in left.notes
    left = without(found, {4: "1.jpg: is empty"})
    assert [sample.person for sample in left.samples] == [0, 0, 0], "one picture of her is left, and nothing to compare it with"
    assert "people with a single picture: bea" in left.notes
    with pytest.raises(NoPeopleError, match="nobody has two readable pictures"):
        without(found, dict.fromkeys(range(1, 5), "broken"))


@pytest.mark.parametrize(
    ("labels", "usable", "wanted"),
    [
        # everybody has a neutral and a smiling picture: by emotion, further pictures take no part
        ("1n 1h 2h 2n 2n", "yyyyy", ([0, 3], [1, 2], [0, 1], True)),
        # somebody does not: in order
        ("1n 1h 2n 2n", "yyyy", ([0, 2], [1, 3], [0, 1], False)),
        # no labels: in order, all others are probes
        ("1- 2- 1- 1- 2-", "yyyyy", ([0, 1], [2, 3, 4], [0, 0, 1], False)),
        # no face in one original: somebody else's first picture is the gallery; a person with one left takes no part
        ("1- 1- 1- 2- 2-", "nyyyn", ([1], [2], [0], False)),
        # nobody left
        ("1- 2-", "yy", ([], [], [], False)),
    ],
)
def test_who_is_compared_with_whom(labels: str, usable: str, wanted: tuple[list[int], list[int], list[int], bool]) -> None:
    emotions = {"n": "neutral", "h": "happiness", "-": ""}
    samples = [pairs.Sample(np.zeros((4, 4, 3), np.uint8), int(label[0]), emotions[label[1]]) for label in labels.split()]
    found = pairs.pair_up(samples, [letter == "y" for letter in usable])
    assert (found.gallery.tolist(), found.probes.tolist(), found.target.tolist(), found.by_emotion) == wanted


def test_fingerprint_follows_the_pictures(folder: Path) -> None:
    before = pairs.fingerprint(open_pictures(folder).samples)
    assert before == pairs.fingerprint(open_pictures(folder).samples)
    assert before != pairs.fingerprint(open_pictures(folder, border=0.1).samples)
    picture(folder / "al" / "a.png", 77).touch()
    os.utime(folder / "al" / "a.png", ns=(1, 1))
    assert before != pairs.fingerprint(open_pictures(folder).samples)
