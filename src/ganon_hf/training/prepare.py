"""Preparation of training faces: picture data set -> folder of aligned, filtered, split faces as parquet shards for ``datasets``.

There are two stages. *Measuring* finds the face of every picture in parallel and writes part files to ``.parts``; a restart continues after
the existing parts. *Selecting* applies the thresholds of ``face_selection.py`` and writes shards, card and contact sheet. The same settings
give the same bytes, whatever the number of workers.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Dataset, Image, load_dataset
from tqdm import tqdm

from .._atomic import atomic_file, remove_leftovers, write_atomically
from ..bulk.process_pool import ProcessPool, usable_cores
from ..core.detection_search import YuNetDetector
from ..core.faces import FaceDetector
from .contact_sheet import ContactSheet
from .dataset_card import SelectionCounts, write_card
from .face_measurement import MEASURED_SCHEMA, measure_row
from .face_selection import SPLITS, SelectionOptions, Selector, is_grayscale
from .person_matte import PersonMatte, default_matte
from .shards import SCHEMA

logger = logging.getLogger(__name__)

COLUMNS = ("image", "source", "person", "emotion", "grayscale")
SETTINGS = "settings.json"
_ROWS_PER_PART = 250
_ROWS_PER_GROUP = 100
_BYTES_PER_SHARD = 200 * 2**20
_SCALAR_COLUMNS = [name for name in MEASURED_SCHEMA.names if name not in ("image", "matte", "landmarks", "thumbnail")]


@dataclass(frozen=True)
class PrepareOptions:
    """How a data set is prepared.

    Attributes:
        image_size: side of the crops in pixels.
        license: license of the pictures for the card, an identifier of the Hub such as cc-by-4.0, or "other".
        source: name of the source for pictures whose row has none.
        selection: which faces are kept, and in which split.
        processes: number of worker processes; None starts one per core, 1 works in this process. They are spawned, because torch's
            threads do not survive a fork.
        reselect: allow another selection than the earlier run in the same folder; without it that is an error.
        tight: the box of the face oval fills the crop, as the landmark generator of the paper needs it. Otherwise there is a margin, and
            one scale for all heads, as the mesh generator needs it.

    Raises:
        ValueError: a value is out of range.
    """

    image_size: int = 256
    license: str = "other"
    source: str = "unknown"
    selection: SelectionOptions = field(default_factory=SelectionOptions)
    processes: int | None = None
    reselect: bool = False
    tight: bool = False

    def __post_init__(self) -> None:
        if self.image_size < 32:
            raise ValueError(f"image_size must be at least 32 pixels, but got {self.image_size!r}.")
        if self.processes is not None and self.processes < 1:
            raise ValueError(f"processes must be None or at least 1, but got {self.processes!r}.")


@dataclass(frozen=True)
class RowRange:
    """Rows of the data set that a worker measures in one go, and the part file for the result."""

    path: str
    start: int
    stop: int


# ---- the source


def _common_columns(names: Sequence[str]) -> list[str]:
    """Columns that all of the parquet files have, in the order of the first: sets that were made apart label different things."""
    schemas = [pq.read_schema(name) for name in names]
    return [column for column in schemas[0].names if all(column in schema.names for schema in schemas[1:])]


def open_source(
    inputs: Sequence[str | Path], *, config: str | None = None, split: str = "all", columns: Mapping[str, str] | None = None
) -> Dataset:
    """Open a picture data set.

    Args:
        inputs: parquet files, or one folder of pictures or of a data set, or one data set of the Hub.
        config: configuration of the data set.
        split: split of the data set, "all" for all splits one after another.
        columns: column of ``COLUMNS`` -> column of the data set, where the names differ ({"person": "identity"}).

    Returns:
        a data set with the column ``image`` (not decoded) and those of the other ``COLUMNS`` that exist.

    Raises:
        ValueError: several inputs that are not all parquet files, or a missing column.
    """
    names = [os.fspath(path) for path in inputs]
    if names and all(name.endswith(".parquet") for name in names):
        dataset = load_dataset("parquet", data_files=names, split="train", columns=_common_columns(names))
    elif len(names) == 1:
        dataset = load_dataset(names[0], config, split=split)
    else:
        raise ValueError(f"inputs must be parquet files, or one folder or data set, but got {', '.join(map(repr, names)) or 'nothing'}.")
    wanted = {name: (columns or {}).get(name, name) for name in COLUMNS}
    there = dataset.column_names
    missing = [theirs for ours, theirs in wanted.items() if theirs not in there and (ours == "image" or ours in (columns or {}))]
    if missing or set(columns or {}) - set(COLUMNS):
        raise ValueError(
            f"columns must map {', '.join(COLUMNS)} to columns of the data set; it has {', '.join(there)}, "
            f"but got {dict(columns or {}) or 'no image column'}. Name the picture column with image=NAME."
        )
    dataset = dataset.select_columns([theirs for theirs in wanted.values() if theirs in there])
    for ours, theirs in wanted.items():
        if theirs in there and theirs != ours:
            dataset = dataset.rename_column(theirs, ours)
    return dataset.cast_column("image", Image(decode=False))


def _rows(dataset: Dataset, start: int, stop: int, source: str) -> Iterator[dict[str, Any]]:
    labels = {name: kind for name, kind in dataset.features.items() if isinstance(kind, ClassLabel) and name != "person"}
    for offset, row in enumerate(dataset.select(range(start, stop)).to_list()):
        full = {name: row.get(name) for name in COLUMNS} | {"row": start + offset}
        for name, kind in labels.items():
            full[name] = None if full[name] is None or full[name] < 0 else kind.int2str(full[name])
        texts = {"emotion": full["emotion"], "source": full["source"] or source}
        yield full | {name: None if value is None else str(value) for name, value in texts.items()}


def _fingerprint(dataset: Dataset) -> str:
    """Checksum of a data set: its length, its columns and a few of its pictures."""
    places = sorted({len(dataset) * step // 8 for step in range(8)} if len(dataset) else ())
    sample = hashlib.sha256(f"{len(dataset)} {sorted(dataset.column_names)}".encode())
    for row in dataset.select(places):
        image = row["image"] or {}
        sample.update(image.get("bytes") or os.path.basename(image.get("path") or "").encode())
    return sample.hexdigest()[:16]


# ---- measuring


@dataclass(frozen=True)
class _Tools:
    """What a process needs to measure parts."""

    dataset: Dataset
    options: PrepareOptions
    detector: FaceDetector
    matte: PersonMatte


def _make_tools(
    dataset: Dataset, options: PrepareOptions, detector: Callable[[], FaceDetector], matte: Callable[[], PersonMatte]
) -> _Tools:
    return _Tools(dataset, options, detector(), matte())


def _measure_part(tools: _Tools, part: RowRange) -> int:
    """Write a part file; returns the number of its rows."""
    options = tools.options
    rows = _rows(tools.dataset, part.start, part.stop, options.source)
    measured = [measure_row(row, tools.detector, tools.matte, options.image_size, tight=options.tight) for row in rows]
    with atomic_file(part.path) as temporary:
        pq.write_table(pa.Table.from_pylist(measured, MEASURED_SCHEMA), temporary)
    return part.stop - part.start


def _measure(
    dataset: Dataset, folder: Path, options: PrepareOptions, detector: Callable[[], FaceDetector], matte: Callable[[], PersonMatte]
) -> list[Path]:
    folder.mkdir(exist_ok=True)
    remove_leftovers(folder)
    starts = range(0, len(dataset), _ROWS_PER_PART)
    parts = [
        RowRange(str(folder / f"part-{number:06d}.parquet"), start, min(start + _ROWS_PER_PART, len(dataset)))
        for number, start in enumerate(starts)
    ]
    todo = [part for part in parts if not os.path.exists(part.path)]
    processes = min(options.processes or usable_cores(), max(1, len(todo)))
    done = len(dataset) - sum(part.stop - part.start for part in todo)
    make_tools = partial(_make_tools, dataset, options, detector, matte)
    with tqdm(total=len(dataset), initial=done, unit="picture", desc="finding faces") as bar, ProcessPool(make_tools, processes) as pool:
        for count in pool.imap(_measure_part, todo):
            bar.update(count)
    return [Path(part.path) for part in parts]


# ---- selecting


class _ShardWriter:
    """Distributes the rows of a split round-robin over its shards, so that each shard is a sample of the split.

    Args:
        folder, split, shards: where the files go, and how many.
        files: gives them their names when it ends without an error.
    """

    def __init__(self, folder: Path, split: str, shards: int, files: ExitStack) -> None:
        paths = [folder / f"{split}-{number:05d}-of-{shards:05d}.parquet" for number in range(shards)]
        self._writers = [pq.ParquetWriter(files.enter_context(atomic_file(path)), SCHEMA) for path in paths]
        self._waiting: list[list[dict[str, Any]]] = [[] for _ in paths]
        self._count = 0

    def add(self, row: dict[str, Any]) -> None:
        number = self._count % len(self._writers)
        self._waiting[number].append({name: row[name] for name in SCHEMA.names})
        self._count += 1
        if len(self._waiting[number]) == _ROWS_PER_GROUP:
            self._flush(number)

    def _flush(self, number: int) -> None:
        if self._waiting[number]:
            self._writers[number].write_table(pa.Table.from_pylist(self._waiting[number], SCHEMA))
        self._waiting[number] = []

    def close(self) -> None:
        for number, writer in enumerate(self._writers):
            self._flush(number)
            writer.close()


def _select_rows(parts: Sequence[Path], options: SelectionOptions) -> tuple[list[tuple[str | None, str | None]], dict[str, int]]:
    """(split, reason) of every row, and the approximate size of each split in bytes."""
    selector, decisions, sizes = Selector(options), [], Counter[str]()
    for path in tqdm(parts, unit="part", desc="selecting"):
        file = pq.ParquetFile(path)
        rows = file.read(columns=_SCALAR_COLUMNS).to_pylist()
        decided = [selector(row) for row in rows]
        kept = Counter(split for split, _ in decided if split)
        for split, count in kept.items():
            sizes[split] += path.stat().st_size * count // len(rows)
        decisions += decided
    return decisions, dict(sizes)


def _write(parts: Sequence[Path], folder: Path, options: PrepareOptions, name: str) -> SelectionCounts:
    decisions, sizes = _select_rows(parts, options.selection)
    counts = SelectionCounts.from_decisions(decisions)
    sheet = ContactSheet(decisions, options.selection.seed)
    remove_leftovers(folder)
    with ExitStack() as files:
        writers = {split: _ShardWriter(folder, split, -(-size // _BYTES_PER_SHARD), files) for split, size in sizes.items()}
        number = 0
        for path in tqdm(parts, unit="part", desc="writing shards"):
            for row in pq.read_table(path).to_pylist():
                split, _ = decisions[number]
                if row["image"] is not None:
                    row["grayscale"] = is_grayscale(row, options.selection)
                if split:
                    writers[split].add(row)
                sheet.add(number, row)
                number += 1
        for writer in writers.values():
            writer.close()
        (folder / "README.md").unlink(missing_ok=True)  # the card is written last: a folder with a card is complete
        for split in SPLITS:
            for old in folder.glob(f"{split}-*-of-*.parquet"):
                old.unlink()
    sheet.save(folder / "contact_sheet.png")
    write_card(folder, name, counts, options.image_size, options.license, options.selection, tight=options.tight)
    return counts


def _check_settings(folder: Path, settings: dict[str, Any], reselect: bool) -> None:
    path = folder / SETTINGS
    if path.exists():
        before = {"tight": False} | json.loads(path.read_text())  # settings of older versions have no such entry
        changed = [f"{name} was {before.get(name)!r} and is {value!r} now" for name, value in settings.items() if before.get(name) != value]
        only_selection = all(before.get(name) == value for name, value in settings.items() if name not in ("selection", "license"))
        if changed and not (reselect and only_selection):
            advice = "Use --reselect to select anew from the same faces" if only_selection else "Use another folder"
            raise ValueError(f"{folder} was prepared with other settings: {'; '.join(changed)}. {advice}.")
    elif any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty and holds no {SETTINGS} of an earlier run. Use an empty folder.")
    write_atomically(path, json.dumps(settings, indent=1, sort_keys=True) + "\n")


def prepare_dataset(
    dataset: Dataset,
    folder: str | Path,
    options: PrepareOptions,
    *,
    detector: Callable[[], FaceDetector] = YuNetDetector,
    matte: Callable[[], PersonMatte] = default_matte,
) -> SelectionCounts:
    """Prepare training faces in a folder: shards, ``README.md`` (the dataset card) and ``contact_sheet.png``.

    Args:
        dataset: from :func:`open_source`.
        folder: new, empty, or of an earlier run with the same settings, which is continued.
        options: sizes and thresholds.
        detector, matte: create the detector and the matte of a worker. They must be picklable, e.g. functions of a module.

    Returns:
        numbers of kept and dropped pictures.

    Raises:
        ValueError: the folder holds something else or was made with other settings, or no picture was kept.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "data": _fingerprint(dataset),
        "image_size": options.image_size,
        "tight": options.tight,
        "source": options.source,
        "license": options.license,
        "selection": asdict(options.selection),
    }
    _check_settings(folder, settings, options.reselect)
    parts = _measure(dataset, folder / ".parts", options, detector, matte)
    counts = _write(parts, folder, options, folder.resolve().name)
    if not sum(counts.kept.values()):
        raise ValueError(f"no picture was kept: {counts.dropped or 'the data set is empty'}. See {folder / 'contact_sheet.png'}.")
    return counts
