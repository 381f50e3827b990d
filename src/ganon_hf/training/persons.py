"""Who is who in picture data sets, and from whom nothing learns.

The people of ``held_out_people.csv`` have several photos each, taken on different days. They are kept for recognition across days
(``scripts/evaluate.py --sets across-days``): 150 drawn at random among the people of ``train-expressions`` with two photos or more.
"""

from __future__ import annotations

import csv
import math
import zlib
from functools import cache
from importlib.resources import files

_LIST = "held_out_people.csv"


def person_id(source: str, person: int | float | str | None) -> int:
    """A number for a person that is unique over all sources, and the same in every process.

    Args:
        source: name of the source. Numbers and names of people are unique within a source only.
        person: number or name of the person in the source.

    Returns:
        the number; -1 where the person is unknown (None, NaN or negative).

    Raises:
        ValueError: a number beyond 32 bits, or something that is neither number nor name.
    """
    if isinstance(person, float):  # a column with missing values, as CSV files give it
        person = None if math.isnan(person) else int(person) if person.is_integer() else person
    if person is None or (isinstance(person, int) and person < 0):
        return -1
    high = (zlib.crc32(source.encode()) >> 2) << 32
    if isinstance(person, str):
        return high + zlib.crc32(person.encode())
    if not isinstance(person, int) or isinstance(person, bool) or person >= 2**32:
        raise ValueError(f"person must be a number below 2**32, a name or null, but got {person!r}.")
    return high + person


@cache
def held_out_people() -> dict[str, frozenset[int]]:
    """Name of a source -> numbers, in that source, of the people who are held out."""
    rows = list(csv.DictReader(files(__package__).joinpath(_LIST).read_text(encoding="utf-8").splitlines()))
    return {source: frozenset(int(row["person"]) for row in rows if row["source"] == source) for source in {row["source"] for row in rows}}


@cache
def held_out_ids() -> frozenset[int]:
    """:func:`person_id` of everybody who is held out."""
    return frozenset(person_id(source, person) for source, people in held_out_people().items() for person in people)
