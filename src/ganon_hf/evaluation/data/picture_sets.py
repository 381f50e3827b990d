"""A user's own pictures of known people: one folder a person, or a listing in CSV or JSON Lines.

Everything named must lie below the folder that was given (or beside the listing): what a listing says is not trusted.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...image_files import FORMATS, printable
from .samples import PictureFile, Sample, read_samples

EMOTIONS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
LISTINGS = (".csv", ".jsonl")
MAX_LISTING_BYTES = 64 << 20


class NoPeopleError(ValueError):
    """There is nobody of whom two pictures could be compared."""


@dataclass(frozen=True, eq=False)
class PictureSet:
    """Pictures of known people.

    Attributes:
        name: of the set, for titles and file names.
        samples: the pictures, those of one person in their order.
        people: number of a person -> name.
        notes: what was left out, in words.
    """

    name: str
    samples: tuple[Sample, ...]
    people: dict[int, str]
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Name and size in words."""
        return f"{self.name}: {len(self.samples)} pictures of {len({sample.person for sample in self.samples})} people"


def open_pictures(source: str | Path, *, set_name: str | None = None, people: int | None = None, border: float = 0.0) -> PictureSet:
    """Pictures from wherever they are.

    Args:
        source: a folder with one sub-folder a person (two pictures or more in each); a ``.csv`` or ``.jsonl`` listing with ``file``,
            ``person`` and, where known, ``emotion``; or, with ``set_name``, a folder with Parquet files.
        set_name: NAME of ``NAME-*.parquet`` in the folder.
        people: only the first so many.
        border: see :func:`pairs.with_border`.

    Raises:
        NoPeopleError: nobody has two pictures.
        FileNotFoundError: there is no such file or folder.
        ValueError: a listing that cannot be understood; the message names the line.
    """
    path = Path(source)
    if set_name is not None:
        samples = read_samples(path, set_name, people=people, border=border)
        return PictureSet(set_name, tuple(samples), {sample.person: str(sample.person) for sample in samples})
    if path.is_dir():
        rows = list(_folder_rows(path))
        root = path
    elif path.suffix.lower() in LISTINGS and path.is_file():
        rows, root = list(_listing_rows(path)), path.parent
    elif path.exists():
        raise ValueError(
            f"{printable(path)}: pictures come from a folder, a .csv or a .jsonl listing, or, with a set's name, from Parquet files."
        )
    else:
        raise FileNotFoundError(f"{printable(path)} does not exist.")
    return _together(path, root, rows, people, border)


def _together(path: Path, root: Path, rows: Sequence[tuple[Path, str, str]], limit: int | None, border: float) -> PictureSet:
    """People with two pictures or more; the others are named."""
    counts: dict[str, int] = {}
    for _, person, _ in rows:
        counts[person] = counts.get(person, 0) + 1
    chosen = [person for person, count in counts.items() if count >= 2][:limit]
    alone = [person for person, count in counts.items() if count < 2]
    if not chosen:
        hint = " Its Parquet files are read when a set's name is given." if path.is_dir() and any(path.glob("*.parquet")) else ""
        raise NoPeopleError(
            f"{printable(path)}: {len(rows)} pictures of {len(counts)} people, but nobody has two. "
            f"Expected one sub-folder a person with two pictures or more in it, or a listing with columns file, person[, emotion].{hint}"
        )
    numbers = {person: number for number, person in enumerate(chosen)}
    samples = [Sample(PictureFile(file, root), numbers[person], emotion, border) for file, person, emotion in rows if person in numbers]
    notes = [f"people with a single picture: {', '.join(map(printable, alone))}"] if alone else []
    return PictureSet(printable(path.name or path), tuple(samples), {n: printable(p) for p, n in numbers.items()}, tuple(notes))


def _folder_rows(folder: Path) -> Iterator[tuple[Path, str, str]]:
    """(file, person, no emotion), people and their pictures by name."""
    for person in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        for file in sorted(person.iterdir()):
            if file.suffix.lower() in FORMATS and not file.name.startswith("."):
                yield file, person.name, ""


def _listing_rows(path: Path) -> Iterator[tuple[Path, str, str]]:
    """(file, person, emotion) of each line, in order."""
    if path.stat().st_size > MAX_LISTING_BYTES:
        raise ValueError(f"{printable(path)} is larger than {MAX_LISTING_BYTES >> 20} MiB.")
    for number, row in _csv_lines(path) if path.suffix.lower() == ".csv" else _json_lines(path):
        where = f"{printable(path)}, line {number}"
        file, person = (row.get(name) for name in ("file", "person"))
        if not isinstance(file, str) or not file or isinstance(person, bool) or not isinstance(person, str | int) or person == "":
            raise ValueError(f"{where}: expected file and person (and, where known, emotion), but got {printable(row)[:200]}.")
        emotion = row.get("emotion") or ""
        if emotion and emotion not in EMOTIONS:
            raise ValueError(f"{where}: emotion must be one of {', '.join(EMOTIONS)}, or empty, but got {printable(emotion)!r}.")
        relative = Path(file)
        if relative.is_absolute() or ".." in relative.parts:
            raise ValueError(f"{where}: files are named relative to the listing and lie below its folder, but got {printable(file)!r}.")
        yield path.parent / relative, str(person), str(emotion)


def _csv_lines(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        try:
            for row in reader:
                yield (
                    reader.line_num,
                    {str(name).strip(): value.strip() if isinstance(value, str) else value for name, value in row.items()},
                )
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{printable(path)}, line {reader.line_num}: is not CSV in UTF-8 ({error}).") from error


def _json_lines(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{printable(path)} is not UTF-8 ({error}).") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"{printable(path)}, line {number}: is not JSON ({error}).") from error
        if not isinstance(row, dict):
            raise ValueError(f"{printable(path)}, line {number}: expected an object with file and person, but got {type(row).__name__}.")
        yield number, row


def without(pictures: PictureSet, unreadable: dict[int, str]) -> PictureSet:
    """The set without some of its pictures (place -> why), and then without those people who have only one left.

    Raises:
        NoPeopleError: nobody has two pictures left.
    """
    if not unreadable:
        return pictures
    left = [sample for place, sample in enumerate(pictures.samples) if place not in unreadable]
    counts: dict[int, int] = {}
    for sample in left:
        counts[sample.person] = counts.get(sample.person, 0) + 1
    alone = sorted({sample.person for sample in pictures.samples} - {person for person, count in counts.items() if count >= 2})
    notes = [f"not readable: {reason}" for reason in unreadable.values()]
    notes += [f"people with a single picture: {', '.join(pictures.people[person] for person in alone)}"] if alone else []
    kept = tuple(sample for sample in left if sample.person not in alone)
    if not kept:
        raise NoPeopleError(f"{pictures.name}: nobody has two readable pictures. {'; '.join(notes)[:1000]}")
    return replace(pictures, samples=kept, notes=(*pictures.notes, *notes))
