"""A finished run as its report tells it: which photos there are, what was found in each, and what should be looked at first."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from ..bulk.correction_file import require_photo_name
from ..bulk.tasks import PhotoJob, Settings
from ..core.faces import STATUSES
from ..core.options import AnonymizeOptions, require_number
from ..image_files import METADATA_GROUPS, printable, result_name

# What a photo is looked at for, in the order in which they are shown.
Concern = Literal["doubtful", "covered", "unsure", "rest", "missing"]
CONCERNS: tuple[Concern, ...] = get_args(Concern)
WRITTEN = ("ok", "copied", "skipped")
_NOT_WRITTEN = ("refused", "failed")
_NO_PHOTO = "left out"
# A face that was replaced and may be none: lower than so many pixels, or with a score below.
SMALL_FACE, LOW_SCORE = 32.0, 0.7
MAX_LINE = 8 << 20
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_NUMBERS = {int, float}  # and not bool, which is an int


class ReportError(ValueError):
    """A report that no review can be made of; the message says why."""


@dataclass(eq=False)
class ReviewedPhoto:
    """One photo of a run; what changes when it is done again is assigned anew.

    Attributes:
        name: below the folder, with forward slashes.
        source, target: original and result.
        root: the folder that ``source`` must not leave through links; None where it was named itself.
        status: as in the report: ``"ok"``, ``"copied"`` (no face was found), ``"skipped"`` (finished before), ``"refused"`` or
            ``"failed"``.
        error: why there is no result.
        faces: as in the report.
        seed: of its synthetic people, given or drawn; None where the report does not know it.
    """

    name: str
    source: Path
    target: Path
    root: Path | None
    status: str
    error: str
    faces: tuple[dict[str, Any], ...]
    seed: int | None = None

    @property
    def written(self) -> bool:
        """Whether there is a result."""
        return self.status in WRITTEN

    @property
    def concern(self) -> Concern:
        """What it should be looked at for."""
        if self.status == "copied":  # nothing in it was changed: the worst place for a face that was missed
            return "unsure"
        return concern_of(self.faces) if self.written else "missing"

    @property
    def job(self) -> PhotoJob:
        """To do it again."""
        return PhotoJob(self.source, self.target, self.root, "", self.name)


def concern_of(faces: Sequence[Mapping[str, Any]]) -> Concern:
    """What a photo with these faces, as in a report, should be looked at for."""
    statuses = {face["status"] for face in faces}
    if "doubtful" in statuses:
        return "doubtful"
    if "covered" in statuses:
        return "covered"
    return "unsure" if any(is_unsure(face) for face in faces) else "rest"


def is_unsure(face: Mapping[str, Any]) -> bool:
    """Whether a face of a report is so small, or has so low a score, that it may be none."""
    return bool(face["box"]["ymax"] - face["box"]["ymin"] < SMALL_FACE or face["score"] < LOW_SCORE)


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """What a report tells.

    Attributes:
        photos: those to look at first before the others; within a concern in the order of the run.
        settings: with which a photo can be done again.
        line: what every line of the report says about the run.
    """

    photos: tuple[ReviewedPhoto, ...]
    settings: Settings
    line: dict[str, Any]


def read_run(report: Path, out: Path, originals: Path | None = None) -> FinishedRun:
    """Read the report of ``ganon-hf anonymize``; of several lines for a photo, which a review adds, the last counts.

    Args:
        report: the JSONL file.
        out: the folder with the results.
        originals: the folder with the photos; None takes the names as they were given to the run.

    Raises:
        ReportError: it is malformed, empty or of another kind of run; names the line.
        OSError: it cannot be read.
    """
    photos: dict[str, ReviewedPhoto] = {}
    common: dict[str, Any] = {}
    with report.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(MAX_LINE), b""), 1):
            if not line.strip():
                continue
            try:
                values = json.loads(line)
                own = {name: values[name] for name in ("model", "options", "keep_metadata")} | {"mark": values.get("mark", False)}
                if values["status"] == _NO_PHOTO:
                    continue
                common = common or own
                if own != common:
                    raise ReportError("it was made with other options than the lines before")
                photo = _photo(values, out, originals)
            except KeyError as error:
                raise ReportError(
                    f"{printable(report)}, line {number}: it has no {error}: make the report anew with this version."
                ) from None
            except (ValueError, TypeError, RecursionError) as error:
                raise ReportError(f"{printable(report)}, line {number}: {printable(error)[:300]}") from error
            photos[photo.name] = photo
    if not photos:
        raise ReportError(f"{printable(report)} has no lines: there is nothing to review.")
    ordered = sorted(photos.values(), key=lambda photo: CONCERNS.index(photo.concern))  # sorting keeps the run's order
    return FinishedRun(tuple(ordered), _settings(report, common), common)


def _photo(values: Mapping[str, Any], out: Path, originals: Path | None) -> ReviewedPhoto:
    name, status, error = values["name"], values["status"], values["error"] or ""
    require_photo_name(name)
    if status not in (*WRITTEN, *_NOT_WRITTEN) or not isinstance(error, str) or not isinstance(values["input"], str):
        raise ReportError("status, error or input are not those of a report")
    faces = tuple(map(_checked_face, values["faces"]))
    source = Path(values["input"]) if originals is None else originals / name
    seed = values.get("seed")  # a photo that an earlier run has finished has none
    require_number("seed", seed, 0, 2**63 - 1, integer=True, optional=True)
    return ReviewedPhoto(name, source, out / result_name(Path(name)), originals, status, error, faces, seed)


def _checked_face(face: Any) -> dict[str, Any]:
    """A face of a report, of which everything that is used is what it should be."""
    numbers = [face["score"], *map(face["box"].__getitem__, _CORNERS)]
    if not _NUMBERS.issuperset(map(type, numbers)) or not all(map(math.isfinite, numbers)):
        raise ReportError("a face has a box or score that is no number")
    if face["status"] not in STATUSES or not isinstance(face["reason"], str) or not isinstance(face["look"], str):
        raise ReportError("a face has a status, reason or look that is none")
    return {name: face[name] for name in ("box", "score", "status", "reason", "look")}


def _settings(report: Path, line: Mapping[str, Any]) -> Settings:
    try:
        options, keep = AnonymizeOptions(**line["options"]), tuple(line["keep_metadata"])
    except (TypeError, ValueError) as error:
        raise ReportError(f"{printable(report)}: its options are not of this version: {printable(error)}") from error
    if options.output != "photo":
        raise ReportError(f"{printable(report)} is of a run with --output {options.output}: only photos can be reviewed.")
    if not set(keep) <= set(METADATA_GROUPS) or not isinstance(line["model"], str) or not isinstance(line["mark"], bool):
        raise ReportError(f"{printable(report)}: keep_metadata, mark or model are not of this version.")
    return Settings(options, keep, True, line["model"], mark=line["mark"])
