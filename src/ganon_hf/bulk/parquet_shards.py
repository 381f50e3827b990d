"""Photos in any storage divided into shards, and shards of results that appear complete or not at all.

Storage is whatever fsspec reaches (``s3://``, ``gs://``, ``file://``, a plain path). A shard is a list of picture files, or some row groups
of a Parquet file. Names and sizes alone decide which, so that a second run has the same shards.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import secrets
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import fsspec
import pyarrow
import pyarrow.parquet as parquet
from fsspec.implementations.local import LocalFileSystem

from .._atomic import is_temporary, rename_into_place, sync, temporary_name
from ..image_files import MAX_FILE_BYTES, is_picture_name, printable
from .rows import RowResult

MANIFEST = "_ganon_hf_job.json"
_ANOTHER = "name another target, or empty it."
# Row groups of at most so many bytes: what an actor holds in memory, and what a reader can skip.
GROUP_BYTES = 32 << 20
GROUP_ROWS = 64
_READERS = 16  # requests at a time where only footers are read
_COUNTS = b"ganon_hf"
_BOX = pyarrow.struct([(name, pyarrow.float64()) for name in ("xmin", "ymin", "xmax", "ymax")])
_FACE = pyarrow.struct(
    [
        ("box", _BOX),
        ("score", pyarrow.float64()),
        ("status", pyarrow.string()),
        ("reason", pyarrow.string()),
        ("look", pyarrow.string()),
        ("kept", pyarrow.list_(pyarrow.string())),
    ]
)
# Counted in every shard: rows by status, and of those that are ok the ones with a doubtful cover.
COUNTS = ("ok", "copied", "refused", "failed", "doubtful")
SCHEMA = pyarrow.schema(
    [
        ("key", pyarrow.string()),
        ("image", pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])),  # as `datasets` stores pictures
        ("status", pyarrow.string()),
        ("reason", pyarrow.string()),
        ("faces", pyarrow.list_(_FACE)),
        ("notes", pyarrow.list_(pyarrow.string())),
    ]
)


class JobError(ValueError):
    """The source or the target cannot be used; nothing was written."""


class Storage:
    """A folder in any storage that fsspec reaches.

    Args:
        url: what fsspec understands; credentials come from the environment, as the storage's own library wants them.
    """

    def __init__(self, url: str) -> None:
        self.fs, root = fsspec.core.url_to_fs(url)
        self.root = root.rstrip("/") or "/"
        self.local = isinstance(self.fs, LocalFileSystem)
        self.url = self.root if self.local else url  # a relative path means something else on another machine

    def path(self, name: str) -> str:
        """Full path of a file of the folder."""
        return posixpath.join(self.root, name)

    def files(self) -> list[tuple[str, int]]:
        """(relative name, bytes) of everything below the folder that is not hidden, in the order of the names' bytes."""
        try:
            found = self.fs.find(self.root, detail=True)
        except FileNotFoundError:
            found = {}
        regular = ((path, info) for path, info in found.items() if info.get("type") == "file" or info.get("islink"))
        names = ((path[len(self.root) :].lstrip("/"), int(info.get("size") or 0)) for path, info in regular)
        visible = (entry for entry in names if not any(part.startswith(".") for part in entry[0].split("/")))
        return sorted(visible, key=lambda entry: os.fsencode(entry[0]))

    def open(self, name: str) -> IO[bytes]:
        """A file for reading; links must not lead out of the folder."""
        path = self.path(name)
        if self.local:
            real = Path(os.path.realpath(path, strict=True))
            if not real.is_relative_to(os.path.realpath(self.root)):
                raise OSError("is a link that leaves the input folder")
            if not real.is_file():  # a named pipe would never end
                raise OSError("is not a regular file")
        return self.fs.open(path, "rb")

    def put(self, local: Path, name: str) -> None:
        """Move a finished local file here; it appears under its name complete, and replaces a file of that name."""
        if self.local:  # in this folder already, see `temporary_file`
            sync(local)
            rename_into_place(local, Path(self.path(name)))
            return
        temporary = self.path(temporary_name(Path(name)).name)
        self.fs.put_file(str(local), temporary)
        self.fs.mv(temporary, self.path(name))
        local.unlink()

    def temporary_file(self) -> Path:
        """Create a local file for something that :meth:`put` will move here."""
        folder = Path(self.root if self.local else tempfile.gettempdir())
        folder.mkdir(parents=True, exist_ok=True)
        path = temporary_name(folder / "shard")
        path.touch(mode=0o600, exist_ok=False)  # closed to others: a manifest holds the job's key
        return path

    def remove_leftovers(self) -> None:
        """Temporary files of a job that was killed."""
        self.fs.makedirs(self.root, exist_ok=True)
        for path in self.fs.ls(self.root, detail=False):
            if is_temporary(posixpath.basename(path)):
                self.fs.rm_file(path)


@dataclass(frozen=True)
class Shard:
    """Photos that are done together and become one file.

    Attributes:
        name: of the result.
        files: picture files; or one Parquet file.
        groups: row groups of the Parquet file; empty for pictures.
        first: number of the first row of these groups in the file.
        rows: how many photos.
        problem: why nothing of the file can be read; it becomes one row that says so.
    """

    name: str
    files: tuple[str, ...]
    groups: tuple[int, ...] = ()
    first: int = 0
    rows: int = 0
    problem: str = ""

    def to_json(self) -> str:
        """JSON text, which :meth:`from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Shard:
        """What :meth:`to_json` wrote."""
        values = json.loads(text)
        return cls(**values | {"files": tuple(values["files"]), "groups": tuple(values["groups"])})


def plan_shards(source: Storage, rows_per_shard: int, column: str) -> tuple[list[Shard], str]:
    """Divide the photos of a folder into shards.

    Args:
        source: the folder, of picture files or of Parquet files.
        rows_per_shard: at most so many photos; a larger row group of a Parquet file is a shard by itself.
        column: of the Parquet files.

    Returns:
        the shards, and a digest of the names and sizes of all files.

    Raises:
        JobError: there are no photos, or pictures beside Parquet files, or a Parquet file without the column.
    """
    files = source.files()
    tables = [name for name, _ in files if name.lower().endswith(".parquet")]
    pictures = [name for name, _ in files if is_picture_name(name)]
    if bool(tables) == bool(pictures):
        what = "holds pictures and Parquet files; name a folder with one kind" if tables else "holds neither pictures nor Parquet files"
        raise JobError(f"{printable(source.url)} {what}.")
    if pictures:
        starts = range(0, len(pictures), rows_per_shard)
        parts = [Shard("", tuple(pictures[start : start + rows_per_shard])) for start in starts]
        parts = [replace(part, rows=len(part.files)) for part in parts]
    else:
        with ThreadPoolExecutor(_READERS) as pool:
            parts = [
                part for some in pool.map(lambda name: _shards_of_table(source, name, rows_per_shard, column), tables) for part in some
            ]
    digest = hashlib.sha256(json.dumps([file for file in files if file[0] in {*tables, *pictures}]).encode()).hexdigest()
    return [replace(part, name=f"part-{i:06d}-of-{len(parts):06d}.parquet") for i, part in enumerate(parts)], digest


def _shards_of_table(source: Storage, name: str, rows_per_shard: int, column: str) -> list[Shard]:
    """Neighboring row groups up to ``rows_per_shard``; a larger group is a shard by itself."""
    try:
        with source.open(name) as file, parquet.ParquetFile(file) as table:
            schema, sizes = table.schema_arrow, [table.metadata.row_group(i).num_rows for i in range(table.metadata.num_row_groups)]
    except (OSError, pyarrow.ArrowException) as error:
        return [Shard("", (name,), rows=1, problem=printable(f"cannot be read as Parquet ({error})")[:300])]
    if not _holds_bytes(schema, column):
        raise JobError(f"{printable(name)} needs a column {column!r} of bytes, or of {{bytes, path}}, but has {', '.join(schema.names)}.")
    shards: list[Shard] = []
    for number, rows in enumerate(sizes):
        last = shards[-1] if shards else Shard("", (name,))
        if shards and last.rows + rows <= rows_per_shard:
            shards[-1] = replace(last, groups=(*last.groups, number), rows=last.rows + rows)
        else:
            shards.append(Shard("", (name,), (number,), last.first + last.rows, rows))
    return shards


def _holds_bytes(schema: Any, column: str) -> bool:
    """Whether a column is bytes, or a struct with bytes."""
    kind = schema.field(column).type if column in schema.names else None
    if kind is not None and pyarrow.types.is_struct(kind):
        kind = kind.field("bytes").type if kind.get_field_index("bytes") >= 0 else None
    return kind is not None and (pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind))


def read_rows(source: Storage, shard: Shard, column: str) -> Iterator[tuple[str, bytes | str]]:
    """Yield the key of every row and its photo's file, or the reason why there is none; never fewer rows than the shard has."""
    if shard.problem:
        yield shard.files[0], shard.problem
    elif shard.groups:
        yield from _read_table(source, shard, column)
    else:
        for name in shard.files:
            yield name, _read_file(source, name)


def _read_file(source: Storage, name: str) -> bytes | str:
    try:
        if source.fs.size(source.path(name)) > MAX_FILE_BYTES:
            return f"is larger than {MAX_FILE_BYTES >> 20} MiB"
        with source.open(name) as file:
            return file.read()
    except OSError as error:
        return printable(f"cannot be read ({type(error).__name__}: {error})")


def _read_table(source: Storage, shard: Shard, column: str) -> Iterator[tuple[str, bytes | str]]:
    name, done = shard.files[0], 0
    try:
        with source.open(name) as file, parquet.ParquetFile(file) as table:
            for batch in table.iter_batches(batch_size=8, row_groups=list(shard.groups), columns=[column]):
                for cell in batch.column(0):
                    value = cell.as_py()
                    content = value.get("bytes") if isinstance(value, dict) else value
                    yield f"{name}#{shard.first + done}", content if content is not None else "the row holds no photo"
                    done += 1
    except (OSError, pyarrow.ArrowException) as error:
        reason = printable(f"cannot be read ({type(error).__name__}: {error})")[:300]
        for number in range(done, shard.rows):
            yield f"{name}#{shard.first + number}", reason


def write_shard(target: Storage, name: str, rows: Iterable[RowResult]) -> dict[str, int]:
    """Write rows as one Parquet file that appears complete or not at all.

    Returns:
        how many rows there are of each of :data:`COUNTS`; this is also stored in the file, see :func:`read_counts`.
    """
    path, counts = target.temporary_file(), Counter(dict.fromkeys(COUNTS, 0))
    try:
        with path.open("wb") as file, parquet.ParquetWriter(file, SCHEMA) as writer:
            group: list[dict[str, Any]] = []
            held = 0
            for row in rows:
                counts[row.status] += 1
                counts["doubtful"] += any(face["status"] == "doubtful" for face in row.faces)
                image = None if row.image is None else {"bytes": row.image, "path": None}
                key = row.key.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
                group.append(asdict(replace(row, image=None)) | {"image": image, "key": key})
                held += len(row.image or b"")
                if len(group) >= GROUP_ROWS or held >= GROUP_BYTES:
                    writer.write_table(pyarrow.Table.from_pylist(group, SCHEMA))
                    group, held = [], 0
            if group:
                writer.write_table(pyarrow.Table.from_pylist(group, SCHEMA))
            writer.add_key_value_metadata({_COUNTS: json.dumps(counts)})
        target.put(path, name)
    finally:
        path.unlink(missing_ok=True)
    return dict(counts)


def read_counts(target: Storage, name: str) -> dict[str, int]:
    """How many rows of a finished shard there are of each of :data:`COUNTS`.

    Raises:
        JobError: the file is damaged, or something else.
    """
    try:
        with target.open(name) as file, parquet.ParquetFile(file) as table:
            stored = json.loads((table.metadata.metadata or {})[_COUNTS])
        return {status: int(stored.get(status, 0)) for status in COUNTS}
    except (KeyError, AttributeError, TypeError, ValueError, OverflowError, RecursionError, pyarrow.ArrowException) as error:
        raise JobError(
            f"{printable(target.path(name))} is no finished shard ({printable(error)[:200]}): remove it, and it is done again."
        ) from error


@dataclass(frozen=True)
class Manifest:
    """What the results in a folder come from. A job with another manifest does not write there.

    Attributes:
        source: where the photos come from.
        digest: of their names and sizes.
        shards, rows: how many.
        rows_per_shard, column, options, keep_metadata, model: what results depend on.
        corrections: digests of the photos' corrections.
        mark: whether results with a synthetic face say so.
        key: the photos' seeds are derived from it where the options have none. Hex; secret while the job runs and empty afterwards,
            because a seed tells what was changed about the geometry of a face.
    """

    source: str
    digest: str
    shards: int
    rows: int
    rows_per_shard: int
    column: str
    options: dict[str, Any]
    keep_metadata: tuple[str, ...]
    model: str
    corrections: list[str] = field(default_factory=list)
    key: str = ""
    mark: bool = False

    def claim(self, target: Storage) -> Manifest:
        """Write this manifest into an empty target, or adopt the key of the one that is there, which must be the same job's.

        Raises:
            JobError: the target holds something else, or a manifest that is damaged.
        """
        if not target.fs.exists(target.path(MANIFEST)):
            if any(name.endswith(".parquet") for name, _ in target.files()):
                raise JobError(f"{printable(target.url)} holds Parquet files of something else: name an empty folder.")
            fresh = replace(self, key=secrets.token_hex(32))
            fresh.write(target)
            return fresh
        try:
            with target.open(MANIFEST) as file:
                there = json.load(file)
        except (ValueError, RecursionError) as error:
            raise JobError(f"{printable(target.path(MANIFEST))} is no manifest of a job ({printable(error)[:200]}): {_ANOTHER}") from error
        key = there.get("key") if isinstance(there, dict) else None
        if not isinstance(key, str):
            raise JobError(f"{printable(target.path(MANIFEST))} is no manifest of a job: {_ANOTHER}")
        mine = json.loads(json.dumps(asdict(self)))
        there = {"corrections": [], "mark": False} | there  # an older one has neither
        different = [name for name in mine if name != "key" and mine[name] != there.get(name)]
        if different:
            names = ", ".join(different)
            raise JobError(f"{printable(target.url)} holds another job's results ({names} differ): {_ANOTHER}")
        return replace(self, key=key)

    def write(self, target: Storage) -> None:
        """Write this manifest into the target."""
        path = target.temporary_file()
        try:
            path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
            target.put(path, MANIFEST)
        finally:
            path.unlink(missing_ok=True)
