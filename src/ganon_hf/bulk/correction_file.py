"""``corrections.jsonl``: what somebody who looked at a run decided, so that the run can be made again anywhere with the same result.

One line of JSON per photo: its name below the input folder, the digest of its file, and corrections of its faces. Lines of films, which
are beside them, are read in ``video/film_corrections.py``. A file comes from anywhere: everything in it is checked and bounded before
anything is done, and a photo that has changed since is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from .._atomic import write_atomically
from ..core.corrections import MAX_CORRECTIONS, FaceCorrection
from ..core.faces import UnusableImageError
from ..core.options import AnonymizeOptions, require_number
from ..image_files import printable

Row = TypeVar("Row")  # of a photo or film
Correction = TypeVar("Correction")  # of one face
MAX_BYTES = 64 << 20  # of a file: more than anybody corrects by hand
MAX_NAME = 4096
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NOT_PLAIN = {"", ".", ".."}  # as parts of a name


@dataclass(frozen=True)
class PhotoCorrections:
    """The corrections of one photo.

    Attributes:
        photo: path relative to the anonymized folder, with forward slashes; for ``ganon-hf scale``, the key of the row.
        sha256: digest of the photo's file, 64 hexadecimal digits.
        faces: what to do with individual faces. An empty list says that there is nothing to correct.
        seed: for the photo's synthetic people if the run has no seed; without either, new people are drawn each time.

    Raises:
        ValueError: a field is out of range; the photo's name leaves its folder.
    """

    photo: str
    sha256: str
    faces: tuple[FaceCorrection, ...]
    seed: int | None = None

    def __post_init__(self) -> None:
        require_photo_name(self.photo)
        require_line(self.sha256, self.faces, self.seed)

    def options(self, options: AnonymizeOptions) -> AnonymizeOptions:
        """The run's options with this photo's seed where it has one."""
        return options if self.seed is None else replace(options, seed=self.seed)

    @property
    def digest(self) -> str:
        """Tells these corrections from others."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()

    def check(self, content: bytes) -> None:
        """Raise UnusableImageError unless this is the file that was corrected."""
        require_digest(hashlib.sha256(content).hexdigest(), self.sha256)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form: a line of the file."""
        return {"photo": self.photo} | line_of(self.sha256, self.faces, self.seed)

    @classmethod
    def from_dict(cls, values: Any) -> PhotoCorrections:
        """What :meth:`to_dict` gives, from an untrusted source. Errors as for the class."""
        return cls(*parts_of_line(values, "photo", FaceCorrection.from_dict))


def require_photo_name(name: object) -> None:
    """Raise ValueError unless this is the name of a photo below a folder, in its plain spelling and with forward slashes."""
    if not isinstance(name, str) or not name or len(name) > MAX_NAME or "\0" in name:
        raise ValueError(f"photo must be a name of up to {MAX_NAME} characters, but got {printable(name)[:80]!r}.")
    if not _NOT_PLAIN.isdisjoint(name.split("/")):
        raise ValueError(f"photo must be a plain name below the folder of photos, but got {printable(name)[:80]!r}.")


def require_line(sha256: object, faces: object, seed: Any) -> None:
    """Raise ValueError unless a line may say this of its photo or film: a digest, corrections of faces, and a seed or None."""
    if not isinstance(sha256, str) or not _DIGEST.fullmatch(sha256):
        raise ValueError(f"sha256 must be 64 hexadecimal digits in lower case, but got {printable(sha256)[:80]!r}.")
    if not isinstance(faces, tuple) or len(faces) > MAX_CORRECTIONS:
        raise ValueError(f"faces must be a tuple of at most {MAX_CORRECTIONS} corrections.")
    require_number("seed", seed, 0, 2**63 - 1, integer=True, optional=True)


def line_of(sha256: str, faces: Iterable[Any], seed: int | None) -> dict[str, Any]:
    """What :func:`require_line` accepts, JSON-ready: a line of the file but for the name of its photo or film."""
    values: dict[str, Any] = {"sha256": sha256, "faces": [face.to_dict() for face in faces]}
    return values if seed is None else values | {"seed": seed}


def parts_of_line(
    values: Any, kind: Literal["photo", "film"], read_face: Callable[[Any], Correction]
) -> tuple[str, str, tuple[Correction, ...], int | None]:
    """Name, digest, corrections of faces and seed in a line from an untrusted source; of them only the corrections are checked here.

    Raises:
        ValueError: it has other fields, or ``read_face`` refuses one of its corrections.
    """
    if not isinstance(values, dict) or not {kind, "sha256", "faces"} <= set(values) <= {kind, "sha256", "faces", "seed"}:
        raise ValueError(f"the line of a {kind} has {kind}, sha256 and faces, and may have seed, but got {printable(values)[:200]}.")
    if not isinstance(values["faces"], list) or len(values["faces"]) > MAX_CORRECTIONS:
        raise ValueError(f"faces must be a list of at most {MAX_CORRECTIONS} corrections.")
    return values[kind], values["sha256"], tuple(map(read_face, values["faces"])), values.get("seed")


def require_digest(digest: str, wanted: str) -> None:
    """Raise UnusableImageError unless a photo's digest is the one that it was corrected with."""
    if digest != wanted:
        raise UnusableImageError("has changed since it was corrected: correct it again, or remove its line from the corrections")


def read_lines(path: str | os.PathLike[str]) -> list[tuple[int, dict[str, Any]]]:
    """The lines of a file of corrections, with their numbers from 1: of photos, and of films, which ``film`` tells from them.

    Raises:
        ValueError: a line is no JSON object, or the file is too large; names file and line.
        OSError: the file cannot be read.
    """
    name = printable(path)
    with Path(path).open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"{name} is larger than {MAX_BYTES >> 20} MiB.")
    lines = []
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line, parse_constant=_no_constant, object_pairs_hook=_object)
            if not isinstance(values, dict):
                raise ValueError(f"a line is an object, but got {printable(values)[:200]}.")
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"{name}, line {number}: {printable(error)[:300]}") from error
        lines.append((number, values))
    return lines


def read_corrections(path: str | os.PathLike[str]) -> dict[str, PhotoCorrections]:
    """Read the corrections of photos from a file; lines for videos are for ``ganon-hf video``.

    Returns:
        photo -> its corrections.

    Raises:
        ValueError: a line is malformed, or two are for one photo; names file and line.
        OSError: the file cannot be read.
    """
    return read_rows(path, "photo", "photo", PhotoCorrections.from_dict)


def read_rows(path: str | os.PathLike[str], kind: Literal["photo", "film"], key: str, read_row: Callable[[Any], Row]) -> dict[str, Row]:
    """The lines of one kind in a file of corrections, in their order.

    Args:
        path: of the file.
        kind: of what; also the name of the rows' attribute that holds its name.
        key: name of the rows' attribute by which they are found, and which no two of them share.
        read_row: gives the row of a line, or refuses it with ValueError, TypeError or OverflowError.

    Raises:
        ValueError: a line is malformed, or two have one key; names file and line.
        OSError: the file cannot be read.
    """
    name = printable(path)
    rows: dict[str, Row] = {}
    for number, values in read_lines(path):
        if ("film" in values) != (kind == "film"):
            continue
        try:
            row = read_row(values)
        except (ValueError, TypeError, OverflowError) as error:
            raise ValueError(f"{name}, line {number}: {printable(error)[:300]}") from error
        if getattr(row, key) in rows:
            raise ValueError(f"{name}, line {number}: {printable(getattr(row, kind))} has a line already.")
        rows[getattr(row, key)] = row
    return rows


def write_corrections(path: str | os.PathLike[str], rows: Iterable[PhotoCorrections]) -> None:
    """Write the corrections of photos to a file, sorted by name; lines for videos stay.

    It appears complete or not at all, and is safely on disk.

    Raises:
        ValueError: what is there is no file of corrections.
        OSError: it cannot be written; what stood there stands as before.
    """
    replace_lines(path, [row.to_dict() for row in sorted(rows, key=lambda row: row.photo)], kind="photo")


def replace_lines(path: str | os.PathLike[str], values: Iterable[dict[str, Any]], kind: Literal["photo", "film"]) -> None:
    """Put these lines in the place of all of their kind. Errors as of :func:`write_corrections`."""
    kept = [line for _, line in read_lines(path) if ("film" in line) == (kind == "photo")] if os.path.lexists(path) else []
    write_atomically(path, "".join(f"{json.dumps(line)}\n" for line in [*kept, *values]).encode("ascii"))


def require_known(rows: Mapping[str, PhotoCorrections], names: Iterable[str]) -> None:
    """Raise ValueError where there are corrections for photos of other names: they would silently not be heeded."""
    unknown = sorted(set(rows).difference(names))
    if unknown:
        others = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise ValueError(
            f"there are corrections for {printable(unknown[0])}{others}, which is not among the photos: name the folder that was reviewed, "
            "or remove these lines."
        )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a name stands twice in an object.")
    return values


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no number.")
