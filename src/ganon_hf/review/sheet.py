"""A page to sign: one file with small anonymized pictures, outlines, counts and settings. It loads nothing and holds no original."""

from __future__ import annotations

import base64
import html
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from .._atomic import atomic_file
from ..core.faces import UnusableImageError
from ..image_files import printable
from .finished_run import CONCERNS, WRITTEN, Concern, concern_of
from .pictures import shrink_result, upright_size
from .session import ReviewSession

SIDE, QUALITY = 240, 80
_HEADINGS: Mapping[Concern, str] = {
    "doubtful": "Doubtful: something was covered that may be no face",
    "covered": "With covered faces",
    "unsure": "With faces that are small or not certain",
    "rest": "The rest",
    "missing": "Nothing was written",
}
_LETTERS = {"replaced": "R", "covered": "C", "doubtful": "?"}
# A seed tells what was changed about the shape of a face, and the page goes to others.
_SECRET = ("seed",)


@dataclass(frozen=True)
class SheetPhoto:
    """A photo on the page.

    Attributes:
        name: below the folder.
        target: the anonymized picture.
        status, error, faces: as in the report.
        fine: somebody looked at it and found it fine; None where nobody was asked.
        corrected: by hand.
        stale: there are corrections that are not in the picture yet.
    """

    name: str
    target: Path
    status: str
    error: str
    faces: Sequence[Mapping[str, Any]]
    fine: bool | None = None
    corrected: bool = False
    stale: bool = False

    @property
    def concern(self) -> Concern:
        """What it should be looked at for."""
        return concern_of(self.faces) if self.status in WRITTEN else "missing"


@dataclass(frozen=True)
class Sheet:
    """What the page tells.

    Attributes:
        photos: in the order of the run.
        out: the folder that no picture may leave through links.
        run: what a line of the report says about the run: options, digest of the weights.
    """

    photos: Sequence[SheetPhoto]
    out: Path
    run: Mapping[str, Any]


def sheet_of(session: ReviewSession) -> Sheet:
    """What a review has come to."""
    photos = [
        SheetPhoto(
            name=one.name,
            target=one.target,
            status=one.status,
            error=one.error,
            faces=one.faces,
            fine=session.is_fine(one),
            corrected=session.is_corrected(one),
            stale=session.is_stale(one),
        )
        for one in session.run.photos
    ]
    return Sheet(photos, session.out, session.run.line)


def write_sheet(path: Path, sheet: Sheet) -> None:
    """Write the page; it appears complete or not at all. One picture is in memory at a time.

    Raises:
        ValueError: the name does not end in .html.
        OSError: it cannot be written.
    """
    check_sheet_name(path)
    with atomic_file(path) as temporary, open(temporary, "wb", buffering=0) as file:
        for part in _parts(sheet):
            rest = memoryview(part.encode("utf-8", "backslashreplace"))
            while rest:  # a full disk takes a part and then raises
                rest = rest[file.write(rest) :]


def check_sheet_name(path: Path) -> None:
    """Raise ValueError unless the name ends in .html, so that a typing error replaces no photo."""
    if path.suffix != ".html":
        raise ValueError(f"--review-page must name a file that ends in .html, but got {path}.")


def _parts(sheet: Sheet) -> Iterator[str]:
    style = (files(__package__) / "page" / "sheet.css").read_text()
    yield (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f'<meta name="color-scheme" content="light dark"><title>Anonymized photos</title><style>{style}</style></head>\n<body>\n'
        f"<h1>{len(sheet.photos)} photos, anonymized</h1>\n"
    )
    yield _counts(sheet)
    yield _legend()
    for concern in CONCERNS:
        photos = [photo for photo in sheet.photos if photo.concern == concern]
        if photos:
            yield f'<h2>{_HEADINGS[concern]} <small>({len(photos)})</small></h2>\n<div class="grid">\n'
            yield from (_figure(photo, sheet.out) for photo in photos)
            yield "</div>\n"
    yield f"<h2>How they were made</h2>\n{_table(_settings(sheet.run))}\n"
    yield '<p class="sign"><span>Looked at by</span><span>Date</span><span>Signature</span></p>\n</body></html>\n'


def _counts(sheet: Sheet) -> str:
    faces = Counter(face["status"] for photo in sheet.photos if photo.status in WRITTEN for face in photo.faces)
    rows = [
        ("Photos written", sum(photo.status in WRITTEN for photo in sheet.photos)),
        ("Photos not written", sum(photo.status not in WRITTEN for photo in sheet.photos)),
        ("Faces replaced", faces["replaced"]),
        ("Faces covered", faces["covered"]),
        ("Doubtful covers", faces["doubtful"]),
    ]
    if any(photo.fine is not None for photo in sheet.photos):
        rows += [
            ("Looked at and found fine", sum(bool(photo.fine) for photo in sheet.photos)),
            ("Not looked at", sum(photo.fine is False for photo in sheet.photos)),
            ("Corrected by hand", sum(photo.corrected for photo in sheet.photos)),
        ]
    if any(photo.stale for photo in sheet.photos):
        rows.append(("With corrections that are NOT in the picture yet", sum(photo.stale for photo in sheet.photos)))
    return _table(rows)


def _settings(run: Mapping[str, Any]) -> list[tuple[str, Any]]:
    name, *program = str(run["model"]).rsplit(" ", 2)  # from the right: a folder's name may have spaces
    rows: list[tuple[str, Any]] = [("program", " ".join(program)), ("weights and their digest", name)]
    rows += [(option, value) for option, value in run["options"].items() if option not in _SECRET]
    return [
        *rows,
        ("seed", "drawn anew" if run["options"]["seed"] is None else "chosen"),
        ("metadata kept", ", ".join(run["keep_metadata"]) or "none"),
        ("marked as generated in part (IPTC)", "yes" if run["mark"] else "no"),
    ]


def _table(rows: Iterable[tuple[str, Any]]) -> str:
    cells = "".join(f"<tr><th scope=row>{html.escape(str(name))}</th><td>{html.escape(printable(value))}</td></tr>" for name, value in rows)
    return f"<table>{cells}</table>\n"


def _legend() -> str:
    texts = {"replaced": "replaced by a synthetic face", "covered": "covered", "doubtful": "covered, but it may be no face"}
    items = "".join(f'<li><b class="{status}">{_LETTERS[status]}</b> {text}</li>' for status, text in texts.items())
    return f'<ul class="legend">{items}</ul>\n'


def _figure(photo: SheetPhoto, out: Path) -> str:
    name = html.escape(printable(photo.name))
    marks = ["corrections are NOT in the picture yet"] if photo.stale else ["corrected by hand"] if photo.corrected else []
    marks += [] if photo.fine is None else ["✓ fine" if photo.fine else "not looked at"]
    mark = f"<br><em>{'; '.join(marks)}</em>" if marks else ""
    if photo.status not in WRITTEN:
        return f"<figure><figcaption>{name}<br>{html.escape(printable(photo.error))}{mark}</figcaption></figure>\n"
    try:
        height, width = upright_size(photo.target, out)
        picture = shrink_result(photo.target, out, SIDE, quality=QUALITY)
    except UnusableImageError as error:
        return f"<figure><figcaption>{name}<br>{html.escape(str(error))}</figcaption></figure>\n"
    across, down = _size(picture)
    boxes = "".join(_outline(face, across / width, down / height) for face in photo.faces)
    told = Counter(face["status"] for face in photo.faces)
    counts = ", ".join(f"{told[status]} {status}" for status in _LETTERS if told[status]) or "no face"
    return (
        f'<figure><div><img alt="" width={across} height={down} src="data:image/jpeg;base64,{base64.b64encode(picture).decode()}">'
        f'<svg viewBox="0 0 {across} {down}" role="img" aria-label="{counts}">{boxes}</svg></div>'
        f"<figcaption>{name}<br>{counts}{mark}</figcaption></figure>\n"
    )


def _size(picture: bytes) -> tuple[int, int]:
    from PIL import Image

    with Image.open(io.BytesIO(picture)) as image:
        return image.size


def _outline(face: Mapping[str, Any], across: float, down: float) -> str:
    box, status = face["box"], str(face["status"])
    x, y = box["xmin"] * across, box["ymin"] * down
    width, height = (box["xmax"] - box["xmin"]) * across, (box["ymax"] - box["ymin"]) * down
    shape = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    label_y = max(9.0, y - 2)
    return (
        f'<rect class="halo" {shape}/><rect class="{status}" {shape}/>'
        f'<text class="halo" x="{max(0.0, x):.1f}" y="{label_y:.1f}">{_LETTERS[status]}</text>'
        f'<text class="{status}" x="{max(0.0, x):.1f}" y="{label_y:.1f}">{_LETTERS[status]}</text>'
    )
