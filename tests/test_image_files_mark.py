"""The mark of generated pictures: there on request, where a face was replaced, and nothing beside it."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from standins import Run, names, report_of, save, square_photo

from ganon_hf.bulk.tasks import finished_picture
from ganon_hf.image_files import FORMATS, MARKABLE, SOURCE_TYPE, Picture, encode_image, read_image, write_image

MARKED = (".jpg", ".png", ".webp", ".tif")
EXTENSION = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"


def packet(source: Path | io.BytesIO) -> bytes | None:
    """The XMP packet as Pillow reads it."""
    with Image.open(source) as written:
        return written.info.get("xmp")


def properties(content: bytes | None) -> dict[str, str | None]:
    """Everything an XMP packet says."""
    assert content is not None
    (described,) = ElementTree.fromstring(content.decode().strip("\0"))[0]
    return {one.tag: one.text for one in described} | {name: text for name, text in described.attrib.items() if "about" not in name}


@pytest.mark.parametrize("suffix", MARKED)
def test_a_marked_picture_says_what_it_is_and_nothing_else(suffix: str, tmp_path: Path) -> None:
    plain, marked = tmp_path / f"plain{suffix}", tmp_path / f"marked{suffix}"
    write_image(Picture(square_photo()), plain)
    write_image(Picture(square_photo(), marked=True), marked)
    assert properties(packet(marked)) == {EXTENSION: SOURCE_TYPE} and SOURCE_TYPE.endswith("/compositeWithTrainedAlgorithmicMedia")
    assert packet(plain) is None and SOURCE_TYPE.encode() not in plain.read_bytes()
    assert np.array_equal(*(np.asarray(read_image(path).image) for path in (plain, marked))), "the pixels are the same"
    again = tmp_path / f"again{suffix}"
    write_image(read_image(marked), again)
    assert packet(again) is None, "a photo's own XMP does not pass, even this"


@pytest.mark.parametrize("keep", [(), ("date", "camera")])
@pytest.mark.parametrize("suffix", MARKED)
def test_beside_the_mark_nothing_personal_survives(suffix: str, keep: tuple[str, ...], tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0110], exif[0x013B] = "EOS R5", "SECRET artist"
    exif.get_ifd(0x8769)[0x829A] = 0.005
    exif.get_ifd(0x8825)[29] = "SECRET gps"
    path = save(tmp_path / "a.jpg", square_photo(), exif=exif, comment=b"SECRET comment", xmp=b"<x>SECRET xmp</x>")
    picture = read_image(path, keep_metadata=keep)
    file = io.BytesIO()
    encode_image(Picture(picture.image, exif=picture.exif, marked=True), file, FORMATS[suffix])
    assert b"SECRET" not in file.getvalue() and properties(packet(file)) == {EXTENSION: SOURCE_TYPE}
    with Image.open(file) as written:
        found = written.getexif()
        assert not found.get_ifd(0x8825) and (found.get(0x0110) == "EOS R5") == bool(keep)
        assert (0x829A in found.get_ifd(0x8769)) == bool(keep)


@pytest.mark.parametrize("name", sorted(set(FORMATS.values()) - set(MARKABLE)))
def test_a_format_without_a_place_for_it_is_said(name: str) -> None:
    faces = [{"status": "replaced"}]
    picture = finished_picture(Picture(square_photo(), notes=("first",)), square_photo(), faces, name, mark=True)
    assert not picture.marked and picture.notes == ("first", f"{name} files cannot carry the mark")
    with pytest.raises(ValueError, match="cannot carry the mark"):
        encode_image(Picture(square_photo(), marked=True), io.BytesIO(), name)


@pytest.mark.parametrize(
    ("statuses", "mark", "marked"),
    [
        (["replaced"], True, True),
        (["covered", "replaced"], True, True),
        (["covered", "doubtful"], True, False),  # nothing in it was generated
        ([], True, False),  # a copy
        (["replaced"], False, False),
    ],
)
def test_only_what_holds_a_synthetic_face_is_marked(statuses: list[str], mark: bool, marked: bool) -> None:
    picture = finished_picture(Picture(square_photo()), square_photo(), [{"status": one} for one in statuses], "PNG", mark=mark)
    assert picture.marked == marked and picture.notes == ()


def test_the_command_marks_on_request_and_its_report_says_so(run: Run, tmp_path: Path) -> None:
    for name in ("a.jpg", "b.png", "c.bmp", "d.bmp"):
        save(tmp_path / "in" / name)
    save(tmp_path / "in" / "e.png", square_photo(box=None))

    def lines(*flags: str) -> SimpleNamespace:
        result = run(tmp_path / "in", "-o", tmp_path / "out", "--on-no-face", "keep", "--report", tmp_path / "r.jsonl", *flags)
        assert result.exit_code == 0, result.output
        found = report_of(tmp_path / "r.jsonl")
        return SimpleNamespace(
            marked=[line["marked"] for line in found], status=[line["status"] for line in found], first=found[0], text=result.output
        )

    plain = lines()
    assert plain.marked == [False] * 5 and packet(tmp_path / "out" / "a.jpg") is None and "carry the mark" not in plain.text
    marked = lines("--mark")
    assert marked.status == ["ok"] * 4 + ["copied"], "results without the mark are made again"
    assert marked.marked == [True, True, False, False, False] and marked.first["mark"] is True
    assert marked.text.count("BMP files cannot carry the mark") == 1 and "2 photos: BMP files" in marked.text
    for name, there in (("a.jpg", True), ("b.png", True), ("e.png", False)):
        assert (packet(tmp_path / "out" / name) is not None) == there
    again = lines("--mark")
    assert again.status == ["skipped"] * 5 and again.marked == marked.marked
    assert names(tmp_path / "out") == ["a.jpg", "b.png", "c.bmp", "d.bmp", "e.png"]
